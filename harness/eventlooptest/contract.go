// Package eventlooptest judges lab 03: the reusable edge-triggered event loop
// that every later lab stands on.
//
// contract.go says what a loop must do, rules.go and its siblings what is
// checked, targets.go what is measured, mutants_test.go which wrong loops must
// be refused.
package eventlooptest

import (
	"context"
	"net"
	"time"
)

// Options is the configuration of a loop whose connections have type C. The
// lab declares the same struct with its own *Conn for C; its test file converts
// one into the other, so a difference is a compile error.
//
// Every callback runs on the loop's goroutine, one at a time. A callback that
// panics closes the connection it was called for, with the panic as OnClose's
// error, and no other.
type Options[C Conn] struct {
	// OnOpen is called once for each connection, before anything else of it.
	OnOpen func(c C)

	// OnMessage is called for each complete frame with its payload, in the
	// order of arrival. msg belongs to the loop: it is valid until OnMessage
	// returns, and is overwritten afterwards. A frame is a 4-byte big-endian
	// length and that many bytes.
	OnMessage func(c C, msg []byte)

	// OnData takes the place of OnMessage for protocols with frames of their
	// own. It is called with all bytes received and not yet consumed, and
	// returns how many it consumed; the rest is kept, and shown again in front
	// of what comes next. data is valid until OnData returns. Exactly one of
	// OnMessage and OnData must be set.
	OnData func(c C, data []byte) (consumed int)

	// OnDrain is called when there is room again: after a Send or Write was
	// refused because of MaxQueued, once all that was queued is written. Once
	// for each time that the queue was found full.
	OnDrain func(c C)

	// OnClose is called once for each OnOpen, as the last callback of the
	// connection. err is nil when the peer closed in order or Close was
	// called, and otherwise the reason.
	OnClose func(c C, err error)

	// MaxMessage bounds a frame's payload, in bytes; a longer one closes the
	// connection with an error before its payload is kept. With OnData it
	// bounds the bytes kept unconsumed. 0 means 1 MiB.
	MaxMessage int

	// MaxQueued bounds the bytes queued to be sent on one connection. A Send
	// that would pass it queues nothing and returns an error; above half of it
	// the connection is not read. 0 means 4 MiB.
	MaxQueued int

	// ReusePort lets several loops, or processes, listen on one address: the
	// kernel spreads the connections over them (SO_REUSEPORT, socket(7)).
	ReusePort bool

	// WakeFD is an eventfd for the loop to be woken by. It stays the caller's:
	// the loop never closes it. 0 means that the loop makes its own.
	WakeFD int
}

// Conn is one connection of a loop.
type Conn interface {
	// Send queues msg as one frame: all of it or, with an error, nothing. It
	// copies msg, never blocks, and may be called from any goroutine;
	// frames leave in the order of the calls. After Close, Abort or the peer's
	// end it returns net.ErrClosed.
	Send(msg []byte) error

	// Write queues p as it is, without a length in front. Otherwise as Send.
	Write(p []byte) (int, error)

	// WriteNow is Write without the wait for the end of the turn: it writes at
	// once, unless older bytes are queued, and queues what the kernel does not
	// take. The loop's goroutine only.
	WriteNow(p []byte) (int, error)

	// Close sends what is queued and then closes the connection; OnClose gets
	// nil. Any goroutine, any number of times.
	Close() error

	// Abort closes the connection without sending what is queued; OnClose gets
	// err. Any goroutine, any number of times.
	Abort(err error)

	// RemoteAddr is the peer's address.
	RemoteAddr() net.Addr

	// Queued is the number of bytes that wait to be sent. Any goroutine.
	Queued() int

	// SetValue keeps v with the connection, and Value returns it: nil at
	// first. Both on the loop's goroutine only.
	SetValue(v any)
	Value() any
}

// Loop is what lab 03 builds.
type Loop interface {
	// Listen opens a listening socket on addr and returns the address it got.
	// Call it before Run.
	Listen(addr string) (net.Addr, error)

	// Adopt hands a connected stream socket to the loop, which owns fd from
	// here on, also when it returns an error. Any goroutine.
	Adopt(fd int) error

	// Run is the loop. It blocks its goroutine until Shutdown and then returns
	// nil with every descriptor of the loop closed.
	Run() error

	// Post runs fn on the loop's goroutine, in the order of the calls. Any
	// goroutine. After Shutdown it returns net.ErrClosed.
	Post(fn func()) error

	// AfterFunc runs fn on the loop's goroutine after d, never earlier. stop
	// reports whether it prevented the call. Call both on the loop's goroutine
	// (inside a callback or a Post) only.
	AfterFunc(d time.Duration, fn func()) (stop func() bool)

	// Shutdown stops accepting, delivers what has arrived, sends what is
	// queued, closes every connection, and waits until Run has ended. When ctx
	// ends first it closes at once and returns ctx's error. It may be called
	// from any goroutine but the loop's, more than once, and before Run.
	Shutdown(ctx context.Context) error
}
