// Package epoll is an echo server on one goroutine: a level-triggered epoll
// loop over raw sockets, with no goroutine per connection.
//
// Read the files in this order: epoll.go (the loop), listen.go (new
// connections), conn.go (what is kept for each), echo.go (read, write, and what
// follows), shutdown.go.
//
// Level-triggered means that epoll_wait reports a descriptor for as long as it
// is readable or writable, not only when it becomes so (epoll(7)). So the loop
// may leave work undone and will be told again; and what it is told and does
// not act on, it is told for ever: each interest it does not need now must be
// disarmed, or the loop spins.
package epoll

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	defaultMaxUnsent = 1 << 20  // bytes
	readSize         = 64 << 10 // bytes read from one connection in one turn
	eventsPerTurn    = 256      // events taken by one epoll_wait
)

// Options is the configuration of a Server. The zero value is ready to use.
type Options struct {
	// MaxUnsent bounds the bytes the server owes one connection: read from it
	// and not yet taken back by the kernel. At the bound the connection is not
	// read, so that TCP slows the peer down; reading resumes when at most half
	// is left. 0 means 1 MiB. A negative value is refused by New.
	MaxUnsent int
}

// Server is an echo server. Listen, then Run; Shutdown from any goroutine.
type Server struct {
	// Invariants, true whenever the loop waits:
	//
	//  1. EPOLLOUT is armed on a connection exactly while it is owed bytes.
	//  2. EPOLLIN is armed exactly while the loop would read what it announces.
	//  3. A connection is owed at most maxUnsent bytes.
	//  4. conns holds exactly the open connections: a descriptor leaves it in the
	//     same step that closes it, and so is closed once.

	maxUnsent int // immutable after New

	epfd   int // immutable after New, closed by release
	wakefd int // an eventfd: a write makes epoll_wait return

	listenFD      int       // -1: none. Set by Listen, then the loop's
	acceptPaused  bool      // loop goroutine only: the listener is disarmed
	acceptAgainAt time.Time // loop goroutine only: when to arm it again

	conns  map[int]*conn     // by descriptor; loop goroutine only
	buf    []byte            // readSize bytes for every read; loop goroutine only
	events []unix.EpollEvent // what epoll_wait fills; loop goroutine only
	drain  bool              // loop goroutine only: Shutdown has begun

	mu       sync.Mutex
	started  bool          // guarded by mu: Run was called
	stopping bool          // guarded by mu: Shutdown was called
	released bool          // guarded by mu: epfd and wakefd are closed
	force    atomic.Bool   // a Shutdown's context has ended: close everything now
	done     chan struct{} // closed when everything is released
}

// New returns a server that listens nowhere yet. It holds two descriptors, an
// epoll instance and an eventfd, which Shutdown releases whether Run was called
// or not.
func New(o Options) (*Server, error) {
	if o.MaxUnsent < 0 {
		return nil, fmt.Errorf("epoll: MaxUnsent is %d: give a number of bytes, or 0 for 1 MiB", o.MaxUnsent)
	}
	if o.MaxUnsent == 0 {
		o.MaxUnsent = defaultMaxUnsent
	}
	s := &Server{
		maxUnsent: o.MaxUnsent,
		listenFD:  -1,
		conns:     make(map[int]*conn),
		buf:       make([]byte, readSize),
		events:    make([]unix.EpollEvent, eventsPerTurn),
		done:      make(chan struct{}),
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	return s, nil
}

// open makes the epoll instance and the eventfd that wakes it.
func (s *Server) open() (err error) {
	if s.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("epoll: create an epoll instance: %w", err)
	}
	if s.wakefd, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		unix.Close(s.epfd)
		return fmt.Errorf("epoll: create an eventfd: %w", err)
	}
	if err = s.control(unix.EPOLL_CTL_ADD, s.wakefd, unix.EPOLLIN); err != nil {
		unix.Close(s.epfd)
		unix.Close(s.wakefd)
		return fmt.Errorf("epoll: watch the eventfd: %w", err)
	}
	return nil
}

// Run is the loop: wait for events, act on each, and again. It blocks the
// calling goroutine until Shutdown and then returns nil, with every descriptor
// of the server closed; after a Shutdown it returns nil at once. A fault of one
// connection closes that connection; an error is one of epoll_wait itself.
// A Server runs once.
func (s *Server) Run() error {
	defer s.release()
	if run, err := s.start(); !run {
		return err
	}
	for !s.finished() {
		n, err := unix.EpollWait(s.epfd, s.events, s.timeout())
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("epoll: wait for events: %w", err)
		}
		for i := range max(n, 0) { // n is -1 after EINTR
			s.dispatch(int(s.events[i].Fd), s.events[i].Events)
		}
		s.afterEvents()
	}
	return nil
}

// start marks the server as running, unless it may not run.
func (s *Server) start() (run bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false, nil
	}
	s.started = true
	return true, nil
}

// dispatch acts on one event. No event here is stale, that is, meant for a
// closed connection whose descriptor a new one has got: epoll_wait reports a
// descriptor once, and a connection is closed while its own event is handled,
// or in a shutdown, when no new ones come.
func (s *Server) dispatch(fd int, events uint32) {
	switch fd {
	case s.wakefd:
		s.beginDrain()
	case s.listenFD:
		s.accept()
	default:
		if c := s.conns[fd]; c != nil {
			s.serve(c, events)
		}
	}
}

// timeout says how long epoll_wait may block, in milliseconds: -1 for ever.
func (s *Server) timeout() int {
	switch {
	case s.drain:
		return int(lingerPoll.Milliseconds())
	case s.acceptPaused:
		return int(acceptPause.Milliseconds())
	}
	return -1
}

// afterEvents does what no event announces.
func (s *Server) afterEvents() {
	if s.acceptPaused && !time.Now().Before(s.acceptAgainAt) {
		s.resumeAccept()
	}
	if s.drain {
		s.closeDelivered()
	}
}

// control sets what epoll_wait reports of fd (epoll_ctl(2)).
func (s *Server) control(op, fd int, events uint32) error {
	return unix.EpollCtl(s.epfd, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}
