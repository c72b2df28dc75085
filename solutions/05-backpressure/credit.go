package backpressure

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// MaxCredit is the most credit that anybody can have: that of an HTTP/2 window
// (RFC 9113, section 6.9.1).
const MaxCredit = 1<<31 - 1

// ErrOverflow says that a grant would have brought a credit above [MaxCredit].
// The peer that has sent the grant has lost count: end the connection.
var ErrOverflow = errors.New("backpressure: the grant brings the credit above MaxCredit: end the connection")

// Credit is the sender's half of credit-based flow control: what it may still
// send, in bytes or messages, whichever both sides count. Make one with
// [NewCredit]. Its methods may be called from any goroutine; it has none of its
// own.
type Credit struct {
	mu      sync.Mutex // guards the following
	left    int        // from 0 to MaxCredit
	waiting []*taker   // the one who has waited longest first; the first one wants more than left
	closed  bool
}

// taker is an Acquire that waits.
type taker struct {
	want int
	done chan struct{} // closed when the wait is over
	err  error         // set before done is closed
}

// NewCredit returns a credit of initial, which both sides have agreed on before:
// the limit of the receiver's [Window]. It refuses less than 0 and more than
// [MaxCredit].
func NewCredit(initial int) (*Credit, error) {
	if initial < 0 || initial > MaxCredit {
		return nil, fmt.Errorf("backpressure: initial credit %d: give 0 to %d", initial, MaxCredit)
	}
	return &Credit{left: initial}, nil
}

// Acquire takes n, from 1 to [MaxCredit], and waits while there is less. Calls
// that wait are served in their order: a small one does not pass a large one,
// which would wait for ever. When the error is not nil nothing was taken:
// ErrClosed, ctx's error, or n is out of range. ctx counts only while Acquire
// waits.
func (c *Credit) Acquire(ctx context.Context, n int) error {
	if n < 1 || n > MaxCredit {
		return fmt.Errorf("backpressure: acquire %d: give 1 to %d", n, MaxCredit)
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return ErrClosed
	}
	if c.take(n) {
		c.mu.Unlock()
		return nil
	}
	t := &taker{want: n, done: make(chan struct{})}
	c.waiting = append(c.waiting, t)
	c.mu.Unlock()
	select {
	case <-t.done:
		return t.err
	case <-ctx.Done():
		return c.giveUp(t, ctx.Err())
	}
}

// TryAcquire is Acquire without the wait: false says that nothing was taken. It
// does not pass one who waits.
func (c *Credit) TryAcquire(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return n >= 1 && !c.closed && c.take(n)
}

// take takes n if it is there and nobody waits. mu is held.
func (c *Credit) take(n int) bool {
	if len(c.waiting) > 0 || n > c.left {
		return false
	}
	c.left -= n
	return true
}

// Grant adds n, at least 1, which the receiver has granted, and serves those who
// wait. When the error is not nil nothing was added: ErrOverflow, or n is less
// than 1. After Close it does nothing.
func (c *Credit) Grant(n int) error {
	if n < 1 {
		return fmt.Errorf("backpressure: grant of %d: give 1 or more", n)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	if n > MaxCredit-c.left {
		return ErrOverflow
	}
	c.left += n
	c.serve()
	return nil
}

// serve lets those go who can, in order. mu is held.
func (c *Credit) serve() {
	for len(c.waiting) > 0 && c.waiting[0].want <= c.left {
		t := c.waiting[0]
		c.waiting[0] = nil // the array lives on
		c.waiting = c.waiting[1:]
		c.left -= t.want
		close(t.done)
	}
}

// Available is what could be taken now if nobody waited.
func (c *Credit) Available() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.left
}

// Close ends the sending: Acquires that wait, and all that come later, return
// ErrClosed. A second Close does nothing.
func (c *Credit) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, t := range c.waiting {
		t.err = ErrClosed
		close(t.done)
	}
	c.waiting = nil
}

// giveUp takes t out of the line, and lets those behind it go who can: they may
// want less. If t was served meanwhile, that counts.
func (c *Credit) giveUp(t *taker, cause error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, other := range c.waiting {
		if other == t {
			c.waiting = append(c.waiting[:i], c.waiting[i+1:]...)
			c.serve()
			return cause
		}
	}
	return t.err // served or closed: done is closed, and t.err is set
}
