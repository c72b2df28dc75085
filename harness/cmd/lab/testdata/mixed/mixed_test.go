// Package mixed is a lab in which each rule ends in another way.
package mixed

import (
	"errors"
	"os"
	"testing"

	"github.com/asynclab/asynclab/harness/spec"
)

type constructor func() error

func rule(name string, check func(r *spec.Run) error) spec.Rule[constructor] {
	return spec.Rule[constructor]{Name: name, Group: "all", Why: "it is a test", Points: 10, Section: "Step 1",
		Hints: [3]string{"first", "second", "third"},
		Check: func(r *spec.Run, _ constructor) error { return check(r) }}
}

func target(name string, goal spec.Goal, bound float64) spec.Target[constructor] {
	return spec.Target[constructor]{Name: name, Title: name, Why: "it is a test", Points: 5, Unit: "things", Goal: goal, Bound: bound,
		Measure: func(*spec.Run, constructor) (spec.Sample, error) { return spec.Sample{Value: 12}, nil }}
}

var suite = spec.Suite[constructor]{
	Lab:   "01",
	Probe: func(constructor) error { return nil },
	Rules: []spec.Rule[constructor]{
		rule("Passes", func(*spec.Run) error { return nil }),
		rule("AnswersWrongly", func(r *spec.Run) error {
			r.Step("ask")
			return spec.Fail("7", "it was %d", 8)
		}),
		rule("IsNotThereYet", func(*spec.Run) error { return errors.New("not implemented: step 3, admission") }),
		rule("Crashes", crash),
		rule("Races", race),
		rule("Exits", func(*spec.Run) error { os.Exit(0); return nil }),
		rule("Sticks", func(*spec.Run) error { select {} }),
	},
	Targets: []spec.Target[constructor]{target("high-enough", spec.AtLeast, 10), target("too-high", spec.AtMost, 10)},
}

func Test(t *testing.T)      { suite.Test(t, nil) }
func Benchmark(b *testing.B) { suite.Benchmark(b, nil) }

func crash(*spec.Run) error {
	go explode(nil)
	select {}
}

func explode(at *int) { *at = 1 }

func race(*spec.Run) error {
	n, done := 0, make(chan bool)
	go func() { n++; done <- true }()
	n++
	<-done
	return nil
}
