package batching

import (
	"context"
	"errors"
)

// Write adds a copy of p to what is to be written. It waits while there is no
// room; Writes that wait are served in their order. When the error is not nil
// nothing was added: ErrTooLarge, ErrClosed, ctx's error, or what the sink has
// returned before. p is the caller's again when Write returns.
//
// done, if not nil, is called once when the error was nil: with nil when all of
// p was written, or else with the reason. Calls come in the order of the
// messages, on the writer's goroutine, without a lock. They must not wait for
// this writer. When Close gives up, those whose messages were not handed to the
// sink are told first, on Close's goroutine.
func (w *Writer) Write(ctx context.Context, p []byte, done func(error)) error {
	return errors.New("not implemented: step 1, gather, and write what came together")
}

// WriteOwned is Write without the copy, if p is large. p is the writer's until
// done is called, or Write has returned an error.
func (w *Writer) WriteOwned(ctx context.Context, p []byte, done func(error)) error {
	return errors.New("not implemented: step 2, short writes, and pieces")
}

// TryWrite is Write without the wait: ErrFull takes its place. It never blocks.
func (w *Writer) TryWrite(p []byte, done func(error)) error {
	return errors.New("not implemented: step 1, gather, and write what came together")
}
