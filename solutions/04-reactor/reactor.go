// Package reactor is many event loops as one server: each connection belongs to
// one loop for life, and the loops share nothing but the listener.
//
// Read the files in this order: reactor.go (options, start), loop.go (one loop
// and its goroutine), conn.go (a connection and its owner), accept.go (how
// connections come to their loops), wheel.go and timeout.go (a million timers),
// table.go (more descriptors than a process may have), shutdown.go.
//
// The loop itself is lab 03's.
package reactor

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"time"

	eventloop "github.com/asynclab/asynclab/solutions/03-eventloop"
)

// Options is the configuration of a Reactor.
//
// A connection belongs to one loop for life: all of its callbacks run on that
// loop's goroutine, one at a time, and must not block. So what belongs to one
// connection, or to one loop, needs no lock; what several loops share does. A
// callback that panics closes its connection and no other.
type Options struct {
	// Loops is the number of event loops; 0 means GOMAXPROCS.
	Loops int

	// Accept says how connections come to their loops: "round-robin" (the
	// default, also for ""), "least" (the loop with the fewest connections),
	// both from one acceptor that hands off, or "reuseport" (a listening
	// socket for each loop, and the kernel spreads the connections by a hash
	// of their addresses).
	Accept string

	// OwnTables gives each loop's thread a descriptor table of its own
	// (unshare(2)), so that the limit of open files holds for each loop and
	// not for all of them. It needs Accept "reuseport", for a descriptor of
	// one table means nothing in another. Whatever is open when New is called
	// is open in every table until the reactor ends: call New early.
	OwnTables bool

	// OnOpen, OnMessage or OnData, OnDrain and OnClose are called as in lab
	// 03. Exactly one of OnMessage and OnData must be set.
	OnOpen    func(c *Conn)
	OnMessage func(c *Conn, msg []byte)
	OnData    func(c *Conn, data []byte) (consumed int)
	OnDrain   func(c *Conn)

	// OnTimeout is called when the time that SetTimeout was given has passed.
	OnTimeout func(c *Conn)

	// OnClose is called once for each OnOpen, last, with the reasons of lab
	// 03 or ErrIdle.
	OnClose func(c *Conn, err error)

	// IdleTimeout closes a connection from which nothing has arrived for so
	// long, with ErrIdle; never early, and late by up to 200 ms. With OnData
	// any bytes are a sign of life, with OnMessage a whole frame (half a one
	// may be taken for one or not). 0 means never.
	IdleTimeout time.Duration

	// MaxMessage and MaxQueued bound a connection's memory as in lab 03; 0
	// means 1 MiB and 4 MiB.
	MaxMessage int
	MaxQueued  int
}

// The values of Options.Accept.
const (
	RoundRobin = "round-robin"
	LeastConns = "least"
	ReusePort  = "reuseport"
)

// ErrIdle is why OnClose is called after IdleTimeout.
var ErrIdle = errors.New("reactor: idle: nothing has arrived for as long as IdleTimeout allows")

// Reactor is a set of event loops and, unless the kernel spreads the
// connections, an acceptor that feeds them.
type Reactor struct {
	opts     Options   // immutable after New, defaults filled in
	loops    []*loop   // immutable after New
	acceptor *acceptor // immutable after New; nil with "reuseport"

	mu       sync.Mutex
	running  bool // guarded by mu: the loops have been started
	stopping bool // guarded by mu: Shutdown was called

	ended chan error    // what the loops' Run returned
	done  chan struct{} // closed when everything is released
}

// New returns a reactor without connections. Its loops' goroutines and
// descriptors exist from here on; Shutdown releases them, whether Run was called
// or not. An error names the option that makes no sense.
func New(o Options) (*Reactor, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	r := &Reactor{opts: o, ended: make(chan error, o.Loops), done: make(chan struct{})}
	if o.OwnTables {
		startNetpoller()
	}
	if err := r.build(); err != nil {
		r.release()
		return nil, err
	}
	return r, nil
}

// build makes the loops and the acceptor. All eventfds are there before the
// first loop starts: its descriptor table may be a copy of what there is at that
// moment, and every loop wakes every other.
func (r *Reactor) build() error {
	for i := range r.opts.Loops {
		l, err := newLoop(r, i)
		if err != nil {
			return err
		}
		r.loops = append(r.loops, l)
	}
	for _, l := range r.loops {
		if err := l.begin(); err != nil {
			return err
		}
	}
	if r.opts.Accept == ReusePort {
		return nil
	}
	a, err := newAcceptor(r.loops, r.opts.Accept)
	r.acceptor = a
	return err
}

// check refuses options that make no sense and fills in the defaults. Those of
// a loop are checked by the loop.
func (o *Options) check() error {
	if o.Accept == "" {
		o.Accept = RoundRobin
	}
	switch {
	case o.Loops < 0:
		return fmt.Errorf("reactor: Loops is %d: give the number of event loops, or 0 for one a core", o.Loops)
	case o.Accept != RoundRobin && o.Accept != LeastConns && o.Accept != ReusePort:
		return fmt.Errorf("reactor: Accept is %q: give %q, %q or %q", o.Accept, RoundRobin, LeastConns, ReusePort)
	case o.OwnTables && o.Accept != ReusePort:
		return fmt.Errorf("reactor: OwnTables with Accept %q: a descriptor means nothing in another loop's table: give %q", o.Accept, ReusePort)
	case o.IdleTimeout < 0:
		return fmt.Errorf("reactor: IdleTimeout is %v: give a duration, or 0 for never", o.IdleTimeout)
	}
	if o.Loops == 0 {
		o.Loops = runtime.GOMAXPROCS(0)
	}
	return nil
}

// Listen opens a listening socket on addr, "host:port", and returns the address
// it got: with port 0 the kernel chooses a free one. Call it before Run, once
// for each address. After Shutdown it returns net.ErrClosed.
func (r *Reactor) Listen(addr string) (net.Addr, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.stopping:
		return nil, fmt.Errorf("listen %s: %w", addr, net.ErrClosed)
	case r.running:
		return nil, fmt.Errorf("listen %s: the reactor is running: call Listen before Run", addr)
	case r.acceptor != nil:
		return r.acceptor.listen(addr)
	}
	return r.listenEach(addr)
}

// listenEach gives every loop a listener on the same address. The name is
// resolved here: a loop with a table of its own must not use package net's
// sockets.
func (r *Reactor) listenEach(addr string) (net.Addr, error) {
	to, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen %s: %w", addr, err)
	}
	addr = to.String()
	var bound net.Addr
	for _, l := range r.loops {
		l.do(func() { bound, err = l.events.Listen(addr) })
		if err != nil {
			return nil, err
		}
		addr = bound.String() // the port that the first one got
	}
	return bound, nil
}

// Run serves until Shutdown, and then returns nil with every descriptor closed
// and every goroutine ended; after a Shutdown it returns nil at once. An error
// is that of a loop: then the others are closed by force. A Reactor runs once.
func (r *Reactor) Run() error {
	if run, err := r.start(); !run {
		return err
	}
	var failed error
	for range r.loops {
		if err := <-r.ended; err != nil {
			failed = errors.Join(failed, err)
			go r.Shutdown(over)
		}
	}
	r.release()
	return failed
}

// start starts the loops and the acceptor, unless the reactor may not run.
func (r *Reactor) start() (run bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.running:
		return false, errors.New("reactor: Run was called before: make a new Reactor to run again")
	case r.stopping:
		return false, nil
	}
	r.running = true
	var started []func()
	for _, l := range r.loops {
		started = append(started, l.run())
	}
	for _, wait := range started { // after all have begun: what was posted to one may hold it up
		wait()
	}
	if r.acceptor != nil {
		go r.acceptor.run()
	}
	return true, nil
}

// Post runs fn on the goroutine of one loop, in the order of the calls. Any
// goroutine; before Run too. After Shutdown it returns net.ErrClosed. It never
// blocks, and its queue has no bound. A panic in fn ends Run. Loops count from 0.
func (r *Reactor) Post(loop int, fn func()) error { return r.loops[loop].events.Post(fn) }

// Connections is how many connections each loop has. Any goroutine.
func (r *Reactor) Connections() []int {
	counts := make([]int, len(r.loops))
	for i, l := range r.loops {
		counts[i] = int(l.open.Load())
	}
	return counts
}

// options of the loops that carry this reactor's connections.
func (l *loop) options() eventloop.Options {
	o := &l.reactor.opts
	e := eventloop.Options{
		OnOpen: l.onOpen, OnDrain: l.onDrain, OnClose: l.onClose,
		MaxMessage: o.MaxMessage, MaxQueued: o.MaxQueued,
		ReusePort: o.Accept == ReusePort, WakeFD: l.wakefd,
	}
	if o.OnMessage != nil {
		e.OnMessage = l.onMessage
	}
	if o.OnData != nil {
		e.OnData = l.onData
	}
	return e
}
