package backpressure

import (
	"errors"
	"fmt"
	"sync"
)

// ErrOverrun says that more has arrived than was granted, or that more was
// consumed than had arrived: one side has lost count. Where it is the peer, end
// the connection.
var ErrOverrun = errors.New("backpressure: more than was granted or is queued: end the connection")

// Window is the receiver's half of credit-based flow control: it says how much
// more the sender may send, and sees whether it keeps to that. Make one with
// [NewWindow]. Its methods may be called from any goroutine; it has none of its
// own.
type Window struct {
	// Whenever mu is free, granted + queued + freed == limit. All are 0 or
	// more, so queued <= limit: that is the bound on the receiver's memory.

	limit int // immutable after NewWindow

	mu      sync.Mutex // guards the following
	granted int        // what may still arrive: with the sender, or on its way in either direction
	queued  int        // has arrived, and was not consumed
	freed   int        // was consumed, and not granted again yet; below half of limit, rounded up
}

// NewWindow returns a window of limit, from 1 to [MaxCredit], all of which is
// granted: the sender's [Credit] begins with it. limit is what the receiver is
// ready to keep.
func NewWindow(limit int) (*Window, error) {
	if limit < 1 || limit > MaxCredit {
		return nil, fmt.Errorf("backpressure: window of %d: give 1 to %d", limit, MaxCredit)
	}
	return &Window{limit: limit, granted: limit}, nil
}

// Arrive notes that n, at least 1, has arrived and is queued. ErrOverrun says
// that it was not granted: nothing is noted, and the caller should not keep it.
func (w *Window) Arrive(n int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n < 1 {
		return fmt.Errorf("backpressure: arrival of %d: give 1 or more", n)
	}
	if n > w.granted {
		return ErrOverrun
	}
	w.granted -= n
	w.queued += n
	return nil
}

// Consume notes that n, at least 1, of what had arrived was consumed. It
// returns what the caller has to tell the sender, whose Credit is granted that
// much. Often that is 0: small grants are saved up, for each costs a message,
// until they come to half of the limit, rounded up. So a sender that acquires
// at most half of the limit at once never waits for credit that is saved up
// here. ErrOverrun says that less is queued: nothing is noted.
func (w *Window) Consume(n int) (grant int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n < 1 {
		return 0, fmt.Errorf("backpressure: consumption of %d: give 1 or more", n)
	}
	if n > w.queued {
		return 0, ErrOverrun
	}
	w.queued -= n
	w.freed += n
	if w.freed < w.limit-w.limit/2 {
		return 0, nil
	}
	grant, w.freed = w.freed, 0
	w.granted += grant
	return grant, nil
}

// Queued is what has arrived and was not consumed, at most the limit.
func (w *Window) Queued() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.queued
}

// Granted is what may still arrive, that on its way included.
func (w *Window) Granted() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.granted
}
