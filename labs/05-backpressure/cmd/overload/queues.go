package main

import (
	"sync"
	"time"

	backpressure "github.com/asynclab/asynclab/labs/05-backpressure"
)

// unbounded takes everything, as an append to a slice does.
type unbounded struct {
	mu    sync.Mutex // guards the following
	queue []time.Time
}

func (u *unbounded) send(at time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.queue = append(u.queue, at)
	return true
}

func (u *unbounded) receive() (sent time.Time, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.queue) == 0 {
		return sent, false
	}
	sent, u.queue = u.queue[0], u.queue[1:]
	return sent, true
}

func (u *unbounded) depth() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.queue)
}

func (u *unbounded) slow() bool { return false }

// bounded is this lab's channel, with producers that listen to it or do not.
type bounded struct {
	*backpressure.Channel[time.Time]
	listens bool
}

func newBounded(listens bool) (bounded, error) {
	c, err := backpressure.New(backpressure.Options[time.Time]{Capacity: capacity, Policy: backpressure.Reject})
	return bounded{c, listens}, err
}

func (b bounded) send(at time.Time) bool { return b.TrySend(backpressure.Normal, at) == nil }

func (b bounded) receive() (time.Time, bool) { return b.TryReceive() }

func (b bounded) depth() int { return b.Len() }

func (b bounded) slow() bool { return b.listens && b.Slow() }
