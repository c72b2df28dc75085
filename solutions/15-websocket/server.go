package websocket

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	eventloop "github.com/asynclab/asynclab/solutions/03-eventloop"
)

// ErrTimeout is why a transport is ended that did not finish in time: the
// request, or the farewell.
var ErrTimeout = errors.New("websocket: timeout")

// Server is WebSocket connections on one event loop, with the clock that a Conn
// has not.
type Server struct {
	opts Options         // immutable
	loop *eventloop.Loop // immutable

	// Loop goroutine only.
	conns    map[*Conn]*link
	draining bool

	mu      sync.Mutex
	running bool          // guarded by mu
	empty   chan struct{} // closed when draining and the last connection has gone
	once    sync.Once     // for empty
}

// link is a connection on its way through the server.
type link struct {
	conn *eventloop.Conn
	ws   *Conn
	stop func() bool // of the timer that runs: the handshake's, then the farewell's
}

// NewServer returns a server without connections. Shutdown releases it, whether
// Run was called or not. An error names the option that makes no sense.
func NewServer(o Options) (*Server, error) {
	if o.MaxMessage < 0 || o.MaxHeader < 0 || o.HandshakeTimeout < 0 || o.CloseTimeout < 0 {
		return nil, errors.New("websocket: MaxMessage, MaxHeader, HandshakeTimeout and CloseTimeout must not be negative: 0 means the default")
	}
	s := &Server{opts: o, conns: map[*Conn]*link{}, empty: make(chan struct{})}
	loop, err := eventloop.New(eventloop.Options{
		OnOpen: s.onOpen, OnData: s.onData, OnClose: s.onClose,
		MaxMessage: s.opts.maxHeader() + maxControl + 14, // what Data leaves unconsumed
		MaxQueued:  4*s.opts.maxMessage() + 64<<10,
	})
	s.loop = loop
	return s, err
}

// Listen opens a listening socket on addr and returns the address it got. Call
// it before Run.
func (s *Server) Listen(addr string) (net.Addr, error) { return s.loop.Listen(addr) }

// Run serves until Shutdown and then returns nil, as lab 03's does.
func (s *Server) Run() error {
	s.mu.Lock()
	s.running = true
	s.mu.Unlock()
	return s.loop.Run()
}

// Post runs fn on the loop's goroutine, where connections may be used. Any
// goroutine. After Shutdown it returns net.ErrClosed.
func (s *Server) Post(fn func()) error { return s.loop.Post(fn) }

func (s *Server) onOpen(ec *eventloop.Conn) {
	l := &link{conn: ec, ws: New(&s.opts, ec)}
	ec.SetValue(l)
	s.conns[l.ws] = l
	s.limit(l, s.opts.handshakeTimeout())
	l.ws.leaving = func() { s.limit(l, s.opts.closeTimeout()) }
	if s.draining {
		l.ws.Close(0, "")
	}
}

func (s *Server) onData(ec *eventloop.Conn, data []byte) (consumed int) {
	l := ec.Value().(*link)
	before := l.ws.state
	consumed = l.ws.Data(data)
	if before == handshake && l.ws.state == open {
		l.stop() // the request came in time
	}
	return consumed
}

func (s *Server) onClose(ec *eventloop.Conn, err error) {
	l := ec.Value().(*link)
	l.stop()
	delete(s.conns, l.ws)
	defer s.checkEmpty() // although OnClose may panic
	l.ws.End(err)
}

// limit aborts the connection unless it is done by then.
func (s *Server) limit(l *link, d time.Duration) {
	if l.stop != nil {
		l.stop()
	}
	l.stop = s.loop.AfterFunc(d, func() { l.conn.Abort(ErrTimeout) })
}

// Shutdown closes every connection with 1001, waits for the peers' close frames
// for as long as ctx and CloseTimeout allow, and ends Run. When ctx ends first,
// it closes at once and returns ctx's error. It may be called from any goroutine
// but the loop's, more than once, and before Run.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	running := s.running
	s.mu.Unlock()
	if running && s.loop.Post(s.drain) == nil {
		select {
		case <-s.empty:
		case <-ctx.Done():
		}
	}
	return s.loop.Shutdown(ctx)
}

func (s *Server) drain() {
	s.draining = true
	for c := range s.conns {
		c.Close(GoingAway, "the server is shutting down")
	}
	s.checkEmpty()
}

func (s *Server) checkEmpty() {
	if s.draining && len(s.conns) == 0 {
		s.once.Do(func() { close(s.empty) })
	}
}
