package ratelimit

import (
	"errors"
	"time"
)

// AdaptiveOptions is the configuration of an [Adaptive]. Rates are in tokens a
// second.
type AdaptiveOptions struct {
	// Min and Max bound the rate, and Start is where it begins: 0 < Min <=
	// Start <= Max <= MaxRate. 0 for Start means Min.
	Min, Max, Start float64

	// Burst is the limiter's; at least 1, and Burst/Min at most MaxFill.
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

// Adaptive is a limiter that finds its rate: additive increase while the
// latency is below its target, multiplicative decrease when it is above (Chiu
// and Jain, 1989; TCP). Make one with [NewAdaptive]. Any goroutine may call its
// methods. It has no goroutine: Observe decides.
type Adaptive struct {
	// Yours to add: a Limiter, the rate, and this window's latencies.
}

// NewAdaptive returns a limiter with the rate Start. It refuses what
// AdaptiveOptions rules out, NaN included.
func NewAdaptive(o AdaptiveOptions) (*Adaptive, error) {
	return nil, errors.New("not implemented: step 7, a rate that finds itself")
}

// Limiter is what has the rate, to wait for and to reserve from. Its SetLimit
// is for a alone to call.
func (a *Adaptive) Limiter() *Limiter {
	return nil // not implemented: step 7, a rate that finds itself
}

// Allow takes a token if it is there.
func (a *Adaptive) Allow() bool {
	return false // not implemented: step 7, a rate that finds itself
}

// Rate is the rate now, in [Min, Max].
func (a *Adaptive) Rate() float64 {
	return 0 // not implemented: step 7, a rate that finds itself
}

// Observe counts the latency of one request that has ended. A negative one
// counts as 0, and one of more than an hour as an hour. The first Observe after
// the end of a window decides on what came before it: the rate changes once in
// a window, by one step, however many windows have passed. A quantile is known
// to 5%.
func (a *Adaptive) Observe(latency time.Duration) {
	// not implemented: step 7, a rate that finds itself
}
