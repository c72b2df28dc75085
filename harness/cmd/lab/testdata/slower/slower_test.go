// Package slower is a baseline: it reaches a quarter of what mixed does.
package slower

import (
	"testing"

	"github.com/asynclab/asynclab/harness/spec"
)

var suite = spec.Suite[func()]{
	Lab:   "01",
	Probe: func(func()) error { return nil },
	Rules: []spec.Rule[func()]{{Name: "Passes", Check: func(*spec.Run, func()) error { return nil }}},
	Targets: []spec.Target[func()]{{Name: "high-enough", Unit: "things",
		Measure: func(*spec.Run, func()) (spec.Sample, error) { return spec.Sample{Value: 3}, nil }}},
}

func Test(t *testing.T)      { suite.Test(t, nil) }
func Benchmark(b *testing.B) { suite.Benchmark(b, nil) }
