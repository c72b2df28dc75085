package retry

import (
	"context"
	"errors"
	"fmt"
)

var (
	// ErrTimeout is the result of a call whose time is over. If it was sent,
	// nobody knows whether it was done. It is a context.DeadlineExceeded, too.
	ErrTimeout = fmt.Errorf("retry: no answer in time: %w", context.DeadlineExceeded)

	// ErrUnknown is the result of a call that was sent, lost its connection
	// and session, and may not be repeated: nobody knows whether it was done.
	ErrUnknown = errors.New("retry: the connection was lost after the call was sent: nobody knows whether it was done (a key would make it repeatable)")

	// ErrBusy is the result of a call that the server has refused, undone. As
	// a handler's error it refuses a call: nothing was done for it.
	ErrBusy = errors.New("retry: the server refused the call: it has too much to do")

	// ErrOpen is the result of a call that no endpoint's breaker lets through.
	// Nothing was sent.
	ErrOpen = errors.New("retry: the circuit breaker is open: the server has failed too often of late")

	// ErrFull is the result of a call above MaxPending. Nothing was sent.
	ErrFull = errors.New("retry: too many calls are pending: wait for some of them")

	// ErrTooLarge is the result of a call that does not fit into MaxMessage, or
	// whose key is longer than 255 bytes. Nothing was sent.
	ErrTooLarge = errors.New("retry: the call is larger than MaxMessage, or its key than 255 bytes")

	// ErrClosed is the result of calls that are pending at Close, or come after.
	ErrClosed = errors.New("retry: the client is closed")
)

// RemoteError is an error of the server's handler. The call was done; it is not
// tried again.
type RemoteError struct {
	Text string // as the handler's Error gave it
}

// Error says that it came from the server.
func (e *RemoteError) Error() string { return "retry: the server answered: " + e.Text }

// Remote is the text, for those who want to know without this package's type
// whether an error is the server's own.
func (e *RemoteError) Remote() string { return e.Text }
