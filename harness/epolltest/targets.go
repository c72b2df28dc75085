package epolltest

import (
	"github.com/asynclab/asynclab/harness/bench"
	"github.com/asynclab/asynclab/harness/load"
	"github.com/asynclab/asynclab/harness/spec"
)

var targets = []spec.Target[New]{
	{
		Name: "idle-memory", Title: "memory of an idle connection, 10,000 connected", Points: 6, Section: "Targets",
		Why:  "A connection that waits needs no stack and no read buffer of its own: that is what the loop buys. A goroutine per connection costs several kilobytes, a struct and a map entry some hundred bytes.",
		Unit: "bytes/connection", Baseline: "01", Goal: spec.AtMost, Bound: 0.125,
		Hints: [3]string{
			"What does one connection hold while its peer is silent?",
			"One read buffer serves all connections, for the loop reads one at a time. What is owed is nil while nothing is.",
			"The connection's struct has a descriptor, a few flags and a nil slice. The buffer is a field of the Server.",
		},
		Measure: func(r *spec.Run, new New) (spec.Sample, error) {
			s, err := serve(r, new, Options{})
			if err != nil {
				return spec.Sample{}, err
			}
			return bench.IdleMemory(r, s.addr, 10_000)
		},
	},
	{
		Name: "echo-depth-1", Title: "messages per CPU second, one in flight", Points: 3, Section: "Targets",
		Why:  "One read and one write are what a message costs; epoll_wait is shared by all connections that are ready together. What comes on top is yours.",
		Unit: "messages/CPU-s", Baseline: spec.Reference, Goal: spec.AtLeast, Bound: 0.7,
		Hints: [3]string{
			"Which system calls does one message cost you, besides read and write?",
			"Write directly; arm EPOLLOUT only when the kernel did not take everything. Ask epoll_wait for many events at once.",
			"epoll_ctl only when the interest has changed; a slice of 256 events; no second read to see EAGAIN; no allocation per message.",
		},
		Measure: func(r *spec.Run, new New) (spec.Sample, error) { return echoCost(r, new, 1) },
	},
	{
		Name: "echo-depth-16", Title: "messages per CPU second, 16 in flight", Points: 3, Section: "Targets",
		Why:  "Messages that arrive together are read together and written together: one pair of system calls for many of them. A small read buffer gives that away.",
		Unit: "messages/CPU-s", Baseline: spec.Reference, Goal: spec.AtLeast, Bound: 0.7,
		Hints: [3]string{
			"16 messages of 64 bytes wait in one receive queue. How many reads do you need for them?",
			"A read buffer of 64 KiB takes them all; one write gives them all back.",
			"One unix.Read of up to 64 KiB and one unix.Write of what it returned, for each event.",
		},
		Measure: func(r *spec.Run, new New) (spec.Sample, error) { return echoCost(r, new, 16) },
	},
}

func echoCost(r *spec.Run, new New, depth int) (spec.Sample, error) {
	s, err := serve(r, new, Options{})
	if err != nil {
		return spec.Sample{}, err
	}
	cost, err := bench.EchoCost(r, s.addr, bench.Echo{Wire: load.Framed, Depth: depth})
	if err != nil {
		return spec.Sample{}, err
	}
	return cost.Sample(), nil
}
