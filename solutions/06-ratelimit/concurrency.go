package ratelimit

import (
	"sync"
	"time"
)

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
// latencies, as TCP Vegas finds its window (Brakmo and Peterson, 1995). A server
// that takes base time for a request alone, and rtt now, has a queue of
// limit * (1 - base/rtt). Make one with [NewConcurrency]. Any goroutine may call
// its methods.
//
// It decides once in a window of as many requests as the limit allows, at least
// 16. A limit that stands above what the server can work on never sees base, so
// after 100 windows it is halved for two of them (as TCP BBR drains its pipe to
// measure it). It needs no clock.
type Concurrency struct {
	o ConcurrencyOptions // immutable

	mu       sync.Mutex
	limit    int           // guarded by mu: in [Min, Max]
	inFlight int           // guarded by mu: in [0, limit], above it only after it fell
	peak     int           // guarded by mu: the most in flight in this window
	samples  int           // guarded by mu: of this window
	fastest  time.Duration // guarded by mu: of this window
	failed   bool          // guarded by mu: in this window
	base     time.Duration // guarded by mu: the fastest request without a queue; 0 before the first
	age      int           // guarded by mu: windows since base was measured
	probe    int           // guarded by mu: windows that are left of the look for base; 0 when there is none
	before   int           // guarded by mu: the limit when the probe began
}

const (
	baseWindows  = 100 // then base is measured anew: the server may have become slower for good
	probeWindows = 2   // in the first one the queue from before is still there
)

// NewConcurrency returns a limiter with the limit Start. It refuses what
// ConcurrencyOptions rules out.
func NewConcurrency(o ConcurrencyOptions) (*Concurrency, error) {
	o.Min = or(o.Min, 1)
	o.Start = or(o.Start, o.Min)
	o.Low, o.High = or(o.Low, 3), or(o.High, 6)
	if !(1 <= o.Min && o.Min <= o.Start && o.Start <= o.Max && 1 <= o.Low && o.Low <= o.High) {
		return nil, errNegative
	}
	return &Concurrency{o: o, limit: o.Start}, nil
}

// Acquire reports whether one more request may go on. If so, Release must be
// called when it has ended.
func (c *Concurrency) Acquire() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inFlight >= c.limit {
		return false
	}
	c.inFlight++
	c.peak = max(c.peak, c.inFlight)
	return true
}

// Release says that a request has ended, after latency. ok is false for one that
// failed for want of capacity, such as a timeout: a window with one of them
// takes a quarter off the limit. A latency of 0 or less is no measurement. It
// panics without an Acquire.
func (c *Concurrency) Release(latency time.Duration, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inFlight == 0 {
		panic("ratelimit: Release without Acquire")
	}
	c.inFlight--
	c.samples++
	c.failed = c.failed || !ok
	if ok && latency > 0 && (c.fastest == 0 || latency < c.fastest) {
		c.fastest = latency
	}
	if c.samples >= max(16, c.limit) {
		c.decide()
	}
}

// Limit is how many requests may be there at a time, in [Min, Max].
func (c *Concurrency) Limit() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.limit
}

// InFlight is how many requests are there.
func (c *Concurrency) InFlight() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inFlight
}

// decide makes one step and begins a window. mu is held.
func (c *Concurrency) decide() {
	switch {
	case c.failed:
		c.endProbe()
		c.limit = c.limit * 3 / 4
	case c.fastest == 0: // nothing was measured
	case c.probe > 1:
		c.probe--
	case c.probe == 1:
		c.base, c.age = c.fastest, 0
		c.endProbe()
	default:
		c.step()
	}
	c.limit = min(max(c.o.Min, c.limit), c.o.Max)
	c.samples, c.fastest, c.failed, c.peak = 0, 0, false, c.inFlight
}

// step compares the window with base. mu is held.
func (c *Concurrency) step() {
	met := 2*c.peak >= c.limit // a limit that nobody meets says nothing, and there is no queue
	if c.base == 0 || c.fastest < c.base || !met {
		c.base, c.age = c.fastest, 0
	}
	if c.age++; c.age >= baseWindows {
		c.probe, c.before = probeWindows, c.limit
		c.limit /= 2
		return
	}
	switch queue := float64(c.limit) * (1 - float64(c.base)/float64(c.fastest)); {
	case queue > float64(c.o.High):
		c.limit--
	case queue < float64(c.o.Low) && met:
		c.limit++
	}
}

// endProbe brings the limit back. mu is held.
func (c *Concurrency) endProbe() {
	if c.probe > 0 {
		c.probe, c.limit = 0, c.before
	}
}
