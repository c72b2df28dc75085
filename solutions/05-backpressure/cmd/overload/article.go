package main

import (
	"sync"
	"time"
)

// article is the article's channel, in our own code: above 90% a sender waits
// for up to five seconds, and holds the lock that a receiver needs after it has
// taken a message.
type article struct {
	queue chan time.Time

	mu     sync.Mutex // guards paused, and is held while send waits
	paused bool
}

func newArticle() *article { return &article{queue: make(chan time.Time, capacity)} }

func (a *article) usage() float64 { return float64(len(a.queue)) / float64(cap(a.queue)) }

func (a *article) send(at time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.usage() < 0.90 {
		a.queue <- at // there is room, and nobody else sends: the lock is ours
		return true
	}
	a.paused = true
	select {
	case a.queue <- at:
		return true
	case <-time.After(5 * time.Second):
		return false
	}
}

func (a *article) receive() (sent time.Time, ok bool) {
	select {
	case sent = <-a.queue:
	default:
		return sent, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.paused && a.usage() < 0.50 {
		a.paused = false
	}
	return sent, true
}

func (a *article) depth() int { return len(a.queue) }

func (a *article) slow() bool { return false }
