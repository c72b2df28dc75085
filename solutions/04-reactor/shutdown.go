package reactor

import (
	"context"

	"golang.org/x/sys/unix"
)

// over is a context that has ended: for a Shutdown by force.
var over = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// Shutdown stops accepting, gives every connection that a client believes to
// have to its loop, and shuts the loops down as in lab 03, side by side: what
// has arrived is delivered, what is queued is sent. When ctx ends first it
// closes at once, connections with eventloop.ErrForced, and returns ctx's error.
// It may be called from any goroutine but a loop's, where it would wait for
// itself, more than once, and before Run, which then returns nil at once.
func (r *Reactor) Shutdown(ctx context.Context) error {
	r.mu.Lock()
	first, running := !r.stopping, r.running
	r.stopping = true
	r.mu.Unlock()
	if !running {
		if first {
			r.release()
		}
		<-r.done
		return nil
	}
	// The order matters: after the acceptor has ended, no connection is on its
	// way to a loop that takes none any more.
	if r.acceptor != nil {
		r.acceptor.stop()
	}
	err := r.shutdownLoops(ctx)
	<-r.done
	return err
}

// shutdownLoops lets all loops drain at the same time: they share the deadline.
func (r *Reactor) shutdownLoops(ctx context.Context) (err error) {
	errs := make(chan error, len(r.loops))
	for _, l := range r.loops {
		go func() { errs <- l.events.Shutdown(ctx) }()
	}
	for range r.loops {
		if e := <-errs; e != nil {
			err = e
		}
	}
	return err
}

// release closes what is left: the loops, if they were never run, and what was
// made for them. Once.
func (r *Reactor) release() {
	for _, l := range r.loops {
		if r.running {
			unix.Close(l.wakefd)
		} else {
			l.discard()
		}
	}
	if r.acceptor != nil {
		r.acceptor.close()
	}
	close(r.done)
}
