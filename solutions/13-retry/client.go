// Package retry calls a server over connections that break, so that nothing is
// done twice and retries never make an outage worse.
//
// A [Client] keeps a session with each of its endpoints. Calls are pipelined;
// each has a deadline, which the server learns. What is safe is tried again,
// after a backoff with full jitter, within a budget, and past a circuit breaker
// for each endpoint; slow calls may be hedged. When a connection is lost the
// client resumes its session: calls that wait for an answer and pushes survive,
// each exactly once. A [Server], on lab 03's loop, keeps what this needs: keys,
// sessions, answers, each within a bound.
//
// Read the files in this order: backoff.go, budget.go, breaker.go, latency.go
// (four small machines); wire.go; client.go, future.go, attempt.go, alarm.go (a
// call); write.go, read.go, session.go (a connection); retry.go, hedge.go (when
// it goes wrong); server.go, work.go, keys.go, peer.go (the other side).
package retry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Dial opens a connection to an endpoint. It must return when ctx ends.
type Dial = func(ctx context.Context) (net.Conn, error)

// Options is the configuration of a [Client]. Zero values are the defaults that
// the comments name; New refuses negative ones.
type Options struct {
	// Dial has a function for each endpoint: servers that can stand for each
	// other. At least one.
	Dial []Dial

	DialTimeout time.Duration // of a dial and its handshake; 0 means 5 s
	KeepAlive   time.Duration // silent so long, the server is asked; twice so long, the connection is given up; 0 means 15 s
	MaxMessage  int           // of a frame's payload, both ways, in bytes; 0 means 1 MiB
	MaxPending  int           // calls without a result; 0 means 10,000

	Timeout        time.Duration // of a call that names none; 0 means 10 s
	AttemptTimeout time.Duration // how long one attempt of a call that may be repeated is waited for; 0 means as long as the call
	Attempts       int           // of a call in all, its hedge not counted; 0 means 4

	BackoffBase  time.Duration  // before a retry or a new connection, see Backoff; 0 means 50 ms
	BackoffCap   time.Duration  // 0 means 2 s
	Rand         func() float64 // uniform in [0, 1), under the client's lock; nil means math/rand/v2
	RetryRatio   float64        // retries and hedges by first attempts, see Budget; 0 means 0.1
	RetryReserve int            // 0 means 10

	BreakerWindow int // of each endpoint, see BreakerOptions
	BreakerRatio  float64
	BreakerOpen   time.Duration
	BreakerProbes int

	HedgeQuantile float64 // of recent latencies, after which a safe call gets a second copy: 0.95; 0 means never
	HedgeWindow   int     // how many latencies are recent; 0 means 100

	// OnPush gets each message that endpoint number i has pushed, once and in
	// order, on the goroutine that reads its connection: while it runs nothing
	// else is read from there. body is the callee's to keep.
	OnPush func(i int, body []byte)

	// OnReset is called, where OnPush is, when endpoint number i has forgotten
	// the session: subscriptions there are gone, and pushes may have been
	// missed.
	OnReset func(i int)
}

// Request is one call.
type Request struct {
	// Body is for the server's handler. It must not change until the call has
	// its result: it may have to be sent again.
	Body []byte

	// Key makes the call repeatable: however often it arrives, the server works
	// on it once. It must be unique to this request, a random number of 128 bits
	// say, and is at most 255 bytes long. It binds the call to the endpoint it
	// was sent to first, whose memory it relies on. "" means none.
	Key string

	// Safe says that it does no harm to do it twice: a read. It may be repeated
	// and hedged, at any endpoint.
	Safe bool

	// Timeout is how long the result is waited for, from Go on. 0 means the
	// client's.
	Timeout time.Duration
}

// Stats is what a client has done and holds.
type Stats struct {
	Calls      uint64 // accepted: their number without ErrFull, ErrTooLarge and ErrClosed
	Sent       uint64 // call frames handed to a connection
	Retries    uint64 // attempts after the first, hedges not counted
	Hedges     uint64 // second copies
	Denied     uint64 // retries and hedges that the budget did not allow
	Resent     uint64 // of Sent, those again in a resumed session
	Stray      uint64 // answers nobody waited for
	Connects   uint64 // handshakes that succeeded
	Pending    int    // calls without a result
	Unanswered int    // attempts that the client keeps: to be sent, or to be answered
}

// A Client calls servers. Make one with [New], end it with Close. Its methods may
// be called from any goroutine. It has two goroutines for each endpoint, however
// many calls there are.
type Client struct {
	// Whenever mu is free:
	//   1. A call has a result, or a live attempt, or an alarm for its next one.
	//   2. An attempt is in its endpoint's queue (to be sent) or in flying (sent,
	//      not answered), or it is over and referred to by nobody.
	//   3. Ids in flying ascend, and are lower than those of the queue.

	o         Options         // immutable, defaults filled in
	backoff   Backoff         // immutable
	endpoints []*endpoint     // immutable
	budget    *Budget         // immutable, has its own lock, as the next one
	latencies *Latencies      // nil without hedging
	ctx       context.Context // ends with Close
	cancel    context.CancelFunc
	running   sync.WaitGroup // the endpoints' goroutines

	mu     sync.Mutex // guards the following, all futures' calls, and all endpoints
	closed bool
	alarms alarms
	turn   int // where the next call goes, in turn
	stats  Stats
	ripe   *Future // have a result, and are to be told when mu is free; linked by ripe
	last   *Future // of ripe
}

// New returns a client that connects to its endpoints, and goes on doing so. It
// refuses nonsense.
func New(o Options) (*Client, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	c := &Client{o: o, backoff: Backoff{o.BackoffBase, o.BackoffCap, o.Rand}}
	var err error
	if c.budget, err = NewBudget(o.RetryRatio, o.RetryReserve); err != nil {
		return nil, err
	}
	if o.HedgeQuantile > 0 {
		if c.latencies, err = NewLatencies(o.HedgeWindow); err != nil {
			return nil, err
		}
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	for i, dial := range o.Dial {
		e, err := newEndpoint(c, i, dial)
		if err != nil {
			return nil, err
		}
		c.endpoints = append(c.endpoints, e)
	}
	for _, e := range c.endpoints {
		c.running.Go(e.run)
	}
	return c, nil
}

// check refuses options that make no sense and fills in the defaults.
func (o *Options) check() error {
	if len(o.Dial) == 0 {
		return errors.New("retry: no endpoint: put at least one function into Dial")
	}
	for i, d := range o.Dial {
		if d == nil {
			return fmt.Errorf("retry: Dial[%d] is nil", i)
		}
	}
	for name, d := range map[string]time.Duration{"DialTimeout": o.DialTimeout, "KeepAlive": o.KeepAlive, "Timeout": o.Timeout,
		"AttemptTimeout": o.AttemptTimeout, "BackoffBase": o.BackoffBase, "BackoffCap": o.BackoffCap, "BreakerOpen": o.BreakerOpen} {
		if d < 0 {
			return fmt.Errorf("retry: %s is %v: use 0 for the default", name, d)
		}
	}
	for name, n := range map[string]int{"MaxMessage": o.MaxMessage, "MaxPending": o.MaxPending, "Attempts": o.Attempts, "RetryReserve": o.RetryReserve,
		"BreakerWindow": o.BreakerWindow, "BreakerProbes": o.BreakerProbes, "HedgeWindow": o.HedgeWindow} {
		if n < 0 {
			return fmt.Errorf("retry: %s is %d: use 0 for the default", name, n)
		}
	}
	if !(o.HedgeQuantile >= 0 && o.HedgeQuantile <= 1) {
		return fmt.Errorf("retry: HedgeQuantile is %v: it is from 0, which means never, to 1", o.HedgeQuantile)
	}
	o.DialTimeout = defaultTo(o.DialTimeout, 5*time.Second)
	o.KeepAlive = defaultTo(o.KeepAlive, 15*time.Second)
	o.MaxMessage = defaultTo(o.MaxMessage, 1<<20)
	o.MaxPending = defaultTo(o.MaxPending, 10_000)
	o.Timeout = defaultTo(o.Timeout, 10*time.Second)
	o.Attempts = defaultTo(o.Attempts, 4)
	o.BackoffBase = defaultTo(o.BackoffBase, 50*time.Millisecond)
	o.BackoffCap = defaultTo(o.BackoffCap, 2*time.Second)
	o.RetryRatio = defaultTo(o.RetryRatio, 0.1)
	o.RetryReserve = defaultTo(o.RetryReserve, 10)
	o.HedgeWindow = defaultTo(o.HedgeWindow, 100)
	return nil
}

// Close gives every call without a result ErrClosed, closes the connections, and
// waits until the client's goroutines have ended. Do not call it from a callback,
// OnPush or OnReset: it would wait for itself. It may be called more than once,
// and always returns nil.
func (c *Client) Close() error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		c.cancel()
		for _, f := range c.alarms.calls() {
			c.finish(f, nil, ErrClosed)
		}
		for _, e := range c.endpoints {
			e.hangUp()
		}
	}
	c.unlock()
	c.running.Wait()
	return nil
}

// Stats returns the counts as they are at one instant.
func (c *Client) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	for _, e := range c.endpoints {
		s.Unanswered += e.queue.n + e.flying.n
	}
	return s
}

// unlock frees mu and then tells those whose calls have ended meanwhile: whoever
// is called back may call.
func (c *Client) unlock() {
	told := c.ripe
	c.ripe, c.last = nil, nil
	c.mu.Unlock()
	for told != nil {
		next := told.ripe
		told.ripe = nil
		told.resolve()
		told = next
	}
}
