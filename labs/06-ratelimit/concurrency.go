package ratelimit

import (
	"errors"
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
	// Yours to add: the limit, who is inside, and what this window has seen.
}

// NewConcurrency returns a limiter with the limit Start. It refuses what
// ConcurrencyOptions rules out.
func NewConcurrency(o ConcurrencyOptions) (*Concurrency, error) {
	return nil, errors.New("not implemented: step 8, limit what is there at a time")
}

// Acquire reports whether one more request may go on. If so, Release must be
// called when it has ended.
func (c *Concurrency) Acquire() bool {
	return false // not implemented: step 8, limit what is there at a time
}

// Release says that a request has ended, after latency. ok is false for one that
// failed for want of capacity, such as a timeout: a window with one of them
// takes a quarter off the limit. A latency of 0 or less is no measurement. It
// panics without an Acquire.
func (c *Concurrency) Release(latency time.Duration, ok bool) {
	// not implemented: step 8, limit what is there at a time
}

// Limit is how many requests may be there at a time, in [Min, Max].
func (c *Concurrency) Limit() int {
	return 0 // not implemented: step 8, limit what is there at a time
}

// InFlight is how many requests are there.
func (c *Concurrency) InFlight() int {
	return 0 // not implemented: step 8, limit what is there at a time
}
