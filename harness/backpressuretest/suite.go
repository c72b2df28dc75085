package backpressuretest

import (
	"context"
	"slices"
	"testing"

	"github.com/asynclab/asynclab/harness/spec"
)

// Subject is what a lab shows to its judge.
type Subject[Priority, Policy, Signal ~int, Ch Channel[Priority], Cr Credit, Wi Window] struct {
	New       func(Options[Policy, Signal]) (Ch, error)
	Stats     func(Ch) Stats
	NewCredit func(initial int) (Cr, error)
	NewWindow func(limit int) (Wi, error)

	// NewBodies makes a channel of pointers with this Capacity and DropLowest.
	NewBodies func(capacity int) (Bodies[Priority], error)

	Full, Shed, TooLarge, Closed, Overflow, Overrun error // the lab's ErrFull and so on
}

// plainBodies is a lab's Bodies with the judge's type of priority.
type plainBodies[Pr ~int] struct{ Bodies[Pr] }

func (b plainBodies[Pr]) TrySend(p int, body *Body) error { return b.Bodies.TrySend(Pr(p), body) }

// options and judged are the lab's without its own types.
type options = Options[int, int]

type judged interface {
	Channel[int]
	Stats() Stats
}

// lab is a Subject without its concrete types.
type lab struct {
	New                                             func(options) (judged, error)
	NewCredit                                       func(int) (Credit, error)
	NewWindow                                       func(int) (Window, error)
	NewBodies                                       func(int) (Bodies[int], error)
	Full, Shed, TooLarge, Closed, Overflow, Overrun error
}

var suite = spec.Suite[lab]{
	Lab:     "05",
	Probe:   probe,
	Rules:   slices.Concat(queueRules, boundRules, waitRules, receiveRules, signalRules, countRules, endRules, creditRules, windowRules),
	Targets: targets,
}

// Test checks that s makes a [Channel], a [Credit] and a [Window] that keep the
// contract.
func Test[Pr, Po, Si ~int, Ch Channel[Pr], Cr Credit, Wi Window](t *testing.T, s Subject[Pr, Po, Si, Ch, Cr, Wi]) {
	suite.Test(t, widen(s))
}

// Benchmark measures the targets of the lab.
func Benchmark[Pr, Po, Si ~int, Ch Channel[Pr], Cr Credit, Wi Window](b *testing.B, s Subject[Pr, Po, Si, Ch, Cr, Wi]) {
	suite.Benchmark(b, widen(s))
}

// plain is a lab's channel with the judge's types.
type plain[Pr ~int, Ch Channel[Pr]] struct {
	Channel[Pr]
	own   Ch
	stats func(Ch) Stats
}

func (c plain[Pr, Ch]) Send(ctx context.Context, p int, m Message) error {
	return c.own.Send(ctx, Pr(p), m)
}
func (c plain[Pr, Ch]) TrySend(p int, m Message) error { return c.own.TrySend(Pr(p), m) }
func (c plain[Pr, Ch]) Stats() Stats                   { return c.stats(c.own) }

func widen[Pr, Po, Si ~int, Ch Channel[Pr], Cr Credit, Wi Window](s Subject[Pr, Po, Si, Ch, Cr, Wi]) lab {
	return lab{Full: s.Full, Shed: s.Shed, TooLarge: s.TooLarge, Closed: s.Closed, Overflow: s.Overflow, Overrun: s.Overrun,
		New: func(o options) (judged, error) {
			theirs := Options[Po, Si]{Capacity: o.Capacity, MaxBytes: o.MaxBytes, Size: o.Size, Policy: Po(o.Policy), OnDrop: o.OnDrop}
			if o.OnSignal != nil {
				theirs.OnSignal = func(s Si) { o.OnSignal(int(s)) }
			}
			c, err := s.New(theirs)
			if err != nil {
				return nil, err // not c: a nil *Channel in an interface is not nil
			}
			return plain[Pr, Ch]{Channel: c, own: c, stats: s.Stats}, nil
		},
		NewBodies: func(n int) (Bodies[int], error) {
			b, err := s.NewBodies(n)
			return plainBodies[Pr]{b}, err
		},
		NewCredit: func(n int) (Credit, error) {
			c, err := s.NewCredit(n)
			if err != nil {
				return nil, err
			}
			return c, nil
		},
		NewWindow: func(n int) (Window, error) {
			w, err := s.NewWindow(n)
			if err != nil {
				return nil, err
			}
			return w, nil
		}}
}

func probe(l lab) error {
	_, err := l.New(options{})
	return err
}

// name says err in the words of the contract.
func (l lab) name(err error) string {
	switch err {
	case nil:
		return "nil"
	case l.Full:
		return "ErrFull"
	case l.Shed:
		return "ErrShed"
	case l.TooLarge:
		return "ErrTooLarge"
	case l.Closed:
		return "ErrClosed"
	case l.Overflow:
		return "ErrOverflow"
	case l.Overrun:
		return "ErrOverrun"
	}
	return err.Error()
}
