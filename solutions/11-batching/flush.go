package batching

import (
	"context"
	"time"
)

// reason is why a batch is written.
type reason int

const (
	none     reason = iota
	bySize          // it is full, or somebody waits for room
	byDelay         // its first message has waited long enough
	whenIdle        // there is nothing else to do
	asked           // Flush or Close
)

// hurry has the batch written as soon as the sink is free. The first reason
// counts, and none for a batch with nothing in it. mu is held.
func (w *Writer) hurry(why reason) {
	if w.due != none || len(w.filling.messages) == 0 {
		return
	}
	w.due = why
	w.look()
}

// look has the goroutine look at what has changed.
func (w *Writer) look() {
	select {
	case w.wake <- struct{}{}:
	default: // it has been told
	}
}

// arm has the batch written when its first message has waited for MaxDelay. mu
// is held.
func (w *Writer) arm() {
	serial := w.serial
	w.timer = time.AfterFunc(w.opt.MaxDelay, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.serial == serial { // otherwise that batch has gone, and this one is young
			w.hurry(byDelay)
		}
	})
}

// Flush waits until everything that was accepted before is written and its
// writers have been told. The error is the sink's, ErrClosed, or ctx's; then it
// goes on being written all the same.
func (w *Writer) Flush(ctx context.Context) error {
	done := make(chan error, 1)
	w.mu.Lock()
	if w.err != nil {
		defer w.mu.Unlock()
		return w.err
	}
	if w.closing { // and Close waits for everything
		w.mu.Unlock()
		return ErrClosed
	}
	w.filling.ask(func(err error) { done <- err })
	w.hurry(asked)
	w.mu.Unlock()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
