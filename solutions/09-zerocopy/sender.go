package zerocopy

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// smallest is where MSG_ZEROCOPY begins, in bytes: below, pinning pages and
// reading completions costs more than the copy (msg_zerocopy.rst says 10 KB).
const smallest = 16 << 10

// ErrClosed is what done gets for memory that Close took back.
var ErrClosed = errors.New("zerocopy: the sender was closed before the peer had all")

// ErrStalled says that the peer has taken nothing for the whole timeout.
var ErrStalled = errors.New("zerocopy: the peer takes nothing")

// A Sender sends memory that the kernel does not copy: the socket refers to the
// program's pages until the peer has acknowledged them, and then says so. Until
// then nobody may write to them.
//
// One goroutine calls its methods; done runs on that goroutine, inside Send,
// Settle or Close. A wait holds a thread, see poll.
type Sender struct {
	fd      int // ours alone: no poller knows it
	timeout time.Duration
	err     error // why nothing can be sent any more

	// The kernel numbers the zero-copy calls that took something: 0, 1, 2, ...
	// calls holds the ones not completed yet, by number.
	next  uint32
	calls map[uint32]*message

	stats SenderStats
}

// A message is what one Send was given. The Sender keeps the memory reachable
// for as long as the kernel reads it: the garbage collector knows nothing of
// the kernel.
type message struct {
	memory []byte
	open   int   // calls not completed yet, and 1 while Send adds to them
	err    error // why it was not sent whole
	done   func(error)
}

// SenderStats is what a Sender has done.
type SenderStats struct {
	Pinned int // calls that took memory by reference
	Copied int // of these, completed with a copy made after all: loopback always does
	Plain  int // calls that copied: small ones, and where the kernel has no room for notes
}

// NewSender takes c over and closes it in any case: the Sender has a descriptor
// of its own. It ends a wait when the peer takes nothing for timeout, which
// must be positive.
func NewSender(c *net.TCPConn, timeout time.Duration) (*Sender, error) {
	defer c.Close()
	if timeout <= 0 {
		return nil, fmt.Errorf("zerocopy: a timeout of %v: it must be positive", timeout)
	}
	fd, err := takeOver(c)
	if err != nil {
		return nil, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ZEROCOPY, 1); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("setsockopt SO_ZEROCOPY", err)
	}
	return &Sender{fd: fd, timeout: timeout, calls: make(map[uint32]*message)}, nil
}

// takeOver returns a second, non-blocking descriptor of c's socket.
//
// The runtime's poller must not watch this socket any more: a completion makes
// epoll say EPOLLERR, and when nothing else is to say, the runtime takes the
// socket for one that cannot be polled. So c is closed, which takes it out.
func takeOver(c *net.TCPConn) (fd int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	controlled := raw.Control(func(own uintptr) {
		fd, err = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) // non-blocking like c: they share that flag
	})
	if controlled != nil {
		return -1, controlled
	}
	return fd, os.NewSyscallError("fcntl", err)
}

// Send hands all of p to the kernel, and waits while the socket has no room.
// p belongs to the kernel from here on until done is called, once and for every
// Send: when the kernel needs p no more, with nil, or with an error where p was
// not handed over whole. It may be called before Send returns, and not in the
// order of the Sends. It does not say that the peer has read anything.
//
// An error says that the stream has broken: every later Send returns it, too.
// What the kernel had taken of p by then is given back by Close at the latest.
func (s *Sender) Send(p []byte, done func(error)) error {
	m := &message{memory: p, open: 1, done: done}
	for len(p) > 0 && s.err == nil {
		n, err := s.some(m, p)
		p = p[n:]
		if err == unix.EAGAIN {
			err = s.wait(unix.POLLOUT)
		}
		s.err = err
	}
	m.err = s.err
	s.complete(m) // the kernel may have parts of it still: then this was not the last
	if s.err == nil {
		s.err = s.collect() // what is there already: notes must not pile up
	}
	return s.err
}

// some makes one system call, which takes some of p or returns EAGAIN.
func (s *Sender) some(m *message, p []byte) (int, error) {
	if len(p) >= smallest {
		n, err := s.sendmsg(p, unix.MSG_ZEROCOPY)
		if err == nil {
			m.open++
			s.calls[s.next] = m
			s.next++ // wraps around, as the kernel's does
			s.stats.Pinned++
		}
		if err != unix.ENOBUFS {
			return n, err
		}
		// No room for one more note (net.core.optmem_max) or locked page
		// (RLIMIT_MEMLOCK). A copy needs neither.
	}
	n, err := s.sendmsg(p, 0)
	if err == nil {
		s.stats.Plain++
	}
	return n, err
}

func (s *Sender) sendmsg(p []byte, flags int) (int, error) {
	return ignoringEINTR(func() (int, error) {
		return unix.SendmsgN(s.fd, p, nil, nil, flags|unix.MSG_NOSIGNAL)
	})
}

// Settle waits until done has been called for everything. It returns the error
// of the stream.
func (s *Sender) Settle() error {
	for len(s.calls) > 0 && s.err == nil {
		s.err = s.wait(0)
	}
	return s.err
}

// Close ends the connection. What is not settled is taken back by a reset,
// which has the kernel drop its references, and its done gets [ErrClosed]; the
// peer sees the reset. Settle first to lose nothing. A second Close does
// nothing.
func (s *Sender) Close() error {
	if s.fd < 0 {
		return nil
	}
	if s.err == nil {
		s.err = s.collect()
	}
	if len(s.calls) > 0 {
		unix.SetsockoptLinger(s.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 0})
	}
	err := unix.Close(s.fd)
	s.fd = -1
	if s.err == nil {
		s.err = ErrClosed
	}
	for id, m := range s.calls { // the kernel has let go
		delete(s.calls, id)
		m.err = cmp.Or(m.err, ErrClosed)
		s.complete(m)
	}
	return os.NewSyscallError("close", err)
}

// Stats returns what has been done so far.
func (s *Sender) Stats() SenderStats { return s.stats }

// complete takes one of a message's calls off, or Send's own hold on it. With
// the last one the memory is the caller's again.
func (s *Sender) complete(m *message) {
	if m.open--; m.open == 0 {
		m.memory = nil
		m.done(m.err)
	}
}
