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
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	defaultMaxMessage = 1 << 20
	defaultMaxQueued  = 4 << 20
	eventsPerTurn     = 256
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
	// Invariants:
	//
	//  1. Descriptors of connections are used by the loop goroutine only. So no
	//     other goroutine can write to one that was closed and given out again.
	//  2. Whatever epoll has reported of a connection is acted on at once or
	//     remembered in the Conn (readable, held); a connection that can make
	//     progress without a further event is in ready.
	//  3. Whoever queues work for the loop either finds it awake, in which case it
	//     looks at the queue again before it sleeps, or wakes it (wake.go).

	opts Options // immutable after New, defaults filled in

	epfd  int   // immutable after New, closed by release
	inbox inbox // work from other goroutines

	// The fields below belong to the loop goroutine (before Run: to Listen).
	conns      []*Conn // by descriptor; nil where there is none
	open       int     // how many of conns are not nil
	generation int32   // of the newest connection
	ready      []*Conn // to be served in the next turn without an event
	spare      []*Conn // the array that ready and it take turns in
	events     []unix.EpollEvent
	buf        []byte // every read goes here, unless the connection has a long tail
	timers     timerHeap
	listeners  listeners
	lingering  []lingerer
	idleWork   work // the arrays that inbox.work and it take turns in
	draining   bool
	fatal      error // a panic that belongs to no connection

	force atomic.Bool   // a Shutdown's context has ended: close everything now
	done  chan struct{} // closed when everything is released
}

// New returns a loop without connections. It holds two descriptors, an epoll
// instance and an eventfd, which Shutdown releases whether Run was called or
// not. An error names the option that makes no sense.
func New(o Options) (*Loop, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	l := &Loop{
		opts:   o,
		events: make([]unix.EpollEvent, eventsPerTurn),
		buf:    make([]byte, readSize),
		done:   make(chan struct{}),
	}
	if err := l.openPoll(); err != nil {
		return nil, err
	}
	return l, nil
}

// check refuses options that make no sense and fills in the defaults.
func (o *Options) check() error {
	switch {
	case o.OnMessage == nil && o.OnData == nil:
		return errors.New("eventloop: neither OnMessage nor OnData is set: set one, or nothing that arrives is seen")
	case o.OnMessage != nil && o.OnData != nil:
		return errors.New("eventloop: OnMessage and OnData are both set: set OnMessage for frames with a length in front, OnData for any other protocol")
	case o.MaxMessage < 0:
		return fmt.Errorf("eventloop: MaxMessage is %d: give a number of bytes, or 0 for 1 MiB", o.MaxMessage)
	case o.MaxQueued < 0:
		return fmt.Errorf("eventloop: MaxQueued is %d: give a number of bytes, or 0 for 4 MiB", o.MaxQueued)
	case o.WakeFD < 0:
		return fmt.Errorf("eventloop: WakeFD is %d: give an eventfd, or 0", o.WakeFD)
	}
	if o.MaxMessage == 0 {
		o.MaxMessage = defaultMaxMessage
	}
	if o.MaxQueued == 0 {
		o.MaxQueued = defaultMaxQueued
	}
	return nil
}

// Run is the loop. It blocks its goroutine until Shutdown and then returns nil
// with every descriptor of the loop closed; after a Shutdown it returns nil at
// once. A fault of one connection closes that connection. An error is one of
// epoll_wait(2), or the *PanicError of a function given to Post or AfterFunc:
// then every connection is closed with it. A Loop runs once.
func (l *Loop) Run() error {
	if run, err := l.inbox.start(); !run {
		return err
	}
	err := l.loop()
	l.release(err)
	return err
}

func (l *Loop) loop() error {
	for !l.finished() {
		n, err := l.wait()
		if err != nil {
			return err
		}
		for i := range n {
			l.dispatch(&l.events[i])
		}
		l.serveReady()
		l.runTimers()
		l.runInbox() // last, so that what this turn queued is sent in this turn
	}
	return l.fatal
}

// dispatch acts on one event.
//
// An event may be stale: meant for a connection that was closed since, while
// accept has given its descriptor to a new one. The generation tells: the event
// has the one that was registered, and no two connections of a loop share one.
// A turn is ordered so that this is rare (a connection ends in its own event,
// or after all events), but safety here must not hang on the order of a turn.
func (l *Loop) dispatch(ev *unix.EpollEvent) {
	fd, generation := int(ev.Fd), ev.Pad
	if generation == 0 { // not a connection
		l.acceptFrom(fd, acceptsPerTurn)
		return
	}
	if c := l.conns[fd]; c != nil && c.generation == generation {
		l.serve(c, ev.Events)
	}
}

// serve acts on events of c, or on what is remembered of it: reads, calls back,
// and sends what the callbacks queued with one write.
func (l *Loop) serve(c *Conn, events uint32) {
	c.cork()
	c.remember(events)
	l.read(c)
	l.flush(c, events&(unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP) != 0)
}

// serveReady goes on with the connections that had more to do than one turn
// allows. Those that still have are in the list again, for the next turn.
func (l *Loop) serveReady() {
	if len(l.ready) == 0 {
		return
	}
	now := l.ready
	l.ready = l.spare[:0]
	for _, c := range now {
		c.isReady = false
		if c.phase != closed {
			l.serve(c, 0)
		}
	}
	clear(now) // a closed connection must not be kept in memory by an old list
	l.spare = now
}
