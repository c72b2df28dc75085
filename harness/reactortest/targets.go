package reactortest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/asynclab/asynclab/harness/bench"
	"github.com/asynclab/asynclab/harness/load"
	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
)

var targets = []spec.Target[Subject]{
	{
		Name: "echo-depth-16", Title: "messages per CPU second against lab 03's loop alone, 16 in flight", Points: 4, Section: "Targets",
		Why:  "A reactor of one loop does what the loop does, and should cost what it costs. What you add to each message (a look-up, a lock, a clock, a timer moved) shows here.",
		Unit: "messages/CPU-s", Baseline: "03", Goal: spec.AtLeast, Bound: 0.9,
		Hints: [3]string{
			"What do you do for each message that lab 03 does not?",
			"Finding your *Conn by a map with a lock; reading the clock; moving a timer in the wheel.",
			"Value() of the connection below holds your *Conn. Note the arrival only when IdleTimeout is set, and move no timer.",
		},
		Measure: func(r *spec.Run, s Subject) (spec.Sample, error) { return echoSample(r, s, 16) },
	},
	{
		Name: "echo-depth-1", Title: "messages per CPU second against lab 03's loop alone, one in flight", Points: 3, Section: "Targets",
		Why:  "With one message at a time each costs a read and a write, whatever is above them: the reactor must not add a third system call.",
		Unit: "messages/CPU-s", Baseline: "03", Goal: spec.AtLeast, Bound: 0.9,
		Hints: [3]string{
			"Does the acceptor or the wheel do anything while messages flow?",
			"A tick of 1 ms wakes an idle loop a thousand times a second. An acceptor that polls with a timeout wakes, too.",
			"Tick at 50 ms, and only while there are timers; poll with -1.",
		},
		Measure: func(r *spec.Run, s Subject) (spec.Sample, error) { return echoSample(r, s, 1) },
	},
	{
		Name: "syscalls-depth-16", Title: "system calls per message, 16 in flight, two loops", Points: 4, Section: "Targets",
		Why:  "Each connection's replies leave with one write of its own loop. A hand-off of messages between loops, or a wake-up for each, would multiply the calls.",
		Unit: "calls/message", Goal: spec.AtMost, Bound: 0.2,
		Hints: [3]string{
			"Which goroutine runs the handler, and which one writes the reply?",
			"The same: the loop that owns the connection. No channel, no Post on the way of a reply.",
			"OnMessage is called straight from lab 03's OnMessage; Send is lab 03's Send.",
		},
		Measure: systemCalls,
	},
	{
		Name: "idle-memory", Title: "memory of an idle connection with an idle timeout, against lab 01", Points: 4, Section: "Targets",
		Why:  "A hundred thousand connections are mostly idle ones, and each needs an idle timeout to be found when it has died. It costs your struct and a timer in it, and no goroutine, closure or heap entry.",
		Unit: "bytes/connection", Baseline: "01", Goal: spec.AtMost, Bound: 0.08,
		Hints: [3]string{
			"What does a connection hold that has only an idle timeout?",
			"A time.Timer with its closure is 200 bytes and more. A timer of the wheel is two pointers, a tick and a function.",
			"Put the idle timer into a struct that exists with IdleTimeout only; keep the moment of the last arrival in it.",
		},
		Measure: func(r *spec.Run, s Subject) (spec.Sample, error) {
			o := echoing(2)
			o.IdleTimeout = time.Minute
			sv, err := serve(r, s, o)
			if err != nil {
				return spec.Sample{}, err
			}
			return bench.IdleMemory(r, sv.addr, 10_000)
		},
	},
	{
		Name: "wheel-allocs", Title: "allocations of a timer, beside 100,000 others", Points: 3, Section: "Targets",
		Why:  "A timer is itself and the function that stops it. A list node, a map entry, a slice that grows would be one more each.",
		Unit: "allocations/timer", Goal: spec.AtMost, Bound: 2,
		Hints: [3]string{
			"What is made by AfterFunc besides the timer and stop?",
			"The links are fields of the timer: no container/list, no map.",
			"t := &timer{fn: fn}; w.start(t, d); return func() bool { return w.stop(t) }.",
		},
		Measure: wheelAllocs,
	},
	{
		Name: "strategies", Title: "CPU time to let a client in, with its first message, by strategy", Section: "Targets",
		Why:  "The hand-off costs a queue and a wake-up for each connection, SO_REUSEPORT neither; what it costs instead is evenness. Both figures beside each other are the reason to have a choice.",
		Unit: "µs/connection", Goal: spec.Shown,
		Hints: [3]string{
			"It is only shown. What makes one strategy dearer than another?",
			"The acceptor's goroutine is another one than the loop's: each hand-off may wake it.",
			"Compare `\"reuseport\" µs` with `\"least\" µs`, and the fullest loops.",
		},
		Measure: compareStrategies,
	},
}

// compareStrategies has 10,000 clients come to four loops, with each strategy.
// Every one has a message echoed. The figure is that of round robin.
func compareStrategies(r *spec.Run, s Subject) (spec.Sample, error) {
	const clients, loops = 10_000, 4
	sample := spec.Sample{Also: map[string]float64{}}
	for _, strategy := range strategies {
		o := echoing(loops)
		o.Accept = strategy
		sv, err := serve(r, s, o)
		if err != nil {
			return spec.Sample{}, err
		}
		cost, counts, err := admission(r, sv, clients)
		if err != nil {
			return spec.Sample{}, in(strategy, err)
		}
		micros := float64(cost.Microseconds()) / clients
		if strategy == strategies[0] {
			sample.Value = micros
		}
		sample.Also[strategy+" µs"] = micros
		sample.Also[strategy+" fullest loop %"] = 100 * float64(slices.Max(counts)) / clients
		if err := sv.shutdown(); err != nil {
			return spec.Sample{}, err
		}
	}
	return sample, nil
}

// admission has clients connect, and returns what that cost the server and how
// many each loop got.
func admission(r *spec.Run, sv *serving, clients int) (cost time.Duration, counts []int, err error) {
	before, err := meter.Self()
	if err != nil {
		return 0, nil, err
	}
	var after meter.Sample
	var failed error
	result, err := load.Spawn(r.Context(), load.Config{Addr: sv.addr, Conns: clients, Wire: load.Framed}, load.Hooks{Connected: func() {
		after, failed = meter.Self()
		counts = sv.Connections()
	}})
	if err := errors.Join(err, failed, result.Faults.Err()); err != nil {
		return 0, nil, err
	}
	if result.Connected != clients {
		return 0, nil, fmt.Errorf("%d of %d clients were let in", result.Connected, clients)
	}
	return before.Until(after).CPU(), counts, nil
}

// echoing is the handler that targets are measured with.
func echoing(loops int) Options[Conn] {
	return Options[Conn]{Loops: loops, OnMessage: func(c Conn, msg []byte) {
		if err := c.Send(msg); err != nil {
			c.Abort(err)
		}
	}}
}

func echoCost(r *spec.Run, s Subject, loops int, e bench.Echo) (bench.Cost, error) {
	sv, err := serve(r, s, echoing(loops))
	if err != nil {
		return bench.Cost{}, err
	}
	e.Wire = load.Framed
	return bench.EchoCost(r, sv.addr, e)
}

// echoSample measures one loop: so the figure is to be compared with lab 03's.
func echoSample(r *spec.Run, s Subject, depth int) (spec.Sample, error) {
	cost, err := echoCost(r, s, 1, bench.Echo{Depth: depth})
	if err != nil {
		return spec.Sample{}, err
	}
	return cost.Sample(), nil
}

// systemCalls counts all calls where that is permitted, and elsewhere reads and
// writes alone, which every process may see of itself.
func systemCalls(r *spec.Run, s Subject) (spec.Sample, error) {
	cost, err := echoCost(r, s, 2, bench.Echo{Depth: 16, CountCalls: true})
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
	return spec.Sample{Value: per(cost.Calls.Total()), Also: map[string]float64{
		"read per message": per(cost.Calls["read"]), "write per message": per(cost.Calls["write"]),
		"epoll_wait per message": per(cost.Calls["epoll_wait"] + cost.Calls["epoll_pwait"]),
		"epoll_ctl per message":  per(cost.Calls["epoll_ctl"]),
	}}, nil
}

// wheelAllocs also shows how long a timer takes to be started and stopped, with
// few others and with many: for the reader, not for the verdict.
func wheelAllocs(r *spec.Run, s Subject) (spec.Sample, error) {
	sample := spec.Sample{Also: map[string]float64{}}
	for _, others := range []int{100, 100_000} {
		w := s.Wheel(50*time.Millisecond, 1024)
		for i := range others {
			w.AfterFunc(time.Duration(1+i%3000)*50*time.Millisecond, func() {})
		}
		one := func() { w.AfterFunc(time.Minute, func() {})() }
		sample.Value = testing.AllocsPerRun(1000, one)
		const times = 100_000
		began := time.Now()
		for range times {
			one()
		}
		sample.Also[fmt.Sprintf("ns to start and stop, beside %d", others)] = float64(time.Since(began).Nanoseconds()) / times
	}
	return sample, nil
}
