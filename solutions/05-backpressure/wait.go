package backpressure

import "context"

// waiter is a sender that waits for room, or a receiver that waits for a
// message. Who serves it does its work for it, under mu, and then wakes it up:
// it has nothing left to try, so nobody can come before it and no wake-up can
// be lost.
type waiter[T any] struct {
	item item[T] // a sender's message; what a receiver was handed
	err  error   // set before done gets its token

	done       chan struct{} // of capacity 1: the waker never blocks
	line       *queue[T]     // nil once it was served
	prev, next *waiter[T]
}

// queue is a line of waiters, the one who has waited longest first.
type queue[T any] struct {
	first, last *waiter[T]
	n           int
}

// lineUp puts a waiter for m behind the others. mu is held.
func (c *Channel[T]) lineUp(q *queue[T], m item[T]) *waiter[T] {
	w := c.spare
	if w == nil {
		w = &waiter[T]{done: make(chan struct{}, 1)}
	} else {
		c.spare = w.next
	}
	*w = waiter[T]{item: m, done: w.done, line: q, prev: q.last}
	if q.last == nil {
		q.first = w
	} else {
		q.last.next = w
	}
	q.last = w
	q.n++
	return w
}

// leave takes w out of its line. mu is held.
func (w *waiter[T]) leave() {
	q := w.line
	if w.prev == nil {
		q.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	q.n--
	w.line, w.prev, w.next = nil, nil, nil
}

// serve tells w how its wait has ended. mu is held.
func (c *Channel[T]) serve(w *waiter[T], err error) {
	w.leave()
	w.err = err
	w.done <- struct{}{}
}

// awaitRoom waits until w's message was let in or refused, or ctx ends.
func (c *Channel[T]) awaitRoom(ctx context.Context, w *waiter[T]) error {
	select {
	case <-w.done:
	case <-ctx.Done():
		c.mu.Lock()
		if w.line != nil {
			w.leave()
			c.counts.Sent++
			c.counts.Canceled++
			c.admit() // the one behind it may be smaller
			c.watch()
			c.release(w)
			c.unlock()
			return ctx.Err()
		}
		c.mu.Unlock()
		<-w.done // it is there already: room came first
	}
	err := w.err
	c.mu.Lock()
	c.release(w)
	c.mu.Unlock()
	return err
}

// awaitMessage waits until w was handed a message, which it moves to dst, or
// there will be none, or ctx ends.
func (c *Channel[T]) awaitMessage(ctx context.Context, w *waiter[T], dst *T) error {
	select {
	case <-w.done:
	case <-ctx.Done():
		c.mu.Lock()
		if w.line != nil {
			w.leave()
			c.release(w)
			c.mu.Unlock()
			return ctx.Err()
		}
		c.mu.Unlock()
		<-w.done // the message came first: it must not be lost
	}
	v, err := w.item.v, w.err
	c.mu.Lock()
	c.release(w)
	c.mu.Unlock()
	if err == nil {
		*dst = v
	}
	return err
}

// release keeps w for the next one who has to wait. mu is held, and w is in no
// line and has no token.
func (c *Channel[T]) release(w *waiter[T]) {
	w.item, w.err = item[T]{}, nil
	w.next, c.spare = c.spare, w
}
