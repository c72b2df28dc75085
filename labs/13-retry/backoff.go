package retry

import "time"

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
	return 0 // not implemented: step 1, how long, and how often
}
