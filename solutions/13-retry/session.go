package retry

import (
	"context"
	"net"
	"time"
)

// endpoint is one server, the session with it, and at most one connection at a
// time. The session outlives its connections.
type endpoint struct {
	c       *Client // immutable, as the next four
	index   int
	dial    Dial
	breaker *Breaker
	wake    chan struct{} // has room for one: there is something to write

	// Guarded by c.mu.
	conn     net.Conn // nil while there is none
	session  uint64   // 0 before the first
	lastPush uint64   // received in session
	acked    uint64   // of it, acknowledged
	lastID   uint64   // of a call; goes on over sessions, so that no answer finds the wrong call
	queue    attempts // to be sent
	flying   attempts // sent in conn, or in its predecessor, and not answered
	byID     map[uint64]*attempt
	cancels  []uint64 // to be sent
	ping     bool     // to be sent
	composed uint64   // bytes handed to conn's writer
	written  uint64   // of these, bytes that conn has taken
}

func newEndpoint(c *Client, i int, dial Dial) (*endpoint, error) {
	b, err := NewBreaker(BreakerOptions{Window: c.o.BreakerWindow, Ratio: c.o.BreakerRatio, Open: c.o.BreakerOpen, Probes: c.o.BreakerProbes})
	return &endpoint{c: c, index: i, dial: dial, breaker: b, wake: make(chan struct{}, 1), byID: map[uint64]*attempt{}}, err
}

// run keeps a connection until the client is closed. Between two of them there
// is a backoff, the first time too: the server that was restarted has a thousand
// other clients. A connection over which nothing came counts as a failure.
func (e *endpoint) run() {
	for failures := 0; e.c.ctx.Err() == nil; failures++ {
		if e.once() {
			failures = 0
		}
		e.c.mu.Lock()
		pause := e.c.backoff.Delay(failures)
		e.c.mu.Unlock()
		select {
		case <-time.After(pause):
		case <-e.c.ctx.Done():
		}
	}
}

// once is the life of one connection. useful says that more came over it than
// the handshake.
func (e *endpoint) once() (useful bool) {
	conn, in, welcome, err := e.connect()
	if err != nil {
		return false
	}
	defer conn.Close()
	forgotten, ok := e.begin(conn, welcome)
	if !ok {
		return false
	}
	if forgotten && e.c.o.OnReset != nil {
		e.c.o.OnReset(e.index)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		e.write(conn, stop)
	}()
	useful = e.read(conn, in)
	conn.Close()
	close(stop)
	<-stopped // now written is final
	e.lost()
	return useful
}

// welcome is the server's answer to a hello.
type welcome struct {
	session uint64
	resumed bool
}

// connect dials and shakes hands, within DialTimeout.
func (e *endpoint) connect() (net.Conn, *frames, welcome, error) {
	ctx, cancel := context.WithTimeout(e.c.ctx, e.c.o.DialTimeout)
	defer cancel()
	conn, err := e.dial(ctx)
	if err != nil {
		return nil, nil, welcome{}, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	in := &frames{conn: conn, most: e.c.o.MaxMessage}
	w, err := e.shake(conn, in)
	if !stop() || err != nil {
		conn.Close()
		return nil, nil, welcome{}, errMalformed
	}
	return conn, in, w, nil
}

func (e *endpoint) shake(conn net.Conn, in *frames) (w welcome, err error) {
	e.c.mu.Lock()
	hello := append(begin(nil, kindHello), protocolVersion)
	hello = order.AppendUint64(hello, e.session)
	hello = end(order.AppendUint64(hello, e.lastPush), 0)
	e.c.mu.Unlock()
	if _, err := conn.Write(hello); err != nil {
		return w, err
	}
	for {
		payload, ok, err := in.next()
		switch {
		case err != nil:
			return w, err
		case ok && (len(payload) != 10 || payload[0] != kindWelcome || payload[9] > 1):
			return w, errMalformed
		case ok:
			return welcome{order.Uint64(payload[1:]), payload[9] == 1}, nil
		}
		if err := in.fill(); err != nil {
			return w, err
		}
	}
}

// begin makes conn the endpoint's connection. In a resumed session the server
// knows the ids that it has seen: all that is not answered is sent again, with
// the id it had. In a new one only what never left is simply sent; the rest has
// failed, and retry.go decides.
func (e *endpoint) begin(conn net.Conn, w welcome) (forgotten, ok bool) {
	c := e.c
	c.mu.Lock()
	defer c.unlock()
	if c.closed || w.resumed && w.session != e.session {
		return false, false
	}
	if !w.resumed {
		forgotten = e.session != 0
		e.session, e.lastPush = w.session, 0
		e.forget()
	}
	e.queue.prepend(&e.flying)
	e.conn, e.acked = conn, e.lastPush
	e.composed, e.written, e.cancels, e.ping = 0, 0, nil, false
	c.stats.Connects++
	e.kick()
	for _, other := range c.endpoints {
		if other.conn == nil {
			other.leave() // what waited there for a connection has one
		}
	}
	return forgotten, true
}

// forget ends what belongs to a session that is gone. mu is held.
func (e *endpoint) forget() {
	for _, list := range [...]*attempts{&e.flying, &e.queue} {
		for _, a := range list.all() {
			f := a.f
			if a.left {
				e.breaker.Failed(a.pass)
				e.c.remove(a)
				e.c.again(f, ErrUnknown)
			} else {
				e.unsend(a)
			}
		}
	}
}

// unsend makes an attempt that never left one that was never sent. mu is held.
func (e *endpoint) unsend(a *attempt) {
	delete(e.byID, a.id)
	a.id, a.end = 0, 0
	if a.pins {
		a.pins, a.f.pinned = false, nil
	}
}

// lost ends the connection. What may have been done waits for the session to be
// resumed; what never left need not, if another endpoint takes it.
func (e *endpoint) lost() {
	c := e.c
	c.mu.Lock()
	defer c.unlock()
	e.conn = nil
	for a := e.flying.first; a != nil; a = a.next {
		a.left = a.left || a.end <= e.written
	}
	e.leave()
}

// leave has what never left go elsewhere: e has no connection. But not when an
// earlier attempt has left the call's key here. mu is held.
func (e *endpoint) leave() {
	for _, list := range [...]*attempts{&e.flying, &e.queue} {
		for _, a := range list.all() {
			if !a.left && (a.f.pinned == nil || a.pins) {
				e.move(a)
			}
		}
	}
}

// move has an attempt go to an endpoint that is connected. Where there is none it
// stays. mu is held.
func (e *endpoint) move(a *attempt) {
	for _, to := range e.c.endpoints {
		if to.conn == nil {
			continue
		}
		pass, ok := to.breaker.Allow()
		if !ok {
			continue
		}
		e.breaker.Dropped(a.pass)
		e.unsend(a)
		a.in.remove(a)
		a.e, a.pass = to, pass
		to.queue.pushBack(a)
		to.kick()
		return
	}
}

// hangUp ends the connection, whose reader does the rest. mu is held.
func (e *endpoint) hangUp() {
	if e.conn != nil {
		e.conn.Close()
	}
}

// kick wakes the writer. It never blocks.
func (e *endpoint) kick() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}
