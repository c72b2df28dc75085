// Package reactortest judges lab 04: many event loops as one server, each with
// connections of its own, and a timing wheel.
//
// contract.go says what a reactor must do, the files named for their groups
// what is checked, targets.go what is measured, mutants_test.go which wrong
// reactors must be refused.
package reactortest

import (
	"context"
	"net"
	"time"
)

// Options is the configuration of a reactor whose connections have type C. The
// lab declares the same struct with its own *Conn for C; its test file converts
// one into the other, so a difference is a compile error.
//
// A connection belongs to one loop for life: all of its callbacks run on that
// loop's goroutine, one at a time. A callback that panics closes its connection
// and no other.
type Options[C Conn] struct {
	// Loops is the number of event loops; 0 means GOMAXPROCS.
	Loops int

	// Accept says how connections come to their loops: "round-robin" (the
	// default, also for ""), "least" (the loop with the fewest connections),
	// both from one acceptor that hands off, or "reuseport" (a listening
	// socket for each loop, and the kernel spreads the connections).
	Accept string

	// OwnTables gives each loop's thread a descriptor table of its own
	// (unshare(2)), so that the limit of open files holds for each loop and
	// not for all of them. It needs Accept "reuseport".
	OwnTables bool

	OnOpen    func(c C)                             // first
	OnMessage func(c C, msg []byte)                 // a frame, as in lab 03; or
	OnData    func(c C, data []byte) (consumed int) // all bytes, as in lab 03
	OnDrain   func(c C)                             // as in lab 03
	OnTimeout func(c C)                             // what SetTimeout asked for
	OnClose   func(c C, err error)                  // last, once

	// IdleTimeout closes a connection from which nothing has arrived for so
	// long, with an error; never early, and late by up to 200 ms. With OnData
	// any bytes are a sign of life, with OnMessage a whole frame; half a one may
	// be taken for one or not. 0 means never.
	IdleTimeout time.Duration

	MaxMessage int // as in lab 03
	MaxQueued  int // as in lab 03
}

// Conn is one connection of a reactor.
type Conn interface {
	// As in lab 03. Any goroutine.
	Send(msg []byte) error
	Write(p []byte) (int, error)
	Close() error
	Abort(err error)
	RemoteAddr() net.Addr
	Queued() int

	// Loop is the number of the loop it belongs to, from 0. Any goroutine.
	Loop() int

	// SetValue keeps v with the connection, and Value returns it: nil at
	// first. Its loop's goroutine only.
	SetValue(v any)
	Value() any

	// SetTimeout has OnTimeout called after d, once; never early, late by up to
	// 200 ms. It takes the place of one that is pending; 0 only cancels. Its
	// loop's goroutine only. O(1), no allocation.
	SetTimeout(d time.Duration)
}

// Reactor is what lab 04 builds.
type Reactor interface {
	// Listen opens addr, and returns the address it got. Call it before Run.
	Listen(addr string) (net.Addr, error)

	// Run serves until Shutdown, and then returns nil with everything closed.
	Run() error

	// Post runs fn on the goroutine of one loop, in the order of the calls. Any
	// goroutine. After Shutdown it returns net.ErrClosed.
	Post(loop int, fn func()) error

	// Connections is how many connections each loop has. Any goroutine.
	Connections() []int

	// Shutdown stops accepting, gives every connection that a client believes
	// to have to its loop, and shuts the loops down as in lab 03, side by
	// side. When ctx ends first it closes at once and returns ctx's error.
	Shutdown(ctx context.Context) error
}

// Wheel is a hashed timing wheel: timers in slots by the tick they are due in.
// It belongs to one goroutine. Its clock is what Advance says: nothing in it
// reads the time.
type Wheel interface {
	// AfterFunc has fn called by the Advance that passes d from now, rounded up
	// to a tick: never early. Insertion costs the same with one timer as with
	// a million. stop, also O(1), reports whether it prevented the call.
	AfterFunc(d time.Duration, fn func()) (stop func() bool)

	// Advance moves the clock to now, a time since the wheel was made, and then
	// calls what is due, in the order of the ticks. What is called may stop
	// others that are due, and make new ones: they count from now, so they are
	// for a later Advance. The clock never goes back.
	Advance(now time.Duration)

	// Len is the number of timers that have neither fired nor been stopped.
	Len() int
}
