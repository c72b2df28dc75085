package capstonetest

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/asynclab/asynclab/harness/load"
	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
)

const targetSection = "Targets"

var targets = []spec.Target[Program]{
	{
		Name: "echo-depth-1", Title: "echoes per CPU second against a goroutine per connection, one in flight", Points: 3, Section: targetSection,
		Why:  "With one message at a time nothing can be batched: what is won is the goroutine switch and the bookkeeping around it.",
		Unit: "times", Goal: spec.AtLeast, Bound: 1.2,
		Hints: [3]string{"make profile: which share of the time is not inside system calls?", "One read and one write for a message; no time.Now, no map, no lock that others want.", "Look at lab 03's target echo-depth-1: it is the same work, and a frame's head."},
		Measure: func(r *spec.Run, p Program) (spec.Sample, error) {
			return against(r, p, load.Config{Conns: 1000, Depth: 1})
		},
	},
	{
		Name: "echo-depth-16", Title: "echoes per CPU second against a goroutine per connection, 16 in flight", Points: 4, Section: targetSection,
		Why:  "16 messages come with one read; their echoes must leave with one write.",
		Unit: "times", Goal: spec.AtLeast, Bound: 8,
		Hints: [3]string{"How many writes are 16 echoes?", "One: what a callback writes leaves when it has returned.", "Write to the loop's connection, and nothing else; no flush by hand."},
		Measure: func(r *spec.Run, p Program) (spec.Sample, error) {
			return against(r, p, load.Config{Conns: 1000, Depth: 16})
		},
	},
	{
		Name: "broadcast-depth-16", Title: "deliveries per CPU second against a hub, 2,000 members, 16 in flight", Points: 5, Section: targetSection,
		Why:  "This is what the server is for. A hub hands each message to each member's channel and writes each by itself; here all that a turn has for a room is one write for each member.",
		Unit: "times", Goal: spec.AtLeast, Bound: 5,
		Hints: [3]string{"How many system calls are 16 messages to 2,000 members?", "2,000, if the frames are put behind each other once and each member gets them with one write.", "Collect what a turn publishes; at its end: one burst of frames, WriteNow for each member."},
		Measure: func(r *spec.Run, p Program) (spec.Sample, error) {
			return against(r, p, load.Config{Conns: 2000, Rooms: 1, Depth: 16})
		},
	},
	{
		Name: "idle-memory", Title: "memory of an idle connection against a goroutine per connection, 5,000 connected", Points: 4, Section: targetSection,
		Why:  "A hundred thousand connections are mostly idle ones. They cost their structs, and no buffer and no goroutine.",
		Unit: "share", Goal: spec.AtMost, Bound: 0.25,
		Hints:   [3]string{"What does an idle client hold?", "No buffer, no channel, no goroutine, no timer of its own.", "unsafe.Sizeof of each struct in the way, and the order of their fields."},
		Measure: idleMemory,
	},
}

// cost is the server's CPU time for one echo or delivery under a load, and its
// memory at rest.
func cost(r *spec.Run, p Program, c load.Config) (perMessage float64, perConn float64, res load.Result, err error) {
	s, err := start(r, p, "-max-conns", "15000", "-log-level", "error")
	if err != nil {
		return 0, 0, res, err
	}
	defer s.cmd.Process.Kill()
	c.Addr, c.Wire, c.Window = s.addr, load.WebSocket, 2*time.Second
	if n := runtime.NumCPU(); n > 1 {
		c.Core = n
	}
	var empty, idle, begin, end meter.Sample
	var failed error
	sample := func(into *meter.Sample) func() {
		return func() {
			var err error
			*into, err = meter.Process(s.cmd.Process.Pid)
			failed = errors.Join(failed, err)
		}
	}
	sample(&empty)()
	res, err = load.Spawn(r.Context(), c, load.Hooks{Connected: sample(&idle), Window: sample(&begin), Done: sample(&end)})
	if err := errors.Join(err, failed); err != nil {
		return 0, 0, res, err
	}
	n := res.Messages
	if c.Rooms > 0 {
		n = res.Deliveries
	}
	if n == 0 {
		return 0, 0, res, errors.New("nothing came back")
	}
	return begin.Until(end).CPU().Seconds() / float64(n), float64(idle.RSS-empty.RSS) / float64(c.Conns), res, nil
}

// baseline is the stand-in: the test binary, started again.
func baseline() Program { return Naive(os.Args[0]) }

// against loads the program and the stand-in, one after the other.
func against(r *spec.Run, p Program, c load.Config) (spec.Sample, error) {
	own, _, res, err := cost(r, p, c)
	if err := errors.Join(err, res.Faults.Err()); err != nil {
		return spec.Sample{}, err
	}
	other, _, _, err := cost(r, baseline(), c)
	if err != nil {
		return spec.Sample{}, fmt.Errorf("the server that is compared with: %w", err)
	}
	return spec.Sample{Value: other / own, Latency: res.Latency, Also: map[string]float64{
		"CPU-s per million": own * 1e6, "the other's CPU-s per million": other * 1e6, "p99 µs": float64(res.P99)}}, nil
}

func idleMemory(r *spec.Run, p Program) (spec.Sample, error) {
	c := load.Config{Conns: 5000}
	_, own, res, err := cost(r, p, c)
	if err := errors.Join(err, res.Faults.Err()); err != nil {
		return spec.Sample{}, err
	}
	_, other, _, err := cost(r, baseline(), c)
	if err != nil {
		return spec.Sample{}, fmt.Errorf("the server that is compared with: %w", err)
	}
	return spec.Sample{Value: own / other, Also: map[string]float64{"bytes per connection": own, "the other's": other}}, nil
}
