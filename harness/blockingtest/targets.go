package blockingtest

import (
	"github.com/asynclab/asynclab/harness/bench"
	"github.com/asynclab/asynclab/harness/load"
	"github.com/asynclab/asynclab/harness/spec"
)

var targets = []spec.Target[New]{
	{
		Name: "idle-memory", Title: "memory of an idle connection, 10,000 connected", Points: 5, Section: "Targets",
		Why:  "What a connection costs while nothing happens decides how many a machine can hold. A goroutine, its stack and one buffer are the price of the model; a second goroutine or a bigger buffer doubles it.",
		Unit: "bytes/connection", Baseline: spec.Reference, Goal: spec.AtMost, Bound: 1.25,
		Hints: [3]string{
			"What does one connection hold while its peer is silent?",
			"Each goroutine has a stack of its own; a 32 KB buffer for each connection is 32 KB for each connection.",
			"One goroutine for each connection, one buffer of 4096 bytes, nothing else that is large.",
		},
		Measure: func(r *spec.Run, new New) (spec.Sample, error) {
			_, addr, err := serveTCP(r, new, Options{})
			if err != nil {
				return spec.Sample{}, err
			}
			return bench.IdleMemory(r, addr, 10_000)
		},
	},
	{
		Name: "echo-depth-1", Title: "messages per CPU second, one in flight", Points: 5, Section: "Targets",
		Why:  "A read, a write and a goroutine switch are what one message costs in this model. What comes on top is yours.",
		Unit: "messages/CPU-s", Baseline: spec.Reference, Goal: spec.AtLeast, Bound: 0.7,
		Hints: [3]string{
			"What happens between two messages besides one Read and one Write?",
			"make profile LAB=01 shows it: allocations, a lock that all connections share, deadlines that are set although there are none.",
			"Set a deadline only where its option is not 0, allocate the buffer once for each connection, take no lock of the Server in the loop.",
		},
		Measure: func(r *spec.Run, new New) (spec.Sample, error) { return echoCost(r, new, 1) },
	},
	{
		Name: "echo-depth-16", Title: "messages per CPU second, 16 in flight", Unit: "messages/CPU-s", Goal: spec.Shown,
		Why:     "The baseline of lab 03: 16 messages that arrive together are one Read and one Write here, too.",
		Measure: func(r *spec.Run, new New) (spec.Sample, error) { return echoCost(r, new, 16) },
	},
}

func echoCost(r *spec.Run, new New, depth int) (spec.Sample, error) {
	_, addr, err := serveTCP(r, new, Options{})
	if err != nil {
		return spec.Sample{}, err
	}
	cost, err := bench.EchoCost(r, addr, bench.Echo{Wire: load.Framed, Depth: depth})
	if err != nil {
		return spec.Sample{}, err
	}
	return cost.Sample(), nil
}
