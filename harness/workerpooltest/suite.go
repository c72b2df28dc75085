package workerpooltest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/asynclab/asynclab/harness/spec"
)

// Subject is what a lab shows to its judge.
type Subject[P any, F Future] struct {
	New           func(Options) (P, error)
	Submit        func(P, context.Context, Task) (F, error)
	SubmitKeyed   func(P, context.Context, string, Task) (F, error)
	TrySubmit     func(P, Task) (F, error)
	Stop, StopNow func(P, context.Context) error
	Stats         func(P) Stats
	Panic         func(error) (value any, stack string, ok bool) // what a task has panicked with
	Full, Stopped error                                          // the lab's ErrFull, ErrStopped
}

// judged is a pool of a lab that has told its counts.
type judged interface {
	Pool
	Stats() Stats
}

// lab is a Subject without its concrete types.
type lab struct {
	New           func(Options) (judged, error)
	Panic         func(error) (value any, stack string, ok bool)
	Full, Stopped error
}

var suite = spec.Suite[lab]{
	Lab:     "12",
	Probe:   probe,
	Rules:   slices.Concat(runRules, callRules, queueRules, keyRules, endRules),
	Targets: targets,
}

// Test checks that s makes a [Pool] that keeps the contract.
func Test[P any, F Future](t *testing.T, s Subject[P, F]) { suite.Test(t, widen(s)) }

// Benchmark measures the targets of the lab.
func Benchmark[P any, F Future](b *testing.B, s Subject[P, F]) { suite.Benchmark(b, widen(s)) }

// wide is a lab's pool in the judge's words.
type wide[P any, F Future] struct {
	own P
	s   Subject[P, F]
}

// plain is f without its concrete type: a nil *Future in an interface is not nil.
func plain[F Future](f F, err error) (Future, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (w wide[P, F]) Submit(ctx context.Context, t Task) (Future, error) {
	return plain(w.s.Submit(w.own, ctx, t))
}
func (w wide[P, F]) SubmitKeyed(ctx context.Context, k string, t Task) (Future, error) {
	return plain(w.s.SubmitKeyed(w.own, ctx, k, t))
}
func (w wide[P, F]) TrySubmit(t Task) (Future, error)  { return plain(w.s.TrySubmit(w.own, t)) }
func (w wide[P, F]) Stop(ctx context.Context) error    { return w.s.Stop(w.own, ctx) }
func (w wide[P, F]) StopNow(ctx context.Context) error { return w.s.StopNow(w.own, ctx) }
func (w wide[P, F]) Stats() Stats                      { return w.s.Stats(w.own) }

func widen[P any, F Future](s Subject[P, F]) lab {
	return lab{Panic: s.Panic, Full: s.Full, Stopped: s.Stopped, New: func(o Options) (judged, error) {
		p, err := s.New(o)
		if err != nil {
			return nil, err
		}
		return wide[P, F]{p, s}, nil
	}}
}

func probe(l lab) error {
	p, err := l.New(Options{})
	if err != nil {
		return err
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.StopNow(gone); err != nil && strings.Contains(err.Error(), "not implemented: ") {
		return err
	}
	return nil
}

// name says err in the words of the contract.
func (l lab) name(err error) string {
	switch err {
	case nil:
		return "nil"
	case l.Full:
		return "ErrFull"
	case l.Stopped:
		return "ErrStopped"
	}
	return err.Error()
}

// open makes a pool, which is stopped by force at the check's end. Where StopNow
// is not there yet, it says so, instead of leaving goroutines behind.
func open(r *spec.Run, l lab, o Options) (judged, error) {
	if err := probe(l); err != nil {
		return nil, err
	}
	p, err := l.New(o)
	if err != nil {
		return nil, spec.Fail("New to make a pool", "it returned: %v", err)
	}
	r.Cleanup(func() {
		gone, cancel := context.WithCancel(context.Background())
		cancel()
		p.StopNow(gone)
	})
	return p, nil
}

// holds compares what Stats says.
func holds(p judged, when string, want Stats) error {
	if got := p.Stats(); got != want {
		return spec.Fail(fmt.Sprintf("Stats %s to be %+v", when, want), "it is %+v", got)
	}
	return nil
}

// gate holds tasks up. The check's end opens it.
type gate chan struct{}

func newGate(r *spec.Run) gate {
	g := make(gate)
	r.Cleanup(func() {
		select {
		case <-g:
		default:
			close(g)
		}
	})
	return g
}

// task waits for the gate, or for the end of its context.
func (g gate) task(ctx context.Context) error {
	select {
	case <-g:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func nothing(context.Context) error { return nil }
