package ordering

import "time"

// gap is a run of numbers that were found missing at once, when a message
// behind them came. Some may have come since; the ring's bits know. All of them
// have been missing since the same time.
type gap struct {
	from, last uint32
	born       time.Duration
	ask        time.Duration // not asked for before; never when nobody can be asked
	wait       time.Duration // from the next request to the one after it
}

// gaps is a queue, first in, first out: a gap opens only ahead of all others,
// and time goes forward, so the first one is the first to expire. No heap is
// needed.
type gaps struct {
	ring  []gap // a power of two
	begin int
	n     int
}

// newGaps makes room for n gaps. Behind each is a message, so a window has room
// for half as many gaps as numbers.
func newGaps(n int) gaps { return gaps{ring: make([]gap, n)} }

func (q *gaps) at(i int) *gap { return &q.ring[(q.begin+i)&(len(q.ring)-1)] }

func (q *gaps) first() *gap { return q.at(0) }

func (q *gaps) add(g gap) {
	q.n++
	*q.at(q.n - 1) = g
}

// forget removes what lies before next.
func (q *gaps) forget(next uint32) {
	for q.n > 0 && before(q.first().last, next) {
		q.begin++
		q.n--
	}
	if q.n > 0 && before(q.first().from, next) {
		q.first().from = next
	}
}

// openGap starts the clock for the numbers from to last, which are missing.
func (b *Buffer[T]) openGap(from, last uint32) {
	g := gap{from: from, last: last, born: b.clock, ask: never}
	if b.opt.RetryAfter > 0 && b.opt.Request != nil {
		g.ask = b.clock + b.opt.RetryAfter
		g.wait = 2 * b.opt.RetryAfter
	}
	b.gaps.add(g)
	b.wake = min(b.wake, b.due(&g))
}

// expiry is the time when what is left of g is given up.
func (b *Buffer[T]) expiry(g *gap) time.Duration {
	if b.opt.GapTimeout == 0 {
		return never
	}
	return g.born + b.opt.GapTimeout
}

func (b *Buffer[T]) expired(g *gap) bool { return b.clock >= b.expiry(g) }

// due is when there is something to do for g.
func (b *Buffer[T]) due(g *gap) time.Duration { return min(g.ask, b.expiry(g)) }
