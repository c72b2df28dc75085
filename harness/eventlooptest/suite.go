package eventlooptest

import (
	"context"
	"slices"
	"testing"

	"github.com/asynclab/asynclab/harness/load"
	"github.com/asynclab/asynclab/harness/spec"
)

// New makes a loop; every rule and target starts from one.
type New = func(Options[Conn]) (Loop, error)

var suite = spec.Suite[New]{
	Lab:   "03",
	Probe: probe,
	Rules: slices.Concat(openRules, frameRules, edgeRules, sendRules, roomRules, endRules,
		staleRules, goroutineRules, timerRules, shutdownRules, costRules),
	Targets: targets,
}

// Test checks that new makes a [Loop] that keeps the contract.
func Test[L Loop, C Conn](t *testing.T, new func(Options[C]) (L, error)) {
	suite.Test(t, widen(new))
}

// Benchmark measures the targets of the lab.
func Benchmark[L Loop, C Conn](b *testing.B, new func(Options[C]) (L, error)) {
	load.BecomeSwarm() // in the child process that makes the load
	suite.Benchmark(b, widen(new))
}

// widen forgets the concrete types, which only the compiler needs, so that
// rules are plain functions.
func widen[L Loop, C Conn](new func(Options[C]) (L, error)) New {
	return func(o Options[Conn]) (Loop, error) {
		l, err := new(narrow[C](o))
		if err != nil {
			return nil, err // not l: a nil *Loop in an interface is not nil
		}
		return l, nil
	}
}

// narrow makes callbacks that take the lab's own *Conn. One that is not set
// stays so.
func narrow[C Conn](o Options[Conn]) Options[C] {
	n := Options[C]{MaxMessage: o.MaxMessage, MaxQueued: o.MaxQueued, ReusePort: o.ReusePort, WakeFD: o.WakeFD}
	if o.OnOpen != nil {
		n.OnOpen = func(c C) { o.OnOpen(c) }
	}
	if o.OnMessage != nil {
		n.OnMessage = func(c C, msg []byte) { o.OnMessage(c, msg) }
	}
	if o.OnData != nil {
		n.OnData = func(c C, data []byte) int { return o.OnData(c, data) }
	}
	if o.OnDrain != nil {
		n.OnDrain = func(c C) { o.OnDrain(c) }
	}
	if o.OnClose != nil {
		n.OnClose = func(c C, err error) { o.OnClose(c, err) }
	}
	return n
}

func probe(new New) error {
	l, err := new(Options[Conn]{OnMessage: func(Conn, []byte) {}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	go l.Shutdown(ctx) // one that hangs is for a rule to find
	return nil
}
