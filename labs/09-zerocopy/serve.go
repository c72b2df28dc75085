package zerocopy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

// serving is what Server and Proxy have in common, and what lab 01 was about:
// accepting, a goroutine for each connection, an end that leaves nothing.
type serving struct {
	quit chan struct{} // closed when draining begins

	mu       sync.Mutex // guards the following
	draining bool
	ln       net.Listener
	conns    map[client]struct{} // from before its goroutine starts until it has ended
	tasks    sync.WaitGroup      // the accept loop, and each connection's goroutine
}

// A client is one connection being served, by a goroutine of its own.
type client interface {
	serve() // until the connection has ended; it closes what it has opened
	drain() // asks it to end soon: any goroutine
	abort() // ends it now: any goroutine
}

func newServing() *serving {
	return &serving{quit: make(chan struct{}), conns: make(map[client]struct{})}
}

// accept runs until the end and makes a client of each connection.
func (s *serving) accept(ln net.Listener, make func(*net.TCPConn) client) error {
	defer ln.Close()
	s.mu.Lock()
	if s.draining {
		s.mu.Unlock()
		return nil
	}
	s.ln = ln
	s.tasks.Add(1)
	s.mu.Unlock()
	defer s.tasks.Done()

	for pause := 5 * time.Millisecond; ; {
		c, err := ln.Accept()
		switch {
		case err == nil:
			pause = 5 * time.Millisecond
			s.start(c, make)
		case s.stopped():
			return nil
		case !passes(err):
			return fmt.Errorf("zerocopy: accept on %s: %w", ln.Addr(), err)
		default: // out of descriptors, say: it will pass, but trying at once burns a core
			select {
			case <-time.After(pause):
				pause = min(2*pause, time.Second)
			case <-s.quit:
				return nil
			}
		}
	}
}

// start gives a connection its goroutine.
func (s *serving) start(nc net.Conn, make func(*net.TCPConn) client) {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		nc.Close() // a descriptor of the kernel's TCP is what all of this works on
		return
	}
	c := make(tcp)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		tcp.Close()
		return
	}
	s.conns[c] = struct{}{}
	s.tasks.Go(func() {
		defer tcp.Close()
		c.serve()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, c)
	})
}

// shutdown ends accepting, drains the clients, and aborts them when ctx ends
// first. It returns when all has ended.
func (s *serving) shutdown(ctx context.Context) error {
	s.mu.Lock()
	if !s.draining {
		s.draining = true
		close(s.quit)
		if s.ln != nil {
			s.ln.Close()
		}
		for c := range s.conns {
			c.drain()
		}
	}
	s.mu.Unlock()

	ended := make(chan struct{})
	go func() { s.tasks.Wait(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	for c := range s.conns {
		c.abort()
	}
	s.mu.Unlock()
	<-ended // soon: nothing blocks on a closed connection
	return ctx.Err()
}

func (s *serving) stopped() bool {
	select {
	case <-s.quit:
		return true
	default:
		return false
	}
}

// passes reports whether an accept error goes away by itself (accept(2)).
func passes(err error) bool {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EINTR} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// reset closes c in a way the peer cannot take for a regular end.
func reset(c *net.TCPConn) {
	c.SetLinger(0)
	c.Close()
}
