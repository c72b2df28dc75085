package ordering

import "time"

// Push takes the message v with number seq at time now, and delivers what can
// be delivered before it returns. When the error is not nil the message was not
// taken, was counted, and remains the caller's: [ErrOld], [ErrDuplicate],
// [ErrBeyond]. After Close it is [ErrClosed], which is not counted.
//
// Push takes constant time for itself and each message it delivers, and for a
// message in order it touches no memory but the Buffer.
func (b *Buffer[T]) Push(now time.Duration, seq uint32, v T) error {
	if b.closed {
		return ErrClosed
	}
	b.clock = max(b.clock, now)
	if seq == b.next && b.next == b.head && !b.busy && !b.full {
		b.pass(seq, v)
		return nil
	}
	return b.place(seq, v)
}

// pass offers a message that is next, with nothing behind it: the usual case,
// which needs no ring.
func (b *Buffer[T]) pass(seq uint32, v T) {
	b.head++
	b.pending++
	b.busy, b.offering = true, true
	taken := b.opt.Deliver(seq, v)
	b.busy, b.offering = false, false
	if taken {
		b.delivered()
	} else {
		b.makeRing()
		b.ring.put(seq, v)
		b.full = true
	}
	if b.next != b.head {
		b.drain() // what the callback has pushed
	}
}

// place finds out what a message is that is not simply the next one.
func (b *Buffer[T]) place(seq uint32, v T) error {
	if b.opt.Slide && b.ahead(seq) >= b.opt.Window {
		b.slide(seq)
	}
	d := b.ahead(seq) // the callbacks of slide may have changed anything
	switch {
	case b.closed:
		return ErrClosed
	case d < 0:
		b.counts.Old++
		return ErrOld
	case d >= b.opt.Window:
		b.counts.Refused++
		return ErrBeyond
	case b.waits(seq):
		b.counts.Duplicates++
		return ErrDuplicate
	}
	b.store(seq, v)
	b.drain()
	return nil
}

// ahead is how far seq is ahead of the next number; negative when it is old.
func (b *Buffer[T]) ahead(seq uint32) int { return int(int32(seq - b.next)) }

// waits reports whether a message with number seq, in the window, was taken. The
// one that pass offers is not in the ring.
func (b *Buffer[T]) waits(seq uint32) bool {
	if seq == b.next && b.offering {
		return true
	}
	return before(seq, b.head) && b.ring.has(seq)
}

// store keeps a message in the window. If it is further ahead than any other,
// the numbers between become a gap, whose time begins.
func (b *Buffer[T]) store(seq uint32, v T) {
	b.makeRing()
	b.ring.put(seq, v)
	b.pending++
	if before(seq, b.head) {
		return
	}
	if seq != b.head {
		b.openGap(b.head, seq-1)
	}
	b.head = seq + 1
}

func (b *Buffer[T]) makeRing() {
	if b.ring.slots == nil {
		b.ring = newRing[T](b.opt.Window)
		b.gaps = newGaps(len(b.ring.slots) / 2)
	}
}
