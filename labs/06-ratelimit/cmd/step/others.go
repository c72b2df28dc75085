package main

import "time"

// unlimited lets everybody in.
type unlimited struct{}

func (unlimited) Allow() bool           { return true }
func (unlimited) Observe(time.Duration) {}
func (unlimited) Rate() float64         { return demand }

// article is the article's limiter, in our own code: at most once a second the
// rate is multiplied by 1.1 or 0.9, as the last latency was.
type article struct {
	now              *clock
	rate, tokens     float64
	filled, adjusted time.Duration
}

func newArticle(now *clock) *article { return &article{now: now, rate: 100, tokens: 10} }

func (a *article) Allow() bool {
	now := a.now.read()
	a.tokens = min(10, a.tokens+(now-a.filled).Seconds()*a.rate)
	a.filled = now
	if a.tokens < 1 {
		return false
	}
	a.tokens--
	return true
}

func (a *article) Observe(latency time.Duration) {
	if a.now.read()-a.adjusted < time.Second {
		return
	}
	a.adjusted = a.now.read()
	switch factor := float64(target) / float64(latency); {
	case factor > 1.1:
		a.rate *= 1.1
	case factor < 0.9:
		a.rate *= 0.9
	}
}

func (a *article) Rate() float64 { return a.rate }
