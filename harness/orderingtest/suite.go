package orderingtest

import (
	"slices"
	"testing"

	"github.com/asynclab/asynclab/harness/spec"
)

// Subject is what a lab shows to its judge.
type Subject[B Buffer] struct {
	New   func(Options) (B, error)
	Stats func(B) Stats

	Old, Duplicate, Beyond, Closed error // the lab's ErrOld and so on
}

// judged is a buffer of a lab that has told its counts.
type judged interface {
	Buffer
	Stats() Stats
}

// lab is a Subject without its concrete type.
type lab struct {
	New                            func(Options) (judged, error)
	Old, Duplicate, Beyond, Closed error
}

var suite = spec.Suite[lab]{
	Lab:     "07",
	Probe:   probe,
	Rules:   slices.Concat(orderRules, windowRules, fullRules, gapRules, requestRules, slideRules, endRules, allRules),
	Targets: targets,
}

// Test checks that s makes a [Buffer] that keeps the contract.
func Test[B Buffer](t *testing.T, s Subject[B]) { suite.Test(t, widen(s)) }

// Benchmark measures the targets of the lab.
func Benchmark[B Buffer](b *testing.B, s Subject[B]) { suite.Benchmark(b, widen(s)) }

// counted is B with its counts in the judge's words.
type counted[B Buffer] struct {
	Buffer
	own   B
	stats func(B) Stats
}

func (c counted[B]) Stats() Stats { return c.stats(c.own) }

func widen[B Buffer](s Subject[B]) lab {
	return lab{Old: s.Old, Duplicate: s.Duplicate, Beyond: s.Beyond, Closed: s.Closed,
		New: func(o Options) (judged, error) {
			b, err := s.New(o)
			if err != nil {
				return nil, err // not b: a nil *Buffer in an interface is not nil
			}
			return counted[B]{Buffer: b, own: b, stats: s.Stats}, nil
		}}
}

func probe(l lab) error {
	_, err := l.New(Options{Deliver: func(uint32, Message) bool { return true }})
	return err
}

// name says err in the words of the contract.
func (l lab) name(err error) string {
	switch err {
	case nil:
		return "nil"
	case l.Old:
		return "ErrOld"
	case l.Duplicate:
		return "ErrDuplicate"
	case l.Beyond:
		return "ErrBeyond"
	case l.Closed:
		return "ErrClosed"
	}
	return err.Error()
}
