package ratelimit

import (
	"errors"
	"sync"
	"time"
)

var (
	errNegative = errors.New("ratelimit: a bound is negative, out of order or not a number: see the documentation of the options")
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
	o       AdaptiveOptions // immutable
	clock   clock           // immutable
	limiter *Limiter        // immutable

	mu     sync.Mutex
	rate   float64       // guarded by mu: in [Min, Max]
	ends   time.Duration // guarded by mu: of this window
	window histogram     // guarded by mu
}

// NewAdaptive returns a limiter with the rate Start. It refuses what
// AdaptiveOptions rules out, NaN included.
func NewAdaptive(o AdaptiveOptions) (*Adaptive, error) {
	o = o.withDefaults()
	if !o.valid() {
		return nil, errNegative
	}
	if _, err := NewLimit(o.Min, o.Burst); err != nil {
		return nil, err
	}
	limiter, err := New(Options{Rate: o.Start, Burst: o.Burst, Now: o.Now})
	if err != nil {
		return nil, err
	}
	a := &Adaptive{o: o, clock: newClock(o.Now), limiter: limiter, rate: o.Start}
	a.ends = a.clock.now() + o.Window
	return a, nil
}

// Limiter is what has the rate, to wait for and to reserve from. Its SetLimit
// is for a alone to call.
func (a *Adaptive) Limiter() *Limiter { return a.limiter }

// Allow takes a token if it is there.
func (a *Adaptive) Allow() bool { return a.limiter.Allow() }

// Rate is the rate now, in [Min, Max].
func (a *Adaptive) Rate() float64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.rate
}

// Observe counts the latency of one request that has ended. A negative one
// counts as 0, and one of more than an hour as an hour. The first Observe after
// the end of a window decides on what came before it: the rate changes once in
// a window, by one step, however many windows have passed. A quantile is known
// to 5%.
func (a *Adaptive) Observe(latency time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := a.clock.now(); now >= a.ends && a.window.count >= a.o.MinSamples {
		a.decide()
		a.window = histogram{}
		a.ends = now + a.o.Window
	}
	a.window.add(latency)
}

// decide makes one step. mu is held.
func (a *Adaptive) decide() {
	if a.window.quantile(a.o.Quantile) > a.o.Target {
		a.rate = max(a.o.Min, a.rate*a.o.Decrease)
	} else {
		a.rate = min(a.o.Max, a.rate+a.o.Increase)
	}
	a.limiter.SetLimit(a.rate, a.o.Burst) // not refused: Min and Max were checked
}

func (o AdaptiveOptions) withDefaults() AdaptiveOptions {
	o.Start = or(o.Start, o.Min)
	o.Quantile = or(o.Quantile, 0.9)
	o.Window = or(o.Window, time.Second)
	o.MinSamples = or(o.MinSamples, 20)
	o.Increase = or(o.Increase, o.Max/100)
	o.Decrease = or(o.Decrease, 0.8)
	return o
}

// valid says each condition so that NaN fails it.
func (o *AdaptiveOptions) valid() bool {
	return o.Min > 0 && o.Min <= o.Start && o.Start <= o.Max && o.Max <= MaxRate &&
		o.Target > 0 && o.Quantile > 0 && o.Quantile <= 1 && o.Window >= time.Millisecond && o.MinSamples > 0 &&
		o.Increase > 0 && o.Increase <= MaxRate && o.Decrease > 0 && o.Decrease < 1
}

// or is v, or fallback where v is zero.
func or[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}
