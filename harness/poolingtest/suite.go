package poolingtest

import (
	"slices"
	"testing"

	"github.com/asynclab/asynclab/harness/spec"
)

// Subject is what a lab shows to its judge.
type Subject[P any, B Buffer, Kind ~int] struct {
	New         func(Options, func(kind Kind, taken, returned string)) (P, error) // OnFault apart: its type is the lab's
	Get         func(P, int) B
	Trim, Check func(P)
	Leaks       func(P) []Fault
	Stats       func(P) Stats
	Squares     func(n int) []int
	Join        func(parts [][]byte, sep byte) []byte
	AppendFrame func(dst, payload []byte) []byte
	ParseHeader func(data []byte) (kind byte, size uint32, ok bool)
}

// lab is a Subject without its concrete types.
type lab struct {
	New         func(Options) (Pool, error)
	Squares     func(n int) []int
	Join        func(parts [][]byte, sep byte) []byte
	AppendFrame func(dst, payload []byte) []byte
	ParseHeader func(data []byte) (kind byte, size uint32, ok bool)
}

var suite = spec.Suite[lab]{
	Lab:     "10",
	Probe:   probe,
	Rules:   slices.Concat(getRules, keepRules, shareRules, debugRules, preallocRules),
	Targets: targets,
}

// Test checks that s keeps the contract.
func Test[P any, B Buffer, Kind ~int](t *testing.T, s Subject[P, B, Kind]) {
	suite.Test(t, widen(s))
}

// Benchmark measures the targets of the lab.
func Benchmark[P any, B Buffer, Kind ~int](b *testing.B, s Subject[P, B, Kind]) {
	suite.Benchmark(b, widen(s))
}

// Tell is a lab's OnFault: it tells the judge the parts of a fault; nil when the
// judge does not want to know.
func Tell[F any, Kind ~int](told func(kind Kind, taken, returned string), parts func(F) (Kind, string, string)) func(F) {
	if told == nil {
		return nil
	}
	return func(f F) { told(parts(f)) }
}

// wide is a lab's pool in the judge's words.
type wide[P any, B Buffer, Kind ~int] struct {
	own P
	s   Subject[P, B, Kind]
}

func (w wide[P, B, K]) Get(n int) Buffer { return w.s.Get(w.own, n) }
func (w wide[P, B, K]) Trim()            { w.s.Trim(w.own) }
func (w wide[P, B, K]) Check()           { w.s.Check(w.own) }
func (w wide[P, B, K]) Leaks() []Fault   { return w.s.Leaks(w.own) }
func (w wide[P, B, K]) Stats() Stats     { return w.s.Stats(w.own) }

func widen[P any, B Buffer, Kind ~int](s Subject[P, B, Kind]) lab {
	return lab{Squares: s.Squares, Join: s.Join, AppendFrame: s.AppendFrame, ParseHeader: s.ParseHeader,
		New: func(o Options) (Pool, error) {
			var told func(k Kind, taken, returned string)
			if o.OnFault != nil {
				told = func(k Kind, taken, returned string) { o.OnFault(Fault{int(k), taken, returned}) }
			}
			p, err := s.New(o, told)
			if err != nil {
				return nil, err
			}
			return wide[P, B, Kind]{p, s}, nil
		}}
}

func probe(l lab) error {
	_, err := l.New(Options{})
	return err
}
