package batching

import (
	"context"
	"slices"
)

// waiter is a Write that waits for room. Who makes room puts its message into
// the batch, and then closes ready.
type waiter struct {
	data  []byte
	keep  bool
	done  func(error)
	ready chan struct{}
	err   error // set before ready is closed
}

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
	return w.write(ctx, p, false, done)
}

// WriteOwned is Write without the copy, if p is large. p is the writer's until
// done is called, or Write has returned an error.
func (w *Writer) WriteOwned(ctx context.Context, p []byte, done func(error)) error {
	return w.write(ctx, p, true, done)
}

// TryWrite is Write without the wait: ErrFull takes its place. It never blocks.
func (w *Writer) TryWrite(p []byte, done func(error)) error {
	_, err := w.put(p, false, done, false)
	return err
}

func (w *Writer) write(ctx context.Context, p []byte, keep bool, done func(error)) error {
	wt, err := w.put(p, keep, done, true)
	if wt == nil {
		return err
	}
	select {
	case <-wt.ready:
	case <-ctx.Done():
		if w.withdraw(wt) {
			return ctx.Err()
		}
		<-wt.ready // it is closed already: room came first
	}
	return wt.err
}

// put adds p to the batch, or leaves a waiter if asked to wait.
func (w *Writer) put(p []byte, keep bool, done func(error), wait bool) (*waiter, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.closing:
		return nil, ErrClosed
	case w.err != nil:
		return nil, w.err
	case len(p) > w.opt.MaxPending:
		return nil, ErrTooLarge
	case len(w.waiters) == 0 && w.pending+len(p) <= w.opt.MaxPending:
		w.add(p, keep, done)
		return nil, nil
	case !wait:
		return nil, ErrFull
	}
	w.hurry(bySize) // room comes only from writing
	wt := &waiter{data: p, keep: keep, done: done, ready: make(chan struct{})}
	w.waiters = append(w.waiters, wt)
	return wt, nil
}

// add puts a message into the batch. mu is held, and there is room.
func (w *Writer) add(p []byte, keep bool, done func(error)) {
	first := len(w.filling.messages) == 0
	w.filling.add(p, keep, done)
	w.pending += len(p)
	w.stats.Messages++
	switch {
	case w.filling.bytes >= w.opt.MaxBytes:
		w.hurry(bySize)
	case w.opt.MaxDelay == 0:
		w.hurry(whenIdle)
	case first:
		w.arm()
	}
}

// admit lets those in who wait, as far as there is room. mu is held.
func (w *Writer) admit() {
	for len(w.waiters) > 0 && w.pending+len(w.waiters[0].data) <= w.opt.MaxPending {
		wt := w.waiters[0]
		w.waiters[0] = nil
		w.waiters = w.waiters[1:]
		w.add(wt.data, wt.keep, wt.done)
		close(wt.ready)
	}
	if len(w.waiters) > 0 {
		w.hurry(bySize)
	}
}

// dismiss sends those who wait home. mu is held.
func (w *Writer) dismiss(err error) {
	for _, wt := range w.waiters {
		wt.err = err
		close(wt.ready)
	}
	w.waiters = nil
}

// withdraw takes wt out of the line, and reports false when it has left it. The
// one behind it may be smaller.
func (w *Writer) withdraw(wt *waiter) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.Index(w.waiters, wt)
	if i < 0 {
		return false
	}
	w.waiters = slices.Delete(w.waiters, i, i+1)
	w.admit()
	return true
}
