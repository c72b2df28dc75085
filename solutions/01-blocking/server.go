// Package blocking is an echo server with one goroutine per connection: the
// model that Go's net package makes easy, done with care.
//
// A connection costs a goroutine and its buffer, and the code reads top to
// bottom. What it takes to be fit for use is here too: deadlines, a bound on
// connections, accept errors that pass, and a shutdown that loses nothing it
// has read. It speaks to any net.Listener and any net.Conn.
package blocking

import (
	"fmt"
	"net"
	"sync"
	"time"
)

// Options is a server's configuration. The zero value is an unlimited server
// that waits for its peers for ever.
type Options struct {
	// MaxConns bounds the connections served at once. At the bound the server
	// does not accept: further clients wait in the kernel's backlog until a
	// connection ends. 0 means no bound.
	MaxConns int

	// IdleTimeout ends a connection whose peer sends nothing for this long.
	// 0 means never.
	IdleTimeout time.Duration

	// WriteTimeout ends a connection whose peer takes nothing for this long
	// while there is something to write. 0 means never.
	WriteTimeout time.Duration
}

// A Server echoes what its connections send. Make one with [New].
type Server struct {
	// A connection is in conns from before its goroutine starts until after it
	// is closed. tasks counts Serve and every connection's goroutine. Once
	// draining is set, nothing is added to either.

	opt   Options       // immutable after New
	slots chan struct{} // holds one token per connection served; nil: no bound
	quit  chan struct{} // closed when draining begins

	mu       sync.Mutex // guards the following
	draining bool
	ln       net.Listener // nil before Serve
	conns    map[*conn]struct{}
	tasks    sync.WaitGroup
}

// New returns a server that is not serving yet and holds no resources. It
// refuses negative options.
func New(o Options) (*Server, error) {
	if o.MaxConns < 0 || o.IdleTimeout < 0 || o.WriteTimeout < 0 {
		return nil, fmt.Errorf("blocking: negative option in %+v: use 0 for no bound", o)
	}
	s := &Server{opt: o, quit: make(chan struct{}), conns: make(map[*conn]struct{})}
	if o.MaxConns > 0 {
		s.slots = make(chan struct{}, o.MaxConns)
	}
	return s, nil
}

// Serve accepts connections from ln and echoes on each until its peer ends it.
// It owns ln from here on. It returns nil after [Server.Shutdown], and
// otherwise the listener's error, when that is a lasting one; connections
// accepted before go on until Shutdown. Call it once.
func (s *Server) Serve(ln net.Listener) error {
	defer ln.Close()
	if !s.begin(ln) {
		return nil
	}
	defer s.tasks.Done()
	for s.acquire() {
		c, err := s.accept(ln)
		if c == nil {
			s.release()
			return err
		}
		s.start(c)
	}
	return nil
}

// begin takes ln in, unless the server is shut down already.
func (s *Server) begin(ln net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	s.ln = ln
	s.tasks.Add(1)
	return true
}

// start gives the connection its goroutine, or closes it when the server has
// been shut down since it was accepted. The slot goes with the connection.
func (s *Server) start(nc net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		nc.Close()
		return
	}
	c := &conn{Conn: nc, opt: s.opt}
	s.conns[c] = struct{}{}
	s.tasks.Add(1)
	go func() {
		defer s.finish(c)
		c.echo()
	}()
}

// finish is the one place where a connection ends.
func (s *Server) finish(c *conn) {
	c.Close()
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	s.release()
	s.tasks.Done()
}
