package backpressure

import "context"

// Send hands v to the channel. Where there is no room it does what the policy
// says; with [Block] it waits until there is, ctx ends, or the channel is
// closed. Senders that wait are let in by the call that makes room: those of a
// higher priority first, of one priority in the order of their calls, and
// nobody passes one who waits with the same or a higher priority.
//
// When the error is not nil v was not accepted and is still the caller's:
// ErrFull, ErrShed, ErrTooLarge, ErrClosed, or ctx's error. ctx counts only
// while Send waits. A message that waits is not shed.
//
// It allocates nothing once the channel has had as many messages and waiters
// before.
func (c *Channel[T]) Send(ctx context.Context, p Priority, v T) error {
	w, err := c.put(p, v, c.opt.Policy == Block)
	if w == nil {
		return err
	}
	return c.awaitRoom(ctx, w)
}

// TrySend is Send without the wait: where Send would wait, it returns ErrFull.
// It never blocks, so an event loop can call it.
func (c *Channel[T]) TrySend(p Priority, v T) error {
	_, err := c.put(p, v, false)
	return err
}

// put decides on a message. It returns a waiter when the message has to wait.
func (c *Channel[T]) put(p Priority, v T, wait bool) (*waiter[T], error) {
	m := item[T]{v: v, size: c.sizeOf(v)}
	var few [4]T // victims are rarely more: no allocation
	c.mu.Lock()
	w, victims, err := c.decide(level(p), m, wait, few[:0])
	if w == nil && err != ErrClosed {
		c.counts.Sent++
	}
	c.watch()
	c.unlock()
	for _, v := range victims {
		c.opt.OnDrop(v)
	}
	return w, err
}

// decide accepts m, refuses it, or puts it into the senders' line. It appends
// to victims what OnDrop has to get. mu is held.
func (c *Channel[T]) decide(l int, m item[T], wait bool, victims []T) (*waiter[T], []T, error) {
	switch {
	case c.closed:
		return nil, victims, ErrClosed
	case m.size > c.maxBytes():
		c.counts.Rejected++
		return nil, victims, ErrTooLarge
	case l == 0 && c.reached(c.critical):
		c.counts.Shed++
		return nil, victims, ErrShed
	case c.fits(m.size) && !c.senderAhead(l):
		c.accept(l, m)
		return nil, victims, nil
	case c.canMakeRoom(l, m.size):
		victims = c.makeRoom(l, m.size, victims)
		c.accept(l, m)
		return nil, victims, nil
	case wait:
		return c.lineUp(&c.senders[l], m), victims, nil
	}
	c.counts.Rejected++
	return nil, victims, ErrFull
}

// fits needs size <= maxBytes. mu is held.
func (c *Channel[T]) fits(size int) bool {
	return c.queued < c.opt.Capacity && c.bytes <= c.maxBytes()-size
}

// senderAhead reports whether somebody waits whom a message of level l must not
// pass. mu is held.
func (c *Channel[T]) senderAhead(l int) bool {
	for ; l < levels; l++ {
		if c.senders[l].first != nil {
			return true
		}
	}
	return false
}

// accept hands m to the first receiver that waits, or queues it. mu is held,
// and m fits.
func (c *Channel[T]) accept(l int, m item[T]) {
	if w := c.receivers.first; w != nil {
		w.item = m
		c.counts.Received++
		c.serve(w, nil)
		return
	}
	c.stamp++
	m.stamp = c.stamp
	c.queues[l].push(m)
	c.queued++
	c.bytes += m.size
}

// admit lets waiting senders in while the first of them fits. Everything that
// makes room ends with it. mu is held.
func (c *Channel[T]) admit() {
	for l := levels - 1; l >= 0; l-- {
		for w := c.senders[l].first; w != nil; w = c.senders[l].first {
			if !c.fits(w.item.size) {
				return
			}
			c.counts.Sent++
			c.accept(l, w.item)
			c.serve(w, nil)
		}
	}
}
