package load

import (
	"context"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/asynclab/asynclab/harness/meter"
	"golang.org/x/sys/unix"
)

const (
	readBuffer = 256 << 10
	patience   = 10 * time.Millisecond // longest wait for events: how late a window may end
	drainFor   = 10 * time.Second
)

// phase is what the swarm is doing.
type phase string

const (
	connecting phase = "connect"
	warmup     phase = "warmup"
	window     phase = "window"
	draining   phase = "drain"
)

// swarm is one group of a running load. The goroutine that runs it owns
// everything here.
type swarm struct {
	crew   *crew  // immutable after newSwarm, as are the next six
	cfg    Config // of this group: its share of the connections and of the rate
	group  int
	table  *table
	dial   *dialer
	wakefd int    // an eventfd by which another group says that there is credit
	buf    []byte // what one read returns

	epfd int // made by the goroutine itself: in its own descriptor table

	drainFor time.Duration // what is in flight at the end gets this long to come back

	conns   []*conn // by id, which is also what epoll returns
	waiting []*conn // of which these are to be dialled again

	phase     phase
	live      int // connections with a descriptor
	connected int // connections that had an echo, the lost ones too
	failed    int // connections that will never have one
	retries   int
	messages  int64 // come back since the start
	measured  int64 // of which within the window
	inFlight  int64
	faults    Faults
	pace      *pace // of an open loop while it sends, else nil

	publishers []*publisher // rooms: those whose connections are here
	rooms      tally
	sampled    int64
	from       time.Duration // when the window began

	all    *hdrhistogram.Histogram // the window's
	recent *hdrhistogram.Histogram // since the last snapshot
	lastAt time.Duration           // of which these are the figures
}

// Run loads the server in this process, on the calling goroutine, until the
// window is over or ctx ends. The error says that the load could not be run;
// what the server did wrong is in Result.Faults. It raises this process's soft
// limit of open files to the hard one.
func Run(ctx context.Context, cfg Config, hooks Hooks) (Result, error) {
	if err := cfg.check(); err != nil {
		return Result{}, err
	}
	cr, err := newCrew(cfg, hooks)
	if err != nil {
		return Result{}, err
	}
	defer cr.close()
	return cr.run(ctx)
}

// newSwarm makes group number i. Its eventfd is made before it has a descriptor
// table of its own, so that the others have it, too.
func newSwarm(cr *crew, i int) (*swarm, error) {
	cfg, groups := cr.cfg, cr.cfg.Groups
	cfg.Conns = (cfg.Conns - i + groups - 1) / groups
	cfg.Burst = max(1, cfg.Burst/groups)
	if cfg.Rooms == 0 {
		cfg.Rate = cfg.Rate * float64(cfg.Conns) / float64(cr.cfg.Conns)
	}
	dial, err := newDialer(cfg.Addr)
	if err != nil {
		return nil, err
	}
	wakefd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("load: eventfd: %w", err)
	}
	return &swarm{crew: cr, cfg: cfg, group: i, table: cr.table, dial: dial, wakefd: wakefd, epfd: -1,
		conns: make([]*conn, 0, cfg.Conns), buf: make([]byte, readBuffer), drainFor: drainFor,
		all: meter.NewHistogram(), recent: meter.NewHistogram()}, nil
}

// wakeID is what epoll returns for the eventfd; connections count from 0.
const wakeID = -1

// work makes the group's epoll instance, runs it, and releases everything.
func (s *swarm) work(ctx context.Context) (Result, error) {
	if err := s.openPoll(); err != nil {
		return Result{}, err
	}
	defer s.close()
	return s.run(ctx)
}

func (s *swarm) openPoll() (err error) {
	if s.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("load: epoll: %w", err)
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: wakeID}
	if err = unix.EpollCtl(s.epfd, unix.EPOLL_CTL_ADD, s.wakefd, &ev); err != nil {
		unix.Close(s.epfd)
		return fmt.Errorf("load: epoll_ctl: %w", err)
	}
	return nil
}

// wake ends the group's wait. Any goroutine.
func (s *swarm) wake() { unix.Write(s.wakefd, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

// close resets what is open: a close in order would leave each port in
// TIME_WAIT for a minute, and the next run without ports.
func (s *swarm) close() {
	for _, c := range s.conns {
		if c.fd >= 0 {
			unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
			unix.Close(c.fd)
		}
	}
	unix.Close(s.epfd)
}

func (s *swarm) now() time.Duration { return time.Since(s.crew.began) }

// run goes through the phases. What has been found so far comes with an error,
// too.
func (s *swarm) run(ctx context.Context) (Result, error) {
	if err := s.connect(ctx); err != nil {
		return s.result(), err
	}
	hooks := s.crew.hooks
	if err := s.crew.barrier(ctx, s, hooks.connected); err != nil {
		return s.result(), err
	}
	if s.cfg.Window == 0 {
		if len(s.crew.rooms) == 0 {
			s.put(1) // to see that every connection still echoes
		}
		err := s.drain(ctx)
		return s.result(), err
	}
	if err := s.warmUp(ctx); err != nil {
		return s.result(), err
	}
	if err := s.crew.barrier(ctx, s, hooks.window); err != nil {
		return s.result(), err
	}
	took, cpu, err := s.measure(ctx)
	if err != nil {
		return s.result(), err
	}
	if err := s.crew.barrier(ctx, s, hooks.done); err != nil {
		return s.result(), err
	}
	err = s.drain(ctx)
	r := s.result()
	r.Window, r.CPU = took, cpu
	r.finish(s.all)
	return r, err
}

func (s *swarm) warmUp(ctx context.Context) error {
	s.phase = warmup
	switch {
	case len(s.crew.rooms) > 0:
		s.openRooms()
	case s.cfg.Rate > 0:
		s.pace = newPace(s.cfg.Rate, s.now())
	default:
		s.put(s.cfg.Depth)
	}
	return s.loop(ctx, s.now()+s.cfg.Warmup)
}

// measure is the window. It returns its real length and what it cost this
// thread.
func (s *swarm) measure(ctx context.Context) (took, cpu time.Duration, err error) {
	s.phase, s.from = window, s.now()
	if s.pace != nil {
		s.pace = newPace(s.cfg.Rate, s.from) // what the hook held up is no fault of the server's
	}
	for _, p := range s.publishers {
		if p.pace != nil {
			p.pace.restart(s.from)
		}
	}
	before := threadCPU()
	err = s.loop(ctx, s.from+s.cfg.Window)
	return s.now() - s.from, threadCPU() - before, err
}

// put sends n messages more on every connection.
func (s *swarm) put(n int) {
	for _, c := range s.conns {
		if c.fd < 0 {
			continue
		}
		for range n {
			c.put(s.now(), s.table.out.size)
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
		if err := s.turn(ctx, min(until-s.now(), patience)); err != nil {
			return err
		}
	}
	return nil
}

// drain waits for what is in flight. It measures nothing any more; what does
// not come back in time is lost.
func (s *swarm) drain(ctx context.Context) error {
	s.phase, s.pace = draining, nil
	for until := s.now() + s.drainFor; s.inFlight+s.crew.pending.Load() > 0 && s.now() < until; {
		if err := s.turn(ctx, patience); err != nil {
			return err
		}
	}
	lost := s.inFlight
	if s.group == 0 {
		lost += s.crew.pending.Load()
	}
	if lost > 0 {
		s.faults.Lost += lost
		s.fault(fmt.Errorf("%d messages did not come back within %v of the end", lost, s.drainFor))
	}
	return nil
}

// threadCPU is the CPU time of the calling thread, which the swarm is locked to.
func threadCPU() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic("load: clock_gettime: " + err.Error()) // EINVAL and EFAULT only
	}
	return time.Duration(t.Nano())
}
