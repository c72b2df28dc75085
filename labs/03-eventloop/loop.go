// Package eventloop is an edge-triggered epoll loop for TCP servers: many
// connections on one goroutine, callbacks instead of reads, and sends from any
// goroutine.
//
// Read the files in this order: loop.go (the loop), poll.go (epoll), listen.go
// and conn.go (how a connection begins and what it is), read.go and frame.go
// (bytes in), write.go (bytes out), close.go (how it ends), wake.go (other
// goroutines), timer.go, shutdown.go, errors.go, sys.go.
//
// Edge-triggered means that epoll reports a change once (epoll(7)): "has become
// readable", not "is readable". That saves system calls, and lays a duty on the
// loop: what it has been told and has not acted on, it must remember itself.
package eventloop

import (
	"errors"
)

// Options is the configuration of a Loop.
//
// Every callback runs on the loop's goroutine, one at a time, and must not
// block: while it runs, no other connection is served. A callback that panics
// closes the connection it was called for, with a *PanicError for OnClose, and
// no other. Callbacks not needed may be nil, but for the one of OnMessage and
// OnData.
type Options struct {
	// OnOpen is called once for each connection, before anything else of it.
	OnOpen func(c *Conn)

	// OnMessage is called for each complete frame with its payload, in the
	// order of arrival. msg belongs to the loop: it is valid until OnMessage
	// returns and is overwritten afterwards, so copy what you keep; its
	// capacity ends with it, so append makes a copy. A frame is a 4-byte
	// big-endian length and that many bytes.
	OnMessage func(c *Conn, msg []byte)

	// OnData takes the place of OnMessage for protocols with frames of their
	// own. It is called with all bytes received and not yet consumed, and
	// returns how many of them it consumed; the rest is kept, and shown again
	// in front of what comes next. data is valid until OnData returns. Exactly
	// one of OnMessage and OnData must be set.
	OnData func(c *Conn, data []byte) (consumed int)

	// OnDrain is called when there is room again: after a Send or Write was
	// refused because of MaxQueued, once all that was queued is written. Once
	// for each time that the queue was found full.
	OnDrain func(c *Conn)

	// OnClose is called once for each OnOpen, as the last callback of the
	// connection. err is nil when the peer closed in order or Close was
	// called, and otherwise the reason: an error of read(2) or write(2),
	// ErrTooLarge, io.ErrUnexpectedEOF for a peer that closed inside a frame,
	// a *PanicError, what Abort was given, or ErrForced.
	OnClose func(c *Conn, err error)

	// MaxMessage bounds a frame's payload, in bytes; a longer one closes the
	// connection with ErrTooLarge before its payload is kept. With OnData it
	// bounds the bytes kept unconsumed. 0 means 1 MiB.
	MaxMessage int

	// MaxQueued bounds the bytes queued to be sent on one connection, lengths
	// included. A Send that would pass it queues nothing and returns
	// ErrQueueFull; above half of it the connection is not read, so that TCP
	// slows down a peer that asks faster than it takes. 0 means 4 MiB.
	MaxQueued int

	// ReusePort lets several loops, or processes, listen on one address: the
	// kernel spreads the connections over them (SO_REUSEPORT, socket(7)). Two
	// servers started by mistake share the port, too, without an error.
	ReusePort bool

	// WakeFD is an eventfd for the loop to be woken by, non-blocking. It stays
	// the caller's: the loop never closes it. It serves those who give the
	// loop's thread a descriptor table of its own (unshare(2)): of all of the
	// loop's descriptors, other threads use this one alone. 0 means that the
	// loop makes its own.
	WakeFD int
}

// Loop serves connections on the goroutine that calls Run.
type Loop struct {
	// Yours to add. Write the invariants down here first, and beside each
	// field who may touch it: the loop's goroutine, or anyone under a lock.
}

// New returns a loop without connections. It holds two descriptors, an epoll
// instance and an eventfd, which Shutdown releases whether Run was called or
// not. An error names the option that makes no sense.
func New(o Options) (*Loop, error) {
	return nil, errors.New("not implemented: start at README.md, step 1")
}

// Run is the loop. It blocks its goroutine until Shutdown and then returns nil
// with every descriptor of the loop closed; after a Shutdown it returns nil at
// once. A fault of one connection closes that connection. An error is one of
// epoll_wait(2), or the *PanicError of a function given to Post or AfterFunc:
// then every connection is closed with it. A Loop runs once.
func (l *Loop) Run() error {
	return errors.New("not implemented: step 1, the loop")
}
