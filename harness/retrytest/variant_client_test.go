package retrytest

import (
	"bufio"
	"context"
	"errors"
	"math"
	"net"
	"slices"
	"sync"
	"time"
)

type timeout struct{}

func (timeout) Error() string        { return "timeout" }
func (timeout) Is(target error) bool { return target == context.DeadlineExceeded }

type vremote struct{ text string }

func (e *vremote) Error() string  { return e.text }
func (e *vremote) Remote() string { return e.text }

// vclient has one lock, and a list of what to do when it is free.
type vclient struct {
	fault
	o       Options
	backoff vbackoff
	budget  *vbudget
	lat     *vlatencies
	ctx     context.Context
	cancel  context.CancelFunc
	all     sync.WaitGroup

	mu     sync.Mutex // guards the following, and all below
	closed bool
	calls  map[*vcall]bool
	ends   []*vend
	turn   int
	n      Stats
	after  []func()
}

type vcall struct {
	c        *vclient
	req      Request
	began    time.Time
	deadline time.Time
	timers   []*time.Timer
	tries    int
	live     []*vattempt
	last     *vend
	pinned   *vend
	err      error // of the last attempt
	doubt    error // of one that may have been done
	over     bool
	body     []byte
	result   error
	done     chan struct{}
	told     bool
	then     []func()
	was      []func() // in then
}

type vattempt struct {
	call  *vcall
	at    *vend
	pass  uint64
	id    uint64
	end   uint64
	left  bool
	pins  bool
	over  bool
	began time.Time
	timer *time.Timer
}

// vend is an endpoint.
type vend struct {
	c       *vclient
	i       int
	dial    Dial
	breaker *vbreaker
	cond    *sync.Cond // there may be something to write, or the connection is over
	conn    net.Conn
	ready   bool // welcomed
	session uint64
	push    uint64
	acked   uint64
	id      uint64
	queue   []*vattempt
	sent    []*vattempt
	extra   []frame // cancels and pings
	stream  uint64
	taken   uint64
	buf     []byte // for faults
}

func newVclient(f fault, o Options) (*vclient, error) {
	bad := len(o.Dial) == 0 || slices.ContainsFunc(o.Dial, func(d Dial) bool { return d == nil }) || o.HedgeQuantile > 1 || !(o.HedgeQuantile >= 0)
	for _, d := range []time.Duration{o.DialTimeout, o.KeepAlive, o.Timeout, o.AttemptTimeout, o.BackoffBase, o.BackoffCap, o.BreakerOpen} {
		bad = bad || d < 0
	}
	for _, n := range []int{o.MaxMessage, o.MaxPending, o.Attempts, o.RetryReserve, o.BreakerWindow, o.BreakerProbes, o.HedgeWindow} {
		bad = bad || n < 0
	}
	if bad && !f.is("takes any options") {
		return nil, errors.New("bad options")
	}
	fill := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	fillInt := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	fill(&o.DialTimeout, 5*time.Second)
	fill(&o.KeepAlive, 15*time.Second)
	fill(&o.Timeout, 10*time.Second)
	fill(&o.BackoffBase, 50*time.Millisecond)
	fill(&o.BackoffCap, 2*time.Second)
	fillInt(&o.MaxMessage, 1<<20)
	fillInt(&o.MaxPending, 10_000)
	fillInt(&o.Attempts, 4)
	fillInt(&o.RetryReserve, 10)
	fillInt(&o.HedgeWindow, 100)
	if o.RetryRatio == 0 {
		o.RetryRatio = 0.1
	}
	c := &vclient{fault: f, o: o, backoff: vbackoff{f, o.BackoffBase, o.BackoffCap, o.Rand}, calls: map[*vcall]bool{}}
	var err error
	if c.budget, err = newVbudget(f, o.RetryRatio, o.RetryReserve); err != nil {
		return nil, err
	}
	if o.HedgeQuantile > 0 {
		c.lat, _ = newVlatencies(f, o.HedgeWindow)
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	for i, d := range o.Dial {
		b, err := newVbreaker(f, BreakerOptions{Window: o.BreakerWindow, Ratio: o.BreakerRatio, Open: o.BreakerOpen, Probes: o.BreakerProbes})
		if err != nil {
			return nil, err
		}
		c.ends = append(c.ends, &vend{c: c, i: i, dial: d, breaker: b, cond: sync.NewCond(&c.mu)})
	}
	for _, e := range c.ends {
		c.all.Go(e.run)
	}
	return c, nil
}

// do runs f with the lock, and then what f has left to do without it.
func (c *vclient) do(f func()) {
	c.mu.Lock()
	f()
	after := c.after
	c.after = nil
	if c.is("callbacks under the lock") {
		defer c.mu.Unlock()
	} else {
		c.mu.Unlock()
	}
	for _, a := range after {
		a()
	}
}

func (c *vclient) Go(r Request) Future {
	x := &vcall{c: c, req: r, done: make(chan struct{}), began: time.Now()}
	most := c.o.MaxPending
	if c.is("one more is pending") {
		most++
	}
	if c.is("pending has no bound") {
		most = math.MaxInt
	}
	c.do(func() {
		switch {
		case c.closed && !c.is("accepts after Close"):
			c.tell(x, nil, errClosed)
			return
		case (len(r.Key) > 255 || 22+len(r.Key)+len(r.Body) > c.o.MaxMessage) && !c.is("takes calls of any size"):
			c.tell(x, nil, errTooLarge)
			return
		case len(c.calls) >= most:
			c.tell(x, nil, errFull)
			return
		}
		c.n.Calls++
		c.calls[x] = true
		c.budget.Earn()
		d := r.Timeout
		if d == 0 {
			d = c.o.Timeout
		}
		x.deadline = x.began.Add(d)
		if !c.is("no timeout") {
			x.later(d, func() {
				if c.is("leaves a pending entry at a timeout") {
					for _, a := range x.live {
						a.at.breaker.Failed(a.pass)
					}
					x.live = nil
				}
				c.finish(x, nil, errTimeout)
			})
		}
		x.tries = 1
		if !c.launch(x, nil) {
			if c.is("a call that finds the breaker open stays pending") {
				c.tell(x, nil, errOpen)
				return
			}
			c.finish(x, nil, errOpen)
			return
		}
		c.hedgeLater(x)
	})
	if c.is("a goroutine for each call") {
		go func() { <-x.done }()
	}
	return x
}

// later does f after d, unless the call is over then.
func (x *vcall) later(d time.Duration, f func()) {
	x.timers = append(x.timers, time.AfterFunc(d, func() {
		x.c.do(func() {
			if !x.over {
				f()
			}
		})
	}))
}

func (c *vclient) hedgeLater(x *vcall) {
	if c.lat == nil || !x.req.Safe && !(c.is("hedges what has a key") && x.req.Key != "") && !c.is("hedges what is not safe") {
		return
	}
	d, ok := c.lat.Quantile(c.o.HedgeQuantile)
	if !ok {
		return
	}
	if c.is("hedges at once") {
		d = 0
	}
	x.later(d, func() {
		if len(x.live) == 0 || x.tries > 1 {
			return
		}
		if !c.is("hedges cost nothing") && !c.budget.Spend() {
			c.n.Denied++
			return
		}
		avoid := x.live[0].at
		if c.is("hedges to the same endpoint") {
			avoid = c.ends[(x.live[0].at.i+1)%len(c.ends)]
		}
		if c.launch(x, avoid) {
			if c.is("hedges are attempts") {
				x.tries++
			}
			c.n.Hedges++
		}
	})
}

func (c *vclient) launch(x *vcall, avoid *vend) bool {
	e, pass := c.choose(x, avoid)
	if e == nil {
		return false
	}
	a := &vattempt{call: x, at: e, pass: pass, began: time.Now()}
	x.live = append(x.live, a)
	x.last = e
	unsafe := !x.req.Safe && x.req.Key == ""
	if c.o.AttemptTimeout > 0 && !c.is("never repeats") && (!unsafe || c.is("repeats what is unsafe, after a timeout")) {
		a.timer = time.AfterFunc(c.o.AttemptTimeout, func() {
			c.do(func() {
				if a.over || x.over {
					return
				}
				e.breaker.Failed(a.pass)
				c.stop(a, true)
				c.again(x, errTimeout)
			})
		})
	}
	e.queue = append(e.queue, a)
	e.cond.Signal()
	return true
}

func (c *vclient) choose(x *vcall, avoid *vend) (*vend, uint64) {
	allow := func(e *vend) (uint64, bool) {
		if c.is("no breaker in the client") {
			return 0, true
		}
		return e.breaker.Allow()
	}
	if x.pinned != nil {
		if pass, ok := allow(x.pinned); ok {
			return x.pinned, pass
		}
		return nil, 0
	}
	if c.is("one endpoint only") {
		pass, ok := allow(c.ends[0])
		if !ok {
			return nil, 0
		}
		return c.ends[0], pass
	}
	order := slices.Clone(c.ends)
	if avoid == nil {
		c.turn++
	}
	for range c.turn % len(order) {
		order = append(order[1:], order[0])
	}
	slices.SortStableFunc(order, func(a, b *vend) int { return c.rank(a, avoid) - c.rank(b, avoid) })
	for _, e := range order {
		if pass, ok := allow(e); ok {
			return e, pass
		}
	}
	return nil, 0
}

func (c *vclient) rank(e, avoid *vend) int {
	switch {
	case c.is("sends to who is not connected"):
		return 0
	case !e.ready:
		return 2
	case e == avoid && !c.is("retries where it failed"):
		return 1
	}
	if c.is("retries where it failed") && avoid != nil && e != avoid {
		return 1
	}
	return 0
}

// stop ends an attempt.
func (c *vclient) stop(a *vattempt, tell bool) {
	a.over = true
	if a.timer != nil {
		a.timer.Stop()
	}
	e := a.at
	if tell && e.ready && slices.Contains(e.sent, a) && !c.is("a cancel is not told") {
		e.extra = append(e.extra, frame{kind: cancel, id: a.id})
		e.cond.Signal()
	}
	remove := func(o *vattempt) bool { return o == a }
	e.sent = slices.DeleteFunc(e.sent, remove)
	if !c.is("a cancelled call is sent all the same") {
		e.queue = slices.DeleteFunc(e.queue, remove)
	}
	a.call.live = slices.DeleteFunc(a.call.live, remove)
}

// again decides what becomes of a call whose attempt has failed.
func (c *vclient) again(x *vcall, why error) {
	if why == errBusy && c.is("a refusal ends the doubt") {
		x.doubt = nil
	} else if why != errBusy && !(len(x.live) > 0 && c.is("the last copy decides alone")) {
		x.doubt = why
	}
	if len(x.live) > 0 && !c.is("a refused copy ends its call") {
		return
	}
	may := x.doubt == nil || x.req.Safe || x.req.Key != ""
	switch {
	case why == errUnknown && c.is("nothing is repeated in a new session"):
		may = false
	case why == errUnknown && c.is("repeats what is unsafe, after a lost session"), c.is("repeats what is unsafe, after a timeout"):
		may = true
	}
	if x.doubt != nil {
		why = x.doubt
	}
	most := c.o.Attempts
	if c.is("one attempt too many") {
		most++
	}
	if c.is("one attempt too few") {
		most--
	}
	x.err = why
	d := c.backoff.Delay(x.tries - 1)
	if c.is("retries at once") {
		d = 0
	}
	if x.tries >= most && c.is("spends before it counts the attempts") || !may && c.is("spends on what may not be repeated") {
		c.budget.Spend()
	}
	if c.is("spends before it looks at the time") && may && x.tries < most && !c.budget.Spend() {
		c.n.Denied++
		c.finish(x, nil, why)
		return
	}
	late := !time.Now().Add(d).Before(x.deadline) && !c.is("waits beyond the deadline")
	if !may || x.tries >= most || late {
		c.finish(x, nil, why)
		return
	}
	if !c.is("spends before it looks at the time") && !c.is("retries cost nothing") && !c.budget.Spend() {
		c.n.Denied++
		c.finish(x, nil, why)
		return
	}
	x.later(d, func() {
		x.tries++
		c.n.Retries++
		if c.launch(x, x.last) {
			return
		}
		if c.is("retries do not ask the breaker") {
			a := &vattempt{call: x, at: x.last}
			x.live = append(x.live, a)
			x.last.queue = append(x.last.queue, a)
			x.last.cond.Signal()
			return
		}
		if c.is("an open breaker ends the doubt") {
			x.err = errOpen
		}
		c.finish(x, nil, x.err)
	})
}

func (c *vclient) finish(x *vcall, body []byte, err error) {
	for _, a := range slices.Clone(x.live) {
		switch {
		case err == errTimeout, err == nil && c.is("who loses to a hedge has failed"), c.is("a cancelled call is a failure") && errors.Is(err, context.Canceled):
			a.at.breaker.Failed(a.pass)
		default:
			a.at.breaker.Dropped(a.pass)
		}
		c.stop(a, !(c.is("the loser goes on") && err == nil) && !(c.is("timeouts are not told") && err == errTimeout))
	}
	for _, t := range x.timers {
		t.Stop()
	}
	delete(c.calls, x)
	c.tell(x, body, err)
}

func (c *vclient) tell(x *vcall, body []byte, err error) {
	if x.over {
		c.after = append(c.after, x.was...) // only with a fault
		return
	}
	x.over, x.body, x.result = true, body, err
	c.after = append(c.after, func() {
		close(x.done)
		call := func() { c.callBack(x) }
		if c.is("callbacks under the lock") {
			call()
			for _, t := range c.after {
				t()
			}
			c.after = nil
			return
		}
		c.do(call)
	})
}

// callBack has the callbacks run, and then those that came meanwhile. mu is held.
func (c *vclient) callBack(x *vcall) {
	if len(x.then) == 0 || c.is("who comes late overtakes") {
		x.told = true
	}
	c.after = append(c.after, x.then...)
	x.was, x.then = append(x.was, x.then...), nil
	if !x.told {
		c.after = append(c.after, func() { c.do(func() { c.callBack(x) }) })
	}
}

func (x *vcall) Wait(ctx context.Context) ([]byte, error) {
	if x.c.is("Wait has no context") {
		ctx = context.Background()
	}
	select {
	case <-x.done:
		return x.body, x.result
	case <-ctx.Done():
	}
	return nil, ctx.Err()
}

func (x *vcall) Then(post func(func()) error, done func([]byte, error)) {
	run := func() {
		if post == nil || x.c.is("callbacks run anywhere") {
			done(x.body, x.result)
			return
		}
		if post(func() { done(x.body, x.result) }) != nil && x.c.is("a callback runs all the same") {
			done(x.body, x.result)
		}
	}
	x.c.do(func() {
		if !x.told {
			x.then = append(x.then, run)
			return
		}
		if !x.c.is("a late callback is forgotten") {
			x.c.after = append(x.c.after, run)
		}
	})
}

func (x *vcall) Cancel() {
	x.c.do(func() {
		if !x.over && !(len(x.live) == 0 && x.c.is("who waits for a retry cannot be cancelled")) {
			x.c.finish(x, nil, context.Canceled)
		}
	})
}

func (c *vclient) Do(ctx context.Context, r Request) ([]byte, error) {
	if at, ok := ctx.Deadline(); ok && !c.is("Do does not look at its context's deadline") {
		if d := max(1, time.Until(at)); r.Timeout == 0 && d < c.o.Timeout || d < r.Timeout || c.is("Do has all of its context's time") {
			r.Timeout = d
		}
	}
	f := c.Go(r)
	body, err := f.Wait(ctx)
	if ctx.Err() != nil && !c.is("Do does not cancel") {
		f.Cancel()
	}
	return body, err
}

func (c *vclient) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.n
	n.Pending = len(c.calls)
	for _, e := range c.ends {
		n.Unanswered += len(e.queue) + len(e.sent)
	}
	return n
}

func (c *vclient) Close() error {
	c.do(func() {
		c.closed = true
		for x := range c.calls {
			if c.is("Close leaves futures") || c.is("Close leaves those in their backoff") && len(x.live) == 0 {
				continue
			}
			c.finish(x, nil, errClosed)
		}
		for _, e := range c.ends {
			if e.conn != nil {
				e.conn.Close()
			}
		}
		if !c.is("Close does not end a dial") {
			c.cancel()
		}
	})
	if !c.is("Close does not wait") {
		c.all.Wait()
	}
	return nil
}

// run keeps a connection.
func (e *vend) run() {
	c, failures := e.c, 0
	for c.ctx.Err() == nil {
		if e.once() && !c.is("the backoff never begins anew") {
			failures = 0
		}
		c.mu.Lock()
		pause := c.backoff.Delay(failures)
		closed := c.closed
		c.mu.Unlock()
		failures++
		if c.is("reconnects at once") {
			pause = time.Millisecond / 4
		}
		if closed && c.is("Close does not end a dial") {
			return
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-c.ctx.Done():
			t.Stop()
		}
	}
}

func (e *vend) once() (useful bool) {
	c := e.c
	ctx, cancel := context.WithTimeout(c.ctx, c.o.DialTimeout)
	defer cancel()
	conn, err := e.dial(ctx)
	if err != nil {
		return false
	}
	defer conn.Close()
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return false
	}
	e.conn = conn
	h := frame{kind: hello, status: 1, id: e.session, last: e.push}
	if c.is("hello forgets the last push") {
		h.last = 0
	}
	early := c.is("calls before the welcome")
	c.mu.Unlock()
	if _, err := conn.Write(h.encode()); err != nil {
		return false
	}
	slow := time.AfterFunc(c.o.DialTimeout, func() {
		if !c.is("waits for a welcome for ever") {
			conn.Close()
		}
	})
	in := bufio.NewReader(conn)
	stopped := make(chan struct{})
	if early {
		c.do(func() { e.begin(frame{kind: welcome, id: 1}) })
		go e.write(conn, stopped)
	}
	w, err := limited(in, c.o.MaxMessage)
	if !slow.Stop() || err != nil || w.kind != welcome {
		if early {
			conn.Close()
			c.do(func() { e.conn, e.ready = nil, false; e.cond.Broadcast() })
			<-stopped
		}
		return false
	}
	if c.is("the handshake's time goes on") {
		conn.SetWriteDeadline(time.Now().Add(c.o.DialTimeout))
	}
	if !early {
		c.do(func() { e.begin(w) })
		go e.write(conn, stopped)
	}
	useful = e.read(conn, in)
	conn.Close()
	c.do(func() { e.conn, e.ready = nil, false; e.cond.Broadcast() })
	if !c.is("counts before the writer has stopped") {
		<-stopped
	}
	c.do(e.lost)
	return useful || c.is("a welcome is a success")
}

// begin is called with the lock, when the server has welcomed.
func (e *vend) begin(w frame) {
	c := e.c
	if w.status == 0 {
		had := e.session != 0 || c.is("the first session is a reset")
		e.session, e.push = w.id, 0
		if had && c.o.OnReset != nil && !c.is("resets are not told") {
			if c.is("resets under the lock") {
				c.o.OnReset(e.i)
			} else {
				c.after = append(c.after, func() { c.o.OnReset(e.i) })
			}
		}
		if c.is("ids begin anew with each session") {
			e.id = 0
		}
		for _, a := range slices.Concat(e.sent, e.queue) {
			switch {
			case a.over, a.id != 0 && !slices.Contains(e.sent, a) && c.is("what waits to be asked again was never sent"):
			case a.left:
				if c.is("a lost session is no failure") {
					e.breaker.Dropped(a.pass)
				} else {
					e.breaker.Failed(a.pass)
				}
				c.stop(a, false)
				c.again(a.call, errUnknown)
			default:
				a.unsend()
			}
		}
	}
	if c.is("ids begin anew with each connection") {
		e.id = 0
	}
	if c.is("new ids in a resumed session") || c.is("ids begin anew with each connection") {
		for _, a := range e.sent {
			a.id = 0
		}
	}
	if c.is("asking again costs a token") {
		for range e.sent {
			c.n.Retries++
		}
	}
	if c.is("the newest is asked again first") {
		slices.Reverse(e.sent)
	}
	if c.is("what is new goes first") {
		e.queue = append(e.queue, e.sent...)
	} else {
		e.queue = append(e.sent, e.queue...)
	}
	e.sent = nil
	e.acked, e.stream, e.taken, e.extra, e.ready = e.push, 0, 0, nil, true
	c.n.Connects++
	for _, o := range c.ends {
		if !o.ready && !c.is("what waits stays where it waits") {
			o.leave()
		}
	}
}

// lost is called with the lock, when the connection is over.
func (e *vend) lost() {
	c := e.c
	for _, a := range e.sent {
		a.left = a.left && !c.is("what an earlier connection took is forgotten") || a.end <= e.taken || c.is("what was cut is unknown")
		if c.is("what was written is sent again") {
			a.left = false
		}
	}
	if c.is("forgets at a lost connection") {
		for _, a := range slices.Clone(e.sent) {
			e.breaker.Failed(a.pass)
			c.stop(a, false)
			c.again(a.call, errUnknown)
		}
	}
	e.leave()
}

// unsend makes an attempt one that was never sent.
func (a *vattempt) unsend() {
	a.id = 0
	if a.pins {
		a.pins, a.call.pinned = false, nil
	}
}

// leave moves what never left to somebody who is connected.
func (e *vend) leave() {
	for _, a := range slices.Concat(e.sent, e.queue) {
		stays := a.call.pinned != nil && !a.pins && !e.c.is("a key goes where there is a connection")
		if a.left || a.over || stays || a.pins && e.c.is("a key stays where it never came") {
			continue
		}
		for _, o := range e.c.ends {
			if o == e || !o.ready {
				continue
			}
			pass, ok := o.breaker.Allow()
			if !ok {
				continue
			}
			if !e.c.is("a probe that moves keeps its place") {
				e.breaker.Dropped(a.pass)
			}
			remove := func(b *vattempt) bool { return a == b }
			e.sent, e.queue = slices.DeleteFunc(e.sent, remove), slices.DeleteFunc(e.queue, remove)
			id := a.id
			a.unsend()
			if e.c.is("an id goes along to another endpoint") {
				a.id = id
			}
			a.at, a.pass = o, pass
			o.queue = append(o.queue, a)
			o.cond.Signal()
			break
		}
	}
}

// write sends frames until the connection is over.
func (e *vend) write(conn net.Conn, stopped chan struct{}) {
	defer close(stopped)
	c := e.c
	for {
		c.mu.Lock()
		var b []byte
		for {
			if e.conn != conn {
				c.mu.Unlock()
				return
			}
			if b = e.compose(); len(b) > 0 {
				break
			}
			e.cond.Wait()
		}
		c.mu.Unlock()
		n, err := conn.Write(b)
		c.mu.Lock()
		if err == nil || !c.is("a write that fails has written nothing") {
			e.taken += uint64(n)
		}
		c.mu.Unlock()
		if err != nil {
			conn.Close()
			return
		}
	}
}

func (e *vend) compose() (b []byte) {
	c := e.c
	if e.acked < e.push && !c.is("never acknowledges") {
		e.acked = e.push
		b = append(b, frame{kind: ack, id: e.push}.encode()...)
	}
	for _, f := range e.extra {
		b = append(b, f.encode()...)
	}
	e.extra = nil
	for len(e.queue) > 0 && len(b) < 30_000 {
		if c.is("one call at a time") && len(e.sent) > 0 {
			break
		}
		a := e.queue[0]
		e.queue = e.queue[1:]
		if a.id == 0 {
			e.id++
			a.id = e.id
		} else {
			c.n.Resent++
		}
		if c.is("an old id for a new attempt") && a.call.tries > 1 {
			a.id--
		}
		c.n.Sent++
		if !a.over {
			e.sent = append(e.sent, a)
		}
		x := a.call
		if x.req.Key != "" && !x.req.Safe && x.pinned == nil && !c.is("keys go anywhere") {
			x.pinned, a.pins = e, true
		}
		f := frame{kind: call, id: a.id, last: a.id, left: uint32(min(max(1, time.Until(x.deadline).Milliseconds()), math.MaxUint32)), key: x.req.Key, body: string(x.req.Body)}
		if len(e.sent) > 0 && !c.is("settles what is not answered") {
			f.last = e.sent[0].id
		}
		switch {
		case c.is("never settles"):
			f.last = 0
		case c.is("the deadline is not told"), c.is("the article"):
			f.left = 0
		case c.is("the deadline is told as it was"):
			f.left = uint32(x.deadline.Sub(x.began).Milliseconds())
		case c.is("a key is not sent again") && x.tries > 1:
			f.key = ""
		}
		b = append(b, f.encode()...)
		a.end = e.stream + uint64(len(b))
		if c.is("each write is counted from its beginning") {
			a.end = uint64(len(b))
		}
	}
	e.stream += uint64(len(b))
	return b
}

// read acts on frames until the connection is over.
func (e *vend) read(conn net.Conn, in *bufio.Reader) (useful bool) {
	c, asked := e.c, false
	var silence *time.Timer
	c.mu.Lock() // silence is read with it
	silence = time.AfterFunc(c.o.KeepAlive, func() {
		c.do(func() {
			if c.is("never asks") {
				return
			}
			if asked && !c.is("asks for ever") || c.is("gives up without asking") {
				conn.Close()
				return
			}
			asked = true
			e.extra = append(e.extra, frame{kind: ping})
			e.cond.Signal()
			silence.Reset(c.o.KeepAlive)
		})
	})
	c.mu.Unlock()
	defer silence.Stop()
	most := c.o.MaxMessage
	if c.is("a frame must fit into the buffer") {
		most = min(most, 64<<10)
	}
	for {
		f, err := limited(in, most)
		if err != nil {
			return useful
		}
		useful = true
		ok := true
		c.do(func() {
			asked = false
			silence.Reset(c.o.KeepAlive)
			ok = e.act(f)
		})
		if !ok {
			return useful
		}
	}
}

func (e *vend) act(f frame) bool {
	c := e.c
	switch f.kind {
	case pong:
		return true
	case push:
		again := f.id <= e.push && !c.is("pushes twice")
		if again {
			return true
		}
		if f.id > e.push+1 && !c.is("a gap is no matter") {
			return false
		}
		e.push = max(e.push, f.id)
		e.cond.Signal()
		switch body := []byte(f.body); {
		case c.o.OnPush == nil:
		case c.is("pushes under the lock"):
			c.o.OnPush(e.i, body)
		default:
			if c.is("a push is part of the buffer") {
				e.buf = append(e.buf[:0], body...)
				body = e.buf
			}
			c.after = append(c.after, func() { c.o.OnPush(e.i, body) })
		}
		return true
	case reply:
	default:
		return false
	}
	i := slices.IndexFunc(e.sent, func(a *vattempt) bool { return a.id == f.id })
	list := e.sent
	if i < 0 {
		i = slices.IndexFunc(e.queue, func(a *vattempt) bool { return a.id == f.id && a.id != 0 })
		list = e.queue
	}
	if c.is("answers in order") && len(e.sent) > 0 {
		i, list = 0, e.sent
	}
	if i < 0 {
		c.n.Stray++
		return !c.is("a stray answer ends the connection")
	}
	a := list[i]
	x := a.call
	if c.is("an answer stays in the map") {
		x.live = nil
	} else {
		c.stop(a, false)
	}
	switch f.status {
	case done, failed:
		if f.status == failed && c.is("errors of the handler are failures") {
			e.breaker.Failed(a.pass)
		} else {
			e.breaker.Succeeded(a.pass)
		}
		if c.lat != nil {
			began := x.began
			if c.is("the winner's latency") {
				began = a.began
			}
			c.lat.Observe(time.Since(began))
		}
		switch {
		case f.status == done && c.is("an answer is part of the buffer"):
			e.buf = append(e.buf[:0], f.body...)
			c.finish(x, e.buf, nil)
		case f.status == done:
			c.finish(x, []byte(f.body), nil)
		case c.is("repeats the handler's errors"):
			c.again(x, &vremote{f.body})
		default:
			c.finish(x, nil, &vremote{f.body})
		}
	case expired:
		e.breaker.Failed(a.pass)
		c.finish(x, nil, errTimeout)
	case busy:
		if c.lat != nil && c.is("a refusal is a latency") {
			c.lat.Observe(time.Since(x.began))
		}
		switch {
		case c.is("busy is a failure"):
			e.breaker.Failed(a.pass)
		case c.is("busy is a success"):
			e.breaker.Succeeded(a.pass)
		default:
			e.breaker.Dropped(a.pass)
		}
		c.again(x, errBusy)
	case unknown:
		e.breaker.Dropped(a.pass)
		switch {
		case c.is("an answer that is forgotten is waited for"):
			x.live = append(x.live, a)
			a.over = false
			e.sent = append(e.sent, a)
		case c.is("what is forgotten is done again"):
			c.again(x, errBusy)
		default:
			c.again(x, errUnknown)
		}
	default:
		return false
	}
	return true
}
