package backpressuretest

import (
	"sync"
	"time"
)

// articleChannel is the article's channel, in our own code: a buffered Go
// channel, a lock and a flag. The targets measure against it, and
// article_test.go has it judged.
type articleChannel struct {
	queue chan articleMessage

	mu     sync.Mutex // guards paused, and is held while send waits
	paused bool
	told   func(signal int) // the article writes a log line here
}

type articleMessage struct {
	m   Message
	low bool
}

const articleWait = 5 * time.Second

func newArticleChannel(capacity int, told func(int)) *articleChannel {
	return &articleChannel{queue: make(chan articleMessage, capacity), told: told}
}

func (a *articleChannel) usage() float64 { return float64(len(a.queue)) / float64(cap(a.queue)) }

// send reports whether m was queued.
func (a *articleChannel) send(m articleMessage) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	usage := a.usage()
	if usage >= 0.90 {
		if !a.paused {
			a.paused = true
			a.told(SlowDown)
		}
		select {
		case a.queue <- m:
			return true
		case <-time.After(articleWait):
			return false
		}
	}
	if usage >= 0.95 && m.low { // never: 0.95 is above 0.90, too
		return false
	}
	return a.offer(m)
}

func (a *articleChannel) offer(m articleMessage) bool {
	select {
	case a.queue <- m:
		return true
	default:
		return false
	}
}

func (a *articleChannel) receive() Message {
	m := <-a.queue
	a.took()
	return m.m
}

// took needs the lock that a sender holds while it waits.
func (a *articleChannel) took() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.paused && a.usage() < 0.50 {
		a.paused = false
		a.told(Resume)
	}
}
