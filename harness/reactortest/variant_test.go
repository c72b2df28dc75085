package reactortest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// fault is one way in which a variant is wrong. It is a word for the reader;
// the code says what each does.
type fault string

// variant is a right reactor in another style than the solution's: a loop of its
// own, level-triggered, woken by a pipe; the first loop is the acceptor as well;
// timeouts are found by looking at the loop's connections every few
// milliseconds. With a fault it is a mutant. variant_loop_test.go has the loop,
// variant_conn_test.go the connection.
type variant struct {
	o     Options[Conn]
	fault fault
	loops []*vloop
	next  int // of round robin; loop 0's goroutine only
	lock  sync.Mutex

	mu       sync.Mutex // guards the following
	ran      bool
	stopping bool
	failed   error // of a loop

	working sync.WaitGroup // the loops' goroutines
	done    chan struct{}
}

func subjectWith(f fault) Subject {
	return Subject{Reactor: newVariant(f), Wheel: newVariantWheel(f)}
}

func newVariant(f fault) func(Options[Conn]) (Reactor, error) {
	return func(o Options[Conn]) (Reactor, error) {
		if err := refuse(o); err != nil && f != "takes any options" && f != "zero or fewer workers are accepted" {
			return nil, err
		}
		if o.Loops == 0 {
			o.Loops = runtime.GOMAXPROCS(0)
		}
		if o.Loops < 0 || f == "Loops 0 means one" && o.Loops == runtime.GOMAXPROCS(0) {
			o.Loops = 1
		}
		if f == "MaxQueued is forgotten" || o.MaxQueued == 0 {
			o.MaxQueued = 64 << 20
		}
		if f == "MaxMessage is forgotten" || o.MaxMessage == 0 {
			o.MaxMessage = 1 << 20
		}
		v := &variant{o: o, fault: f, done: make(chan struct{})}
		if o.OwnTables {
			startNetpoller()
		}
		for i := range o.Loops {
			l, err := newVloop(v, i)
			if err != nil {
				return nil, err
			}
			v.loops = append(v.loops, l)
		}
		for _, l := range v.loops {
			v.working.Add(1)
			go l.work()
			l.do(func() { l.begin() })
		}
		return v, nil
	}
}

func refuse(o Options[Conn]) error {
	switch {
	case o.Loops < 0:
		return errors.New("negative Loops")
	case o.Accept != "" && !slices.Contains(strategies, o.Accept):
		return errors.New("unknown Accept")
	case o.OwnTables && o.Accept != "reuseport":
		return errors.New("OwnTables needs reuseport")
	case (o.OnMessage == nil) == (o.OnData == nil):
		return errors.New("one of OnMessage and OnData")
	case o.MaxMessage < 0 || o.MaxQueued < 0 || o.IdleTimeout < 0:
		return errors.New("negative bound")
	}
	return nil
}

// startNetpoller makes the runtime create its epoll instance before a
// descriptor table is copied.
func startNetpoller() {
	r, w, err := os.Pipe()
	if err != nil {
		return
	}
	r.SetReadDeadline(time.Now().Add(-1))
	r.Read(make([]byte, 1))
	r.Close()
	w.Close()
}

func (v *variant) Listen(addr string) (bound net.Addr, err error) {
	v.mu.Lock()
	stopping := v.stopping
	v.mu.Unlock()
	if stopping {
		return nil, net.ErrClosed
	}
	listening := v.loops[:1]
	if v.o.Accept == "reuseport" && v.fault != "only the first loop listens" {
		listening = v.loops
	}
	for _, l := range listening {
		l.do(func() { bound, err = l.listen(addr) })
		if err != nil {
			return nil, err
		}
		addr = bound.String()
	}
	return bound, nil
}

func (v *variant) Run() error {
	v.mu.Lock()
	run := !v.stopping && !v.ran
	v.ran = v.ran || run
	v.mu.Unlock()
	if run {
		for _, l := range v.loops {
			close(l.before) // to run
		}
		v.working.Wait()
		v.release()
	}
	if v.fault == "Run returns an error after Shutdown" {
		return errors.New("run: closed")
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.failed
}

// pick chooses a loop for a new connection. Loop 0's goroutine only.
func (v *variant) pick() *vloop {
	if v.fault == "all connections on one loop" {
		return v.loops[len(v.loops)-1]
	}
	if v.o.Accept == "least" {
		return slices.MinFunc(v.loops, func(a, b *vloop) int { return int(v.load(a) - v.load(b)) })
	}
	v.next++
	return v.loops[v.next%len(v.loops)]
}

func (v *variant) load(l *vloop) int64 {
	switch v.fault {
	case "least looks at open connections only":
		return l.open.Load()
	case "least forgets departures":
		return l.given.Load()
	}
	return l.given.Load() - l.gone.Load()
}

// fail notes why a loop has ended.
func (v *variant) fail(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.failed = err
}

func (v *variant) Post(loop int, fn func()) error {
	if v.fault == "Post runs on the first loop" {
		loop = 0
	}
	l := v.loops[loop]
	if v.fault == "Post runs the last one first" {
		own := fn
		l.mu.Lock()
		l.backwards = append(l.backwards, own)
		l.mu.Unlock()
		fn = func() {
			l.mu.Lock()
			own := l.backwards[len(l.backwards)-1]
			l.backwards = l.backwards[:len(l.backwards)-1]
			l.mu.Unlock()
			own()
		}
	}
	if !l.post(fn) && v.fault != "Post after Shutdown says nil" {
		return net.ErrClosed
	}
	return nil
}

func (v *variant) Connections() []int {
	var n []int
	for _, l := range v.loops {
		n = append(n, int(l.open.Load()))
	}
	return n
}

func (v *variant) Shutdown(ctx context.Context) error {
	if v.fault == "Shutdown does nothing" {
		return nil
	}
	v.mu.Lock()
	first, ran := !v.stopping, v.ran
	v.stopping = true
	v.mu.Unlock()
	if v.fault == "a second Shutdown panics" && !first {
		panic("close of closed channel")
	}
	if !ran && v.fault != "Shutdown before Run waits for ever" {
		if first {
			for _, l := range v.loops {
				l.do(l.close)
				close(l.discarded)
			}
			v.working.Wait()
			v.release()
		}
		<-v.done
		return nil
	}
	return v.drain(ctx, first)
}

// drain stops the acceptor first: after that nothing is on its way to a loop.
func (v *variant) drain(ctx context.Context, first bool) error {
	if first {
		go func() {
			stopped := make(chan struct{})
			v.loops[0].post(func() {
				if v.o.Accept != "reuseport" {
					v.loops[0].stopAccepting()
				}
				close(stopped)
			})
			if v.fault != "loops drain before the acceptor has stopped" {
				select {
				case <-stopped:
				case <-v.loops[0].ended: // by force, and what was posted is not run
				}
			}
			for _, l := range v.loops {
				l.post(func() { l.drain() })
				if v.fault == "one loop after the other" {
					<-l.ended
				}
			}
		}()
	}
	if v.fault == "Shutdown ignores its context" {
		ctx = context.Background()
	}
	select {
	case <-v.done:
		return nil
	case <-ctx.Done():
	}
	for _, l := range v.loops {
		l.force.Store(true)
		l.post(func() {})
	}
	<-v.done
	if v.fault == "hides that it used force" {
		return nil
	}
	return ctx.Err()
}

func (v *variant) release() {
	for _, l := range v.loops {
		if v.fault == "leaks its pipes" {
			break
		}
		unix.Close(l.wakeR)
		unix.Close(l.wakeW)
	}
	close(v.done)
}

// call runs a callback, and recovers from its panic.
func (v *variant) call(c *vconn, fn func()) {
	defer func() {
		if p := recover(); p != nil {
			if v.fault == "a panic closes all of its loop" {
				for _, other := range c.l.conns {
					other.Abort(errors.New("a panic elsewhere"))
				}
			}
			err := fmt.Errorf("panic: %v", p)
			if v.fault == "a panic is not told" {
				err = nil
			}
			c.Abort(err)
		}
	}()
	if v.fault == "one lock around all callbacks" {
		v.lock.Lock()
		defer v.lock.Unlock()
	}
	fn()
}

// vloop is one loop. Its goroutine exists from New on, as its descriptors are
// its thread's when there are tables.
type vloop struct {
	v     *variant
	index int

	wakeR, wakeW int
	before       chan func()   // what to do before it runs; closed: run
	discarded    chan struct{} // closed: end without running
	ended        chan struct{}

	open, given, gone atomic.Int64
	force             atomic.Bool

	mu        sync.Mutex // guards the following
	inbox     []func()
	woken     bool
	closed    bool
	backwards []func()

	// Loop goroutine only.
	ep        int
	listeners []int
	paused    time.Time // listeners are disarmed until then
	conns     map[int]*vconn
	byNumber  map[int]time.Time // of one fault
	draining  bool
	ticking   bool
	asleep    bool // of one fault
	buf       []byte
	spare     int // of one fault
}
