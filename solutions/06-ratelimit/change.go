package ratelimit

import "math"

// SetLimit changes rate and burst from now on. The tokens that are there stay,
// as far as they fit into the new burst, and none come with it: time that has
// passed counts at the old rate. Those who wait are told their new time; a
// reservation keeps the time that it was told. What [NewLimit] refuses is an
// error, and changes nothing.
func (l *Limiter) SetLimit(rate float64, burst int) error {
	limit, err := NewLimit(rate, burst)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old, next := l.era.Load(), &era{limit: limit}
	full, t := old.bucket.full.Swap(sealed), l.clock.instant()
	move := func(end int64) int64 { return translate(&old.limit, &next.limit, end, t) }
	next.bucket.full.Store(move(full))
	for _, w := range l.queue {
		w.end = move(w.end)
	}
	l.barrier = move(l.barrier)
	l.era.Store(next)
	l.arm()
	return nil
}

// translate finds the instant at which a bucket of the limit to holds, at t, as
// many tokens as one of the limit from that is full at the instant end.
func translate(from, to *Limit, end, t int64) int64 {
	tokens := min(from.tokens(end, t), float64(to.burst))
	spent := (float64(to.burst) - tokens) * float64(to.interval)
	return t + int64(math.Ceil(min(spent, float64(2*MaxFill)*unit))) // up: no change mints a fraction
}
