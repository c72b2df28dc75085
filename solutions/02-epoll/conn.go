package epoll

import (
	"math"

	"golang.org/x/sys/unix"
)

// phase is how far the life of a connection has come.
//
//	          EOF, or the last byte                 and Shutdown
//	          that Shutdown waits for    all sent    has begun
//	reading ─────────────────────────► flushing ─────────────► lingering
//	                                       │ all sent             │ EOF, or all
//	                                       ▼                      ▼ acknowledged
//	                                     closed ◄─────────────────┘
//
// An error leads from every phase straight to closed.
type phase uint8

const (
	reading   phase = iota // echoing
	flushing               // nothing more will be read; bytes are still owed
	lingering              // our end is shut down; what the peer sends is discarded
)

// conn is one connection. All of it belongs to the loop goroutine.
//
// An idle one costs these fields and its entry in the map, about 80 bytes: the
// read buffer is the server's, and unsent is nil.
type conn struct {
	fd     int
	armed  uint32 // what epoll watches on fd now: EPOLLIN, EPOLLOUT
	phase  phase
	paused bool   // at maxUnsent, and not yet down to half: not read
	quota  int    // bytes still to be read: no limit until Shutdown
	unsent []byte // owed to the peer; nil when nothing is
}

// add makes a connection of an accepted descriptor, which it owns from here on.
func (s *Server) add(fd int) {
	// A reply must not wait for the acknowledgement of the last one (tcp(7)).
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if err := s.control(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN); err != nil {
		unix.Close(fd) // ENOSPC or ENOMEM: this connection cannot be watched
		return
	}
	s.conns[fd] = &conn{fd: fd, armed: unix.EPOLLIN, quota: math.MaxInt}
}

// close ends c and frees its descriptor, which the kernel may give to the next
// connection at once: nothing may use c.fd afterwards. epoll forgets a closed
// descriptor by itself.
func (s *Server) close(c *conn) {
	delete(s.conns, c.fd)
	unix.Close(c.fd) // not repeated on EINTR: Linux has closed it (close(2))
	if s.acceptPaused {
		s.resumeAccept()
	}
}

// wanted is the interest that c's state calls for: invariants 1 and 2.
//
// EPOLLERR and EPOLLHUP are reported without being asked for. EPOLLRDHUP is
// not asked for: a read of 0 bytes says the same, and a level-triggered
// EPOLLRDHUP would be reported all the while a half-closed connection flushes.
func (c *conn) wanted() (events uint32) {
	if c.phase == lingering || c.phase == reading && !c.paused {
		events |= unix.EPOLLIN
	}
	if len(c.unsent) > 0 {
		events |= unix.EPOLLOUT
	}
	return events
}

// rearm tells epoll when the interest has changed, and only then: a system call
// per change, none per message.
func (s *Server) rearm(c *conn) {
	want := c.wanted()
	if want == c.armed {
		return
	}
	if err := s.control(unix.EPOLL_CTL_MOD, c.fd, want); err != nil {
		s.close(c) // a connection that is not watched would be forgotten
		return
	}
	c.armed = want
}
