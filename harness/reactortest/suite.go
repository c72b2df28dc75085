package reactortest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/asynclab/asynclab/harness/load"
	"github.com/asynclab/asynclab/harness/spec"
)

// Subject is the two constructors of the lab that is judged. Every rule and
// target starts from one of them.
type Subject struct {
	Reactor func(Options[Conn]) (Reactor, error)
	Wheel   func(tick time.Duration, slots int) Wheel
}

var suite = spec.Suite[Subject]{
	Lab:   "04",
	Probe: probe,
	Rules: slices.Concat(wheelRules, loopRules, acceptRules, ownerRules, sendRules, reuseportRules,
		timeoutRules, idleRules, emfileRules, drainRules, tableRules),
	Targets: targets,
}

// Test checks that new makes a [Reactor], and wheel a [Wheel], that keep the
// contract.
func Test[R Reactor, C Conn, W Wheel](t *testing.T, new func(Options[C]) (R, error), wheel func(time.Duration, int) W) {
	suite.Test(t, widen(new, wheel))
}

// Benchmark measures the targets of the lab.
func Benchmark[R Reactor, C Conn, W Wheel](b *testing.B, new func(Options[C]) (R, error), wheel func(time.Duration, int) W) {
	load.BecomeSwarm() // in the child process that makes the load
	suite.Benchmark(b, widen(new, wheel))
}

// widen forgets the concrete types, which only the compiler needs, so that
// rules are plain functions.
func widen[R Reactor, C Conn, W Wheel](new func(Options[C]) (R, error), wheel func(time.Duration, int) W) Subject {
	return Subject{
		Reactor: func(o Options[Conn]) (Reactor, error) {
			re, err := new(narrow[C](o))
			if err != nil {
				return nil, err // not re: a nil *Reactor in an interface is not nil
			}
			return re, nil
		},
		Wheel: func(tick time.Duration, slots int) Wheel { return wheel(tick, slots) },
	}
}

// narrow makes callbacks that take the lab's own *Conn. One that is not set
// stays so.
func narrow[C Conn](o Options[Conn]) Options[C] {
	n := Options[C]{Loops: o.Loops, Accept: o.Accept, OwnTables: o.OwnTables,
		IdleTimeout: o.IdleTimeout, MaxMessage: o.MaxMessage, MaxQueued: o.MaxQueued,
		OnOpen: takes[C](o.OnOpen), OnDrain: takes[C](o.OnDrain), OnTimeout: takes[C](o.OnTimeout)}
	if o.OnMessage != nil {
		n.OnMessage = func(c C, msg []byte) { o.OnMessage(c, msg) }
	}
	if o.OnData != nil {
		n.OnData = func(c C, data []byte) int { return o.OnData(c, data) }
	}
	if o.OnClose != nil {
		n.OnClose = func(c C, err error) { o.OnClose(c, err) }
	}
	return n
}

func takes[C Conn](fn func(Conn)) func(C) {
	if fn == nil {
		return nil
	}
	return func(c C) { fn(c) }
}

// probe looks whether the lab has been started. The wheel is its first step, and
// stands by itself.
func probe(s Subject) error {
	re, err := s.Reactor(Options[Conn]{Loops: 1, OnMessage: func(Conn, []byte) {}})
	switch {
	case err == nil:
		stop(re) // one that hangs is for a rule to find
	case turns(s):
	case strings.HasPrefix(err.Error(), "not implemented"):
		return errors.New("not implemented: start at README.md, step 1")
	default:
		return err
	}
	return nil
}

// turns reports whether somebody has begun with the wheel.
func turns(s Subject) (called bool) {
	w := s.Wheel(time.Millisecond, 8)
	w.AfterFunc(0, func() { called = true })
	w.Advance(time.Second)
	return called
}

// stop shuts a reactor down by force, and does not wait.
func stop(re Reactor) {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	go re.Shutdown(now)
}
