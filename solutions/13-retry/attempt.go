package retry

import "time"

// An attempt is one copy of a call on its way to one endpoint. Guarded by the
// client's mu, as all of this file.
type attempt struct {
	f    *Future
	e    *endpoint
	pass uint64 // of e's breaker, to be reported with once
	id   uint64 // on the wire; 0 until it is handed to a connection
	end  uint64 // where its frame ends in the connection's stream
	left bool   // its frame was taken whole by a connection: it may have been done
	pins bool   // it is the first to take the call's key to e
	over alarm

	in         *attempts // the list it is in
	prev, next *attempt  // there
}

// launch sends a copy of f's call, and reports false when no breaker lets it
// through.
func (c *Client) launch(f *Future) bool {
	e, pass, ok := c.route(f)
	if !ok {
		return false
	}
	a := &f.first
	if a.f != nil {
		a = new(attempt) // it may still be referred to
	}
	*a = attempt{f: f, e: e, pass: pass}
	f.attach(a)
	f.avoid = e
	if c.o.AttemptTimeout > 0 && f.repeatable() {
		c.ring(&a.over, alarm{kind: attemptOver, f: f, a: a}, time.Now().Add(c.o.AttemptTimeout))
	}
	e.queue.pushBack(a)
	e.kick()
	return true
}

// route chooses an endpoint: in turn among those that are connected, another one
// than the last time if there is; where none is connected, one that will be.
func (c *Client) route(f *Future) (e *endpoint, pass uint64, ok bool) {
	if e := f.pinned; e != nil {
		pass, ok := e.breaker.Allow()
		return e, pass, ok
	}
	if f.avoid == nil {
		c.turn++
	}
	for _, fits := range [...]func(e *endpoint) bool{
		func(e *endpoint) bool { return e.conn != nil && e != f.avoid },
		func(e *endpoint) bool { return e.conn != nil && e == f.avoid },
		func(e *endpoint) bool { return e.conn == nil },
	} {
		for i := range c.endpoints {
			e := c.endpoints[(c.turn+i)%len(c.endpoints)]
			if !fits(e) {
				continue
			}
			if pass, ok := e.breaker.Allow(); ok {
				return e, pass, true
			}
		}
	}
	return nil, 0, false
}

// giveUp ends an attempt whose outcome was reported. A server that may be at
// work on it is told.
func (c *Client) giveUp(a *attempt) {
	if e := a.e; a.in == &e.flying && e.conn != nil && len(e.cancels) < c.o.MaxPending {
		e.cancels = append(e.cancels, a.id)
		e.kick()
	}
	c.remove(a)
}

// remove ends an attempt whose outcome was reported.
func (c *Client) remove(a *attempt) {
	c.silence(&a.over)
	a.in.remove(a)
	delete(a.e.byID, a.id)
	a.f.detach(a)
}

func (f *Future) attach(a *attempt) {
	if f.live[0] == nil {
		f.live[0] = a
	} else {
		f.live[1] = a
	}
}

func (f *Future) detach(a *attempt) {
	if f.live[0] == a {
		f.live[0] = f.live[1]
	}
	f.live[1] = nil
}

// repeatable reports whether the call may be done again although it may have
// been done.
func (f *Future) repeatable() bool { return f.req.Safe || f.req.Key != "" }

// attempts is a list of them; an attempt is in one at most.
type attempts struct {
	first, last *attempt
	n           int
}

func (l *attempts) pushBack(a *attempt) {
	a.in, a.prev, a.next = l, l.last, nil
	if l.last == nil {
		l.first = a
	} else {
		l.last.next = a
	}
	l.last = a
	l.n++
}

func (l *attempts) remove(a *attempt) {
	if a.prev == nil {
		l.first = a.next
	} else {
		a.prev.next = a.next
	}
	if a.next == nil {
		l.last = a.prev
	} else {
		a.next.prev = a.prev
	}
	a.in, a.prev, a.next = nil, nil, nil
	l.n--
}

// prepend puts all of front before all of l.
func (l *attempts) prepend(front *attempts) {
	behind := *l
	*l = attempts{}
	for _, part := range [...]*attempts{front, &behind} {
		for a := part.first; a != nil; {
			next := a.next
			l.pushBack(a)
			a = next
		}
	}
	*front = attempts{}
}

// all is a copy, for those who change the list as they go.
func (l *attempts) all() (all []*attempt) {
	for a := l.first; a != nil; a = a.next {
		all = append(all, a)
	}
	return all
}
