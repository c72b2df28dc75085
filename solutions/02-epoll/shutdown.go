package epoll

import (
	"context"
	"encoding/binary"
	"time"

	"golang.org/x/sys/unix"
)

// lingerPoll is how often a shutdown asks whether the peers have acknowledged
// what was sent: the kernel announces no such event.
const lingerPoll = 10 * time.Millisecond

// Shutdown stops accepting, reads what has already arrived, writes what is
// owed, closes every connection, and waits until Run has ended. When ctx ends
// first it closes everything at once, what is owed with it, and returns ctx's
// error. It may be called from any goroutine, more than once, and before Run,
// which then returns nil at once.
func (s *Server) Shutdown(ctx context.Context) error {
	if !s.requestStop() {
		s.release() // Run was never called: there is no loop to do it
	}
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
	}
	s.force.Store(true)
	s.wake()
	<-s.done
	return ctx.Err()
}

// requestStop tells the loop to drain; false means there is no loop.
func (s *Server) requestStop() (running bool) {
	s.mu.Lock()
	s.stopping = true
	running = s.started
	s.mu.Unlock()
	if running {
		s.wake()
	}
	return running
}

// wake makes epoll_wait return: it adds 1 to the eventfd's counter, which
// leaves it readable until somebody reads it (eventfd(2)).
func (s *Server) wake() {
	s.mu.Lock()
	defer s.mu.Unlock() // so that release cannot close wakefd in between
	if !s.released {
		unix.Write(s.wakefd, binary.NativeEndian.AppendUint64(nil, 1))
	}
}

// beginDrain answers a wake-up. The first one starts the drain: accept has a last
// turn, for the clients in the backlog believe themselves connected, and every
// connection is left to read only what has arrived.
func (s *Server) beginDrain() {
	var counter [8]byte
	unix.Read(s.wakefd, counter[:]) // back to 0: no longer readable
	if s.drain {
		return
	}
	s.drain = true
	if s.listenFD >= 0 {
		s.accept()
	}
	s.closeListener()
	for _, c := range s.conns {
		if c.phase == reading {
			c.quota = arrived(c.fd)
		}
		s.settle(c)
	}
}

// linger ends our direction and leaves the connection open for a while.
//
// A close with unread bytes in the receive queue, or bytes that arrive after
// it, makes the kernel send RST, and RST throws away the replies that are still
// in our send queue. So: SHUT_WR, then read and discard, until the peer ends
// its direction too, or its kernel has acknowledged all we sent.
func (s *Server) linger(c *conn) {
	unix.Shutdown(c.fd, unix.SHUT_WR)
	c.phase = lingering
	if unacknowledged(c.fd) == 0 { // most idle connections on a fast network
		s.close(c)
		return
	}
	s.rearm(c)
}

// discard reads once and throws away. It returns false when it has closed c.
func (s *Server) discard(c *conn) (open bool) {
	n, err := unix.Read(c.fd, s.buf)
	if n > 0 || err == unix.EAGAIN || err == unix.EINTR {
		return true
	}
	s.close(c)
	return false
}

// closeDelivered closes the connections that have lingered enough.
func (s *Server) closeDelivered() {
	for _, c := range s.conns {
		if c.phase == lingering && unacknowledged(c.fd) == 0 {
			s.close(c)
		}
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

// finished reports whether the loop's work is done.
func (s *Server) finished() bool {
	return s.force.Load() || s.drain && len(s.conns) == 0
}

// release closes every descriptor of the server, once, and lets Shutdown go.
func (s *Server) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.released {
		return
	}
	s.released = true
	s.closeListener()
	for _, c := range s.conns {
		s.close(c)
	}
	unix.Close(s.wakefd)
	unix.Close(s.epfd)
	close(s.done)
}
