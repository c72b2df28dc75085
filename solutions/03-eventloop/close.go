package eventloop

import (
	"log"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

const (
	lingerPoll = 10 * time.Millisecond // how often it is asked whether peers have acknowledged
	lingerMax  = 5 * time.Second       // after Close, not in a Shutdown, which has a context
)

// Close sends what is queued and then closes the connection; OnClose gets nil.
// Nothing is received any more. It returns at once and always nil; OnClose
// follows when the peer's kernel has acknowledged the last byte, or 5 s after
// it was handed to ours. A peer that takes nothing holds up what is queued for
// as long as it likes: bound that with AfterFunc and Abort. Any goroutine, any
// number of times.
func (c *Conn) Close() error {
	c.end(nil)
	return nil
}

// Abort closes the connection without sending what is queued; OnClose gets err.
// It also cuts short a Close that is still sending. It returns at once. Any
// goroutine, any number of times: the first one's err counts.
func (c *Conn) Abort(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.abort(err)
}

// abort is Abort. The caller holds mu.
func (c *Conn) abort(err error) {
	if c.aborted {
		return
	}
	c.aborted, c.cause = true, err
	c.ended.Store(true)
	c.askForFlush()
}

// end closes the connection when what is queued is sent; OnClose gets cause.
// The first end counts.
func (c *Conn) end(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended.Load() {
		return
	}
	c.cause = cause
	c.ended.Store(true)
	c.askForFlush()
}

// abortOnPanic, deferred around a callback, turns a panic into an Abort.
func (c *Conn) abortOnPanic() {
	if v := recover(); v != nil {
		c.Abort(&PanicError{Value: v, Stack: debug.Stack()})
	}
}

// finish closes a connection that has sent everything, with as much patience as
// the bytes in flight need.
//
// A close with unread bytes in the receive queue, or bytes that arrive after
// it, makes the kernel send RST, and RST throws away the replies that are still
// in our send queue. So, unless the peer has ended its direction: SHUT_WR, then
// read and discard, until it does, or its kernel has acknowledged all we sent.
func (l *Loop) finish(c *Conn) {
	c.in = nil
	if c.eof {
		l.teardown(c, c.reason())
		return
	}
	unix.Shutdown(c.fd, unix.SHUT_WR)
	if unacknowledged(c.fd) == 0 {
		l.teardown(c, c.reason())
		return
	}
	c.phase = lingering
	c.readable = true // there may be bytes that were not to be read before
	if len(l.lingering) == 0 {
		l.startTimer(lingerPoll, l.pollLingering)
	}
	l.lingering = append(l.lingering, lingerer{c, time.Now().Add(lingerMax)})
}

// lingerer is a connection in phase lingering, or closed since.
type lingerer struct {
	c     *Conn
	until time.Time // but for as long as Shutdown's context says
}

func (g lingerer) done(now time.Time, draining bool) bool {
	return unacknowledged(g.c.fd) == 0 || !draining && now.After(g.until)
}

// pollLingering closes the connections whose last byte is acknowledged: the
// kernel announces no such event.
func (l *Loop) pollLingering() {
	now, still := time.Now(), l.lingering[:0]
	for _, g := range l.lingering {
		if g.c.phase == lingering && g.done(now, l.draining) {
			l.teardown(g.c, g.c.reason())
		}
		if g.c.phase == lingering {
			still = append(still, g)
		}
	}
	clear(l.lingering[len(still):])
	l.lingering = still
	if len(still) > 0 {
		l.startTimer(lingerPoll, l.pollLingering)
	}
}

// discard reads once and throws away, and closes at the peer's end.
func (l *Loop) discard(c *Conn) {
	n, err := read(c.fd, l.buf)
	switch {
	case err == unix.EAGAIN:
		c.readable = false
	case n == 0 || err != nil && err != unix.EINTR:
		l.teardown(c, c.reason())
	}
}

func (c *Conn) reason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause
}

// teardown closes the descriptor and calls OnClose, once. Nothing is sent any
// more. Only the loop's own code calls it, never a callback, so no connection
// vanishes under one.
func (l *Loop) teardown(c *Conn, err error) {
	if c.phase == closed {
		return
	}
	c.phase = closed
	l.conns[c.fd] = nil
	l.open--
	// A close removes fd from epoll by itself only if nobody holds a duplicate.
	l.control(unix.EPOLL_CTL_DEL, c.fd, 0, 0)
	unix.Close(c.fd) // not repeated on EINTR: Linux has closed it (close(2))
	c.fd = -1
	c.dropQueues()
	l.resumeAccept()
	l.callOnClose(c, err)
}

func (c *Conn) dropQueues() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended.Store(true)
	c.in, c.rest, c.out = nil, nil, nil
	c.queued.Store(0)
}

// callOnClose survives a panic, which has no connection left to close.
func (l *Loop) callOnClose(c *Conn, err error) {
	defer func() {
		if v := recover(); v != nil {
			log.Printf("eventloop: panic in OnClose: %v\n%s", v, debug.Stack())
		}
	}()
	if l.opts.OnClose != nil {
		l.opts.OnClose(c, err)
	}
}

// arrived is the number of bytes in fd's receive queue (SIOCINQ, tcp(7)).
func arrived(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.SIOCINQ)
	if err != nil {
		return 0
	}
	return n
}

// unacknowledged is the number of bytes in fd's send queue that the peer's
// kernel has not acknowledged, our FIN included (SIOCOUTQ, tcp(7)).
func unacknowledged(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	if err != nil {
		return 0
	}
	return n
}
