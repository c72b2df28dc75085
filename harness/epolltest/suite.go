package epolltest

import (
	"context"
	"slices"
	"testing"

	"github.com/asynclab/asynclab/harness/load"
	"github.com/asynclab/asynclab/harness/spec"
)

// New makes a server; every rule and target starts from one.
type New = func(Options) (Server, error)

var suite = spec.Suite[New]{
	Lab:     "02",
	Probe:   probe,
	Rules:   slices.Concat(listenRules, echoRules, unsentRules, fairRules, endRules, emfileRules, shutdownRules),
	Targets: targets,
}

// Test checks that new makes a [Server] that keeps the contract.
func Test[S Server](t *testing.T, new func(Options) (S, error)) { suite.Test(t, widen(new)) }

// Benchmark measures the targets of the lab.
func Benchmark[S Server](b *testing.B, new func(Options) (S, error)) {
	load.BecomeSwarm() // in the child process that makes the load
	suite.Benchmark(b, widen(new))
}

// widen forgets the concrete type, which only the compiler needs.
func widen[S Server](new func(Options) (S, error)) New {
	return func(o Options) (Server, error) { return new(o) }
}

func probe(new New) error {
	s, err := new(Options{})
	if err != nil {
		return err
	}
	s.Shutdown(context.Background())
	return nil
}
