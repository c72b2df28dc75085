package ordering

import "time"

// backoffLimit bounds the wait between two requests, in units of RetryAfter.
const backoffLimit = 64

// Advance says that it is now. It gives up what was waited for long enough, and
// asks for what has been missing for long enough. Nothing happens before its
// time, and everything by the first Advance after it, but for one thing: what
// has expired behind a message that Deliver has no room for is given up when
// delivery comes to it. In a callback Advance only tells the time.
//
// It costs a comparison when Deadline has not come, and otherwise a walk over
// the gaps.
func (b *Buffer[T]) Advance(now time.Duration) {
	b.clock = max(b.clock, now)
	if b.clock < b.wake || b.busy {
		return
	}
	b.drain()
	b.request()
	b.drain() // what the callback has pushed
}

// Deadline is the time when Advance has something to do, and ok is false when
// there is none: nothing is missing, or only Resume can help. A Push, Advance,
// Resume or Close may change it.
//
// It is never late. It may be early, when what it stood for has come after all:
// then Advance does nothing but find the next one, which is later.
func (b *Buffer[T]) Deadline() (at time.Duration, ok bool) {
	missing := int(b.head-b.next) - b.pending
	if missing == 0 || b.closed || b.wake == never {
		return 0, false
	}
	return b.wake, true
}

// request asks for what is due, and finds the time of the next thing to do. Its
// callbacks can add gaps; none is removed while it is busy.
func (b *Buffer[T]) request() {
	b.busy = true
	b.wake = never
	for i := 0; i < b.gaps.n && !b.closed; i++ {
		g := b.gaps.at(i)
		if b.filled(g) || b.expired(g) {
			continue // what has expired is behind a full consumer: Resume will come to it
		}
		if b.clock >= g.ask {
			g.ask = b.clock + g.wait
			g.wait = min(2*g.wait, backoffLimit*b.opt.RetryAfter)
			b.requestGap(g)
		}
		b.wake = min(b.wake, b.due(g))
	}
	b.busy = false
}

// requestGap asks for each run of numbers that is still missing in g.
func (b *Buffer[T]) requestGap(g *gap) {
	end := g.last + 1
	for seq := g.from; seq != end && !b.closed; {
		n := b.ring.missing(seq, int(end-seq))
		if n == 0 {
			seq++
			continue
		}
		b.counts.Requested += uint64(n)
		b.opt.Request(seq, n)
		seq += uint32(n)
	}
}

// filled reports whether all numbers of g have come.
func (b *Buffer[T]) filled(g *gap) bool {
	for seq := g.from; !before(g.last, seq); seq++ {
		if !b.ring.has(seq) {
			return false
		}
	}
	return true
}
