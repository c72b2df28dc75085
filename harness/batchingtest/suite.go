package batchingtest

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/asynclab/asynclab/harness/spec"
)

// Subject is what a lab shows to its judge.
type Subject[W Writer] struct {
	New                    func(Sink, Options) (W, error)
	Conn                   func(net.Conn) Sink
	Stats                  func(W) Stats
	Full, TooLarge, Closed error // the lab's ErrFull and so on
}

// judged is a writer of a lab that has told its counts.
type judged interface {
	Writer
	Stats() Stats
}

// lab is a Subject without its concrete type.
type lab struct {
	New                    func(Sink, Options) (judged, error)
	Conn                   func(net.Conn) Sink
	Full, TooLarge, Closed error
}

var suite = spec.Suite[lab]{
	Lab:     "11",
	Probe:   probe,
	Rules:   slices.Concat(orderRules, socketRules, whenRules, failRules, boundRules, endRules),
	Targets: targets,
}

// Test checks that s makes a [Writer] that keeps the contract.
func Test[W Writer](t *testing.T, s Subject[W]) { suite.Test(t, widen(s)) }

// Benchmark measures the targets of the lab.
func Benchmark[W Writer](b *testing.B, s Subject[W]) { suite.Benchmark(b, widen(s)) }

// counted is W with its counts in the judge's words.
type counted[W Writer] struct {
	Writer
	own   W
	stats func(W) Stats
}

func (c counted[W]) Stats() Stats { return c.stats(c.own) }

func widen[W Writer](s Subject[W]) lab {
	return lab{Conn: s.Conn, Full: s.Full, TooLarge: s.TooLarge, Closed: s.Closed, New: func(sink Sink, o Options) (judged, error) {
		w, err := s.New(sink, o)
		if err != nil {
			return nil, err // not w: a nil *Writer in an interface is not nil
		}
		return counted[W]{Writer: w, own: w, stats: s.Stats}, nil
	}}
}

func probe(l lab) error {
	w, err := l.New(&sink{}, Options{})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := w.Close(ctx); err != nil && strings.Contains(err.Error(), "not implemented: ") {
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
	case l.TooLarge:
		return "ErrTooLarge"
	case l.Closed:
		return "ErrClosed"
	}
	return err.Error()
}
