package load

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"github.com/asynclab/asynclab/harness/meter"
)

// crew is the groups of one load: swarms that share the connections, each on a
// thread of its own, because one descriptor table cannot hold them all (unshare
// (2), CLONE_FILES). With a limit of open files that is high enough there is one
// group, on the caller's goroutine.
type crew struct {
	cfg    Config
	hooks  Hooks
	began  time.Time
	table  *table // read only: all groups send from it
	swarms []*swarm
	rooms  []*room

	pending atomic.Int64 // rooms: deliveries under way

	mu      sync.Mutex
	arrived int                     // guarded by mu: groups at the barrier
	opened  chan struct{}           // guarded by mu: closed when all are there
	latest  []Snapshot              // guarded by mu: by group
	recent  *hdrhistogram.Histogram // guarded by mu: since the last snapshot
	window  *hdrhistogram.Histogram // guarded by mu: of the window so far
	lastAt  time.Duration           // guarded by mu
	last    Snapshot                // guarded by mu: what was told last
}

func newCrew(cfg Config, hooks Hooks) (*crew, error) {
	cr := &crew{cfg: cfg, hooks: hooks, began: time.Now(), table: newTable(cfg), rooms: newRooms(&cfg),
		opened: make(chan struct{}), latest: make([]Snapshot, cfg.Groups), recent: meter.NewHistogram(), window: meter.NewHistogram()}
	for i, r := range cr.rooms {
		members := (cfg.Conns - i + len(cr.rooms) - 1) / len(cr.rooms)
		r.listening.Store(int32(members - cfg.Silent))
		for n := range cfg.Publishers {
			r.publishers = append(r.publishers, &publisher{room: r, number: n})
		}
	}
	for i := range cfg.Groups {
		s, err := newSwarm(cr, i)
		if err != nil {
			return nil, errors.Join(err, cr.close())
		}
		cr.swarms = append(cr.swarms, s)
	}
	return cr, nil
}

// close releases what was made before the groups ran.
func (cr *crew) close() error {
	for _, s := range cr.swarms {
		unix.Close(s.wakefd)
	}
	return nil
}

// run runs the groups and adds up what they have found.
func (cr *crew) run(ctx context.Context) (Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if len(cr.swarms) == 1 {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		return cr.swarms[0].work(ctx)
	}
	startNetpoller()
	type outcome struct {
		result Result
		err    error
	}
	outcomes := make(chan outcome)
	for _, s := range cr.swarms {
		go onOwnThread(func() {
			r, err := Result{}, unix.Unshare(unix.CLONE_FILES)
			if err == nil {
				r, err = s.work(ctx)
			}
			outcomes <- outcome{r, err}
		})
	}
	var sum Result
	var err error
	for range cr.swarms {
		o := <-outcomes
		if o.err != nil {
			cancel() // nobody waits at a barrier for one that will not come
			err = firstReal(err, o.err)
		}
		sum.add(o.result)
	}
	sum.finish(cr.measured())
	return sum, err
}

// firstReal keeps the error that was there first, but for the cancellation that
// it has caused itself.
func firstReal(err, other error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return other
	}
	return err
}

// measured merges the groups' histograms of the window.
func (cr *crew) measured() *hdrhistogram.Histogram {
	all := meter.NewHistogram()
	for _, s := range cr.swarms {
		all.Merge(s.all)
	}
	return all
}

// barrier waits until all groups are at the same point; the last one calls fn.
// The others go on serving what comes meanwhile: they may wait for a minute.
func (cr *crew) barrier(ctx context.Context, s *swarm, fn func()) error {
	cr.mu.Lock()
	cr.arrived++
	opened := cr.opened
	if cr.arrived == len(cr.swarms) {
		cr.arrived, cr.opened = 0, make(chan struct{})
		cr.mu.Unlock()
		fn()
		close(opened)
		return ctx.Err()
	}
	cr.mu.Unlock()
	for {
		select {
		case <-opened:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		default:
			if err := s.turn(ctx, patience); err != nil {
				return err
			}
		}
	}
}

// snapshot takes one group's figures, and tells the sum when it is the first
// group's turn.
func (cr *crew) snapshot(group int, snap Snapshot, recent *hdrhistogram.Histogram) {
	cr.mu.Lock()
	defer cr.mu.Unlock()
	cr.latest[group] = snap
	cr.recent.Merge(recent)
	if snap.Phase == string(window) {
		cr.window.Merge(recent)
	}
	if group != 0 {
		return
	}
	sum := snap
	for _, o := range cr.latest[1:] {
		sum.add(o)
	}
	since := (sum.Elapsed - cr.lastAt).Seconds()
	sum.PerSecond = float64(sum.Messages-cr.last.Messages) / since
	sum.DeliveriesPerSecond = float64(sum.Deliveries-cr.last.Deliveries) / since
	sum.P50, sum.P99, sum.P999 = quantiles(cr.recent)
	sum.WindowP50, sum.WindowP99, sum.WindowP999 = quantiles(cr.window)
	cr.recent.Reset()
	cr.lastAt, cr.last = sum.Elapsed, sum
	cr.hooks.snapshot(sum)
}

func quantiles(h *hdrhistogram.Histogram) (p50, p99, p999 int64) {
	return h.ValueAtQuantile(50), h.ValueAtQuantile(99), h.ValueAtQuantile(99.9)
}

// startNetpoller makes Go's runtime create its own epoll instance, which all
// descriptor tables must have.
func startNetpoller() {
	r, w, err := os.Pipe()
	if err != nil {
		return
	}
	defer r.Close()
	defer w.Close()
	r.SetReadDeadline(time.Now().Add(-time.Second))
	r.Read(make([]byte, 1))
}

// onOwnThread runs fn on a thread that ends with it, and is not the process's
// first, which never ends. Call it with go.
func onOwnThread(fn func()) {
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		fn()
		return
	}
	other := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		close(other)
		fn()
	}()
	<-other
	runtime.UnlockOSThread()
}
