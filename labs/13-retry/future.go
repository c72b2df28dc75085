package retry

import (
	"context"
	"errors"
)

// A Future is the result of a call, before and after it is there. Its methods
// may be called from any goroutine.
type Future struct {
	// Yours to add: the request, where its copies are, its alarms; whether it has a
	// result, which, and who wants to know.
}

// Go makes a call and returns at once. Whatever becomes of it becomes of its
// Future, a refusal too: ErrFull, ErrTooLarge, ErrOpen, ErrClosed.
func (c *Client) Go(r Request) *Future {
	return nil // not implemented: step 3, calls in flight
}

// Do makes a call and waits for its result. When ctx ends first the call is
// cancelled, and Do returns ctx's error. A deadline of ctx that is earlier than
// r's bounds the call, and is what the server learns.
func (c *Client) Do(ctx context.Context, r Request) ([]byte, error) {
	return nil, errors.New("not implemented: step 4, an end for every call")
}

// Wait returns the result when it is there: the answer, which is the caller's to
// keep, or an error: a [*RemoteError], or one of this package's. When ctx ends
// first Wait returns ctx's error, and the call goes on.
func (f *Future) Wait(ctx context.Context) ([]byte, error) {
	return nil, errors.New("not implemented: step 3, calls in flight")
}

// Then has done called with the result, once, where post runs it: with lab 03's
// Loop.Post, on that loop. A nil post runs it on the goroutine that has the
// result, a connection's reader say, which must not be blocked; or on the
// caller's, when the result is there already. When post returns an error, the
// place is gone, and done is not called.
//
// Callbacks of one Future are posted in the order of Then, also those that come
// while others are.
func (f *Future) Then(post func(func()) error, done func(body []byte, err error)) {
	// not implemented: step 3, calls in flight
}

// Cancel ends the call with the result context.Canceled, unless it has one. A
// server that works on it is told, and may go on. Nothing is known of whether it
// was done.
func (f *Future) Cancel() {
	// not implemented: step 4, an end for every call
}
