package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/asynclab/asynclab/harness/meter"
	"golang.org/x/sys/unix"
)

const (
	readBuffer    = 256 << 10
	snapshotEvery = 250 * time.Millisecond
	drainFor      = 10 * time.Second // what is in flight at the end gets this long to come back
	connectFor    = 60 * time.Second // without any progress
)

// phase is what the swarm is doing.
type phase string

const (
	connecting phase = "connect"
	warmup     phase = "warmup"
	window     phase = "window"
	draining   phase = "drain"
)

// swarm is a running load. Its goroutine owns everything here.
type swarm struct {
	cfg   Config
	hooks Hooks
	table *table
	dial  *dialer
	epfd  int
	conns []*conn // by id
	byFD  map[int32]*conn
	buf   []byte
	began time.Time

	phase     phase
	live      int // connections that are still good
	connected int // of which one echo is back
	messages  int64
	measured  int64 // of messages, within the window
	inFlight  int64
	faults    Faults
	pace      *pace         // open loop only
	from      time.Duration // when the window began

	all    *hdrhistogram.Histogram // the window's
	recent *hdrhistogram.Histogram // since the last snapshot
	lastAt time.Duration
	lastN  int64
}

// Run loads the server in this process, on the calling goroutine, until the
// window is over or ctx ends. The error says that the load could not be run;
// what the server did wrong is in Result.Faults.
func Run(ctx context.Context, cfg Config, hooks Hooks) (Result, error) {
	if err := cfg.check(); err != nil {
		return Result{}, err
	}
	s, err := newSwarm(cfg, hooks)
	if err != nil {
		return Result{}, err
	}
	defer s.close()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return s.run(ctx)
}

func newSwarm(cfg Config, hooks Hooks) (*swarm, error) {
	dial, err := newDialer(cfg.Addr)
	if err != nil {
		return nil, err
	}
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("load: epoll: %w", err)
	}
	return &swarm{cfg: cfg, hooks: hooks, table: newTable(cfg), dial: dial, epfd: epfd,
		byFD: make(map[int32]*conn, cfg.Conns), buf: make([]byte, readBuffer), began: time.Now(),
		all: meter.NewHistogram(), recent: meter.NewHistogram()}, nil
}

// close resets what is open: a close in order would leave each port in
// TIME_WAIT for a minute, and the next run without ports.
func (s *swarm) close() {
	for _, c := range s.byFD {
		unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		unix.Close(c.fd)
	}
	unix.Close(s.epfd)
}

func (s *swarm) now() time.Duration { return time.Since(s.began) }

func (s *swarm) run(ctx context.Context) (Result, error) {
	if err := s.connect(ctx); err != nil {
		return s.result(0), err
	}
	s.hooks.connected()
	if s.cfg.Window == 0 {
		return s.result(0), ctx.Err()
	}
	if s.cfg.Rate > 0 {
		s.pace = newPace(s.cfg.Rate, s.now())
	} else {
		s.fill()
	}
	s.phase = warmup
	if err := s.loop(ctx, s.now()+s.cfg.Warmup); err != nil {
		return s.result(0), err
	}
	s.hooks.window()
	s.phase, s.from = window, s.now()
	cpu := threadCPU()
	if s.pace != nil {
		s.pace = newPace(s.cfg.Rate, s.from) // what the hook held up is no fault of the server's
	}
	if err := s.loop(ctx, s.from+s.cfg.Window); err != nil {
		return s.result(0), err
	}
	took, spent := s.now()-s.from, threadCPU()-cpu
	s.hooks.done()
	s.phase = draining
	err := s.drain(ctx)
	r := s.result(took)
	r.CPU = spent
	return r, err
}

// connect opens all connections, Burst at a time. One counts when its first
// echo is back: then the server has really taken it.
func (s *swarm) connect(ctx context.Context) error {
	s.phase = connecting
	progress, last := s.now(), 0
	for s.connected+s.faults.Refused < s.cfg.Conns {
		for len(s.conns) < s.cfg.Conns && len(s.conns)-s.connected-s.faults.Refused < s.cfg.Burst {
			s.open()
		}
		if err := s.turn(ctx, 10*time.Millisecond); err != nil {
			return err
		}
		if s.connected != last {
			progress, last = s.now(), s.connected
		}
		if s.now()-progress > connectFor {
			return fmt.Errorf("load: %d of %d connections have had their first echo, and none more in %v: does %s accept and echo?",
				s.connected, s.cfg.Conns, connectFor, s.cfg.Addr)
		}
		if s.faults.Refused == s.cfg.Conns {
			return fmt.Errorf("load: no connection to %s: %s", s.cfg.Addr, s.faults.First)
		}
	}
	return nil
}

// open starts one connection, with one message to be echoed at once.
func (s *swarm) open() {
	c := &conn{fd: -1, id: len(s.conns)}
	c.start = s.table.from(c.id)
	s.conns = append(s.conns, c)
	fd, err := s.dial.connect(c.id)
	if err != nil {
		s.faults.Refused++
		s.fault(err)
		return
	}
	c.fd = fd
	c.put(s.now(), s.table.size)
	s.inFlight++
	s.live++
	s.byFD[int32(fd)] = c
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(fd)}
	if err := unix.EpollCtl(s.epfd, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		s.lose(c, fmt.Errorf("epoll_ctl: %w", err))
	}
}

// fill starts the closed loop: Depth messages in flight on every connection.
func (s *swarm) fill() {
	for _, c := range s.byFD {
		for range s.cfg.Depth {
			c.put(s.now(), s.table.size)
			s.inFlight++
		}
		s.flush(c)
	}
}

func (s *swarm) loop(ctx context.Context, until time.Duration) error {
	for s.now() < until {
		if s.live == 0 {
			return fmt.Errorf("load: no connection is left: %s", s.faults.First)
		}
		if err := s.turn(ctx, min(until-s.now(), 10*time.Millisecond)); err != nil {
			return err
		}
	}
	return nil
}

// drain waits for what is in flight. It measures nothing any more; what does
// not come back in time is lost.
func (s *swarm) drain(ctx context.Context) error {
	s.pace = nil
	for until := s.now() + drainFor; s.inFlight > 0 && s.live > 0 && s.now() < until; {
		if err := s.turn(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	if s.inFlight > 0 {
		s.faults.Lost = s.inFlight
		s.fault(fmt.Errorf("%d messages did not come back within %v of the end", s.inFlight, drainFor))
	}
	return nil
}

// turn is one round of the loop: send what is due, wait at most patience, act
// on what has happened.
func (s *swarm) turn(ctx context.Context, patience time.Duration) error {
	if s.pace != nil {
		s.sendDue()
		patience = min(patience, max(0, s.pace.next()-s.now()))
	}
	var events [512]unix.EpollEvent
	n, err := wait(s.epfd, events[:], patience)
	if err != nil {
		return fmt.Errorf("load: wait for events: %w", err)
	}
	for i := range n {
		if c := s.byFD[events[i].Fd]; c != nil {
			s.serve(c, events[i].Events)
		}
	}
	if at := s.now(); at-s.lastAt >= snapshotEvery {
		s.snapshot(at)
		return ctx.Err()
	}
	return nil
}

// wait is epoll_wait with a finer clock: an open loop has to send on time.
func wait(epfd int, events []unix.EpollEvent, patience time.Duration) (int, error) {
	if patience > 0 {
		timeout := unix.NsecToTimespec(patience.Nanoseconds())
		_, err := unix.Ppoll([]unix.PollFd{{Fd: int32(epfd), Events: unix.POLLIN}}, &timeout, nil)
		if err != nil && err != unix.EINTR {
			return 0, err
		}
	}
	n, err := unix.EpollWait(epfd, events, 0)
	if err == unix.EINTR {
		return 0, nil
	}
	return n, err
}

// sendDue sends what the open loop's clock says, each connection in its turn,
// whether or not earlier messages have come back.
func (s *swarm) sendDue() {
	for s.pace.next() <= s.now() {
		c := s.conns[s.pace.sent%int64(len(s.conns))]
		when := s.pace.take()
		if c.fd < 0 {
			continue // this one is gone, which is counted
		}
		c.put(when, s.table.size) // when it should have been sent: a late one is no excuse
		s.inFlight++
		s.flush(c)
	}
}

func (s *swarm) flush(c *conn) {
	if err := c.flush(s.table); err != nil {
		s.lose(c, err)
	}
}

// serve acts on one connection's events: read everything, count what is whole,
// send what that makes room for, in one write.
func (s *swarm) serve(c *conn, events uint32) {
	if !c.open && events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		s.refuse(c)
		return
	}
	for more := events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0; more; {
		var err error
		if more, err = c.receive(s.table, s.buf); err != nil {
			s.lose(c, err)
			return
		}
	}
	s.complete(c)
	if c.sent < c.due {
		s.flush(c)
	}
	if events&unix.EPOLLRDHUP != 0 && c.fd >= 0 {
		s.lose(c, io.EOF)
	}
}

// complete counts the messages that are whole and, in a closed loop, puts one
// more in flight for each.
func (s *swarm) complete(c *conn) {
	at := s.now()
	for whole := c.received / int64(s.table.size); c.first < whole; {
		sent := c.take()
		took := max(1, (at - sent).Microseconds())
		s.inFlight--
		s.messages++
		switch s.phase {
		case connecting:
			c.open = true
			s.connected++
			continue
		case window:
			s.measured++
			if sent >= s.from { // one sent before has waited for the hook, too
				s.all.RecordValue(took)
			}
		}
		s.recent.RecordValue(took)
		if s.cfg.Rate == 0 && s.phase != draining {
			c.put(at, s.table.size)
			s.inFlight++
		}
	}
}

// refuse gives up a connection that could not be opened.
func (s *swarm) refuse(c *conn) {
	errno, _ := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	s.faults.Refused++
	s.fault(fmt.Errorf("connect: %w", unix.Errno(errno)))
	s.drop(c)
}

// lose gives up a connection that was open.
func (s *swarm) lose(c *conn, err error) {
	switch {
	case !c.open:
		s.faults.Refused++
	case errors.Is(err, errMismatch):
		s.faults.Mismatches++
	case errors.Is(err, io.EOF):
		s.faults.Ended++
		err = errors.New("the server ended the connection")
	default:
		s.faults.Reset++
	}
	s.fault(fmt.Errorf("connection %d, after %d bytes back: %w", c.id, c.received, err))
	s.drop(c)
}

func (s *swarm) drop(c *conn) {
	s.inFlight -= c.next - c.first
	s.faults.Lost += c.next - c.first
	delete(s.byFD, int32(c.fd))
	unix.Close(c.fd)
	c.fd = -1
	s.live--
}

func (s *swarm) fault(err error) {
	if s.faults.First == "" {
		s.faults.First = err.Error()
	}
}

func (s *swarm) snapshot(at time.Duration) {
	since := (at - s.lastAt).Seconds()
	s.hooks.snapshot(Snapshot{Phase: string(s.phase), Elapsed: at, Connected: s.connected, Messages: s.messages,
		PerSecond: float64(s.messages-s.lastN) / since, Faults: s.faults,
		P50: s.recent.ValueAtQuantile(50), P99: s.recent.ValueAtQuantile(99), P999: s.recent.ValueAtQuantile(99.9)})
	s.recent.Reset()
	s.lastAt, s.lastN = at, s.messages
}

func (s *swarm) result(took time.Duration) Result {
	r := Result{Connected: s.connected, Messages: s.measured, Window: took, Faults: s.faults,
		P50: s.all.ValueAtQuantile(50), P99: s.all.ValueAtQuantile(99), P999: s.all.ValueAtQuantile(99.9), Max: s.all.Max()}
	if took > 0 {
		r.PerSecond = float64(s.measured) / took.Seconds()
	}
	r.Latency, _ = meter.EncodeHistogram(s.all) // fails for foreign encodings only
	return r
}

// threadCPU is the CPU time of the calling thread, which the swarm is locked to.
func threadCPU() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic("load: clock_gettime: " + err.Error()) // EINVAL and EFAULT only
	}
	return time.Duration(t.Nano())
}
