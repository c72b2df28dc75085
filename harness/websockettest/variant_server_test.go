package websockettest

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// vserver is goroutines and net.Conn: Run is the loop, which runs one function
// after the other; each connection has a goroutine that reads and one that
// writes, and what they have to say is a function for the loop.
type vserver struct {
	o     Options[Conn]
	fault fault
	ln    net.Listener

	mu      sync.Mutex // guards the following
	queue   []func()
	later   func() // a fault's
	running bool
	down    bool

	wake  chan struct{}
	empty chan struct{} // closed when draining and no connection is left
	ended chan struct{} // closed when Run has returned
	once  sync.Once

	// The loop's goroutine only.
	links    map[*vlink]bool
	draining bool

	work sync.WaitGroup // the connections' goroutines
}

func newVserver(o Options[Conn], f fault) (Server, error) {
	if (o.MaxMessage < 0 || o.MaxHeader < 0 || o.HandshakeTimeout < 0 || o.CloseTimeout < 0) && f != "any option makes sense" {
		return nil, errors.New("variant: MaxMessage, MaxHeader, HandshakeTimeout or CloseTimeout is negative")
	}
	o.HandshakeTimeout = cmp.Or(o.HandshakeTimeout, 10*time.Second)
	o.CloseTimeout = cmp.Or(o.CloseTimeout, 5*time.Second)
	switch f {
	case "no handshake timeout":
		o.HandshakeTimeout = 10 * time.Minute
	case "no close timeout":
		o.CloseTimeout = 10 * time.Minute
	}
	if f == "the server forgets the subprotocols" {
		o.Protocols = nil
	}
	return &vserver{o: o, fault: f, wake: make(chan struct{}, 1), empty: make(chan struct{}), ended: make(chan struct{}), links: map[*vlink]bool{}}, nil
}

func (s *vserver) Listen(addr string) (net.Addr, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	s.ln = ln
	return ln.Addr(), nil
}

func (s *vserver) Run() error {
	s.mu.Lock()
	if s.down {
		s.mu.Unlock()
		return nil
	}
	s.running = true
	s.mu.Unlock()
	defer close(s.ended)
	go s.accept()
	for range s.wake {
		for _, fn := range s.todo() {
			fn()
		}
		if s.over() {
			break
		}
	}
	s.work.Wait()
	return nil
}

func (s *vserver) todo() []func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.queue
	s.queue = nil
	return all
}

func (s *vserver) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down && len(s.queue) == 0
}

func (s *vserver) Post(fn func()) error {
	if s.fault == "Post swaps functions" {
		s.mu.Lock()
		first := s.later
		s.later = fn
		if first != nil {
			s.later = nil
		}
		s.mu.Unlock()
		if first == nil {
			return nil
		}
		return s.do(func() { fn(); first() })
	}
	return s.do(fn)
}

// do has the loop run fn.
func (s *vserver) do(fn func()) error {
	s.mu.Lock()
	if s.down {
		s.mu.Unlock()
		return net.ErrClosed
	}
	s.queue = append(s.queue, fn)
	s.mu.Unlock()
	s.nudge()
	return nil
}

func (s *vserver) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *vserver) accept() {
	for {
		nc, err := s.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil && s.do(func() { s.welcome(nc.(*net.TCPConn)) }) != nil {
			nc.Close()
		}
	}
}

var variantsLeftOver []*os.File

func (s *vserver) welcome(nc *net.TCPConn) {
	if s.draining && s.fault != "who comes late is welcome" {
		nc.Close()
		return
	}
	l := &vlink{s: s, nc: nc, written: make(chan struct{}), step: make(chan struct{}, 1)}
	l.ready.L = &l.mu
	l.ws = newVconn(&s.o, l, s.fault)
	s.links[l] = true
	l.limit(s.o.HandshakeTimeout)
	switch s.fault {
	case "a descriptor is left":
		if f, err := nc.File(); err == nil {
			variantsLeftOver = append(variantsLeftOver, f)
		}
	case "a goroutine is left":
		go func() { <-make(chan int) }()
	}
	s.work.Add(2)
	go l.read()
	go l.write()
}

func (s *vserver) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if !s.running {
		s.down = true
		s.mu.Unlock()
		if s.ln != nil {
			s.ln.Close()
		}
		if s.fault == "Shutdown before Run waits for Run" {
			<-s.ended
		}
		return nil
	}
	s.mu.Unlock()
	if s.do(s.drain) != nil {
		<-s.ended
		return nil
	}
	switch s.fault {
	case "Shutdown ignores its context":
		ctx = context.Background()
	case "Shutdown does not wait for the answers":
		go s.finish(ctx)
		return nil
	case "Shutdown does not tell that it used force":
		s.finish(ctx)
		return nil
	}
	return s.finish(ctx)
}

// finish waits until all have gone, by force when ctx ends, and ends Run.
func (s *vserver) finish(ctx context.Context) (forced error) {
	if s.fault == "Shutdown waits for a moment" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
	}
	select {
	case <-s.empty:
	case <-ctx.Done():
		forced = ctx.Err()
		s.do(func() {
			for l := range s.links {
				l.nc.Close()
			}
		})
		<-s.empty
	}
	s.mu.Lock()
	s.down = true
	s.mu.Unlock()
	s.nudge()
	<-s.ended
	return forced
}

func (s *vserver) drain() {
	s.draining = true
	if s.fault != "the listener stays open" && s.fault != "who comes late is welcome" {
		s.ln.Close()
	}
	for l := range s.links {
		switch s.fault {
		case "Shutdown cuts":
			l.nc.Close()
		case "Shutdown says 1000":
			l.ws.Close(1000, "")
		case "Shutdown leaves handshakes alone":
			if l.ws.state != vAsked {
				l.ws.Close(1001, "going away")
			}
		default:
			l.ws.Close(1001, "going away")
		}
	}
	s.checkEmpty()
}

func (s *vserver) checkEmpty() {
	if s.draining && len(s.links) == 0 {
		s.once.Do(func() { close(s.empty) })
	}
}

// vlink is a connection of the server's, and its vconn's Transport.
type vlink struct {
	s    *vserver
	nc   *net.TCPConn
	ws   *vconn
	step chan struct{} // the loop is done with what was read

	timer   *time.Timer // the loop's goroutine only: of the handshake, then of the farewell
	leaving bool        // the loop's goroutine only

	mu      sync.Mutex // guards the following
	ready   sync.Cond
	out     []byte
	last    bool          // nothing comes behind out
	written chan struct{} // closed when the writer has ended
}

var variantsSharedBuffer = make([]byte, 32<<10)

func (l *vlink) read() {
	defer l.s.work.Done()
	buf := make([]byte, 32<<10)
	if l.s.fault == "all connections read into one buffer" {
		buf = variantsSharedBuffer
	}
	for {
		n, err := l.nc.Read(buf)
		if n > 0 {
			l.s.do(func() { l.data(buf[:n]); l.step <- struct{}{} })
			<-l.step
		}
		if err != nil {
			if err == io.EOF { // what is queued is still sent
				l.nc.SetWriteDeadline(time.Now().Add(l.s.o.CloseTimeout))
			} else {
				l.nc.Close()
			}
			l.finishWriting()
			<-l.written
			l.s.do(func() { l.end(err) })
			return
		}
	}
}

func (l *vlink) data(p []byte) {
	asked := l.ws.state == vAsked
	l.ws.Data(p) // this one takes every byte
	switch {
	case l.ws.state == vAsked && l.s.fault == "each byte of a request restarts the clock":
		l.limit(l.s.o.HandshakeTimeout)
	case l.leaving && l.s.fault == "each byte restarts the farewell's clock":
		l.limit(l.s.o.CloseTimeout)
	}
	if asked && l.ws.state == vOpen && l.s.fault != "the handshake's clock goes on" {
		l.timer.Stop()
	}
}

func (l *vlink) end(err error) {
	if l.s.fault != "a timer outlives its connection" {
		l.timer.Stop()
	}
	delete(l.s.links, l)
	l.nc.Close()
	l.ws.End(err)
	if l.s.fault == "one reset ends them all" && err != io.EOF {
		for other := range l.s.links {
			other.nc.Close()
		}
	}
	l.s.checkEmpty()
}

func (l *vlink) write() {
	defer l.s.work.Done()
	defer close(l.written)
	for {
		l.mu.Lock()
		for len(l.out) == 0 && !l.last {
			l.ready.Wait()
		}
		out, last := l.out, l.last
		l.out = nil
		l.mu.Unlock()
		if _, err := l.nc.Write(out); err != nil {
			l.nc.Close()
			return
		}
		if last {
			if l.s.fault == "every end is a reset" {
				l.nc.SetLinger(0)
				l.nc.Close()
			}
			l.nc.CloseWrite() // the reader takes what still comes, until the peer's end or the timer
			return
		}
	}
}

func (l *vlink) finishWriting() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = true
	l.ready.Signal()
}

// limit ends the connection unless the timer is stopped.
func (l *vlink) limit(d time.Duration) {
	if l.timer != nil {
		l.timer.Stop()
	}
	l.timer = time.AfterFunc(d, func() { l.nc.Close() })
}

func (l *vlink) leave() {
	if !l.leaving {
		l.leaving = true
		l.limit(l.s.o.CloseTimeout)
	}
}

func (l *vlink) Write(p []byte) (int, error) {
	if l.ws.state == vClosing {
		l.leave()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last || len(l.out) > 64<<20 {
		return 0, net.ErrClosed
	}
	l.out = append(l.out, p...)
	l.ready.Signal()
	return len(p), nil
}

func (l *vlink) Close() error {
	if l.s.fault == "only Close starts the farewell's clock" && !l.leaving {
		l.leaving = true
		l.timer.Stop()
	}
	l.leave()
	l.finishWriting()
	return nil
}

func (l *vlink) Abort(error) {
	l.leave()
	l.nc.SetLinger(0)
	l.nc.Close()
}
