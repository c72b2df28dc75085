// Package steps is a throw-away lab: the student is at step 1 of 2.
package steps

import (
	"testing"

	"github.com/asynclab/asynclab/harness/spec"
)

type constructor func() int

func rule(name, section string, want int) spec.Rule[constructor] {
	return spec.Rule[constructor]{Name: name, Group: "all", Why: "it is a test", Points: 50, Section: section,
		Hints: [3]string{"one", "two", "three"},
		Check: func(r *spec.Run, new constructor) error {
			if got := new(); got != want {
				return spec.Fail("another number", "it was %d", got)
			}
			return nil
		}}
}

var suite = spec.Suite[constructor]{
	Lab:   "01",
	Probe: func(constructor) error { return nil },
	Rules: []spec.Rule[constructor]{rule("First", "Step 1: one", 1), rule("Second", "Step 2: two", 2)},
}

func Test(t *testing.T) { suite.Test(t, func() int { return 1 }) }
