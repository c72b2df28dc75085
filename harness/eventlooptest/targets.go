package eventlooptest

import (
	"errors"
	"fmt"

	"github.com/asynclab/asynclab/harness/bench"
	"github.com/asynclab/asynclab/harness/load"
	"github.com/asynclab/asynclab/harness/spec"
)

var targets = []spec.Target[New]{
	{
		Name: "syscalls-depth-16", Title: "system calls per message, 16 in flight", Points: 4, Section: "Targets",
		Why:  "One read brings all messages that wait, one write carries all replies: 2 calls for 16 messages, and a share of epoll_wait. epoll_ctl has no place in steady state.",
		Unit: "calls/message", Goal: spec.AtMost, Bound: 0.2,
		Hints: [3]string{
			"Count the calls that one batch of 16 costs you: read, read again, write 16 times, epoll_ctl twice?",
			"A read that did not fill the buffer needs no second one. Replies that wait until the callbacks have returned need one write.",
			"In Send: append to the queue and mark the connection. After the callbacks of its turn: one write of the whole queue. EPOLLOUT only after a short write.",
		},
		Measure: systemCalls,
	},
	{
		Name: "against-goroutines", Title: "messages per CPU second against a goroutine that answers each message, 16 in flight", Points: 3, Section: "Targets",
		Why:  "A goroutine per connection that reads a message and writes its answer makes one write for each. Holding the answers back until the callbacks have returned makes it one write for all of them: this is the loop's great advantage.",
		Unit: "times", Goal: spec.AtLeast, Bound: 6,
		Hints: [3]string{
			"How many writes do 16 messages in one socket cost you?",
			"Send must not write while a callback of the connection runs; the turn's end does, once.",
			"Send appends to the queue. After the last callback of the connection's turn: one write of everything queued.",
		},
		Measure: againstGoroutines,
	},
	{
		Name: "echo-depth-16", Title: "messages per CPU second against lab 01, 16 in flight", Points: 3, Section: "Targets",
		Why:  "Lab 01 echoes bytes: it never looks for frames, and 16 messages are one read and one write there, too. What is left to win is the goroutine switch, the scheduler and package net's bookkeeping.",
		Unit: "messages/CPU-s", Baseline: "01", Goal: spec.AtLeast, Bound: 1,
		Hints: [3]string{
			"make profile LAB=03: which share of the time is not inside system calls?",
			"Copies, locks and allocations per message; a map where a slice by descriptor would do; time.Now in each turn.",
			"One lock for each Send, one for each flush; buffers from a pool; frames as slices of the read buffer; up to 256 events per epoll_wait.",
		},
		Measure: func(r *spec.Run, new New) (spec.Sample, error) { return echoSample(r, new, 16) },
	},
	{
		Name: "echo-depth-1", Title: "messages per CPU second against lab 01, one in flight", Points: 2, Section: "Targets",
		Why:  "With one message at a time there is nothing to batch within a connection: what counts is that one epoll_wait serves many of them, and that a message costs one read and one write.",
		Unit: "messages/CPU-s", Baseline: "01", Goal: spec.AtLeast, Bound: 1,
		Hints: [3]string{
			"What does a single message cost you besides one read and one write?",
			"A second read that only says EAGAIN is a third of the cost. So is a wake-up for a Send on the loop's own goroutine.",
			"Stop at a short read; never write to the eventfd while the loop is awake; ask epoll_wait for many events.",
		},
		Measure: func(r *spec.Run, new New) (spec.Sample, error) { return echoSample(r, new, 1) },
	},
	{
		Name: "allocs-per-message", Title: "allocations per message, 16 in flight", Points: 3, Section: "Targets",
		Why:  "What is allocated has to be collected. In steady state there is no reason for any, and the figure is exact.",
		Unit: "allocations/message", Goal: spec.AtMost, Bound: 0.01,
		Hints: [3]string{
			"What is made anew for each message, each event, each turn?",
			"A closure that captures, a slice that grows from nil each time, a value put into an interface.",
			"go test -run='^$' -bench=allocs -benchtime=1x -memprofile mem.out -memprofilerate 1 ./labs/03-eventloop, then go tool pprof -sample_index=alloc_objects -top mem.out.",
		},
		Measure: func(r *spec.Run, new New) (spec.Sample, error) {
			per, err := allocationsPerMessage(r, new, 400_000)
			return spec.Sample{Value: per}, err
		},
	},
	{
		Name: "idle-memory", Title: "memory of an idle connection against lab 01, 10,000 connected", Points: 3, Section: "Targets",
		Why:  "A hundred thousand connections are mostly idle ones. They cost their struct and a place in a table, and no buffer.",
		Unit: "bytes/connection", Baseline: "01", Goal: spec.AtMost, Bound: 0.06,
		Hints: [3]string{
			"What does a connection hold that has nothing to send and nothing to remember?",
			"A queue that keeps its capacity, a buffer for the tail that is empty, a timer per connection, a map entry.",
			"Set empty buffers to nil and give them back to the pool; keep connections in a slice by descriptor.",
		},
		Measure: func(r *spec.Run, new New) (spec.Sample, error) {
			s, err := serve(r, new, echoing())
			if err != nil {
				return spec.Sample{}, err
			}
			return bench.IdleMemory(r, s.addr, 10_000)
		},
	},
}

// echoing is the handler that targets are measured with.
func echoing() Options[Conn] {
	return Options[Conn]{OnMessage: func(c Conn, msg []byte) {
		if err := c.Send(msg); err != nil {
			c.Abort(err)
		}
	}}
}

func echoCost(r *spec.Run, new New, e bench.Echo) (bench.Cost, error) {
	s, err := serve(r, new, echoing())
	if err != nil {
		return bench.Cost{}, err
	}
	e.Wire = load.Framed
	return bench.EchoCost(r, s.addr, e)
}

func echoSample(r *spec.Run, new New, depth int) (spec.Sample, error) {
	cost, err := echoCost(r, new, bench.Echo{Depth: depth})
	if err != nil {
		return spec.Sample{}, err
	}
	return cost.Sample(), nil
}

// epollCtlBound is how many epoll_ctl a message may cost: none, but for the
// connections of the load that come while it is counted.
const epollCtlBound = 0.01

// systemCalls counts all calls where that is permitted. Elsewhere it counts
// reads and writes, which every process may see of itself, and says so: the
// bound is the same, for epoll_wait adds little to them.
func systemCalls(r *spec.Run, new New) (spec.Sample, error) {
	cost, err := echoCost(r, new, bench.Echo{Depth: 16, CountCalls: true})
	if err != nil {
		return spec.Sample{}, err
	}
	if cost.Messages == 0 {
		return spec.Sample{}, errors.New("no message came back")
	}
	per := func(n uint64) float64 { return float64(n) / float64(cost.Messages) }
	if cost.Calls == nil {
		return spec.Sample{Value: per(uint64(cost.IO)), Also: map[string]float64{"reads and writes only": 1}}, nil
	}
	ctl := per(cost.Calls["epoll_ctl"])
	if ctl > epollCtlBound {
		return spec.Sample{}, fmt.Errorf("%.3f epoll_ctl per message: steady state needs none (arm EPOLLOUT only after a short write)", ctl)
	}
	return spec.Sample{Value: per(cost.Calls.Total()), Also: map[string]float64{
		"epoll_ctl per message": ctl, "read per message": per(cost.Calls["read"]), "write per message": per(cost.Calls["write"]),
		"epoll_wait per message": per(cost.Calls["epoll_wait"] + cost.Calls["epoll_pwait"]),
	}}, nil
}
