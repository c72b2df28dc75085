package ordering

import "time"

// Resume says that the consumer has room again, at time now: what Deliver has
// refused is offered again, and then what follows it, until Deliver refuses or
// nothing is left that can be delivered. It does no harm when nothing waits.
func (b *Buffer[T]) Resume(now time.Duration) {
	b.clock = max(b.clock, now)
	b.full = false
	b.drain()
}

// drain delivers and gives up whatever can be. In a callback it does nothing:
// the drain that made the call goes on when the callback returns.
func (b *Buffer[T]) drain() {
	if b.busy {
		return
	}
	b.busy = true
	for !b.full && b.step() {
	}
	b.busy = false
}

// step moves next on, past one message or what is missing before the following
// one. It returns false when next must be waited for.
func (b *Buffer[T]) step() bool {
	switch {
	case b.next == b.head:
		return b.leap()
	case b.ring.has(b.next):
		b.offer()
	case b.overdue():
		b.giveUp()
	default:
		return false
	}
	return true
}

// offer offers the message of next, which is in the ring.
func (b *Buffer[T]) offer() {
	b.offering = true
	taken := b.opt.Deliver(b.next, b.ring.get(b.next))
	b.offering = false
	if !taken {
		b.full = true
		return
	}
	b.ring.drop(b.next)
	b.delivered()
}

// delivered counts the message of next and goes on to the following number.
func (b *Buffer[T]) delivered() {
	b.pending--
	b.counts.Delivered++
	b.next++
	b.gaps.forget(b.next)
}

// overdue reports whether next, which is missing, is not waited for any longer.
func (b *Buffer[T]) overdue() bool {
	return b.closed || b.sliding && before(b.next, b.floor) || b.expired(b.gaps.first())
}

// giveUp reports as lost what is missing from next on: up to the next message,
// or the end of the gap. A gap that began later has its own time. When the
// window slides, what it still covers is not given up.
func (b *Buffer[T]) giveUp() {
	g := b.gaps.first()
	end := g.last + 1
	if b.sliding && before(b.floor, end) && !b.closed && !b.expired(g) {
		end = b.floor
	}
	b.lose(b.ring.missing(b.next, int(end-b.next)))
}

// lose gives up n numbers from next on. They are gone before Lost is called:
// there they are old.
func (b *Buffer[T]) lose(n int) {
	first := b.next
	b.next += uint32(n)
	b.gaps.forget(b.next)
	b.counts.Lost += uint64(n)
	if b.opt.Lost != nil {
		b.opt.Lost(first, n)
	}
}
