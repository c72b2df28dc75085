package retry

import (
	"context"
	"sync"
	"time"
)

// A Future is the result of a call, before and after it is there. Its methods
// may be called from any goroutine.
type Future struct {
	client *Client // immutable
	req    Request // immutable until the call is over

	call // guarded by client.mu

	// The result is set under client.mu when the call is over, and published by
	// done.
	body []byte
	err  error

	mu   sync.Mutex // guards the following
	done bool
	told bool          // all of then were; until then who comes later waits behind them
	end  chan struct{} // closed with done; nil while nobody waits
	then []callback
}

// call is what the client knows of a call that has no result yet.
type call struct {
	deadline alarm // the end of the call's time; set as long as it is not over
	next     alarm // its next attempt: after a backoff, or as a hedge

	began  time.Time
	until  time.Time // when deadline rings
	over   bool
	tries  int         // attempts so far, hedges not counted
	live   [2]*attempt // those under way: one, and its hedge
	first  attempt     // the memory of the first one
	avoid  *endpoint   // where the last attempt went
	pinned *endpoint   // whose memory of the key it relies on; nil when it may go anywhere
	failed error       // why the last attempt did
	doubt  error       // why one of them did that may have been done; nil if none

	ripe *Future // the next one to be told
}

// callback is somebody who wants to be told.
type callback struct {
	post func(func()) error
	f    func([]byte, error)
}

// Go makes a call and returns at once. Whatever becomes of it becomes of its
// Future, a refusal too: ErrFull, ErrTooLarge, ErrOpen, ErrClosed.
func (c *Client) Go(r Request) *Future {
	f := &Future{client: c, req: r}
	c.mu.Lock()
	defer c.unlock()
	if err := c.refuses(r); err != nil {
		c.tell(f, nil, err)
		return f
	}
	f.began = time.Now()
	f.until = f.began.Add(defaultTo(r.Timeout, c.o.Timeout))
	c.stats.Calls++
	c.stats.Pending++
	c.budget.Earn()
	c.ring(&f.deadline, alarm{kind: callOver, f: f}, f.until)
	f.tries = 1
	if !c.launch(f) {
		c.finish(f, nil, ErrOpen)
		return f
	}
	c.hedgeLater(f)
	return f
}

// refuses says why r cannot be accepted. mu is held.
func (c *Client) refuses(r Request) error {
	switch {
	case c.closed:
		return ErrClosed
	case len(r.Key) > maxKey || callOverhead+len(r.Key)+len(r.Body) > c.o.MaxMessage:
		return ErrTooLarge
	case c.stats.Pending >= c.o.MaxPending:
		return ErrFull
	}
	return nil
}

// Do makes a call and waits for its result. When ctx ends first the call is
// cancelled, and Do returns ctx's error. A deadline of ctx that is earlier than
// r's bounds the call, and is what the server learns.
func (c *Client) Do(ctx context.Context, r Request) ([]byte, error) {
	if d, ok := ctx.Deadline(); ok {
		r.Timeout = max(1, min(defaultTo(r.Timeout, c.o.Timeout), time.Until(d)))
	}
	f := c.Go(r)
	body, err := f.Wait(ctx)
	if err != nil {
		f.Cancel() // it may be ctx's: then nobody waits any more
	}
	return body, err
}

// Wait returns the result when it is there: the answer, which is the caller's to
// keep, or an error: a [*RemoteError], or one of this package's. When ctx ends
// first Wait returns ctx's error, and the call goes on.
func (f *Future) Wait(ctx context.Context) ([]byte, error) {
	f.mu.Lock()
	if f.done {
		defer f.mu.Unlock()
		return f.body, f.err
	}
	if f.end == nil {
		f.end = make(chan struct{})
	}
	end := f.end
	f.mu.Unlock()
	select {
	case <-end:
		return f.body, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Then has done called with the result, once, where post runs it: with lab 03's
// Loop.Post, on that loop. A nil post runs it on the goroutine that has the
// result, a connection's reader say, which must not be blocked; or on the
// caller's, when the result is there already. When post returns an error, the
// place is gone, and done is not called.
//
// Callbacks of one Future are posted in the order of Then, also those that come
// while others are.
func (f *Future) Then(post func(func()) error, done func(body []byte, err error)) {
	f.mu.Lock()
	if !f.told {
		f.then = append(f.then, callback{post, done})
		f.mu.Unlock()
		return
	}
	f.mu.Unlock()
	callback{post, done}.call(f.body, f.err)
}

// Cancel ends the call with the result context.Canceled, unless it has one. A
// server that works on it is told, and may go on. Nothing is known of whether it
// was done.
func (f *Future) Cancel() {
	f.client.mu.Lock()
	defer f.client.unlock()
	if !f.over {
		f.client.finish(f, nil, context.Canceled)
	}
}

// resolve tells everybody. It is called once, without the client's lock. A
// callback may ask for one more.
func (f *Future) resolve() {
	f.mu.Lock()
	f.done = true
	if f.end != nil {
		close(f.end)
	}
	for len(f.then) > 0 {
		then := f.then
		f.then = nil
		f.mu.Unlock()
		for _, c := range then {
			c.call(f.body, f.err)
		}
		f.mu.Lock()
	}
	f.told = true
	f.mu.Unlock()
}

func (c callback) call(body []byte, err error) {
	if c.post == nil {
		c.f(body, err)
		return
	}
	_ = c.post(func() { c.f(body, err) }) // see Then
}

// finish ends a call: its attempts, its alarms, its place among the pending.
// mu is held.
func (c *Client) finish(f *Future, body []byte, err error) {
	c.stats.Pending--
	c.silence(&f.deadline)
	c.silence(&f.next)
	for _, a := range f.live {
		if a == nil {
			continue
		}
		if err == ErrTimeout {
			a.e.breaker.Failed(a.pass)
		} else {
			a.e.breaker.Dropped(a.pass) // nobody waited for it
		}
		c.giveUp(a)
	}
	f.req.Body = nil // the caller's again
	c.tell(f, body, err)
}

// tell sets the result, for unlock to publish. mu is held.
func (c *Client) tell(f *Future, body []byte, err error) {
	f.over, f.body, f.err = true, body, err
	if c.ripe == nil {
		c.ripe = f
	} else {
		c.last.ripe = f
	}
	c.last = f
}
