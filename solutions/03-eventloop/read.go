package eventloop

import (
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

const (
	readSize     = 64 << 10 // the loop's read buffer, in bytes
	readsPerTurn = 4        // reads of one connection before others have a turn
	shortTail    = 16 << 10 // an unconsumed tail up to this is copied in front of the next read
)

// remember notes what epoll reported. An edge is told once: if it cannot be
// acted on now, this is all that is left of it.
func (c *Conn) remember(events uint32) {
	const ending = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
	if events&(unix.EPOLLIN|ending) != 0 {
		c.readable = true
	}
	if events&ending != 0 {
		c.hangup = true
	}
}

// read reads and calls back until nothing is left, the connection ends, or it
// has had its turn. flush, which follows, puts it into the ready list if there
// is more.
func (l *Loop) read(c *Conn) {
	defer c.abortOnPanic()
	for range readsPerTurn {
		switch {
		case c.phase == lingering && c.readable:
			l.discard(c)
		case !c.canRead():
			return
		case c.held:
			l.deliver(c, c.in)
		default:
			l.readOnce(c)
		}
	}
}

// wantsTurn reports whether c can make progress without a further event.
func (c *Conn) wantsTurn() bool {
	return c.canRead() || c.phase == lingering && c.readable
}

// canRead reports whether c has something to read and may read it.
func (c *Conn) canRead() bool {
	return (c.readable || c.held) && c.phase == serving && !c.ended.Load() && !c.congested()
}

// readOnce is one read(2), and the callbacks for what it brought.
func (l *Loop) readOnce(c *Conn) {
	buf, kept := l.space(c)
	buf = buf[:kept+min(len(buf)-kept, c.quota)]
	n, err := read(c.fd, buf[kept:])
	switch {
	case err == unix.EAGAIN:
		c.readable = false
	case err == unix.EINTR: // still readable
	case err != nil:
		l.teardown(c, os.NewSyscallError("read", err))
	case n == 0:
		c.peerEnded()
	default:
		c.quota -= n
		// Less than asked for means that the socket is empty (epoll(7)), which
		// saves the read that would say EAGAIN. But a FIN behind the last byte
		// shows only to a further read.
		c.readable = kept+n == len(buf) || c.hangup
		l.deliver(c, buf[:kept+n])
	}
}

// space returns a buffer whose first kept bytes are c's unconsumed tail.
//
// A short tail is copied in front of the loop's buffer, so that callbacks see
// one piece and the connection keeps only what is unconsumed. A long one, part
// of a large frame, is read behind where it is; its buffer doubles, so it is
// copied less than once on average, and holds no more than about twice what has
// really arrived, whatever a header claims.
func (l *Loop) space(c *Conn) (buf []byte, kept int) {
	if len(c.in) <= shortTail {
		return l.buf, copy(l.buf, c.in)
	}
	if cap(c.in)-len(c.in) < shortTail/2 {
		c.in = slices.Grow(c.in, len(c.in))
	}
	return c.in[:cap(c.in)], len(c.in)
}

// deliver calls back with data and keeps what was not consumed.
func (l *Loop) deliver(c *Conn, data []byte) {
	c.held = false
	n := 0
	if l.opts.OnData != nil {
		n = l.opts.OnData(c, data)
	} else {
		n = l.splitFrames(c, data)
	}
	if n < 0 || n > len(data) {
		c.end(fmt.Errorf("eventloop: OnData was given %d bytes and consumed %d", len(data), n))
		return
	}
	c.keep(data[n:])
	if c.quota == 0 && !c.held {
		c.end(nil) // Shutdown: this was all that had arrived
	}
}

// keep makes rest the connection's tail. rest may be part of the old one.
func (c *Conn) keep(rest []byte) {
	switch {
	case len(rest) == 0 || c.ended.Load():
		c.in = nil
		return
	case c.loop.opts.OnData != nil && len(rest) > c.loop.opts.MaxMessage:
		c.end(fmt.Errorf("eventloop: OnData left %d bytes unconsumed, MaxMessage is %d: %w",
			len(rest), c.loop.opts.MaxMessage, ErrTooLarge))
		c.in = nil
		return
	case len(rest) <= shortTail && cap(c.in) > 4*shortTail:
		c.in = nil // a large frame must not leave its memory behind
	}
	c.in = append(c.in[:0], rest...)
}

// peerEnded acts on a read of 0 bytes: the peer will send no more, but may
// still be reading, so what is queued is sent.
func (c *Conn) peerEnded() {
	c.eof, c.readable = true, false
	if len(c.in) > 0 && c.loop.opts.OnMessage != nil {
		c.end(fmt.Errorf("eventloop: the peer closed inside a frame: %w", io.ErrUnexpectedEOF))
		return
	}
	c.end(nil)
}
