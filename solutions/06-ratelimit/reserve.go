package ratelimit

import "time"

// Reserve takes n tokens that are there or will be, and returns how long the
// caller has to wait before it acts: for a caller that must not block, such as
// an event loop. More than MaxFill is [ErrTooLong]; an n below 1 or above the
// burst is [ErrCount].
//
// cancel gives the tokens back as far as that lets nobody pass too early: all of
// them when nothing was taken behind them; none otherwise, after their time has
// come, after a SetLimit, and when it is called again. It is never nil.
func (l *Limiter) Reserve(n int) (delay time.Duration, cancel func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	end, delay, err := l.take(n, MaxFill)
	if err != nil || delay == 0 {
		return 0, func() {}, err
	}
	before := l.barrier
	l.barrier = end
	return delay, l.giveBack(l.era.Load(), n, end, before), nil
}

// giveBack returns a function that undoes a reservation. before is the barrier
// as it was.
func (l *Limiter) giveBack(e *era, n int, end, before int64) func() {
	done := false // guarded by mu
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if done || l.era.Load() != e || e.limit.due(end) <= l.clock.now() {
			return
		}
		done = true // somebody else's reservation may end where this one did
		// The bucket stands at end only while nobody is behind.
		if l.barrier == end && e.bucket.full.CompareAndSwap(end, end-e.limit.interval*int64(n)) {
			l.barrier = before
		}
	}
}
