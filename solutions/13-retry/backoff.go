package retry

import (
	"math/rand/v2"
	"time"
)

// Backoff says how long to wait before the next try: exponential, with full
// jitter. Of a thousand clients that failed in the same instant, no two come
// back together (Brooker, "Exponential Backoff and Jitter", AWS 2015).
type Backoff struct {
	Base time.Duration  // bounds the first wait
	Cap  time.Duration  // bounds every wait
	Rand func() float64 // uniform in [0, 1); nil means math/rand/v2
}

// Delay returns the wait before retry n, counted from 0: uniform between 0 and
// Base times 2^n, or Cap if that is less. A negative n counts as 0. It has no
// state; any goroutine, if Rand may be called from any.
func (b Backoff) Delay(n int) time.Duration {
	random := b.Rand
	if random == nil {
		random = rand.Float64
	}
	return time.Duration(random() * float64(b.ceiling(n)))
}

// ceiling doubles by comparing first, so that it cannot overflow: Base << 40 is
// negative for a Base of a second.
func (b Backoff) ceiling(n int) time.Duration {
	d := b.Base
	for ; n > 0 && d < b.Cap; n-- {
		if d > b.Cap/2 {
			return b.Cap
		}
		d *= 2
	}
	return min(d, b.Cap)
}
