package backpressure

import (
	"errors"
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
	// Yours to add: where the limit can be, in parts that add up to it.
}

// NewWindow returns a window of limit, from 1 to [MaxCredit], all of which is
// granted: the sender's [Credit] begins with it. limit is what the receiver is
// ready to keep.
func NewWindow(limit int) (*Window, error) {
	return nil, errors.New("not implemented: step 9, the window")
}

// Arrive notes that n, at least 1, has arrived and is queued. ErrOverrun says
// that it was not granted: nothing is noted, and the caller should not keep it.
func (w *Window) Arrive(n int) error {
	return errors.New("not implemented: step 9, the window")
}

// Consume notes that n, at least 1, of what had arrived was consumed. It
// returns what the caller has to tell the sender, whose Credit is granted that
// much. Often that is 0: small grants are saved up, for each costs a message,
// until they come to half of the limit, rounded up. So a sender that acquires
// at most half of the limit at once never waits for credit that is saved up
// here. ErrOverrun says that less is queued: nothing is noted.
func (w *Window) Consume(n int) (grant int, err error) {
	return 0, errors.New("not implemented: step 9, the window")
}

// Queued is what has arrived and was not consumed, at most the limit.
func (w *Window) Queued() int {
	return 0 // not implemented: step 9, the window
}

// Granted is what may still arrive, that on its way included.
func (w *Window) Granted() int {
	return 0 // not implemented: step 9, the window
}
