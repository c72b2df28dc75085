package eventlooptest

import (
	"context"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

// serving is one running loop under a check.
type serving struct {
	Loop
	r     *spec.Run
	addr  string
	ended <-chan error // gets what Run returned
}

// serve makes a loop that listens on a free port, and runs it. When the check
// ends it is shut down by force, but not waited for: a rule that is not about
// Shutdown does not ask for it.
func serve(r *spec.Run, new New, o Options[Conn]) (*serving, error) {
	return serveOn(r, new, o, "127.0.0.1:0")
}

// serveOne is serve, and one client that has connected.
func serveOne(r *spec.Run, new New, o Options[Conn]) (*serving, *client, error) {
	s, err := serve(r, new, o)
	if err != nil {
		return nil, nil, err
	}
	c, err := dial(r, s.addr)
	return s, c, err
}

func serveOn(r *spec.Run, new New, o Options[Conn], at string) (*serving, error) {
	l, err := new(o)
	if err != nil {
		return nil, err
	}
	addr, err := l.Listen(at)
	if err != nil {
		return nil, err
	}
	s := &serving{Loop: l, r: r, addr: addr.String(), ended: run(l)}
	r.Cleanup(func() { stop(l) })
	return s, nil
}

// stop shuts a loop down by force, and does not wait.
func stop(l Loop) {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	go l.Shutdown(now)
}

// run starts the loop. A panic that leaves Run ends the process, as it would in
// production: what the loop still does on its way out must not hide it.
func run(l Loop) (ended <-chan error) {
	done := make(chan error, 1)
	go func() { done <- l.Run() }()
	return done
}

// shutdown calls Shutdown with time to spare and waits for Run, too.
func (s *serving) shutdown() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s.r.Step("Shutdown, with a minute to do it in")
	if err := s.r.Call("Shutdown to return", func() error { return s.Shutdown(ctx) }); err != nil {
		return spec.Fail("Shutdown to return nil: nothing was left to wait for", "it returned: %v", err)
	}
	return s.runEnded()
}

// runEnded waits for Run to return nil.
func (s *serving) runEnded() error {
	err, late := spec.Wait(s.r, "Run to return after Shutdown", s.ended)
	if late != nil {
		return late
	}
	if err != nil {
		return spec.Fail("Run to return nil after Shutdown", "it returned: %v", err)
	}
	return nil
}

// onLoop runs fn on the loop's goroutine and waits until it has returned.
func (s *serving) onLoop(fn func()) error {
	done := make(chan struct{})
	if err := s.Post(func() { defer close(done); fn() }); err != nil {
		return err
	}
	_, err := spec.Wait(s.r, "a function given to Post to run", done)
	return err
}
