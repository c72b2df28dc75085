package backpressure

import (
	"context"
	"errors"
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
	// Yours to add: what is left, and who waits for it.
}

// NewCredit returns a credit of initial, which both sides have agreed on before:
// the limit of the receiver's [Window]. It refuses less than 0 and more than
// [MaxCredit].
func NewCredit(initial int) (*Credit, error) {
	return nil, errors.New("not implemented: step 8, credit")
}

// Acquire takes n, from 1 to [MaxCredit], and waits while there is less. Calls
// that wait are served in their order: a small one does not pass a large one,
// which would wait for ever. When the error is not nil nothing was taken:
// ErrClosed, ctx's error, or n is out of range. ctx counts only while Acquire
// waits.
func (c *Credit) Acquire(ctx context.Context, n int) error {
	return errors.New("not implemented: step 8, credit")
}

// TryAcquire is Acquire without the wait: false says that nothing was taken. It
// does not pass one who waits.
func (c *Credit) TryAcquire(n int) bool {
	return false // not implemented: step 8, credit
}

// Grant adds n, at least 1, which the receiver has granted, and serves those who
// wait. When the error is not nil nothing was added: ErrOverflow, or n is less
// than 1. After Close it does nothing.
func (c *Credit) Grant(n int) error {
	return errors.New("not implemented: step 8, credit")
}

// Available is what could be taken now if nobody waited.
func (c *Credit) Available() int {
	return 0 // not implemented: step 8, credit
}

// Close ends the sending: Acquires that wait, and all that come later, return
// ErrClosed. A second Close does nothing.
func (c *Credit) Close() {
	// not implemented: step 8, credit
}
