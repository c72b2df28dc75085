package backpressure

import "context"

// Receive takes the message that is next: the oldest of the highest priority
// that is queued. It waits while there is none; receivers that wait are served
// in the order of their calls. The caller owns the message.
//
// When the error is not nil nothing was taken: ErrClosed when the channel is
// closed and empty, or ctx's error. ctx counts only while Receive waits.
func (c *Channel[T]) Receive(ctx context.Context) (T, error) {
	var one [1]T
	_, err := c.ReceiveBatch(ctx, one[:])
	return one[0], err
}

// ReceiveBatch waits like Receive, then takes as many messages as are queued,
// at most len(dst), and returns how many. It takes them in one step: what
// Receive would have got, in that order. With an empty dst it returns 0 and nil.
func (c *Channel[T]) ReceiveBatch(ctx context.Context, dst []T) (int, error) {
	if len(dst) == 0 {
		return 0, nil
	}
	c.mu.Lock()
	if n := c.take(dst); n > 0 {
		c.unlock()
		return n, nil
	}
	if c.closed {
		c.unlock()
		return 0, ErrClosed
	}
	w := c.lineUp(&c.receivers, item[T]{})
	c.mu.Unlock()
	if err := c.awaitMessage(ctx, w, &dst[0]); err != nil {
		return 0, err
	}
	return 1 + c.takeMore(dst[1:]), nil
}

// TryReceive is Receive without the wait: ok is false when nothing is queued.
// It never blocks.
func (c *Channel[T]) TryReceive() (v T, ok bool) {
	var one [1]T
	n := c.takeMore(one[:])
	return one[0], n == 1
}

// Peek shows the message that is next and leaves it in the channel, which goes
// on owning it: another receiver can take it, and a sender can push it out. ok
// is false when nothing is queued.
func (c *Channel[T]) Peek() (v T, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if q := c.next(); q != nil {
		return q.at(0).v, true
	}
	return v, false
}

// takeMore is take for one who does not hold mu.
func (c *Channel[T]) takeMore(dst []T) int {
	if len(dst) == 0 {
		return 0
	}
	c.mu.Lock()
	n := c.take(dst)
	c.unlock()
	return n
}

// take moves messages to dst and lets waiting senders in. mu is held.
func (c *Channel[T]) take(dst []T) (n int) {
	for q := c.next(); q != nil && n < len(dst); q = c.next() {
		m := q.popOldest()
		c.queued--
		c.bytes -= m.size
		dst[n] = m.v
		n++
	}
	c.counts.Received += uint64(n)
	c.admit()
	c.watch()
	return n
}

// next is the queue to take from, nil when all are empty. mu is held.
func (c *Channel[T]) next() *ring[T] {
	for l := levels - 1; l >= 0; l-- {
		if c.queues[l].n > 0 {
			return &c.queues[l]
		}
	}
	return nil
}
