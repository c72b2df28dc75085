package eventloop

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// phase is how far the life of a connection has come. It belongs to the loop
// goroutine; what other goroutines ask for is in ended and aborted.
//
//	        Close, EOF, Shutdown, a       sent, but the peer's kernel
//	        protocol error, and all sent  has not acknowledged all
//	serving ──────────────┬─────────────────────────────────► lingering
//	   │                  │ nothing to wait for                   │
//	   │ error, Abort     ▼                                       ▼
//	   └──────────────► closed ◄──────────────────────────────────┘
type phase uint8

const (
	serving   phase = iota // events are acted on, callbacks called
	lingering              // our direction is shut down; input is discarded
	closed                 // the descriptor is gone and OnClose was called
)

// Conn is one connection of a Loop. Its methods may be called from any
// goroutine, also after it has closed.
//
// An idle Conn costs its fields and 8 bytes in the loop's table, about 170
// bytes in all: it holds no buffer.
type Conn struct {
	loop       *Loop          // immutable
	remote     netip.AddrPort // immutable; the zero value for a Unix socket
	fd         int            // loop goroutine only; -1 once closed
	generation int32          // loop goroutine only: tells it from later owners of fd

	// Loop goroutine only.
	phase    phase
	isReady  bool    // in the loop's ready list
	readable bool    // epoll said so, and no read has found the end since
	hangup   bool    // EOF or an error follows the last byte: read until it shows
	eof      bool    // and it has shown
	held     bool    // in has frames that are held back because too much is queued
	armed    bool    // EPOLLOUT is in epoll's interest: the kernel's buffer is full
	value    any     // whatever SetValue was given
	quota    int     // bytes that may still be read: no limit until Shutdown
	in       []byte  // received and not consumed; nil when there is nothing
	rest     *buffer // taken from out and being written; nil when there is nothing

	queued  atomic.Int64 // bytes in out and rest; added to under mu
	ended   atomic.Bool  // no more is accepted for sending; set under mu
	refused atomic.Bool  // a Send was, and OnDrain has not told of room since; set under mu

	mu      sync.Mutex
	out     *buffer // guarded by mu: queued after rest; nil when there is nothing
	dirty   bool    // guarded by mu: a flush of this connection is sure to come
	aborted bool    // guarded by mu: close at once, send nothing
	cause   error   // guarded by mu: for OnClose
}

func newConn(l *Loop, fd int, remote netip.AddrPort) *Conn {
	return &Conn{loop: l, fd: fd, remote: remote, quota: math.MaxInt}
}

// Adopt hands a connected stream socket to the loop, which makes it
// non-blocking and owns fd from here on, also when it returns an error. OnOpen
// follows on the loop's goroutine. Any goroutine; before Run too.
func (l *Loop) Adopt(fd int) error {
	peer, err := prepare(fd)
	if err == nil {
		err = l.inbox.adopt(newConn(l, fd, addrPort(peer)))
	}
	if err != nil {
		unix.Close(fd)
		return fmt.Errorf("eventloop: adopt descriptor %d: %w", fd, err)
	}
	return nil
}

func prepare(fd int) (peer unix.Sockaddr, err error) {
	if peer, err = unix.Getpeername(fd); err != nil {
		return nil, os.NewSyscallError("getpeername", err)
	}
	unix.CloseOnExec(fd)
	return peer, os.NewSyscallError("fcntl", unix.SetNonblock(fd, true))
}

// register makes c one of the loop's connections and calls OnOpen. It is the
// only epoll_ctl of a connection that never has to wait for room to write.
func (l *Loop) register(c *Conn) {
	// A reply must not wait for the acknowledgement of the last one (tcp(7)).
	unix.SetsockoptInt(c.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // fails for Unix sockets, which need it not
	c.generation = l.nextGeneration()
	if err := l.control(unix.EPOLL_CTL_ADD, c.fd, c.generation, interest(false)); err != nil {
		unix.Close(c.fd) // ENOSPC or ENOMEM: it cannot be watched
		return
	}
	for len(l.conns) <= c.fd {
		l.conns = append(l.conns, nil)
	}
	l.conns[c.fd] = c
	l.open++
	c.cork()
	l.callOnOpen(c)
	l.flush(c, false)
}

func (l *Loop) nextGeneration() int32 {
	l.generation++
	if l.generation == 0 { // after 2^32 connections; 0 means no connection
		l.generation++
	}
	return l.generation
}

// interest is what epoll watches on a connection.
//
// EPOLLOUT is not among it until a write finds the kernel's buffer full, so an
// event that has it always means bytes that are owed. Armed for good it would
// cost one event for each connection that opens and save two epoll_ctl whenever
// the buffer was full; level-triggered, the loop would spin.
func interest(out bool) uint32 {
	if out {
		return unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET | unix.EPOLLOUT
	}
	return unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET
}

// RemoteAddr is the peer's address: a *net.TCPAddr, or a *net.UnixAddr without
// a name. Any goroutine.
func (c *Conn) RemoteAddr() net.Addr {
	if !c.remote.IsValid() {
		return &net.UnixAddr{Net: "unix"}
	}
	return net.TCPAddrFromAddrPort(c.remote)
}

// Queued is the number of bytes that wait to be sent, lengths included. Any
// goroutine.
func (c *Conn) Queued() int { return int(c.queued.Load()) }

// SetValue keeps v with the connection, for Value to return: whatever a
// protocol needs to know of it. The loop's goroutine only.
func (c *Conn) SetValue(v any) { c.value = v }

// Value is what SetValue was given last, nil at first. The loop's goroutine
// only; OnClose may still use it.
func (c *Conn) Value() any { return c.value }

func (l *Loop) callOnOpen(c *Conn) {
	defer c.abortOnPanic()
	if l.opts.OnOpen != nil {
		l.opts.OnOpen(c)
	}
}
