package ratelimit

import (
	"errors"
	"sync"
	"sync/atomic"
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
	clock clock               // immutable
	era   atomic.Pointer[era] // changed with mu held

	mu      sync.Mutex
	queue   []*waiter   // guarded by mu: who waits, in the order of coming and of end
	timer   *time.Timer // guarded by mu: calls release when the first is due; nil before anyone has waited
	barrier int64       // guarded by mu: the end of the last reservation that was told a time
}

// era is a limit and the bucket that it governs. A change of the limit ends an
// era: it seals the old bucket, so that nobody takes from it any more, and
// begins the next one with as many tokens as were found in it.
type era struct {
	limit  Limit // immutable
	bucket Bucket
}

// sealed is the state of a bucket of an era that is over: full so late that no
// Take finds a token.
const sealed = 1 << 62

// New returns a limiter with a full bucket. What [NewLimit] refuses is an error
// that wraps [ErrRate].
func New(o Options) (*Limiter, error) {
	limit, err := NewLimit(o.Rate, o.Burst)
	if err != nil {
		return nil, err
	}
	l := &Limiter{clock: newClock(o.Now)}
	l.era.Store(&era{limit: limit})
	return l, nil
}

// Allow is AllowN(1).
func (l *Limiter) Allow() bool { return l.AllowN(1) }

// AllowN takes n tokens if they are there now and nobody waits for them: all or
// none. An n below 1 or above the burst is refused. It takes no lock, allocates
// nothing, and a refusal writes nothing.
func (l *Limiter) AllowN(n int) bool {
	now := l.clock.now()
	for {
		e := l.era.Load()
		if e.bucket.Take(&e.limit, now, n) {
			return true
		}
		if e.bucket.full.Load() != sealed {
			return false
		}
		l.mu.Lock() // the limit is just being changed, with mu held: wait for the next era
		//lint:ignore SA2001 to have waited is all
		l.mu.Unlock()
	}
}

// Tokens is how many tokens are there now; negative is what is owed to those
// who wait and have reserved.
func (l *Limiter) Tokens() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.era.Load()
	return e.limit.tokens(e.bucket.full.Load(), l.clock.instant())
}

// Delay is how long it takes until n tokens are there, if nobody else takes
// any: 0 when they are. It takes none. For an n below 1 or above the burst it
// is MaxFill.
func (l *Limiter) Delay(n int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.era.Load()
	if !e.limit.fits(n) {
		return MaxFill
	}
	t := l.clock.instant()
	end, _ := e.limit.spend(e.bucket.full.Load(), t, n)
	return max(0, e.limit.due(end)-time.Duration(t/unit))
}
