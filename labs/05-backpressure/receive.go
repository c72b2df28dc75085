package backpressure

import (
	"context"
	"errors"
)

// Receive takes the message that is next: the oldest of the highest priority
// that is queued. It waits while there is none; receivers that wait are served
// in the order of their calls. The caller owns the message.
//
// When the error is not nil nothing was taken: ErrClosed when the channel is
// closed and empty, or ctx's error. ctx counts only while Receive waits.
func (c *Channel[T]) Receive(ctx context.Context) (T, error) {
	var none T
	return none, errors.New("not implemented: step 4, receivers that wait")
}

// ReceiveBatch waits like Receive, then takes as many messages as are queued,
// at most len(dst), and returns how many. It takes them in one step: what
// Receive would have got, in that order. With an empty dst it returns 0 and nil.
func (c *Channel[T]) ReceiveBatch(ctx context.Context, dst []T) (int, error) {
	return 0, errors.New("not implemented: step 4, receivers that wait")
}

// TryReceive is Receive without the wait: ok is false when nothing is queued.
// It never blocks.
func (c *Channel[T]) TryReceive() (v T, ok bool) {
	return v, false // not implemented: step 1, a queue with three levels
}

// Peek shows the message that is next and leaves it in the channel, which goes
// on owning it: another receiver can take it, and a sender can push it out. ok
// is false when nothing is queued.
func (c *Channel[T]) Peek() (v T, ok bool) {
	return v, false // not implemented: step 1, a queue with three levels
}
