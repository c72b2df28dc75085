package queuetest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

// Subject is what a lab shows to its judge.
type Subject[L Log, G any] struct {
	Open      func(dir string, o Options) (L, error)
	Read      func(l L, offset int64, maxBytes int) ([]Record, error)
	ReadBatch func(r io.Reader) ([]Record, error)
	Stats     func(L) Stats
	Damage    func(error) *Corrupt // nil when the error tells of none

	Group      func(l L, name string, o GroupOptions) (G, error)
	Receive    func(G, context.Context) (Delivery, error)
	Ack        func(G, ...Delivery) error
	Nack       func(G, Delivery) error
	Dead       func(G) L
	GroupStats func(G) GroupStats

	Full, TooLarge, Closed, Failed, Range, Stale error // the lab's ErrFull and so on
}

// Records has a lab's records in the judge's words.
func Records[R ~struct {
	Offset int64
	Time   time.Time
	Key    []byte
	Value  []byte
}](own []R, err error) (all []Record, _ error) {
	for _, r := range own {
		all = append(all, Record(r))
	}
	return all, err
}

// Deliveries has the judge's deliveries in a lab's words.
func Deliveries[D ~struct {
	Offset  int64
	Time    time.Time
	Key     []byte
	Value   []byte
	Attempt int
}](all []Delivery) (own []D) {
	for _, d := range all {
		own = append(own, D(d))
	}
	return own
}

// Delivered has a lab's delivery in the judge's words.
func Delivered[D ~struct {
	Offset  int64
	Time    time.Time
	Key     []byte
	Value   []byte
	Attempt int
}](own D, err error) (Delivery, error) {
	return Delivery(own), err
}

// DamageOf finds a lab's error of type *C in err, in the judge's words; nil when
// there is none.
func DamageOf[C ~struct {
	File     string
	Position int64
	Reason   string
}, E interface {
	*C
	error
}](err error) *Corrupt {
	var own E
	if !errors.As(err, &own) {
		return nil
	}
	c := Corrupt(*(*C)(own))
	return &c
}

// judged is a log of a lab, whole.
type judged interface {
	Log
	Read(offset int64, maxBytes int) ([]Record, error)
	Group(name string, o GroupOptions) (group, error)
	Stats() Stats
}

type group interface {
	Receive(ctx context.Context) (Delivery, error)
	Ack(ds ...Delivery) error
	Nack(d Delivery) error
	Dead() judged
	Stats() GroupStats
}

// lab is a Subject without its concrete types.
type lab struct {
	Open      func(dir string, o Options) (judged, error)
	ReadBatch func(r io.Reader) ([]Record, error)
	Damage    func(error) *Corrupt

	Full, TooLarge, Closed, Failed, Range, Stale error

	// again is how a process like this one, with this lab, is started as a
	// victim: see kill.go.
	again Victim
}

var suite = spec.Suite[lab]{
	Lab:   "14",
	Probe: probe,
	Rules: slices.Concat(recordRules, readRules, syncRules, failRules, recoverRules, crashRules, fetchRules, pressureRules,
		groupRules, leaseRules, retainRules, endRules),
	Targets: targets,
}

// Test checks that s makes a [Log] that keeps the contract. In a process that
// was started as a victim it is that instead.
func Test[L Log, G any](t *testing.T, s Subject[L, G]) {
	beVictim(widen(s))
	suite.Test(t, widen(s))
}

// Benchmark measures the targets of the lab.
func Benchmark[L Log, G any](b *testing.B, s Subject[L, G]) { suite.Benchmark(b, widen(s)) }

// wide is a lab's log in the judge's words.
type wide[L Log, G any] struct {
	Log
	own L
	s   Subject[L, G]
}

func (w wide[L, G]) Read(offset int64, max int) ([]Record, error) {
	return w.s.Read(w.own, offset, max)
}
func (w wide[L, G]) Stats() Stats { return w.s.Stats(w.own) }
func (w wide[L, G]) Group(name string, o GroupOptions) (group, error) {
	g, err := w.s.Group(w.own, name, o)
	if err != nil {
		return nil, err // not g: a nil *Group in an interface is not nil
	}
	return wideGroup[L, G]{g, w.s}, nil
}

type wideGroup[L Log, G any] struct {
	own G
	s   Subject[L, G]
}

func (w wideGroup[L, G]) Receive(ctx context.Context) (Delivery, error) {
	return w.s.Receive(w.own, ctx)
}
func (w wideGroup[L, G]) Ack(ds ...Delivery) error { return w.s.Ack(w.own, ds...) }
func (w wideGroup[L, G]) Nack(d Delivery) error    { return w.s.Nack(w.own, d) }
func (w wideGroup[L, G]) Stats() GroupStats        { return w.s.GroupStats(w.own) }
func (w wideGroup[L, G]) Dead() judged {
	l := w.s.Dead(w.own)
	return wide[L, G]{l, l, w.s}
}

func widen[L Log, G any](s Subject[L, G]) lab {
	return lab{ReadBatch: s.ReadBatch, Damage: s.Damage,
		Full: s.Full, TooLarge: s.TooLarge, Closed: s.Closed, Failed: s.Failed, Range: s.Range, Stale: s.Stale,
		again: Victim{Path: itself(), Args: VictimArgs},
		Open: func(dir string, o Options) (judged, error) {
			l, err := s.Open(dir, o)
			if err != nil {
				return nil, err
			}
			return wide[L, G]{l, l, s}, nil
		}}
}

// itself is the path of this process's program.
func itself() string {
	path, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return path
}

func probe(l lab) error {
	q, err := l.Open(logDir, Options{FS: newDisk()})
	if err != nil {
		return err
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	q.Close(gone)
	return nil
}

// name says err in the words of the contract.
func (l lab) name(err error) string {
	switch {
	case err == nil:
		return "nil"
	case errors.Is(err, l.Failed):
		return "ErrFailed: " + err.Error()
	case errors.Is(err, l.Range):
		return "ErrRange: " + err.Error()
	case errors.Is(err, l.Stale):
		return "ErrStale: " + err.Error()
	case errors.Is(err, l.Full):
		return "ErrFull: " + err.Error()
	case errors.Is(err, l.TooLarge):
		return "ErrTooLarge: " + err.Error()
	case errors.Is(err, l.Closed):
		return "ErrClosed: " + err.Error()
	}
	return err.Error()
}

// pipe is a connection in memory; a bubble can wait for it.
func pipe(r *spec.Run) (near, far net.Conn) {
	near, far = net.Pipe()
	r.Cleanup(func() {
		near.Close()
		far.Close()
	})
	return near, far
}
