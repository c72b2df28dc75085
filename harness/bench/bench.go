// Package bench takes the measurements that several judges share: what one
// echoed message costs a server, and what one idle connection does.
//
// The load comes from a swarm in a process of its own, so this process's CPU
// time and memory are the server's (and a little of the judge's, which sleeps).
// Where the machine has two cores or more the swarm runs on the last one.
package bench

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

// Echo says how a server is loaded. Conns and Payload default to the course's
// usual 1,000 connections and 64 bytes.
type Echo struct {
	Wire    load.Wire
	Conns   int
	Payload int
	Depth   int           // messages in flight on each connection
	Window  time.Duration // 2 s by default

	// CountCalls counts system calls. It costs the server some hundred
	// nanoseconds a call, so that run's CPU time is not to be compared.
	CountCalls bool
}

// Cost is what a server spent in a window of load.
type Cost struct {
	Messages int64 // echoed and verified, seen by the clients
	CPU      time.Duration
	Calls    meter.Counts // system calls; nil unless asked for, and where counting is not permitted
	IO       int64        // read and write calls alone, counted everywhere
	Result   load.Result
}

// EchoCost loads the server at addr, which runs in this process, and returns
// what that cost. A wrong or missing byte is an error.
func EchoCost(r *spec.Run, addr string, e Echo) (Cost, error) {
	if e.Conns == 0 {
		e.Conns = 1000
	}
	if e.Window == 0 {
		e.Window = 2 * time.Second
	}
	cfg := load.Config{Addr: addr, Conns: e.Conns, Wire: e.Wire, Payload: e.Payload, Depth: e.Depth, Window: e.Window, Core: swarmCore()}
	w := window{countCalls: e.CountCalls}
	result, err := load.Spawn(r.Context(), cfg, load.Hooks{Window: w.begin, Done: w.end})
	if err := errors.Join(err, w.err, result.Faults.Err()); err != nil {
		return Cost{}, err
	}
	d := w.before.Until(w.after)
	return Cost{Messages: result.Messages, CPU: d.CPU(), Calls: w.calls, IO: d.ReadCalls + d.WriteCalls, Result: result}, nil
}

// window holds this process's figures at both ends of a swarm's window.
type window struct {
	countCalls    bool
	before, after meter.Sample
	counter       *meter.Syscalls
	calls         meter.Counts
	err           error
}

func (w *window) begin() {
	if w.countCalls {
		w.counter, w.err = meter.OpenSyscalls(os.Getpid())
		if errors.Is(w.err, meter.ErrNotPermitted) {
			w.err = nil
		}
	}
	if w.err != nil {
		return
	}
	w.before, w.err = meter.Self()
}

func (w *window) end() {
	var err error
	w.after, err = meter.Self()
	w.err = errors.Join(w.err, err)
	if w.counter != nil {
		w.calls, err = w.counter.Read()
		w.err = errors.Join(w.err, err)
		w.counter.Close()
	}
}

// PerCPUSecond is messages for each second of CPU time: the course's measure of
// a server's speed. Unlike messages a second it does not depend on how many
// cores there are, nor on what else runs.
func (c Cost) PerCPUSecond() float64 {
	return float64(c.Messages) / max(c.CPU.Seconds(), 0.01)
}

// Sample is the cost as a target's figure, in messages per CPU second, with
// what else is worth seeing.
func (c Cost) Sample() spec.Sample {
	also := map[string]float64{
		"CPU-s per million": 1e6 / max(c.PerCPUSecond(), 1e-9),
		"p50 µs":            float64(c.Result.P50),
		"p99 µs":            float64(c.Result.P99),
	}
	if c.Calls != nil {
		also["syscalls per message"] = float64(c.Calls.Total()) / float64(c.Messages)
	}
	return spec.Sample{Value: c.PerCPUSecond(), Also: also, Latency: c.Result.Latency}
}

// IdleMemory holds conns connections, each of which has had one echo and is
// silent since, and returns the user-space bytes (live heap and goroutine
// stacks) that one of them costs the server at addr in this process. The echo is
// a frame, which a server of bytes returns as well.
func IdleMemory(r *spec.Run, addr string, conns int) (spec.Sample, error) {
	before := meter.UserMemory()
	var after int64
	result, err := load.Spawn(r.Context(), load.Config{Addr: addr, Conns: conns, Wire: load.Framed, Core: swarmCore()}, load.Hooks{Connected: func() { after = meter.UserMemory() }})
	if err := errors.Join(err, result.Faults.Err()); err != nil {
		return spec.Sample{}, err
	}
	if result.Connected != conns {
		return spec.Sample{}, fmt.Errorf("%d of %d connections were opened", result.Connected, conns)
	}
	return spec.Sample{Value: float64(after-before) / float64(conns), Also: map[string]float64{"connections": float64(conns)}}, nil
}

// swarmCore is the last core, counted from 1, or 0 where there is only one.
func swarmCore() int {
	// NumCPU counts the cores this process may use; the command line has
	// pinned a measured process to the first.
	if n := cores(); n > 1 {
		return n
	}
	return 0
}

func cores() int {
	text, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		return runtime.NumCPU()
	}
	var first, last int
	if n, _ := fmt.Sscanf(string(text), "%d-%d", &first, &last); n == 2 {
		return last + 1
	}
	return 1
}
