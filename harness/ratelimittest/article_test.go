package ratelimittest

import (
	"context"
	"sync"
	"time"
)

// articleLimiter is the article's limiter, in our own code: tokens in a float
// under a lock, a Wait that asks and sleeps, and a rate that follows the last
// latency by a factor.
type articleLimiter struct {
	now func() time.Duration

	mu       sync.Mutex // guards the following
	rate     float64
	burst    float64
	tokens   float64
	last     time.Duration
	adjusted time.Duration
}

func newArticleLimiter(rate float64, burst int, now func() time.Duration) *articleLimiter {
	a := &articleLimiter{now: vclock(now), rate: rate, burst: float64(burst), tokens: float64(burst)}
	a.last = a.now()
	return a
}

func (a *articleLimiter) take(now time.Duration, n int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tokens = min(a.burst, a.tokens+(now-a.last).Seconds()*a.rate)
	a.last = now
	if a.tokens < float64(n) {
		return false
	}
	a.tokens -= float64(n)
	return true
}

func (a *articleLimiter) Allow() bool { return a.AllowN(1) }

func (a *articleLimiter) AllowN(n int) bool { return a.take(a.now(), n) }

func (a *articleLimiter) Tokens() float64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tokens
}

func (a *articleLimiter) Delay(n int) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Duration((float64(n)-a.tokens)/a.rate) * time.Second // whole seconds, and mostly none
}

// Wait asks until it may go. It sleeps for a number of seconds that is rounded
// down before it becomes a time.
func (a *articleLimiter) Wait(ctx context.Context, n int) error {
	for !a.AllowN(n) {
		select {
		case <-time.After(a.Delay(n)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (a *articleLimiter) Reserve(n int) (time.Duration, func(), error) {
	return 0, func() {}, errTooLong
}

// SetLimit changes the rate, also for the time that has passed.
func (a *articleLimiter) SetLimit(rate float64, burst int) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rate, a.burst = rate, float64(burst)
	return nil
}

// articleAdaptive adjusts the limiter's rate, at most once a second, by the
// latency that it is told.
type articleAdaptive struct {
	*articleLimiter
	target time.Duration
}

func (a *articleAdaptive) Rate() float64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.rate
}

func (a *articleAdaptive) Observe(latency time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.now()-a.adjusted < time.Second {
		return
	}
	a.adjusted = a.now()
	switch factor := float64(a.target) / float64(latency); {
	case factor > 1.1:
		a.rate *= 1.1
	case factor < 0.9:
		a.rate *= 0.9
	}
}

var articleLab = func() lab {
	l := variantLab("")
	l.Bucket = func(rate float64, burst int) (Take, error) { return newArticleLimiter(rate, burst, nil).take, nil }
	l.New = func(o Options) (Limiter, error) { return newArticleLimiter(o.Rate, o.Burst, o.Now), nil }
	l.Adaptive = func(o AdaptiveOptions) (Adaptive, error) {
		return &articleAdaptive{newArticleLimiter(o.Start, o.Burst, o.Now), o.Target}, nil
	}
	return l
}()
