package epolltest

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

// serving is one server under a check.
type serving struct {
	Server
	r    *spec.Run
	addr string

	stopping atomic.Bool           // Shutdown was called
	hole     atomic.Pointer[error] // what it returned, when it is not written yet
	ended    chan struct{}         // closed when Run has returned
	err      error                 // what it returned; read it after ended
}

// serve makes a server that listens on a free port, and runs it.
func serve(r *spec.Run, new New, o Options) (*serving, error) {
	s, err := prepare(r, new, o)
	if err != nil {
		return nil, err
	}
	s.run()
	return s, nil
}

// prepare makes a server that listens and does not run yet. When the check ends
// it is shut down by force; a rule that is not about Shutdown does not ask for
// one that works.
func prepare(r *spec.Run, new New, o Options) (*serving, error) {
	server, err := new(o)
	if err != nil {
		return nil, err
	}
	s := &serving{Server: server, r: r, ended: make(chan struct{})}
	r.Cleanup(s.stop)
	addr, err := server.Listen("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	if addr == nil {
		return nil, spec.Fail("Listen to return the address it got", "it returned nil, and no error")
	}
	s.addr = addr.String()
	return s, nil
}

// Shutdown notes that from now on Run may return.
func (s *serving) Shutdown(ctx context.Context) error {
	s.stopping.Store(true)
	err := s.Server.Shutdown(ctx)
	if isHole(err) {
		s.hole.Store(&err)
	}
	return err
}

// isHole reports whether err comes from a part of the skeleton that is not
// written yet.
func isHole(err error) bool {
	return err != nil && strings.HasPrefix(err.Error(), "not implemented")
}

// run calls Run on a goroutine of its own.
func (s *serving) run() {
	ran := s.r.Go(s.Run)
	go func() {
		s.err = <-ran
		close(s.ended)
	}()
}

// stop ends the server as well as it can be ended, and waits a little, so that
// the next check does not count this one's descriptors.
func (s *serving) stop() {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.Shutdown(now)
	}()
	select {
	case <-stopped:
	case <-time.After(2 * time.Second): // it has no Shutdown yet
	}
}

// explain says why a client of s failed: err, unless the loop itself has ended.
func (s *serving) explain(err error) error {
	if err == nil {
		return nil
	}
	select {
	case <-s.ended:
		if isHole(s.err) {
			return s.err
		}
		if s.err != nil {
			return spec.Fail("Run to go on: a fault of one connection, or an interruption, is not the loop's", "it returned %q", s.err)
		}
		if !s.stopping.Load() {
			return spec.Fail("Run to go on until Shutdown", "it returned nil")
		}
	case <-time.After(100 * time.Millisecond): // a loop that ends closes its connections first
	}
	return err
}

// shutdown calls Shutdown with time to spare, expects nil, and waits for Run.
func (s *serving) shutdown() error {
	s.r.Step("Shutdown, with a minute to do it in")
	ctx, cancel := context.WithTimeout(s.r.Context(), time.Minute)
	defer cancel()
	return s.down(s.r.Go(func() error { return s.Shutdown(ctx) }))
}

// down waits for a Shutdown under way to return nil, and for Run.
func (s *serving) down(shutdown <-chan error) error {
	err, late := spec.Wait(s.r, "Shutdown to return", shutdown)
	if late != nil {
		return late
	}
	if isHole(err) {
		return err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return spec.Fail("Shutdown to return", "it had not happened by the deadline")
	}
	if err != nil {
		return spec.Fail("Shutdown to return nil: nothing was left to wait for", "it returned %q", err)
	}
	return s.returned()
}

// returned waits for Run to return nil.
func (s *serving) returned() error {
	if _, late := spec.Wait(s.r, "Run to return after Shutdown", s.ended); late != nil {
		return late
	}
	if isHole(s.err) {
		return s.err
	}
	if s.err != nil {
		return spec.Fail("Run to return nil after Shutdown", "it returned %q", s.err)
	}
	return nil
}

// refused waits until s no longer takes connections.
func (s *serving) refused() error {
	err := s.r.Until("the listener to be closed by Shutdown", func() bool {
		c, err := net.Dial("tcp", s.addr)
		if err == nil {
			c.Close()
		}
		return err != nil || s.hole.Load() != nil
	})
	if hole := s.hole.Load(); hole != nil {
		return *hole
	}
	return err
}
