package ratelimit

import (
	"errors"
	"time"
)

// These are returned for tokens that were not taken.
var (
	// ErrCount: n is below 1 or above the burst, so no waiting helps.
	ErrCount = errors.New("ratelimit: count of tokens is below 1 or above the burst: ask for fewer, or use a larger burst")

	// ErrTooLong: the tokens come after the context's deadline, or more than
	// MaxFill from now.
	ErrTooLong = errors.New("ratelimit: tokens would come too late: shed this work now, or wait with a later deadline")
)

// Options is the configuration of a [Limiter].
type Options struct {
	// Rate is in tokens a second: above 0, at most MaxRate.
	Rate float64

	// Burst is how many tokens are there at most, and in the beginning: at
	// least 1, and Burst/Rate at most MaxFill.
	Burst int

	// Now tells the time. nil means the monotonic clock. Any goroutine calls it.
	Now func() time.Duration
}

// Limiter is one token bucket that can be waited for, and changed while it
// runs. Make one with [New]. Any goroutine may call its methods.
//
// Tokens that are waited for or reserved count as taken: nobody who comes later
// passes those who wait.
type Limiter struct {
	// Yours to add: a limit with its bucket, the clock, and who waits. Write down
	// first, here, what is read without a lock.
}

// New returns a limiter with a full bucket. What [NewLimit] refuses is an error
// that wraps [ErrRate].
func New(o Options) (*Limiter, error) {
	return nil, errors.New("not implemented: start at README.md, step 1")
}

// Allow is AllowN(1).
func (l *Limiter) Allow() bool {
	return false // not implemented: step 2, a limiter that reads the clock
}

// AllowN takes n tokens if they are there now and nobody waits for them: all or
// none. An n below 1 or above the burst is refused. It takes no lock, allocates
// nothing, and a refusal writes nothing.
func (l *Limiter) AllowN(n int) bool {
	return false // not implemented: step 2, a limiter that reads the clock
}

// Tokens is how many tokens are there now; negative is what is owed to those
// who wait and have reserved.
func (l *Limiter) Tokens() float64 {
	return 0 // not implemented: step 2, a limiter that reads the clock
}

// Delay is how long it takes until n tokens are there, if nobody else takes
// any: 0 when they are. It takes none. For an n below 1 or above the burst it
// is MaxFill.
func (l *Limiter) Delay(n int) time.Duration {
	return 0 // not implemented: step 2, a limiter that reads the clock
}
