package orderingtest

import (
	"sync"
	"time"
)

// articleChannel is the article's ordered channel, in our own code: a map of
// pending messages, a buffered channel for delivery, and a goroutine that looks
// for old ones. The targets measure against it, and article_test.go has it
// judged.
type articleChannel struct {
	out     chan Message
	timeout time.Duration
	clock   func() time.Time

	mu        sync.Mutex // guards the following
	next      uint32
	pending   map[uint32]articleMessage
	received  uint64
	delivered uint64
	dropped   uint64
}

type articleMessage struct {
	m    Message
	came time.Time
}

func newArticleChannel(first uint32, buffer int, timeout time.Duration, clock func() time.Time) *articleChannel {
	return &articleChannel{out: make(chan Message, buffer), timeout: timeout, clock: clock,
		next: first, pending: map[uint32]articleMessage{}}
}

// watch is the goroutine that each channel has. Nothing ends it.
func (a *articleChannel) watch() {
	for range time.NewTicker(100 * time.Millisecond).C {
		a.scan()
	}
}

// receive stores m and delivers what can be delivered without waiting.
func (a *articleChannel) receive(seq uint32, m Message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.received++
	if seq < a.next {
		a.dropped++
		return
	}
	a.pending[seq] = articleMessage{m, a.clock()}
	a.deliver()
}

// deliver runs with mu held.
func (a *articleChannel) deliver() {
	for {
		p, ok := a.pending[a.next]
		if !ok {
			return
		}
		select {
		case a.out <- p.m:
			delete(a.pending, a.next)
			a.next++
			a.delivered++
		default:
			return // full: until somebody calls receive
		}
	}
}

// scan drops what is old and next. What is missing is not in pending, so it is
// never that; what is there and waits for the consumer is.
func (a *articleChannel) scan() {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock()
	for seq, p := range a.pending {
		if now.Sub(p.came) > a.timeout && seq == a.next {
			delete(a.pending, seq)
			a.next++
			a.dropped++
		}
	}
}
