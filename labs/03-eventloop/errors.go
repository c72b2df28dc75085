package eventloop

import (
	"errors"
	"fmt"
)

// ErrQueueFull is returned by Send and Write when MaxQueued would be passed.
// Nothing was queued. The peer takes less than it is sent: try again later,
// send less, or Abort.
var ErrQueueFull = errors.New("eventloop: queue full: the peer does not take what is sent (MaxQueued)")

// ErrTooLarge is why OnClose is called after a frame, or an unconsumed rest,
// above MaxMessage.
var ErrTooLarge = errors.New("message too large")

// ErrForced is why OnClose is called when a Shutdown's context ended before
// the connection was done.
var ErrForced = errors.New("eventloop: closed by force: the context of Shutdown ended")

// PanicError is a panic in a callback, with the stack of where it was.
type PanicError struct {
	Value any    // what panic was given
	Stack []byte // as debug.Stack prints it
}

// Error gives the value alone; print Stack to find the place.
func (e *PanicError) Error() string {
	return fmt.Sprintf("eventloop: panic in a callback: %v", e.Value)
}

// Unwrap returns Value if it is an error, so that errors.Is sees it.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
