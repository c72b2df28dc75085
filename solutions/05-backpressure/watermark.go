package backpressure

// mark is a level of the queue, in messages and in bytes.
type mark struct{ messages, bytes int }

// markFrom is the mark that is reached from percent on.
func (c *Channel[T]) markFrom(percent int) mark {
	return mark{portion(c.opt.Capacity, percent, 99), portion(c.maxBytes(), percent, 99)}
}

// portion is percent of n, rounded down, or up where rest is 99. It does not
// overflow.
func portion(n, percent, rest int) int { return n/100*percent + (n%100*percent+rest)/100 }

// reached reports whether the queue is at m or above in either measure. mu is
// held.
func (c *Channel[T]) reached(m mark) bool { return c.queued >= m.messages || c.bytes >= m.bytes }

// above reports whether the queue is above m in either measure. mu is held.
func (c *Channel[T]) above(m mark) bool { return c.queued > m.messages || c.bytes > m.bytes }

// slow reports whether a SlowDown was raised last. mu is held.
func (c *Channel[T]) slow() bool { return c.raised%2 == 1 }

// watch raises a signal if it is time for one. Everything that changes the queue
// ends with it: in between, where a message has gone and the next one is not in
// yet, the level means nothing. mu is held.
func (c *Channel[T]) watch() {
	if c.slow() && !c.above(c.lowWater) || !c.slow() && c.reached(c.high) {
		c.raised++
	}
}

// Slow reports whether producers should hold back: SlowDown was raised, and
// Resume was not yet. It is for those who ask, as OnSignal is for those who are
// told.
func (c *Channel[T]) Slow() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.slow()
}

// unlock gives mu back, and tells what was raised. Signals come by turns, so
// two counters are all that is needed to know what is still to be told; and
// since one goroutine at a time tells, they keep their order without a lock
// around the callback.
func (c *Channel[T]) unlock() {
	if c.told == c.raised || c.telling || c.opt.OnSignal == nil {
		c.mu.Unlock()
		return
	}
	c.telling = true
	for c.told < c.raised {
		c.told++
		s := Resume
		if c.told%2 == 1 {
			s = SlowDown
		}
		c.mu.Unlock()
		c.opt.OnSignal(s)
		c.mu.Lock()
	}
	c.telling = false
	c.mu.Unlock()
}
