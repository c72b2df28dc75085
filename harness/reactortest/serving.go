package reactortest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

// The ways in which connections come to their loops. What a rule says of
// connections has to hold in each.
var strategies = []string{"round-robin", "least", "reuseport"}

// serving is one running reactor under a check.
type serving struct {
	Reactor
	r     *spec.Run
	loops int
	addr  string
	ended <-chan error // gets what Run returned
}

// serve makes a reactor that listens on a free port, and runs it. When the check
// ends it is shut down by force, but not waited for: a rule that is not about
// Shutdown does not ask for it.
func serve(r *spec.Run, s Subject, o Options[Conn]) (*serving, error) {
	re, err := s.Reactor(o)
	if err != nil {
		return nil, err
	}
	addr, err := re.Listen("127.0.0.1:0")
	if err != nil {
		stop(re)
		return nil, err
	}
	return begin(r, re, o.Loops, addr.String()), nil
}

// serveNobody makes a reactor that listens nowhere, and runs it.
func serveNobody(r *spec.Run, s Subject, o Options[Conn]) (*serving, error) {
	re, err := s.Reactor(o)
	if err != nil {
		return nil, err
	}
	return begin(r, re, o.Loops, ""), nil
}

func begin(r *spec.Run, re Reactor, loops int, addr string) *serving {
	ended := make(chan error, 1)
	// A panic that leaves Run ends the process, as it would in production.
	go func() { ended <- re.Run() }()
	r.Cleanup(func() { stop(re) })
	return &serving{Reactor: re, r: r, loops: cmp.Or(loops, runtime.GOMAXPROCS(0)), addr: addr, ended: ended}
}

// inEach runs check with each strategy. Its error says with which.
func inEach(r *spec.Run, check func(strategy string) error) error {
	for _, strategy := range strategies {
		r.Step("Accept is %q", strategy)
		if err := check(strategy); err != nil {
			return in(strategy, err)
		}
	}
	return nil
}

// in adds the strategy to what happened.
func in(strategy string, err error) error {
	var f *spec.Failure
	if !errors.As(err, &f) {
		return fmt.Errorf("with Accept %q: %w", strategy, err)
	}
	return &spec.Failure{Expected: f.Expected, Happened: fmt.Sprintf("with Accept %q: %s", strategy, f.Happened)}
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

// on runs fn on the goroutine of a loop and waits until it has returned.
func (s *serving) on(loop int, fn func()) error {
	done := make(chan struct{})
	if err := s.Post(loop, func() { defer close(done); fn() }); err != nil {
		return spec.Fail("Post to return nil while the reactor runs", "it returned: %v", err)
	}
	_, err := spec.Wait(s.r, fmt.Sprintf("a function given to Post to run on loop %d", loop), done)
	return err
}

// onAll runs fn on the goroutine of each loop.
func (s *serving) onAll(fn func(loop int)) error {
	for i := range s.loops {
		if err := s.on(i, func() { fn(i) }); err != nil {
			return err
		}
	}
	return nil
}

// hold keeps a loop inside a posted function until release is called, so that
// what happens meanwhile waits for it.
func (s *serving) hold(loop int) (release func(), err error) {
	inside, leave := make(chan struct{}), make(chan struct{})
	release = sync.OnceFunc(func() { close(leave) })
	s.r.Cleanup(release) // a check that failed must not leave the loop held
	if err := s.Post(loop, func() { close(inside); <-leave }); err != nil {
		return nil, spec.Fail("Post to return nil while the reactor runs", "it returned: %v", err)
	}
	_, err = spec.Wait(s.r, fmt.Sprintf("a function given to Post to run on loop %d", loop), inside)
	return release, err
}

// holdAll keeps all loops.
func (s *serving) holdAll() (release func(), err error) {
	var each []func()
	for i := range s.loops {
		one, err := s.hold(i)
		if err != nil {
			return nil, err
		}
		each = append(each, one)
	}
	return func() {
		for _, one := range each {
			one()
		}
	}, nil
}
