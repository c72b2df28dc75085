package eventloop

import (
	"fmt"
	"math"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	newBuffer  = 4 << 10  // capacity of a fresh out buffer, in bytes
	keptBuffer = 64 << 10 // a larger one is left to the garbage collector
)

// buffer is bytes on their way out: b[off:] is still to be written.
type buffer struct {
	b   []byte
	off int
}

// buffers are the out buffers not in use. A connection holds one only while it
// has something queued.
var buffers = sync.Pool{New: func() any { return &buffer{b: make([]byte, 0, newBuffer)} }}

func (b *buffer) recycle() {
	if cap(b.b) > keptBuffer {
		return // a burst must not leave its memory behind
	}
	b.b, b.off = b.b[:0], 0
	buffers.Put(b)
}

// Send queues msg as one frame: all of it or, with an error, nothing. It copies
// msg, never blocks, and may be called from any goroutine; frames leave in the
// order of the calls. What a callback sends is written together when it
// returns: one system call for a burst of replies. After Close, Abort or the
// peer's end it returns net.ErrClosed; if more than MaxQueued bytes would be
// queued, ErrQueueFull.
func (c *Conn) Send(msg []byte) error {
	if int64(len(msg)) > math.MaxUint32 {
		return fmt.Errorf("eventloop: send %d bytes: a frame's length has 32 bits: %w", len(msg), ErrTooLarge)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.put(msg, true)
	return err
}

// Write queues p as it is, without a length in front: all of it or, with an
// error, nothing. Otherwise as Send.
func (c *Conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.put(p, false)
}

// WriteNow is Write without the wait for the end of the turn: it writes at once
// and copies nothing, unless older bytes are queued or the kernel does not take
// all. It is for who sends the same bytes to thousands of connections: they then
// need no thousand buffers. One system call each time, so put together first
// what belongs together. The loop's goroutine only.
func (c *Conn) WriteNow(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock() // over the write, too: nobody may queue bytes in front of the rest
	if c.ended.Load() {
		return 0, net.ErrClosed
	}
	if c.queued.Load() > 0 || len(p) > c.loop.opts.MaxQueued {
		return c.put(p, false)
	}
	n, err := writeSome(c.fd, p)
	if err != nil {
		c.abort(os.NewSyscallError("write", err))
		return 0, err
	}
	if n < len(p) {
		c.put(p[n:], false)
	}
	return len(p), nil
}

// put queues p. The caller holds mu.
func (c *Conn) put(p []byte, framed bool) (int, error) {
	size := len(p)
	if framed {
		size += headerSize
	}
	if c.ended.Load() {
		return 0, net.ErrClosed
	}
	if int(c.queued.Load())+size > c.loop.opts.MaxQueued {
		if size <= c.loop.opts.MaxQueued { // otherwise it never fits
			c.refused.Store(true)
			c.askForFlush() // the last flush may be over, and nobody would tell of room
		}
		return 0, ErrQueueFull
	}
	if size == 0 {
		return 0, nil
	}
	c.queued.Add(int64(size))
	if c.out == nil {
		c.out = buffers.Get().(*buffer)
	}
	if framed {
		c.out.b = appendFrame(c.out.b, p)
	} else {
		c.out.b = append(c.out.b, p...)
	}
	c.askForFlush()
	return len(p), nil
}

// askForFlush makes sure that a flush will come. The caller holds mu.
func (c *Conn) askForFlush() {
	if !c.dirty {
		c.dirty = true
		c.loop.inbox.flushLater(c)
	}
}

// cork makes sends gather in out until the flush at the end of serve, which
// is sure to come: nobody needs to ask for it.
func (c *Conn) cork() {
	c.mu.Lock()
	c.dirty = true
	c.mu.Unlock()
}

// congested reports whether too much is queued for c to be read.
func (c *Conn) congested() bool {
	return int(c.queued.Load()) > c.loop.opts.MaxQueued/2
}

// flush writes what is queued and does what follows from it: ends the
// connection, or has it served again when it can go on reading. writable says
// that epoll has reported room since the kernel's buffer was full. Every change
// of a connection's state ends here. Loop goroutine only.
func (l *Loop) flush(c *Conn, writable bool) {
	if c.phase == closed {
		return
	}
	if aborted, cause := c.uncork(); aborted {
		l.teardown(c, cause)
		return
	}
	if !c.armed || writable {
		if err := l.writeQueued(c); err != nil {
			l.teardown(c, err)
			return
		}
	}
	if c.refused.Load() && c.queued.Load() == 0 && !c.ended.Load() {
		c.refused.Store(false)
		l.callOnDrain(c)
	}
	if c.ended.Load() && c.phase == serving && c.queued.Load() == 0 {
		l.finish(c)
	}
	if c.wantsTurn() && !c.isReady {
		c.isReady = true
		l.ready = append(l.ready, c)
	}
}

func (l *Loop) callOnDrain(c *Conn) {
	defer c.abortOnPanic()
	if l.opts.OnDrain != nil {
		l.opts.OnDrain(c)
	}
}

// uncork takes note of what is asked so far. What is asked from here on asks
// for a flush of its own.
func (c *Conn) uncork() (aborted bool, cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dirty = false
	return c.aborted, c.cause
}

// writeQueued writes what is queued, and arms EPOLLOUT when the kernel does not
// take it all. Two rounds: the rest of the last time, and what was queued
// behind it. A goroutine that sends without pause cannot keep the loop here.
func (l *Loop) writeQueued(c *Conn) error {
	for range 2 {
		if !c.take() {
			break
		}
		n, err := writeSome(c.fd, c.rest.b[c.rest.off:])
		if err != nil {
			return os.NewSyscallError("write", err)
		}
		c.rest.off += n
		c.queued.Add(int64(-n))
		if c.rest.off < len(c.rest.b) {
			return l.armWrite(c, true) // the kernel's buffer is full
		}
		c.rest.recycle()
		c.rest = nil
	}
	return l.armWrite(c, false)
}

// take makes sure that rest is what is to be written next, if anything is. Out
// goes behind rest and never beside it: this is what keeps the order.
func (c *Conn) take() bool {
	if c.rest != nil {
		return true
	}
	c.mu.Lock()
	c.rest, c.out = c.out, nil
	c.mu.Unlock()
	return c.rest != nil
}

// armWrite arms or disarms EPOLLOUT, if that is a change. Arming reports room
// that there is already, so none is missed.
func (l *Loop) armWrite(c *Conn, on bool) error {
	if c.armed == on {
		return nil
	}
	c.armed = on
	return os.NewSyscallError("epoll_ctl", l.control(unix.EPOLL_CTL_MOD, c.fd, c.generation, interest(on)))
}

// writeSome is one write(2): how much the kernel took, 0 when its buffer is
// full.
func writeSome(fd int, p []byte) (n int, err error) {
	for {
		switch n, err = write(fd, p); err {
		case nil:
			return n, nil
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return 0, nil
		default:
			return 0, err
		}
	}
}
