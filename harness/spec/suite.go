package spec

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// A Suite is a lab's judge.
type Suite[N any] struct {
	Lab string // its ID in the course's table: "03"

	// Probe makes one implementation and throws it away. Its error, when it
	// begins with "not implemented", says that the lab has not been started.
	Probe func(new N) error

	Rules   []Rule[N]
	Targets []Target[N]
}

// Test checks every rule, each as a subtest with the rule's name.
func (s Suite[N]) Test(t *testing.T, new N) {
	if os.Getenv(ListOnly) != "" {
		s.list()
		return
	}
	if err := s.Probe(new); err != nil {
		s.notStarted(t, err)
		return
	}
	hung := ""
	for _, rule := range s.Rules {
		t.Run(rule.Name, func(t *testing.T) {
			if hung != "" {
				t.Skipf("not run: %s still hangs in this process", hung)
			}
			out := s.check(t, rule, new)
			if out.hung {
				hung = rule.Name
			}
			if out.err != nil {
				t.Error(complaint(s.Lab, rule, out))
			}
		})
	}
}

// check runs one rule and tells the command line.
func (s Suite[N]) check(t *testing.T, rule Rule[N], new N) outcome {
	emit(Event{Kind: EventStart, Lab: s.Lab, Name: rule.Name})
	out := execute(t, rule.deadline(), func(r *Run) error { return rule.Check(r, new) })
	e := Event{Kind: EventResult, Lab: s.Lab, Name: rule.Name, OK: out.err == nil, Hung: out.hung,
		NotImplemented: out.notImplemented(), Steps: out.steps, Dump: out.dump, Millis: out.took.Milliseconds()}
	e.Expected, e.Happened = split(out.err)
	emit(e)
	return out
}

// notStarted fails the whole suite with one sentence: the skeleton's.
func (s Suite[N]) notStarted(t testing.TB, err error) {
	expected, happened := split(err)
	emit(Event{Kind: EventResult, Lab: s.Lab, Expected: expected, Happened: happened,
		NotImplemented: strings.HasPrefix(err.Error(), "not implemented")})
	t.Error(err)
}

func (s Suite[N]) list() {
	for _, r := range s.Rules {
		emit(Event{Kind: EventRule, Lab: s.Lab, Name: r.Name, Group: r.Group, Why: r.Why,
			Points: r.Points, Section: r.Section, Hints: r.Hints})
	}
	for _, t := range s.Targets {
		emit(Event{Kind: EventTarget, Lab: s.Lab, Name: t.Name, Title: t.Title, Why: t.Why, Points: t.Points,
			Section: t.Section, Hints: t.Hints, Unit: t.Unit, Baseline: t.Baseline, Goal: t.Goal, Bound: t.Bound})
	}
}

// Benchmark takes every target's figure, each as a sub-benchmark with the
// target's name. One operation is one whole measurement.
func (s Suite[N]) Benchmark(b *testing.B, new N) {
	if err := s.Probe(new); err != nil {
		s.notStarted(b, err)
		return
	}
	for _, target := range s.Targets {
		b.Run(target.Name, func(b *testing.B) {
			var sample Sample
			out := execute(nil, target.deadline(), func(r *Run) (err error) {
				sample, err = target.Measure(r, new)
				return err
			})
			e := Event{Kind: EventSample, Lab: s.Lab, Name: target.Name, OK: out.err == nil, Hung: out.hung,
				NotImplemented: out.notImplemented(), Steps: out.steps, Dump: out.dump, Millis: out.took.Milliseconds(), Sample: &sample}
			e.Expected, e.Happened = split(out.err)
			emit(e)
			if out.err != nil {
				b.Fatal(out.err)
			}
			b.ReportMetric(0, "ns/op") // hides it: an operation is the whole measurement
			b.ReportMetric(sample.Value, target.Unit)
			for unit, v := range sample.Also {
				b.ReportMetric(v, strings.ReplaceAll(unit, " ", "-"))
			}
		})
	}
}

// split gives both halves of err for a report.
func split(err error) (expected, happened string) {
	if err == nil {
		return "", ""
	}
	if f := (*Failure)(nil); errors.As(err, &f) {
		return f.Expected, f.Happened
	}
	return "the check to get through", err.Error()
}

// complaint is what `go test` prints for a broken rule.
func complaint[N any](lab string, rule Rule[N], out outcome) string {
	if out.notImplemented() {
		return out.err.Error()
	}
	var b strings.Builder
	expected, happened := split(out.err)
	b.WriteString("\n    expected  " + expected)
	b.WriteString("\n    happened  " + happened)
	b.WriteString("\n    why       " + rule.Why)
	for i, step := range out.steps {
		prefix := "\n              "
		if i == 0 {
			prefix = "\n    steps     "
		}
		b.WriteString(prefix + step)
	}
	b.WriteString("\n    read      README.md, \"" + rule.Section + "\"")
	b.WriteString("\n    hint      make hint LAB=" + lab)
	if out.dump != "" {
		b.WriteString("\n    goroutines of the lab:\n" + out.dump)
	}
	return b.String()
}
