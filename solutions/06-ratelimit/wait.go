package ratelimit

import (
	"context"
	"slices"
	"time"
)

// waiter is a call of Wait that sleeps.
type waiter struct {
	n     int           // immutable: tokens
	end   int64         // guarded by mu: when the bucket is full again, up to its tokens
	ready chan struct{} // closed when it may go, with mu held
}

// Wait takes n tokens, and returns nil when they are there: at once, or after
// exactly the time that it takes them to flow in. Those who wait go in the order
// in which they came. It sleeps without a look at the clock.
//
// When ctx ends first, Wait returns ctx.Err() at once. When the deadline of ctx
// is known to be too early it does not wait at all, and returns [ErrTooLong].
// In both cases the tokens are not lost: those who wait behind move up. For an
// n below 1 or above the burst it returns [ErrCount].
func (l *Limiter) Wait(ctx context.Context, n int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if l.AllowN(n) {
		return nil
	}
	w, err := l.join(ctx, n)
	if err != nil {
		return err
	}
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		if !l.quit(w) {
			return nil // its turn came at the same moment
		}
		return ctx.Err()
	}
}

// join puts a new waiter at the end of the queue.
func (l *Limiter) join(ctx context.Context, n int) (*waiter, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	longest := MaxFill
	if deadline, ok := ctx.Deadline(); ok {
		longest = min(longest, time.Until(deadline))
	}
	end, _, err := l.take(n, longest)
	if err != nil {
		return nil, err
	}
	w := &waiter{n: n, end: end, ready: make(chan struct{})}
	l.queue = append(l.queue, w)
	if len(l.queue) == 1 {
		l.arm()
	}
	return w, nil
}

// take takes n tokens, unless they come later than in longest. mu is held.
func (l *Limiter) take(n int, longest time.Duration) (end int64, delay time.Duration, err error) {
	e := l.era.Load()
	if !e.limit.fits(n) {
		return 0, 0, ErrCount
	}
	t := l.clock.instant()
	end = e.bucket.owe(&e.limit, t, n)
	delay = max(0, e.limit.due(end)-time.Duration(t/unit))
	if delay > longest {
		e.bucket.full.Add(-e.limit.interval * int64(n)) // mu is held, so nobody is behind
		return 0, 0, ErrTooLong
	}
	return end, delay, nil
}

// release lets everybody go whose time has come, and sleeps for the next one.
// The timer calls it.
func (l *Limiter) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	limit, now := &l.era.Load().limit, l.clock.now()
	for len(l.queue) > 0 && limit.due(l.queue[0].end) <= now {
		close(l.queue[0].ready)
		l.queue[0] = nil // let go of it
		l.queue = l.queue[1:]
	}
	l.arm()
}

// arm sets the timer for the first waiter. mu is held.
func (l *Limiter) arm() {
	if len(l.queue) == 0 {
		if l.timer != nil {
			l.timer.Stop()
		}
		return
	}
	delay := l.era.Load().limit.due(l.queue[0].end) - l.clock.now()
	if l.timer == nil {
		l.timer = time.AfterFunc(delay, l.release)
		return
	}
	l.timer.Reset(delay)
}

// quit takes w out of the queue, and reports false when it has gone already.
// Those behind it move up, unless somebody behind it was promised a time: to
// move up past a promise would let both pass together.
func (l *Limiter) quit(w *waiter) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	place := slices.Index(l.queue, w)
	if place < 0 {
		return false
	}
	l.queue = slices.Delete(l.queue, place, place+1)
	if l.barrier <= w.end {
		e := l.era.Load()
		cost := e.limit.interval * int64(w.n)
		e.bucket.full.Add(-cost)
		for _, behind := range l.queue[place:] {
			behind.end -= cost
		}
	}
	if place == 0 {
		l.arm()
	}
	return true
}
