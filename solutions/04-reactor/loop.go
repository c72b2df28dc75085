package reactor

import (
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	eventloop "github.com/asynclab/asynclab/solutions/03-eventloop"
)

// loop is one event loop, and the goroutine that it belongs to from New on:
// with a descriptor table of its own, nothing of the loop may be made or closed
// anywhere else.
type loop struct {
	reactor *Reactor        // immutable
	index   int             // immutable
	events  *eventloop.Loop // immutable after newLoop
	wakefd  int             // immutable; made and closed outside, and lent to events
	begun   bool            // the goroutine runs; immutable after New
	before  chan func()     // what the goroutine is to do before it runs the loop, and to run it

	open   atomic.Int64 // connections between OnOpen and OnClose
	closed atomic.Int64 // connections that have ended
	given  int64        // connections handed to this loop; acceptor goroutine only

	// Loop goroutine only.
	wheel   *Wheel
	began   time.Time // the wheel's time 0
	ticking bool      // a tick is sure to come
}

// newLoop makes what the loop shares with others.
func newLoop(r *Reactor, index int) (*loop, error) {
	wakefd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("reactor: create an eventfd for loop %d: %w", index, err)
	}
	return &loop{reactor: r, index: index, wakefd: wakefd, before: make(chan func()),
		wheel: NewWheel(tick, slots), began: time.Now()}, nil
}

// begin starts the goroutine, which makes what is its own.
func (l *loop) begin() (err error) {
	l.begun = true
	if l.reactor.opts.OwnTables {
		go onOwnThread(l.work)
	} else {
		go l.work()
	}
	l.do(func() { err = l.make() })
	if err != nil {
		return fmt.Errorf("reactor: loop %d: %w", l.index, err)
	}
	return nil
}

// make is the goroutine's first work.
func (l *loop) make() (err error) {
	if l.reactor.opts.OwnTables {
		if err := ownTable(); err != nil {
			return err
		}
	}
	l.events, err = eventloop.New(l.options())
	return err
}

// work is the loop's goroutine.
func (l *loop) work() {
	for fn := range l.before {
		fn()
	}
}

// do runs fn on the loop's goroutine, before Run, and waits for it.
func (l *loop) do(fn func()) {
	done := make(chan struct{})
	l.before <- func() {
		defer close(done)
		fn()
	}
	<-done
}

// run starts the loop. The result waits until it is running, or has failed to.
func (l *loop) run() (wait func()) {
	up, over := make(chan struct{}), make(chan struct{})
	l.events.Post(func() { close(up) })
	l.before <- func() {
		defer close(over)
		l.reactor.ended <- l.events.Run()
	}
	close(l.before)
	return func() {
		select {
		case <-up:
		case <-over:
		}
	}
}

// discard ends a loop that was never run.
func (l *loop) discard() {
	if l.begun {
		l.do(func() {
			if l.events != nil {
				l.events.Shutdown(over)
			}
		})
		close(l.before)
	}
	unix.Close(l.wakefd)
}

// adopt takes a connection from the acceptor.
func (l *loop) adopt(fd int) {
	if l.events.Adopt(fd) != nil { // which has closed it
		l.given--
	}
}

// load is how many connections the loop has, those on their way included.
// Acceptor goroutine only.
func (l *loop) load() int64 { return l.given - l.closed.Load() }
