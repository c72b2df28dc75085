package partitiontest

import (
	"context"
	"slices"
	"testing"

	"github.com/asynclab/asynclab/harness/spec"
)

// Subject is what a lab shows to its judge.
type Subject[P Partition] struct {
	New    func(Options) (P, error)
	Stats  func(P) Stats
	Full   error // the lab's ErrFull
	Closed error // the lab's ErrClosed
}

// judged is a partition of a lab that has told its counts.
type judged interface {
	Partition
	Stats() Stats
}

// lab is a Subject without its concrete type.
type lab struct {
	New          func(Options) (judged, error)
	Full, Closed error
}

var suite = spec.Suite[lab]{
	Lab:     "08",
	Probe:   probe,
	Rules:   slices.Concat(orderRules, closeRules, queueRules, stateRules, panicRules, idleRules, boundRules, resizeRules),
	Targets: targets,
}

// Test checks that s makes a [Partition] that keeps the contract.
func Test[P Partition](t *testing.T, s Subject[P]) { suite.Test(t, widen(s)) }

// Benchmark measures the targets of the lab.
func Benchmark[P Partition](b *testing.B, s Subject[P]) { suite.Benchmark(b, widen(s)) }

// counted is P with its counts in the judge's words.
type counted[P Partition] struct {
	Partition
	own   P
	stats func(P) Stats
}

func (c counted[P]) Stats() Stats { return c.stats(c.own) }

func widen[P Partition](s Subject[P]) lab {
	return lab{Full: s.Full, Closed: s.Closed, New: func(o Options) (judged, error) {
		p, err := s.New(o)
		if err != nil {
			return nil, err // not p: a nil *Partition in an interface is not nil
		}
		return counted[P]{Partition: p, own: p, stats: s.Stats}, nil
	}}
}

func probe(l lab) error {
	p, err := l.New(Options{Handle: func(string, *State, Message) {}})
	if err != nil {
		return err
	}
	p.Close(context.Background())
	return nil
}
