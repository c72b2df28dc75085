// Package ratelimittest judges lab 06: token buckets, a limiter that can be
// waited for, and two limiters that find their own bound.
//
// contract.go says what they must do, the files of rules what is checked,
// targets.go what is measured, mutants_test.go which wrong ones must be refused.
// clock.go is the time of every rule: no rule looks at a real clock.
package ratelimittest

import (
	"context"
	"net/http"
	"time"
)

// Take takes n tokens from one bucket at the time now, and reports whether they
// were there: all or none. A bucket is full in the beginning. A time is told as
// the time since an instant of the judge's choice; one that is earlier than one
// told before finds no more tokens than there were.
type Take func(now time.Duration, n int) bool

// Middleware asks before each request whether it may go on; where it may not,
// the answer is 429 with Retry-After in whole seconds, rounded up, at least 1.
type Middleware func(ask func(r *http.Request) (ok bool, retry time.Duration), next http.Handler) http.Handler

// Options is the configuration of a [Limiter]. The lab declares the same struct;
// its test file converts one into the other, so a difference is a compile error.
type Options struct {
	// Rate is in tokens a second: above 0, at most MaxRate.
	Rate float64

	// Burst is how many tokens are there at most, and in the beginning: at
	// least 1, and Burst/Rate at most MaxFill.
	Burst int

	// Now tells the time. nil means the monotonic clock. Any goroutine calls it.
	Now func() time.Duration
}

// Limiter is one token bucket that can be waited for, and changed while it runs.
// Any goroutine may call its methods. Tokens that are waited for or reserved
// count as taken: nobody who comes later passes those who wait.
type Limiter interface {
	// Allow is AllowN(1).
	Allow() bool

	// AllowN takes n tokens if they are there now: all or none. An n below 1
	// or above the burst is refused.
	AllowN(n int) bool

	// Tokens is how many are there; negative is what is owed to those who wait
	// and have reserved.
	Tokens() float64

	// Delay is how long it takes until n tokens are there, if nobody else
	// takes any. It takes none. It is 30 days for an n that is refused.
	Delay(n int) time.Duration

	// Wait takes n tokens, and returns nil when they are there, after exactly
	// the time that it takes them to flow in. Those who wait go in the order in
	// which they came. When ctx ends first, Wait returns ctx.Err() at once;
	// when its deadline is too early, the lab's ErrTooLong without waiting. In
	// both cases those behind move up, unless a reservation stands behind, and
	// has been told its time. An n below 1 or above the burst is ErrCount.
	Wait(ctx context.Context, n int) error

	// Reserve takes n tokens that are there or will be, and returns how long
	// the caller has to wait before it acts: at most 30 days, beyond them
	// ErrTooLong. cancel, which is never nil, gives all of them back when
	// nothing was taken behind them; none otherwise, after their time has come,
	// after a SetLimit, and when it is called again.
	Reserve(n int) (delay time.Duration, cancel func(), err error)

	// SetLimit changes rate and burst from now on. The tokens that are there
	// stay, as far as they fit, and none come with it. Those who wait are told
	// their new time; a reservation keeps its own. What New refuses is an
	// error, and changes nothing.
	SetLimit(rate float64, burst int) error
}

// KeyedOptions is the configuration of a [Keyed].
type KeyedOptions struct {
	// Rate and Burst are those of each key, as in Options.
	Rate  float64
	Burst int

	// MaxKeys bounds the keys that are remembered. While so many are, all new
	// ones share one bucket. 0 means 1<<20; NewKeyed refuses a negative value.
	MaxKeys int

	// Now tells the time. nil means the monotonic clock. Any goroutine calls it.
	Now func() time.Duration
}

// Keyed is a token bucket for each key. Any goroutine may call its methods. A
// key is forgotten when its bucket is full again: not before, and by the second
// fill time (Burst/Rate) after its last token, if anybody calls Allow or Len.
type Keyed interface {
	// Allow takes one token from the bucket of key if it is there.
	Allow(key uint64) bool

	// Delay is how long it takes until key has a token. It takes none.
	Delay(key uint64) time.Duration

	// Len is how many keys are remembered: at most MaxKeys.
	Len() int
}

// AdaptiveOptions is the configuration of an [Adaptive]. Rates are in tokens a
// second.
type AdaptiveOptions struct {
	// Min and Max bound the rate, and Start is where it begins: 0 < Min <=
	// Start <= Max <= MaxRate. 0 for Start means Min.
	Min, Max, Start float64

	// Burst is the limiter's; at least 1.
	Burst int

	// Target is the latency to stay below. Above 0.
	Target time.Duration

	// Quantile says which latency of a window is compared with Target: 0.9
	// is the one that 90% of the samples do not exceed. Above 0 and at most 1;
	// 0 means 0.9.
	Quantile float64

	// Window is the time between two decisions. 0 means a second; at least a
	// millisecond.
	Window time.Duration

	// MinSamples is how many latencies a decision needs. A window with fewer
	// goes on. 0 means 20.
	MinSamples int

	// Increase is added to the rate after a good window. 0 means a hundredth
	// of Max; not negative.
	Increase float64

	// Decrease is what the rate is multiplied with after a bad one. In (0, 1);
	// 0 means 0.8.
	Decrease float64

	// Now tells the time. nil means the monotonic clock. Any goroutine calls it.
	Now func() time.Duration
}

// Adaptive is a limiter that finds its rate. Any goroutine may call its methods.
type Adaptive interface {
	// Allow takes a token if it is there.
	Allow() bool

	// Rate is the rate now, in [Min, Max].
	Rate() float64

	// Observe counts the latency of one request that has ended. A negative one
	// counts as 0, and one of more than an hour as an hour. The first Observe
	// after the end of a window with at least MinSamples decides on what came
	// before it: the rate changes by one step, however many windows have
	// passed. A quantile is known to 5%.
	Observe(latency time.Duration)
}

// ConcurrencyOptions is the configuration of a [Concurrency].
type ConcurrencyOptions struct {
	// Min and Max bound the limit, and Start is where it begins: 1 <= Min <=
	// Start <= Max. 0 for Min means 1, 0 for Start means Min.
	Min, Max, Start int

	// Low and High bound how many requests may stand in the queue of the
	// server: below Low the limit rises, above High it falls. 1 <= Low <=
	// High; 0 means 3 and 6.
	Low, High int
}

// Concurrency limits the requests at a time, and finds the limit from their
// latencies. It decides once in a window of as many requests as the limit
// allows, at least 16: one step up, one step down, or, where one of them has
// failed, a quarter less. Any goroutine may call its methods.
type Concurrency interface {
	// Acquire reports whether one more request may go on. If so, Release must
	// be called when it has ended.
	Acquire() bool

	// Release says that a request has ended, after latency. ok is false for
	// one that failed for want of capacity. A latency of 0 or less is no
	// measurement. It panics without an Acquire.
	Release(latency time.Duration, ok bool)

	// Limit is how many requests may be there at a time, in [Min, Max].
	Limit() int

	// InFlight is how many requests are there.
	InFlight() int
}
