package batching

import "context"

// Close accepts nothing any more, has everything written that was accepted, and
// ends the writer's goroutine. Writes that wait for room return ErrClosed. The
// error is the sink's, if that has ended before.
//
// When ctx ends first, what has not been handed to the sink is lost, its writers
// are told ErrClosed, and Close returns ctx's error without waiting for the
// sink. Close may be called more than once; each call waits. It does not close
// what is behind the sink.
func (w *Writer) Close(ctx context.Context) error {
	w.mu.Lock()
	w.closing = true
	w.dismiss(ErrClosed)
	w.hurry(asked)
	w.look() // it ends, when there is nothing to write
	w.mu.Unlock()
	select {
	case <-w.ended:
	case <-ctx.Done():
		w.abandon()
		return ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// abandon gives up what the sink has not got.
func (w *Writer) abandon() {
	w.mu.Lock()
	if w.err != nil {
		w.mu.Unlock()
		return
	}
	left := w.fail(ErrClosed)
	w.look()
	w.mu.Unlock()
	left.tell(nothing, ErrClosed)
}
