package eventloop

import (
	"context"

	"golang.org/x/sys/unix"
)

// Shutdown takes who waits in the backlog, for they believe themselves
// connected, and nobody after; delivers what has arrived, sends what is queued,
// closes every connection, and waits until Run has ended. When ctx ends first
// it closes at once, connections with ErrForced, and returns ctx's error. It
// may be called from any goroutine but the loop's, where it would wait for
// itself, more than once, and before Run, which then returns nil at once. A
// callback that blocks holds it up, with ctx ended or not.
func (l *Loop) Shutdown(ctx context.Context) error {
	if !l.inbox.stop() {
		l.release(nil) // Run was never called: there is no loop to do it
	}
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
	}
	l.force.Store(true)
	l.inbox.stop() // the loop has to notice
	<-l.done
	return ctx.Err()
}

// stop tells the loop to drain; false means there is no loop.
func (b *inbox) stop() (running bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopping, b.work.stop = true, true
	b.wake()
	return b.started
}

// beginDrain starts the shutdown: accept has a last turn, for the clients in
// the backlog believe themselves connected, and every connection reads what has
// arrived, no more, and ends.
func (l *Loop) beginDrain() {
	l.draining = true
	for _, fd := range l.listeners.fds {
		l.acceptFrom(fd, lastAccepts)
	}
	l.closeListeners()
	for _, c := range l.conns {
		if c != nil && c.phase == serving {
			l.drain(c)
		}
	}
}

func (l *Loop) drain(c *Conn) {
	c.quota = arrived(c.fd)
	c.readable = c.quota > 0
	if c.quota == 0 && !c.held {
		c.end(nil)
	}
	l.flush(c, false) // ends it, or has it served in the next turn
}

// finished reports whether the loop's work is done.
func (l *Loop) finished() bool {
	return l.force.Load() || l.fatal != nil || l.draining && l.open == 0
}

// release closes every connection that is left, and every descriptor of the
// loop, once, and lets Shutdown go.
func (l *Loop) release(err error) {
	if err == nil {
		err = ErrForced
	}
	left, first := l.inbox.close()
	if !first {
		return
	}
	for _, c := range left.adopted {
		unix.Close(c.fd)
	}
	for _, c := range l.conns {
		if c != nil {
			l.teardown(c, err)
		}
	}
	l.closeListeners()
	unix.Close(l.epfd)
	close(l.done)
}

// close refuses all work from here on and returns what was not done. first is
// false when it was closed before.
func (b *inbox) close() (left work, first bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return work{}, false
	}
	b.stopping, b.closed = true, true
	b.closeWake()
	left, b.work = b.work, work{}
	return left, true
}
