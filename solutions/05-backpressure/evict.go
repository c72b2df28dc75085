package backpressure

// expendable is the number of levels, from Low up, that a new message of level
// l may push out of the queue.
func (c *Channel[T]) expendable(l int) int {
	switch c.opt.Policy {
	case DropLowest:
		return l
	case DropOldest:
		return l + 1
	}
	return 0
}

// canMakeRoom reports whether a message of level l and this size fits once all
// that it may push out has gone. It is asked first, so that nothing is dropped
// in vain. mu is held.
func (c *Channel[T]) canMakeRoom(l, size int) bool {
	queued, bytes, some := c.queued, c.bytes, false
	for i := range c.expendable(l) {
		queued -= c.queues[i].n
		bytes -= c.queues[i].bytes
		some = some || c.queues[i].n > 0
	}
	return some && queued < c.opt.Capacity && bytes <= c.maxBytes()-size
}

// makeRoom drops what the policy says until size fits, and appends it to
// victims if somebody wants it. mu is held, and canMakeRoom.
func (c *Channel[T]) makeRoom(l, size int, victims []T) []T {
	for !c.fits(size) {
		m := c.popVictim(c.expendable(l))
		c.queued--
		c.bytes -= m.size
		c.counts.Evicted++
		if c.opt.OnDrop != nil {
			victims = append(victims, m.v)
		}
	}
	return victims
}

// popVictim takes the message out that goes first. mu is held, and the levels
// below limit are not all empty.
func (c *Channel[T]) popVictim(limit int) item[T] {
	var oldest *ring[T]
	for l := range limit {
		q := &c.queues[l]
		switch {
		case q.n == 0:
		case c.opt.Policy == DropLowest:
			return q.popNewest()
		case oldest == nil || q.at(0).stamp < oldest.at(0).stamp:
			oldest = q
		}
	}
	return oldest.popOldest()
}

// Discard drops every message that is queued, lets waiting senders in as far as
// there is room then, and returns how many it has dropped. It gives the queue's
// memory back.
func (c *Channel[T]) Discard() int {
	c.mu.Lock()
	dropped, n := c.queues, c.queued
	c.queues = [levels]ring[T]{}
	c.queued, c.bytes = 0, 0
	c.counts.Discarded += uint64(n)
	c.admit()
	c.watch()
	c.unlock()
	if c.opt.OnDrop != nil {
		c.bury(dropped)
	}
	return n
}

func (c *Channel[T]) bury(dropped [levels]ring[T]) {
	for l := range dropped {
		for q := &dropped[l]; q.n > 0; {
			c.opt.OnDrop(q.popOldest().v)
		}
	}
}
