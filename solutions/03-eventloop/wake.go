package eventloop

import (
	"encoding/binary"
	"errors"
	"net"
	"runtime/debug"
	"sync"

	"golang.org/x/sys/unix"
)

// eventfdOne, written to an eventfd, adds 1 to its counter (eventfd(2)). Nobody
// reads the counter: it is full after 2^64-2 wake-ups.
var eventfdOne = binary.NativeEndian.AppendUint64(nil, 1)

// inbox is what other goroutines have for the loop.
//
// No wake-up is lost: the loop looks whether the inbox is empty and declares
// itself asleep in one critical section (sleep), and so does each producer put
// its item and read that declaration (Post, adopt, flushLater). Whichever comes first, either the
// loop sees the item or the producer sees the sleeper, and writes to the
// eventfd. As a producer withdraws the declaration, a thousand sends to a
// sleeping loop cost one write, and a send to one that is awake costs none.
type inbox struct {
	wakefd   int  // immutable after New, closed by close
	borrowed bool // immutable after New: wakefd was given and is not closed

	mu       sync.Mutex
	asleep   bool // guarded by mu: the loop is in epoll_wait, or on its way
	started  bool // guarded by mu: Run was called
	stopping bool // guarded by mu: Shutdown was called
	closed   bool // guarded by mu: wakefd is closed, nothing is taken any more
	work     work // guarded by mu
}

// work is one turn's worth of it.
type work struct {
	adopted []*Conn  // to be registered
	posts   []func() // to be run
	dirty   []*Conn  // to be flushed
	stop    bool     // Shutdown wants to be noticed
}

func (w *work) empty() bool {
	return len(w.adopted)+len(w.posts)+len(w.dirty) == 0 && !w.stop
}

// reset empties w for the next use and forgets what it referred to.
func (w *work) reset() {
	clear(w.adopted)
	clear(w.posts)
	clear(w.dirty)
	*w = work{adopted: w.adopted[:0], posts: w.posts[:0], dirty: w.dirty[:0]}
}

// Post runs fn on the loop's goroutine, in the order of the calls. Any
// goroutine; before Run too. After Shutdown it returns net.ErrClosed and fn is
// not run. It never blocks, and its queue has no bound. A panic in fn ends Run.
func (l *Loop) Post(fn func()) error {
	b := &l.inbox
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopping {
		return net.ErrClosed
	}
	b.work.posts = append(b.work.posts, fn)
	b.wake()
	return nil
}

func (b *inbox) adopt(c *Conn) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopping {
		return net.ErrClosed
	}
	b.work.adopted = append(b.work.adopted, c)
	b.wake()
	return nil
}

// flushLater asks for c to be flushed in this turn or, if the loop sleeps, now.
func (b *inbox) flushLater(c *Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.work.dirty = append(b.work.dirty, c)
		b.wake()
	}
}

// wake ends the loop's sleep. The caller holds mu.
func (b *inbox) wake() {
	if b.asleep && !b.closed {
		b.asleep = false
		unix.Write(b.wakefd, eventfdOne)
	}
}

// sleep declares the loop asleep, unless there is work.
func (b *inbox) sleep() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asleep = b.work.empty()
	return b.asleep
}

func (b *inbox) awake() {
	b.mu.Lock()
	b.asleep = false
	b.mu.Unlock()
}

// swap takes the work there is and leaves w, which is empty, in its place.
func (b *inbox) swap(w work) (taken work) {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken, b.work = b.work, w
	return taken
}

// start marks the loop as running, unless it may not run.
func (b *inbox) start() (run bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.started:
		return false, errors.New("eventloop: Run was called before: make a new Loop to run again")
	case b.stopping:
		return false, nil
	}
	b.started = true
	return true, nil
}

// fresh reports an error unless the loop has yet to run.
func (b *inbox) fresh() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.stopping:
		return net.ErrClosed
	case b.started:
		return errors.New("the loop is running: call Listen before Run")
	}
	return nil
}

// runInbox does what other goroutines have asked for, and flushes what this
// turn's callbacks have sent to connections other than their own. What comes
// meanwhile is for the next turn.
func (l *Loop) runInbox() {
	w := l.inbox.swap(l.idleWork)
	for _, c := range w.adopted {
		l.register(c)
	}
	l.runPosts(w.posts)
	for _, c := range w.dirty {
		l.flush(c, false)
	}
	if w.stop && !l.draining {
		l.beginDrain()
	}
	w.reset()
	l.idleWork = w
}

func (l *Loop) runPosts(posts []func()) {
	defer l.endOnPanic()
	for _, fn := range posts {
		fn()
	}
}

// endOnPanic, deferred around a function that belongs to no connection, makes
// Run end with the panic: nobody knows what it left undone.
func (l *Loop) endOnPanic() {
	if v := recover(); v != nil && l.fatal == nil {
		l.fatal = &PanicError{Value: v, Stack: debug.Stack()}
	}
}
