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
	"net"
	"time"
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
	// Yours to add: the loops, the acceptor if there is one, and whether it is
	// running or stopping.
}

// New returns a reactor without connections. Its loops' goroutines and
// descriptors exist from here on; Shutdown releases them, whether Run was called
// or not. An error names the option that makes no sense.
func New(o Options) (*Reactor, error) {
	return nil, errors.New("not implemented: step 2")
}

// Listen opens a listening socket on addr, "host:port", and returns the address
// it got: with port 0 the kernel chooses a free one. Call it before Run, once
// for each address. After Shutdown it returns net.ErrClosed.
func (r *Reactor) Listen(addr string) (net.Addr, error) {
	return nil, errors.New("not implemented: step 3")
}

// Run serves until Shutdown, and then returns nil with every descriptor closed
// and every goroutine ended; after a Shutdown it returns nil at once. An error
// is that of a loop: then the others are closed by force. A Reactor runs once.
func (r *Reactor) Run() error {
	return errors.New("not implemented: step 2")
}

// Post runs fn on the goroutine of one loop, in the order of the calls. Any
// goroutine; before Run too. After Shutdown it returns net.ErrClosed. It never
// blocks, and its queue has no bound. A panic in fn ends Run. Loops count from 0.
func (r *Reactor) Post(loop int, fn func()) error {
	return errors.New("not implemented: step 2")
}

// Connections is how many connections each loop has. Any goroutine.
func (r *Reactor) Connections() []int {
	return nil // step 3
}
