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
	"fmt"
	"math"
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

// unit is what a nanosecond has of the units in which instants are kept here. A
// token of the highest rate lasts 1600 units, so that rounding it is harmless,
// and an int64 of them lasts 18 years.
const unit = 16

// Limit is a rate and a burst: what buckets have in common. It is immutable,
// and may be copied and shared.
type Limit struct {
	rate     float64
	burst    int
	interval int64 // units in which one token flows in
	depth    int64 // units in which an empty bucket fills: interval * burst
}

// NewLimit returns the limit of rate tokens a second of which burst fit into a
// bucket. A rate of NaN, or one that is not in (0, MaxRate], a burst below 1,
// and a burst/rate above MaxFill are errors that wrap [ErrRate].
func NewLimit(rate float64, burst int) (Limit, error) {
	fill := float64(burst) / rate
	if !(rate > 0 && rate <= MaxRate && burst >= 1 && fill <= MaxFill.Seconds()) { // so that NaN is refused
		return Limit{}, fmt.Errorf("%w: rate %v, burst %d", ErrRate, rate, burst)
	}
	interval := int64(math.Round(unit * 1e9 / rate))
	return Limit{rate: rate, burst: burst, interval: interval, depth: interval * int64(burst)}, nil
}

// Rate is in tokens a second.
func (l *Limit) Rate() float64 { return l.rate }

// Burst is how many tokens fit into a bucket.
func (l *Limit) Burst() int { return l.burst }

// spend takes n tokens from a bucket that is full again at the instant full, at
// the instant t. It returns when the bucket will be full then, and whether the
// tokens are there. An earlier t finds fewer tokens, never more.
//
//	         now         full
//	----------|-----------|---------------> time, in units
//	          |<--spent-->|<--cost-->|
//	          |<-------- depth -------->|     fits: n tokens are there
func (l *Limit) spend(full, t int64, n int) (next int64, ok bool) {
	next = max(full, t) + l.interval*int64(n)
	return next, next-t <= l.depth
}

// fits reports whether n tokens can ever be in the bucket together.
func (l *Limit) fits(n int) bool { return n >= 1 && n <= l.burst }

// due is the time when what was taken up to the instant end is there.
func (l *Limit) due(end int64) time.Duration {
	return time.Duration((end - l.depth + unit - 1) / unit) // up: never too early
}

// tokens is what a bucket holds. It is negative when more was taken.
func (l *Limit) tokens(full, t int64) float64 {
	return float64(l.depth-max(0, full-t)) / float64(l.interval)
}
