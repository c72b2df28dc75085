package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/asynclab/asynclab/harness/load"
	"github.com/asynclab/asynclab/harness/meter"
)

// A scene is one column of the table: a load, and the figure that is taken.
type scene struct {
	name, title, unit string
	load              load.Config
	take              func(m measured) float64
}

// measured is what a run gives to take a figure from.
type measured struct {
	result      load.Result
	count       int64        // echoes or deliveries
	empty, idle meter.Sample // before the first connection, and with all connected
	begin, end  meter.Sample // of the window
}

func perMillion(m measured) float64 {
	return m.begin.Until(m.end).CPU().Seconds() / max(1, float64(m.count)) * 1e6
}

func echo(depth int) load.Config {
	return load.Config{Conns: 1000, Depth: depth, Window: 3 * time.Second}
}

func broadcast(depth int) load.Config {
	return load.Config{Conns: 5000, Rooms: 1, Depth: depth, Window: 4 * time.Second}
}

var scenarios = []scene{
	{"echo-1", "echo, depth 1", "CPU s/M", echo(1), perMillion},
	{"echo-16", "echo, depth 16", "CPU s/M", echo(16), perMillion},
	{"broadcast-1", "broadcast, depth 1", "CPU s/M", broadcast(1), perMillion},
	{"broadcast-16", "broadcast, depth 16", "CPU s/M", broadcast(16), perMillion},
	{"pairs-16", "1,000 rooms of 2, depth 16", "CPU s/M", load.Config{Conns: 2000, Rooms: 1000, Depth: 16, Window: 4 * time.Second}, perMillion},
	{"idle", "idle connection", "bytes RSS", load.Config{Conns: 10_000, Window: 100 * time.Millisecond},
		func(m measured) float64 { return float64(m.idle.RSS-m.empty.RSS) / 10_000 }},
	{"p99", "P99 at 20,000/s", "ms", load.Config{Conns: 1000, Rate: 20_000, Window: 4 * time.Second},
		func(m measured) float64 { return float64(m.result.P99) / 1000 }},
	{"silent", "10 of 1,000 never read", "MB more", load.Config{Conns: 1000, Rooms: 1, Silent: 10, Depth: 16, Window: 5 * time.Second, Payload: 1024},
		func(m measured) float64 { return float64(m.end.RSS-m.begin.RSS) / 1e6 }},
}

func scenarioNames() (all []string) {
	for _, s := range scenarios {
		all = append(all, s.name)
	}
	return all
}

// A figure is one run's.
type figure struct {
	Value float64 `json:"value"`
	Rate  float64 `json:"per_second"`
	Word  string  `json:"word,omitempty"` // in place of a figure: what went wrong
}

// measure runs one server under one load.
func measure(ctx context.Context, s server, a scene) (figure, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	p, err := start(ctx, s)
	if err != nil {
		return figure{}, err
	}
	defer p.stop()
	var m measured
	var failed error
	sample := func(into *meter.Sample) {
		var err error
		*into, err = meter.Process(p.cmd.Process.Pid)
		failed = errors.Join(failed, err)
	}
	c := a.load
	c.Addr, c.Wire = p.addr, load.WebSocket
	if runtime.NumCPU() > 1 {
		c.Core = runtime.NumCPU()
	}
	sample(&m.empty)
	m.result, err = load.Spawn(ctx, c, load.Hooks{
		Connected: func() {
			time.Sleep(200 * time.Millisecond) // its collector may be at work
			sample(&m.idle)
		},
		Window: func() { sample(&m.begin) },
		Done:   func() { sample(&m.end) },
	})
	if err := errors.Join(err, failed); err != nil {
		return figure{}, err
	}
	m.count = m.result.Messages
	f := figure{Rate: m.result.PerSecond}
	if c.Rooms > 0 {
		m.count, f.Rate = m.result.Deliveries, m.result.DeliveriesPerSecond
	}
	f.Value = a.take(m)
	switch lost := m.result.Faults; {
	case m.count == 0:
		return f, errors.New("stalls")
	case m.result.Gaps > 0:
		return f, fmt.Errorf("drops (%d)", m.result.Gaps)
	case lost.Err() != nil:
		return f, fmt.Errorf("%s", lost.First)
	}
	return f, nil
}
