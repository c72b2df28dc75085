package retry

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net"
	"sync"
	"time"

	eventloop "github.com/asynclab/asynclab/solutions/03-eventloop"
)

// ServerOptions is the configuration of a [Server]. Zero values are the defaults
// that the comments name; NewServer refuses negative ones.
type ServerOptions struct {
	// Handle works on a call. It runs on the loop's goroutine and must not
	// block: what takes time goes elsewhere (lab 12), and calls reply from
	// there. reply may be called from any goroutine, once; what comes after
	// the first time is ignored. An error becomes a RemoteError at the client,
	// and so do a panic and an answer that does not fit into MaxMessage; but
	// ErrBusy refuses the call: then nothing must have been done. ctx ends with
	// the call's deadline, with the reply, or when the client gives the call up,
	// unless it has a key: another try may come for the answer. body is Handle's
	// to keep. Required.
	Handle func(ctx context.Context, body []byte, reply func(body []byte, err error))

	MaxMessage int // of a frame's payload, in bytes; 0 means 1 MiB
	MaxRunning int // calls that Handle works on; 0 means 1024
	MaxWaiting int // behind these; above it calls are refused as busy; 0 means 1024, -1 means none

	Keys   int           // answers to calls with a key that are remembered; 0 means 100,000
	KeyAge time.Duration // and how long; 0 means 10 minutes

	Sessions       int           // sessions without a connection that are remembered; 0 means 10,000
	SessionAge     time.Duration // and how long; 0 means a minute
	SessionPushes  int           // pushes of a session that are not acknowledged; above it the session ends; 0 means 1024
	SessionAnswers int           // answers of a session that its client may ask for again; 0 means 10,000

	// Now is the clock for deadlines in the queue and for ages; it is read on
	// the loop's goroutine. nil means time.Now.
	Now func() time.Time
}

// ServerStats is what a server has done and holds.
type ServerStats struct {
	Worked     uint64 // calls that Handle was called for
	Duplicates uint64 // calls answered with the work of another one
	Expired    uint64 // calls whose time was over before work on them began
	Busy       uint64 // calls refused
	Running    int
	Waiting    int
	Keys       int // remembered answers of calls with a key
	Sessions   int
	Connected  int // sessions that have a connection
}

// Server is the other side: what a client needs to try again safely.
type Server struct {
	// All of it belongs to the loop's goroutine.
	//
	// Invariants:
	//   1. A key is worked on once as long as it is remembered, an id of a session
	//      as long as the session is.
	//   2. running <= MaxRunning; waiting <= MaxWaiting, and nobody waits while
	//      there is room to run.
	//   3. Whatever a client can make the server keep has a bound in ServerOptions.

	o        ServerOptions
	loop     *eventloop.Loop
	seed     maphash.Seed
	keys     keys
	sessions map[uint64]*session
	gone     list.List // of sessions without a connection, the longest first
	waiting  []*job
	running  int
	stats    ServerStats
	over     sync.Once
	ended    chan struct{} // closed when Run has ended
}

// NewServer returns a server that does not listen yet.
func NewServer(o ServerOptions) (*Server, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	s := &Server{o: o, seed: maphash.MakeSeed(), sessions: map[uint64]*session{}, ended: make(chan struct{})}
	s.keys = keys{jobs: map[string]*job{}, most: o.Keys, age: o.KeyAge}
	var err error
	s.loop, err = eventloop.New(eventloop.Options{OnOpen: s.onOpen, OnMessage: s.onMessage, OnDrain: s.onDrain, OnClose: s.onClose,
		MaxMessage: o.MaxMessage, MaxQueued: max(4<<20, 2*o.MaxMessage)}) // one frame must fit
	return s, err
}

// check refuses options that make no sense and fills in the defaults.
func (o *ServerOptions) check() error {
	if o.Handle == nil {
		return errors.New("retry: a server without Handle: nothing would be answered")
	}
	for name, n := range map[string]int64{"MaxMessage": int64(o.MaxMessage), "MaxRunning": int64(o.MaxRunning), "MaxWaiting": int64(o.MaxWaiting) + 1,
		"Keys": int64(o.Keys), "KeyAge": int64(o.KeyAge), "Sessions": int64(o.Sessions), "SessionAge": int64(o.SessionAge),
		"SessionPushes": int64(o.SessionPushes), "SessionAnswers": int64(o.SessionAnswers)} {
		if n < 0 {
			return fmt.Errorf("retry: the server's %s is negative: use 0 for the default", name)
		}
	}
	o.MaxMessage = defaultTo(o.MaxMessage, 1<<20)
	o.MaxRunning = defaultTo(o.MaxRunning, 1024)
	o.MaxWaiting = max(0, defaultTo(o.MaxWaiting, 1024))
	o.Keys = defaultTo(o.Keys, 100_000)
	o.KeyAge = defaultTo(o.KeyAge, 10*time.Minute)
	o.Sessions = defaultTo(o.Sessions, 10_000)
	o.SessionAge = defaultTo(o.SessionAge, time.Minute)
	o.SessionPushes = defaultTo(o.SessionPushes, 1024)
	o.SessionAnswers = defaultTo(o.SessionAnswers, 10_000)
	if o.Now == nil {
		o.Now = time.Now
	}
	return nil
}

// Listen opens a listening socket and returns its address. Before Run.
func (s *Server) Listen(addr string) (net.Addr, error) { return s.loop.Listen(addr) }

// Run serves on the calling goroutine until Shutdown.
func (s *Server) Run() error {
	defer s.over.Do(func() { close(s.ended) })
	return s.loop.Run()
}

// Shutdown sends what is queued, closes every connection, and waits for Run to
// end, or for ctx, as lab 03's does. Answers that come later reach nobody.
func (s *Server) Shutdown(ctx context.Context) error { return s.loop.Shutdown(ctx) }

// Stats returns the counts as they are at one instant. Any goroutine but the
// loop's, after the call of Run.
func (s *Server) Stats() ServerStats {
	got := make(chan ServerStats, 1)
	if s.loop.Post(func() { got <- s.count() }) == nil {
		select {
		case n := <-got:
			return n
		case <-s.ended:
		}
	}
	<-s.ended
	return s.count()
}

func (s *Server) count() ServerStats {
	s.keys.expire(s.o.Now())
	s.expire()
	n := s.stats
	n.Running, n.Waiting, n.Keys, n.Sessions = s.running, len(s.waiting), len(s.keys.done), len(s.sessions)
	for _, p := range s.sessions {
		if p.conn != nil {
			n.Connected++
		}
	}
	return n
}

// shyest is how long a connection may take until its hello.
const shyest = 10 * time.Second

func (s *Server) onOpen(c *eventloop.Conn) {
	s.loop.AfterFunc(shyest, func() {
		if c.Value() == nil {
			c.Abort(errMalformed)
		}
	})
}

// onMessage acts on a frame. One that makes no sense ends its connection: the
// client comes back and resumes, if it is one.
func (s *Server) onMessage(c *eventloop.Conn, payload []byte) {
	p, _ := c.Value().(*session)
	if p != nil && p.conn != c {
		return // the session has a newer connection, and this one is about to end
	}
	if err := s.act(c, p, payload); err != nil {
		c.Abort(err)
	}
}

func (s *Server) act(c *eventloop.Conn, p *session, payload []byte) error {
	if len(payload) == 0 {
		return errMalformed
	}
	kind, rest := payload[0], payload[1:]
	switch {
	case kind == kindHello && p == nil:
		return s.hello(c, rest)
	case p == nil:
		return errMalformed
	case kind == kindPing:
		return c.Send([]byte{kindPong})
	case kind == kindCall:
		return s.call(p, rest)
	}
	n, _, err := number(rest)
	switch {
	case err != nil:
		return err
	case kind == kindCancel:
		s.cancelled(p, n)
		return nil
	case kind == kindAck:
		p.acknowledge(n)
		return nil
	}
	return errMalformed
}

func (s *Server) onDrain(c *eventloop.Conn) {
	if p, ok := c.Value().(*session); ok && p.conn == c {
		p.flush()
	}
}

func (s *Server) onClose(c *eventloop.Conn, _ error) {
	if p, ok := c.Value().(*session); ok && p.conn == c {
		s.depart(p)
	}
}
