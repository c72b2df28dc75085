package eventlooptest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// variantConn is one connection of a variant.
type variantConn struct {
	v      *variant
	id     uint64
	remote net.Addr

	// loop goroutine only
	in       []byte // received, not consumed
	readable bool
	hangup   bool // an end follows the last byte
	eof      bool
	isReady  bool
	quota    int // bytes still to be read while draining
	closed   bool
	value    any
	wasFD    int  // what fd was; for fault "the value stays with the descriptor"
	stuck    bool // for fault "never reads again after a full queue"

	mu      sync.Mutex // guards the following
	fd      int        // -1 once closed
	out     []byte     // not written yet
	box     *[]byte    // out's home in the pool
	armed   bool
	ended   bool // takes no more
	asked   bool // finish is in the inbox
	abort   bool
	err     error
	sealed  bool   // SHUT_WR was sent
	calling []byte // of one fault: what OnMessage has
	full    bool   // a Send was refused, and OnDrain is owed
}

const readInterest = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET

var outs = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

func (v *variant) open(fd int, remote net.Addr) {
	c := &variantConn{v: v, id: v.newID(fd), remote: remote, fd: fd, wasFD: fd, quota: math.MaxInt}
	if v.draining || v.watch(unix.EPOLL_CTL_ADD, fd, c.id, readInterest) != nil {
		unix.Close(fd)
		return
	}
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if v.fault == "keeps a read buffer per connection" {
		c.in = make([]byte, 0, 32<<10)
	}
	v.conns[c.id] = c
	if v.o.OnOpen != nil && v.fault != "OnOpen is forgotten" {
		func() {
			defer c.recover()
			v.o.OnOpen(c)
		}()
	}
}

// event acts on what epoll says.
func (c *variantConn) event(events uint32) {
	const ending = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
	if c.v.fault == "misses the last bytes: closes at RDHUP" && events&ending != 0 {
		c.teardown(nil)
		return
	}
	if c.v.fault == "handles a stale event after close" && events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		c.teardown(unix.ECONNRESET)
		return
	}
	if events&unix.EPOLLOUT != 0 {
		c.mu.Lock()
		err := c.flush()
		c.mu.Unlock()
		if err != nil {
			c.teardown(err)
			return
		}
	}
	c.readable = c.readable || events&(unix.EPOLLIN|ending) != 0
	c.hangup = c.hangup || events&ending != 0
	c.serve()
	if c.v.fault == "closes the descriptor twice" && events&ending != 0 && c.closed {
		unix.Close(c.fd) // once for the read of 0, once for the event
	}
}

// serve reads and calls back until nothing is left or the turn is over.
func (c *variantConn) serve() {
	budget := 4
	switch c.v.fault {
	case "reads once per event":
		budget = 1
	case "starves the others":
		budget = math.MaxInt
	}
	for range budget {
		if !c.mayRead() {
			break
		}
		c.readOnce()
	}
	c.tellOfRoom()
	if c.mayRead() && !c.isReady && c.v.fault != "reads once per event" {
		c.isReady = true
		c.v.ready = append(c.v.ready, c)
	}
	c.mu.Lock()
	done := c.ended && len(c.out) == 0 && !c.closed
	c.mu.Unlock()
	if done {
		c.finish()
	}
}

// tellOfRoom calls OnDrain if that is owed.
func (c *variantConn) tellOfRoom() {
	c.mu.Lock()
	due := c.full && !c.ended && len(c.out) == 0
	if c.v.fault == "OnDrain comes while the queue is full" {
		due = c.full
	}
	if c.v.fault == "OnDrain comes when half is sent" {
		due = c.full && !c.ended && len(c.out) <= c.v.o.MaxQueued/2
	}
	c.full = c.full && !due
	c.mu.Unlock()
	if due && c.v.o.OnDrain != nil && c.v.fault != "OnDrain is forgotten" {
		defer c.recover()
		c.v.o.OnDrain(c)
	}
}

func (c *variantConn) mayRead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed || !c.readable:
		return false
	case c.sealed:
		return true // to discard
	case c.ended:
		return false
	case c.v.fault == "reads on while the queue is full":
		return true
	case c.v.fault == "never reads again after a full queue" && len(c.out) > c.v.o.MaxQueued/2:
		c.stuck = true
		return false
	}
	return !c.stuck && len(c.out) <= c.v.o.MaxQueued/2
}

func (c *variantConn) readOnce() {
	buf := c.v.buf[:min(len(c.v.buf), c.quota)]
	n, err := unix.Read(c.fd, buf)
	switch {
	case err == unix.EAGAIN:
		c.readable = false
	case err == unix.EINTR:
	case c.sealed && (err != nil || n == 0):
		c.teardown(c.err)
	case c.sealed:
	case err != nil && c.v.fault == "a reset is nobody's business":
		c.readable = false
	case err != nil:
		c.teardown(os.NewSyscallError("read", err))
	case n == 0 && c.v.fault == "half-close discards queued replies":
		c.teardown(nil)
	case n == 0:
		c.readable, c.eof = false, true
		if len(c.in) > 0 && c.v.o.OnMessage != nil {
			c.end(io.ErrUnexpectedEOF)
		} else {
			c.end(nil)
		}
	default:
		c.quota -= n
		c.readable = n == len(buf) || c.hangup && c.v.fault != "takes a short read for the end" || c.v.fault == "starves the others"
		c.deliver(buf[:n])
	}
}

// deliver calls back with what was kept and fresh, and keeps the rest.
func (c *variantConn) deliver(fresh []byte) {
	data := fresh
	if c.v.fault == "allocates a buffer per read" {
		data = append([]byte(nil), fresh...)
	}
	if len(c.in) > 0 {
		if c.v.fault == "OnData is shown new bytes only" && c.v.o.OnData != nil {
			c.in = nil
		} else {
			c.in = append(c.in, fresh...)
			data = c.in
		}
	}
	n := 0
	if c.v.o.OnData != nil {
		n = c.onData(data)
	} else {
		n = c.parse(data)
	}
	rest := data[n:]
	switch {
	case c.isEnded():
		c.in = nil
		return
	case len(rest) == 0 && c.v.fault == "a burst leaves its memory behind":
		c.in = c.in[:0]
	case c.v.fault == "keeps a read buffer per connection":
		c.in = append(c.in[:0], rest...)
	case len(rest) == 0:
		c.in = nil
	case c.v.fault == "keeps the rest by reference":
		c.in = rest
	case len(rest) == c.v.o.MaxMessage+1 && c.v.fault == "OnData may leave one byte more":
		c.in = append([]byte(nil), rest...)
	case c.v.o.OnData != nil && len(rest) > c.v.o.MaxMessage && c.v.fault != "OnData without bound":
		c.end(errors.New("too much unconsumed"))
	case n > 0 || len(c.in) == 0:
		c.in = append([]byte(nil), rest...)
	}
	if c.quota == 0 {
		c.end(nil)
	}
}

func (c *variantConn) onData(data []byte) (n int) {
	defer c.recover()
	n = c.v.o.OnData(c, data)
	if c.v.fault == "OnData's rest is thrown away" {
		return len(data)
	}
	return n
}

func (c *variantConn) parse(data []byte) (consumed int) {
	defer c.recover()
	for !c.isEnded() || c.v.fault == "delivers on behind Close" {
		rest := data[consumed:]
		if len(rest) < 4 {
			if c.v.fault == "forgets a header split across reads" {
				consumed += len(rest)
			}
			return consumed
		}
		size := int(binary.BigEndian.Uint32(rest))
		limit := c.v.o.MaxMessage
		if c.v.fault == "the limit is off by one" {
			limit--
		}
		if c.v.fault == "a length in pieces may be one more" && len(c.in) > 0 {
			limit++
		}
		if size > limit && c.v.fault == "an oversized frame is skipped" {
			return len(data)
		}
		if size > limit && c.v.fault != "accepts an oversized frame" && (c.v.fault != "reads an oversized frame first" || len(rest) >= 4+size) {
			c.end(fmt.Errorf("a frame of %d bytes is too large", size))
			return consumed
		}
		if len(rest) < 4+size {
			if c.v.fault == "allocates what the header claims" && cap(c.in) < 4+size {
				c.in = make([]byte, 0, 4+size)
				c.in = append(c.in, rest...)
			}
			return consumed
		}
		msg := rest[4 : 4+size : 4+size]
		if c.v.fault == "append reaches the next frame" {
			msg = rest[4 : 4+size]
		}
		if c.v.fault == "allocates per message" {
			msg = append([]byte(nil), msg...)
		}
		consumed += 4 + size
		if size > 0 || c.v.fault != "zero-length frames are skipped" {
			if c.v.fault == "a panic ends the process" {
				c.v.o.OnMessage(c, msg)
			} else {
				c.call(msg)
			}
		}
		if c.v.fault == "one frame per read" {
			return consumed
		}
	}
	return consumed
}

func (c *variantConn) call(msg []byte) {
	defer c.recover()
	c.calling = msg
	defer func() { c.calling = nil }()
	if c.v.fault == "a second goroutine calls back" {
		done := make(chan bool)
		go func() { c.v.o.OnMessage(c, msg); close(done) }()
		<-done
		return
	}
	c.v.o.OnMessage(c, msg)
}

// recover turns a callback's panic into the connection's end.
func (c *variantConn) recover() {
	if c.v.fault == "a panic ends the process" {
		return
	}
	if p := recover(); p != nil {
		switch c.v.fault {
		case "a panic is swallowed":
		case "a panic is not told":
			c.Abort(nil)
		case "a panic closes everybody":
			for _, other := range c.v.conns {
				other.Abort(fmt.Errorf("panic: %v", p))
			}
		default:
			c.Abort(fmt.Errorf("panic: %v", p))
		}
	}
}

func (c *variantConn) isEnded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// end takes no more and closes when everything is sent.
func (c *variantConn) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.ended, c.err = true, err
		c.ask()
	}
}

// ask has finish run on the loop. The caller holds mu.
func (c *variantConn) ask() {
	if !c.asked {
		c.asked = true
		c.v.post(item{fn: c.finish, fd: -1}, true)
	}
}

func (c *variantConn) Close() error {
	if c.v.fault == "Close drops the queue" {
		c.mu.Lock()
		c.out = nil
		c.mu.Unlock()
	}
	if c.v.fault == "Close twice closes twice" && c.isEnded() {
		c.v.post(item{fn: func() { c.v.o.OnClose(c, nil) }, fd: -1}, true)
	}
	c.end(nil)
	return nil
}

func (c *variantConn) Abort(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.abort {
		return
	}
	if c.v.fault == "Abort loses the reason" {
		err = nil
	}
	c.ended, c.abort, c.err = true, c.v.fault != "Abort sends the queue first", err
	c.asked = false
	if c.v.fault == "handles a stale event after close" {
		c.mu.Unlock() // the test calls it on the loop's goroutine
		c.teardown(err)
		c.mu.Lock()
		return
	}
	c.ask()
}

// finish closes when that is due. Loop goroutine only.
func (c *variantConn) finish() {
	c.mu.Lock()
	c.asked = false
	due, abort, err := len(c.out) == 0 && !c.closed && c.ended, c.abort, c.err
	c.mu.Unlock()
	switch {
	case abort || due && c.eof || due && c.v.fault == "Close with unread input resets":
		c.teardown(err)
	case due && !c.sealed:
		c.mu.Lock()
		c.sealed = true
		c.mu.Unlock()
		unix.Shutdown(c.fd, unix.SHUT_WR)
		if c.v.fault == "closes when our kernel has everything" {
			c.teardown(c.err)
			return
		}
		c.readable, c.quota, c.in = true, math.MaxInt, nil
		c.awaitAck(time.Now().Add(5 * time.Second))
	}
}

// awaitAck closes when the peer's kernel has everything, which no event tells.
func (c *variantConn) awaitAck(until time.Time) {
	if c.closed {
		return
	}
	for c.readable && !c.closed {
		c.readOnce()
	}
	if c.closed {
		return
	}
	n, _ := unix.IoctlGetInt(c.fd, unix.SIOCOUTQ)
	if n == 0 || time.Now().After(until) && c.v.fault != "waits for the last byte for ever" {
		c.teardown(c.err)
		return
	}
	c.v.AfterFunc(2*time.Millisecond, func() { c.awaitAck(until) })
}

// teardown closes the descriptor and calls OnClose. Loop goroutine only.
func (c *variantConn) teardown(err error) {
	if c.closed && c.v.fault != "an Abort after the end ends again" {
		return
	}
	c.closed = true
	c.mu.Lock()
	c.ended = true
	fd := c.fd
	if c.v.fault != "closes the descriptor twice" && c.v.fault != "uses the descriptor after close" {
		c.fd = -1
	}
	c.drop()
	c.mu.Unlock()
	delete(c.v.conns, c.id)
	if c.v.fault != "leaks the descriptor of a reset connection" || err == nil {
		unix.Close(fd)
	}
	if c.v.o.OnClose == nil || c.v.fault == "OnClose is missing after Abort" && c.abort {
		return
	}
	func() {
		defer func() {
			if c.v.fault != "a panic in OnClose ends the process" {
				recover()
			}
		}()
		c.v.o.OnClose(c, err)
	}()
	if c.v.fault == "OnClose twice" {
		c.v.o.OnClose(c, err)
	}
}

// drop gives the out buffer back. The caller holds mu.
func (c *variantConn) drop() {
	if c.box != nil && cap(c.out) <= 64<<10 {
		*c.box = c.out[:0]
		outs.Put(c.box)
		if c.v.fault == "a buffer goes back twice" && c.abort {
			outs.Put(c.box)
		}
	}
	if c.v.fault == "a burst leaves its memory behind" && !c.closed {
		c.out = c.out[:0]
		return
	}
	c.out, c.box = nil, nil
}

func (c *variantConn) drain() {
	n, _ := unix.IoctlGetInt(c.fd, unix.SIOCINQ)
	c.quota, c.readable = n, n > 0
	if n == 0 {
		c.end(nil)
		return
	}
	c.serve()
}

func (c *variantConn) RemoteAddr() net.Addr { return c.remote }

// WriteNow is Write: this style writes at once, or at the next turn.
func (c *variantConn) WriteNow(p []byte) (int, error) {
	c.mu.Lock()
	waiting := len(c.out) > 0
	ended := c.ended
	c.mu.Unlock()
	if ended && c.v.fault == "WriteNow asks for no end" {
		return len(p), nil
	}
	if c.v.fault == "WriteNow forgets where the kernel stopped" && !waiting && !ended {
		n, _ := unix.Write(c.fd, p)
		if n = max(n, 0); n < len(p) {
			c.Write(p[n+1:])
		}
		return len(p), nil
	}
	if n := 0; c.v.fault == "WriteNow overtakes the queue" && waiting || c.v.fault == "WriteNow drops what the kernel did not take" {
		for n < len(p) { // a piece of its own, so that the mutant does not block
			m, err := unix.Write(c.fd, p[n:])
			if err != nil {
				return len(p), nil
			}
			n += m
		}
		return n, nil
	}
	return c.Write(p)
}

func (c *variantConn) Queued() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.out)
}

// Values by descriptor, for the fault that keeps them there.
var valuesByFD sync.Map

func (c *variantConn) SetValue(v any) {
	c.value = v
	if c.v.fault == "the value stays with the descriptor" {
		valuesByFD.Store(c.wasFD, v)
	}
}

func (c *variantConn) Value() any {
	if c.v.fault == "the value stays with the descriptor" {
		v, _ := valuesByFD.Load(c.wasFD)
		return v
	}
	if c.v.fault == "the value is gone at the end" && c.closed {
		return nil
	}
	return c.value
}

func (c *variantConn) Send(msg []byte) error {
	if c.v.fault == "an empty Send sends nothing" && len(msg) == 0 {
		return nil
	}
	if c.v.fault == "the length goes out by itself" {
		var header [4]byte
		binary.BigEndian.PutUint32(header[:], uint32(len(msg)))
		if err := c.queue(header[:], false); err != nil {
			return err
		}
		return c.queue(msg, false)
	}
	return c.queue(msg, true)
}

func (c *variantConn) Write(p []byte) (int, error) {
	if err := c.queue(p, c.v.fault == "Write puts a length in front"); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (c *variantConn) queue(p []byte, framed bool) error {
	if c.v.fault != "data race in Send" {
		c.mu.Lock()
		defer c.mu.Unlock()
	}
	if c.v.fault == "Send takes the message's buffer" {
		copy(c.calling, p)
	}
	size := len(p)
	if framed && c.v.fault != "MaxQueued counts no lengths" {
		size += 4
	}
	if c.v.fault == "MaxQueued and a byte" {
		size--
	}
	switch {
	case c.ended && c.v.fault == "Send after Close crashes":
		panic("send on a closed connection")
	case c.ended && c.v.fault == "Send after Close says nil":
		return nil
	case c.ended && c.v.fault == "uses the descriptor after close" && c.closed:
		unix.Write(c.fd, p)
		return net.ErrClosed
	case c.ended:
		return net.ErrClosed
	case len(c.out)+size > c.v.o.MaxQueued && c.v.fault == "a refused Send leaves its length behind":
		c.out = binary.BigEndian.AppendUint32(c.out, uint32(len(p)))
		return errors.New("queue full")
	case len(c.out)+size > c.v.o.MaxQueued && c.v.fault != "no bound on the queue":
		c.full = size <= c.v.o.MaxQueued
		return errors.New("queue full")
	}
	if c.v.fault == "direct write overtakes the queue" && len(c.out) > 0 {
		frame := appendFrame(nil, p)
		if n, _ := unix.Write(c.fd, frame); n == len(frame) {
			return nil
		}
	}
	first := len(c.out) == 0
	if c.box == nil && c.out == nil {
		c.box = outs.Get().(*[]byte)
		c.out = (*c.box)[:0]
	}
	if framed {
		c.out = binary.BigEndian.AppendUint32(c.out, uint32(len(p)))
	}
	c.out = append(c.out, p...)
	if c.v.fault == "Write keeps the caller's slice" && first && !framed {
		c.out, c.box = p, nil
	}
	switch c.v.fault {
	case throughTheLoop, "loses a wake-up", "wakes for each Send", "a buffer goes back twice":
		if !c.asked || c.v.fault != throughTheLoop { // faults that wait for the turn's end, too
			c.asked = true
			c.v.post(item{fn: c.later, fd: -1}, true)
		}
		return nil
	}
	if !first {
		return nil // EPOLLOUT is armed
	}
	if err := c.flush(); err != nil {
		c.ended, c.abort, c.err = true, true, err
		c.ask()
	}
	return nil
}

// later is the flush of the second style.
func (c *variantConn) later() {
	c.mu.Lock()
	c.asked = false
	err := error(nil)
	if !c.armed {
		err = c.flush()
	}
	c.mu.Unlock()
	if err != nil {
		c.teardown(err)
		return
	}
	c.serve() // room in the queue may be all that reading was waiting for
	c.finish()
}

// flush writes what it can, and arms EPOLLOUT for the rest. The caller holds mu.
func (c *variantConn) flush() error {
	for len(c.out) > 0 && c.fd >= 0 {
		n, err := unix.Write(c.fd, c.out)
		if err == unix.EINTR {
			continue
		}
		if err == unix.EAGAIN {
			return c.arm(true)
		}
		if err != nil {
			return os.NewSyscallError("write", err)
		}
		switch {
		case n < len(c.out) && c.v.fault == "drops what the kernel did not take":
			n = len(c.out)
		case n < len(c.out) && c.v.fault == "sends again from the start":
			return c.arm(true)
		}
		if n == len(c.out) {
			c.drop()
			break
		}
		c.out = c.out[n:]
	}
	return c.arm(false)
}

func (c *variantConn) arm(on bool) error {
	switch {
	case c.armed == on || c.fd < 0:
		return nil
	case c.v.fault == "never asks for EPOLLOUT":
		return nil
	case c.v.fault == "EPOLLOUT never disarmed":
		c.armed = true
		return c.v.watch(unix.EPOLL_CTL_MOD, c.fd, c.id, unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLOUT) // and level-triggered
	}
	c.armed = on
	events := uint32(readInterest)
	if on {
		events |= unix.EPOLLOUT
	}
	return c.v.watch(unix.EPOLL_CTL_MOD, c.fd, c.id, events)
}
