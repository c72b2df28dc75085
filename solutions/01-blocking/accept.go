package blocking

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// The pause after an accept error that will pass.
const (
	minPause = 5 * time.Millisecond
	maxPause = time.Second
)

// acquire waits for a free slot and takes it. It reports false when the server
// is shut down. Waiting here, before accept, leaves further clients in the
// kernel's backlog, where they cost us nothing.
func (s *Server) acquire() bool {
	if s.slots == nil {
		return !s.stopped()
	}
	select {
	case s.slots <- struct{}{}:
		return true
	case <-s.quit:
		return false
	}
}

// release gives back the slot that acquire took.
func (s *Server) release() {
	if s.slots != nil {
		<-s.slots
	}
}

// accept waits for one connection. An error that will pass is tried again
// after a pause that doubles: with no descriptor left, accept fails at once,
// and without the pause the loop would burn a core while it waits for one.
// Both results are nil when the server is shut down.
func (s *Server) accept(ln net.Listener) (net.Conn, error) {
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		c, err := ln.Accept()
		switch {
		case err == nil:
			return c, nil
		case s.stopped():
			return nil, nil // Shutdown closed the listener under us
		case !passes(err):
			return nil, fmt.Errorf("blocking: accept on %s: %w", ln.Addr(), err)
		}
		select {
		case <-time.After(pause):
		case <-s.quit:
			return nil, nil
		}
	}
}

// passes reports whether an accept error goes away by itself: another
// descriptor is closed, memory is freed, or the fault was one client's
// (accept(2), section Errors).
func passes(err error) bool {
	for _, errno := range []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, // out of something, for now
		syscall.ECONNABORTED, // the client gave up while it waited in the backlog
		syscall.EINTR,
	} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// stopped reports whether Shutdown has been called.
func (s *Server) stopped() bool {
	select {
	case <-s.quit:
		return true
	default:
		return false
	}
}
