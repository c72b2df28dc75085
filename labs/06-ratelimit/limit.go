// Package ratelimit decides who may go on now, who later and who not at all.
//
// A [Bucket] is eight bytes: a million clients cost eight megabytes. A
// [Limiter] is one bucket that can be waited for and changed while it runs, a
// [Keyed] one bucket for each key, forgotten when it is full again. An
// [Adaptive] finds its rate from latencies, a [Concurrency] its number of
// requests at a time. [Middleware] answers 429 for any of them.
//
// Nothing here owns a goroutine. A time is told as the time since an instant of
// the caller's choice: not negative, and less than nine years.
package ratelimit

import (
	"errors"
	"time"
)

// MaxRate is the highest rate, in tokens a second. Up to it the rate that is
// held is within 0.04% of the one that was asked for.
const MaxRate = 1e7

// MaxFill is the longest time that a bucket may take to fill, Burst/Rate, and
// the longest time ahead that tokens can be taken.
const MaxFill = 30 * 24 * time.Hour

// ErrRate is part of the error for a rate or burst that no bucket can have.
var ErrRate = errors.New("ratelimit: rate must be above 0 and at most MaxRate, burst at least 1, burst/rate at most MaxFill")

// Limit is a rate and a burst: what buckets have in common. It is immutable,
// and may be copied and shared.
type Limit struct {
	// Yours to add: rate, burst, and what you can work out of them once.
}

// NewLimit returns the limit of rate tokens a second of which burst fit into a
// bucket. A rate of NaN, or one that is not in (0, MaxRate], a burst below 1,
// and a burst/rate above MaxFill are errors that wrap [ErrRate].
func NewLimit(rate float64, burst int) (Limit, error) {
	return Limit{}, errors.New("not implemented: step 1, a bucket in one word")
}

// Rate is in tokens a second.
func (l *Limit) Rate() float64 {
	return 0 // not implemented: step 1, a bucket in one word
}

// Burst is how many tokens fit into a bucket.
func (l *Limit) Burst() int {
	return 0 // not implemented: step 1, a bucket in one word
}
