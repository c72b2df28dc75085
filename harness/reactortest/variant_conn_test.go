package reactortest

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// vconn is a connection of a variant.
type vconn struct {
	l    *vloop
	fd   int
	peer net.Addr

	mu      sync.Mutex // guards the following
	queue   []byte
	refused bool
	posted  bool // a flush is in the inbox
	closing bool // Close was called: send the queue, then end
	over    bool

	// Loop goroutine only.
	in       []byte
	eof, fin bool // the peer has ended; we have
	deaf     bool // of one fault
	interest uint32
	value    any
	timeout  time.Time
	also     []time.Time // of one fault: timeouts that were replaced
	heard    time.Time
	look     time.Time   // of two faults: when to look next
	stop     func() bool // of one fault
}

var errFull = errors.New("queue full")

func (c *vconn) Send(msg []byte) error {
	_, err := c.enqueue(append(binary.BigEndian.AppendUint32(nil, uint32(len(msg))), msg...))
	return err
}

func (c *vconn) Write(p []byte) (int, error) { return c.enqueue(p) }

func (c *vconn) enqueue(p []byte) (int, error) {
	if c.l.v.fault != "no lock on the queue" {
		c.mu.Lock()
		defer c.mu.Unlock()
	}
	if c.over || c.closing {
		return 0, net.ErrClosed
	}
	if c.l.index > 0 && c.l.v.fault == "every reply is the first loop's business" {
		return len(p), nil
	}
	if len(c.queue)+len(p) > c.l.v.o.MaxQueued {
		c.refused = true
		return 0, errFull
	}
	c.queue = append(c.queue, p...)
	if c.l.v.fault == "what is sent counts as life" {
		c.l.post(func() { c.heard = time.Now() })
	}
	if c.posted && c.l.v.fault != "wakes for each Send" {
		return len(p), nil
	}
	c.posted = true
	if !c.l.post(c.flush) {
		return 0, net.ErrClosed
	}
	return len(p), nil
}

func (c *vconn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over && !c.closing {
		c.closing = true
		c.l.post(c.flush)
	}
	return nil
}

func (c *vconn) Abort(err error) { c.l.post(func() { c.end(err) }) }

func (c *vconn) RemoteAddr() net.Addr { return c.peer }

func (c *vconn) Loop() int {
	if c.l.v.fault == "Loop is always 0" {
		return 0
	}
	return c.l.index
}

func (c *vconn) SetValue(v any) { c.value = v }
func (c *vconn) Value() any     { return c.value }

func (c *vconn) Queued() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.queue)
}

func (c *vconn) SetTimeout(d time.Duration) {
	if (c.over || c.l.conns[c.fd] != c) && c.l.v.fault != "a timer fires after close" ||
		c.l.v.fault != "" && c.setWrongly(d) {
		return
	}
	if c.timeout = (time.Time{}); d > 0 {
		if c.l.v.fault == "timeouts are early" {
			d = d * 3 / 4
		}
		c.timeout = time.Now().Add(d)
		c.l.ticking = true
	}
}

// setWrongly has the faults of SetTimeout. It reports whether it has taken over.
func (c *vconn) setWrongly(d time.Duration) bool {
	due := time.Now().Add(d)
	fire := func() { c.l.v.call(c, func() { c.l.v.o.OnTimeout(c) }) }
	switch c.l.v.fault {
	case "a time.AfterFunc for each timeout":
		if c.stop != nil {
			c.stop()
		}
		if d > 0 {
			c.stop = time.AfterFunc(d, func() {
				c.l.post(func() {
					if !c.over {
						fire()
					}
				})
			}).Stop
		}
		return true
	case "OnTimeout runs on a timer's goroutine":
		if d > 0 {
			time.AfterFunc(d, fire)
		}
		return d > 0
	case "a goroutine for each timeout":
		if d > 0 {
			go func() { time.Sleep(d); c.l.post(func() {}) }()
		}
	case "timeouts are kept by descriptor":
		if d > 0 {
			c.l.byNumber[c.fd] = due
			c.l.ticking = true
		}
		return d > 0
	case "a timer fires after close":
		if d > 0 {
			time.AfterFunc(d, func() { c.l.post(fire) })
		}
		return d > 0
	case "a timeout does not take the other's place":
		if !c.timeout.IsZero() {
			c.also = append(c.also, c.timeout)
		}
	case "the earlier timeout wins":
		return d > 0 && !c.timeout.IsZero() && c.timeout.Before(due)
	case "0 does not cancel":
		return d == 0
	}
	return false
}

// tick is called every few milliseconds while l.ticking.
func (c *vconn) tick(now time.Time) {
	v := c.l.v
	if !c.timeout.IsZero() {
		c.l.ticking = true
		if now.After(c.timeout) {
			if c.timeout = (time.Time{}); v.fault == "a timeout fires again and again" {
				c.timeout = now.Add(20 * time.Millisecond)
			}
			if v.fault == "a panic in OnTimeout ends the process" {
				v.o.OnTimeout(c)
			} else {
				v.call(c, func() { v.o.OnTimeout(c) })
			}
		}
	}
	for len(c.also) > 0 && now.After(c.also[0]) {
		c.also = c.also[1:]
		v.call(c, func() { v.o.OnTimeout(c) })
	}
	if limit := v.o.IdleTimeout; limit > 0 && v.fault != "idle connections stay" {
		c.l.ticking = true
		switch {
		case v.fault != "idle is looked at once" && v.fault != "idle begins anew in full":
		case now.Before(c.look):
			return
		case v.fault == "idle is looked at once":
			c.look = now.Add(time.Hour)
		default:
			c.look = now.Add(limit)
		}
		if v.fault == "idle is early" {
			limit /= 2
		}
		if now.Sub(c.heard) > limit {
			err := errors.New("idle")
			if v.fault == "idle is no error" {
				err = nil
			}
			c.end(err)
			return
		}
	}
	if c.fin {
		c.finish()
	}
}

func (c *vconn) wants() (events uint32) {
	if !c.eof && !c.deaf {
		events = unix.EPOLLIN
	}
	if len(c.queue) > 0 {
		events |= unix.EPOLLOUT
	}
	return events
}

// rearm tells epoll what is wanted now, if that has changed.
func (c *vconn) rearm() {
	if w := c.wants(); w != c.interest && !c.over {
		c.interest = w
		to := c.l
		if c.l.v.fault == "replies go through the first loop's epoll" {
			to = c.l.v.loops[0]
		}
		to.watch(unix.EPOLL_CTL_MOD, c.fd, w)
	}
}

func (c *vconn) handle(events uint32) {
	if events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		c.read(len(c.l.buf))
	}
	c.flush()
}

// read takes what is there, at most so many bytes, and delivers it.
func (c *vconn) read(most int) {
	for most > 0 && !c.over && !c.eof {
		n, err := unix.Read(c.fd, c.l.buf[:min(most, len(c.l.buf))])
		switch {
		case err == unix.EAGAIN:
			return
		case err == unix.EINTR:
			continue
		case err != nil:
			c.end(err)
			return
		case n == 0:
			c.peerEnded()
			return
		}
		most -= n
		if c.l.v.fault != "idle counts from the opening" {
			c.heard = time.Now()
		}
		if !c.isClosing() {
			c.in = append(c.in, c.l.buf[:n]...)
			c.deliver()
		}
	}
}

func (c *vconn) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing
}

func (c *vconn) peerEnded() {
	c.eof = true
	if len(c.in) > 0 && !c.isClosing() {
		c.end(io.ErrUnexpectedEOF)
		return
	}
	c.Close()
}

func (c *vconn) deliver() {
	v := c.l.v
	if v.o.OnData != nil {
		n := 0
		v.call(c, func() { n = v.o.OnData(c, c.in) })
		c.in = c.in[n:]
		return
	}
	for len(c.in) >= 4 && !c.over {
		size := int(binary.BigEndian.Uint32(c.in))
		if size > v.o.MaxMessage {
			c.end(errors.New("message too large"))
			return
		}
		if len(c.in) < 4+size {
			return
		}
		msg := c.in[4 : 4+size]
		c.in = c.in[4+size:]
		if v.fault == "OnMessage runs on a goroutine of its own" {
			done := make(chan struct{})
			go func() { v.call(c, func() { v.o.OnMessage(c, msg) }); close(done) }()
			<-done
			continue
		}
		v.call(c, func() { v.o.OnMessage(c, msg) })
	}
}

// flush writes the queue. Its loop's goroutine only.
func (c *vconn) flush() {
	c.mu.Lock()
	c.posted = false
	if c.over {
		c.mu.Unlock()
		return
	}
	drained := false
	if len(c.queue) > 0 {
		n, err := unix.Write(c.fd, c.queue)
		if err != nil && err != unix.EAGAIN && err != unix.EINTR {
			c.mu.Unlock()
			c.end(err)
			return
		}
		if c.queue = c.queue[max(n, 0):]; len(c.queue) == 0 {
			c.queue = nil
		}
	}
	if len(c.queue) == 0 && c.refused {
		drained, c.refused = true, false
	}
	last := c.closing && len(c.queue) == 0 && !c.fin
	c.rearm()
	c.mu.Unlock()
	if drained && c.l.v.o.OnDrain != nil && c.l.v.fault != "OnDrain is forgotten" {
		c.l.v.call(c, func() { c.l.v.o.OnDrain(c) })
	}
	if last {
		c.fin = true
		unix.Shutdown(c.fd, unix.SHUT_WR)
		c.finish()
	}
}

// finish ends the connection when the peer's kernel has everything.
func (c *vconn) finish() {
	c.l.ticking = true
	unsent, err := unix.IoctlGetInt(c.fd, unix.TIOCOUTQ)
	if c.eof || err != nil || unsent == 0 {
		c.end(nil)
	}
}

// drain delivers what has arrived, and closes.
func (c *vconn) drain() {
	if n, err := unix.IoctlGetInt(c.fd, unix.TIOCINQ); err == nil {
		c.read(n)
	}
	c.Close()
	c.flush()
}

// end is where all ways lead to. Its loop's goroutine only.
func (c *vconn) end(err error) {
	c.mu.Lock()
	was := c.over
	c.over = true
	c.queue = nil
	c.mu.Unlock()
	if was {
		return
	}
	delete(c.l.conns, c.fd)
	if errors.Is(err, unix.ECONNRESET) && c.l.v.fault == "who resets is counted for ever" {
		defer c.l.open.Add(1)
	}
	unix.Close(c.fd)
	v := c.l.v
	if v.o.OnClose != nil {
		if v.fault == "OnClose runs on a goroutine of its own" {
			done := make(chan struct{})
			go func() { v.o.OnClose(c, err); close(done) }()
			<-done
		} else {
			v.call(c, func() { v.o.OnClose(c, err) })
		}
	}
	c.l.open.Add(-1)
	c.l.gone.Add(1)
}
