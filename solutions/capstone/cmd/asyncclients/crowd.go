package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// crowd is all clients, and what they have found together.
type crowd struct {
	options
	quiet atomic.Bool // publishers begin nothing new

	mu        sync.Mutex // guards the following
	last      []int64    // the number each has heard last
	up        []bool     // it is connected and has caught up
	ups       int        // how many of up
	published int        // messages that their publishers have heard
	pending   int        // messages sent and not heard by their publishers
	digests   map[int64]uint64
	away      *hdrhistogram.Histogram // ms from the end of a connection until all was caught up
	found     result
}

// result is what came of it.
type result struct {
	Clients   int   `json:"clients"`
	Published int   `json:"published"` // messages that their publishers have heard
	Numbers   int64 `json:"numbers"`   // the last number that was heard
	Behind    int   `json:"behind"`    // clients that have not heard the last number
	Missing   int64 `json:"missing"`   // numbers that a client did not hear
	Doubled   int64 `json:"doubled"`   // numbers that a client heard again
	Different int64 `json:"different"` // messages that were not the same for two clients
	Twice     int64 `json:"twice"`     // messages of a publisher under two numbers, or out of order
	Ends      int64 `json:"ends"`      // connections that ended
	Dials     int64 `json:"dials"`     // tries to connect
	P50       int64 `json:"away_p50_ms"`
	P99       int64 `json:"away_p99_ms"`
	Max       int64 `json:"away_max_ms"`
}

func (r result) wrong() bool {
	return r.Behind > 0 || r.Missing > 0 || r.Doubled > 0 || r.Different > 0 || r.Twice > 0 || r.Published == 0
}

func newCrowd(o options) *crowd {
	return &crowd{options: o, last: make([]int64, o.clients), up: make([]bool, o.clients),
		digests: map[int64]uint64{}, away: hdrhistogram.New(1, 600_000, 3)}
}

// caughtUp notes that client i has everything; since is when it lost its
// connection, zero for the first time. When it was the last one, it is said.
func (c *crowd) caughtUp(i int, since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !since.IsZero() {
		c.away.RecordValue(min(max(1, time.Since(since).Milliseconds()), 600_000))
	}
	c.up[i] = true
	if c.ups++; c.ups == c.clients {
		say(map[string]any{"event": "all caught up", "clients": c.clients, "number": c.last[i]})
	}
}

// ended notes that client i has lost its connection.
func (c *crowd) ended(i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.found.Ends++
	if c.up[i] {
		c.up[i] = false
		c.ups--
	}
}

// heard checks what client i has heard: a number and a digest of its message.
func (c *crowd) heard(i int, number int64, digest uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch next := c.last[i] + 1; {
	case number < next:
		c.found.Doubled++
		return
	case number > next:
		c.found.Missing += number - next
	}
	c.last[i] = number
	switch first, known := c.digests[number]; {
	case !known:
		c.digests[number] = digest
	case first != digest:
		c.found.Different++
	}
}

func (c *crowd) lastOf(i int) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last[i]
}

// count changes the counters by f.
func (c *crowd) count(f func(*crowd)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c)
}

// finish waits until every message has been heard by all, or ctx ends.
func (c *crowd) finish(ctx context.Context) result {
	for !c.settled() && ctx.Err() == nil {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.found
	r.Clients, r.Published, r.Numbers = c.clients, c.published, c.newest()
	for _, n := range c.last {
		if n < r.Numbers {
			r.Behind++
		}
	}
	r.P50, r.P99, r.Max = c.away.ValueAtQuantile(50), c.away.ValueAtQuantile(99), c.away.Max()
	return r
}

func (c *crowd) settled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	newest := c.newest()
	for _, n := range c.last {
		if n < newest {
			return false
		}
	}
	return c.pending == 0 && c.ups == c.clients
}

// newest is the last number that anybody has heard. mu is held.
func (c *crowd) newest() (n int64) {
	for _, m := range c.last {
		n = max(n, m)
	}
	return n
}
