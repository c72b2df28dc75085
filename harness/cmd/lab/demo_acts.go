//go:build !light

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/asynclab/asynclab/harness/load"
	"github.com/asynclab/asynclab/harness/meter"
)

// An act is one load of the demo. Each has a swarm of its own: a storm of
// connects at its beginning and one of resets at its end.
type act struct {
	Name  string // "echo, as fast as it goes"
	does  string // what each client does
	about string // what the figures depend on
	load  load.Config
}

// acts are the demo's loads. The second depends on what the first has reached.
func (o demoOptions) acts(addr string) []func(before []actReport) act {
	base := load.Config{Addr: addr, Conns: o.conns, Wire: load.WebSocket, Payload: demoPayload, Window: time.Duration(o.seconds) * time.Second}
	return []func([]actReport) act{
		func([]actReport) act {
			c := base
			c.Depth = o.depth
			return act{Name: "echo, as fast as it goes", load: c,
				does:  fmt.Sprintf("%d-byte messages, %d in flight on each connection", demoPayload, o.depth),
				about: "its latency is the queue that the swarm keeps full"}
		},
		func(before []actReport) act {
			c := base
			if c.Rate = o.rate; c.Rate == 0 {
				c.Rate = roundRate(before[0].PerSecond / 2)
			}
			return act{Name: "echo, at half that rate", load: c,
				does:  fmt.Sprintf("%d-byte messages, %s a second whatever comes back", demoPayload, number(c.Rate)),
				about: "its latency is counted from when each message was due"}
		},
		func([]actReport) act {
			c := base
			c.Rooms, c.Depth = 1, o.broadcast
			return act{Name: "broadcast to one room", load: c,
				does:  fmt.Sprintf("%d-byte messages from one member to all, %d in flight", demoPayload, o.broadcast),
				about: "every member checks that nothing is missing, doubled or out of order"}
		},
	}
}

// An actReport is what one act measured.
type actReport struct {
	Name        string  `json:"name"`
	Does        string  `json:"does"`
	Connections int     `json:"connections"` // each with a verified echo, or a place in a room
	Ramp        float64 `json:"ramp_s"`      // until all of them were there
	Seconds     float64 `json:"seconds"`     // of measured load
	Messages    int64   `json:"messages"`    // echoes or deliveries in that time, every byte verified
	PerSecond   float64 `json:"per_second"`
	P50         int64   `json:"p50_us"`
	P99         int64   `json:"p99_us"`
	P999        int64   `json:"p999_us"`
	Hiccups     int64   `json:"hiccups_p99_us"` // how late the machine woke a thread that only slept: P99 of the same time

	CPUPerMillion float64 `json:"cpu_s_per_million"`       // the server's CPU seconds for a million messages
	SwarmCPU      float64 `json:"swarm_cpu_s_per_million"` // the swarm's
	CoresBusy     float64 `json:"cores_busy"`              // by the server
	RSS           int64   `json:"rss"`                     // the server's bytes at the end of the load
	Gaps          int64   `json:"gaps"`                    // messages that members missed: dropped for slow ones

	Faults load.Faults `json:"faults"`

	latency string // encoded by meter
}

// play runs one act and measures it.
func (m *demoMeter) play(ctx context.Context, a act) (actReport, error) {
	m.act, m.begin = a, meter.Sample{}
	if err := waitEmpty(ctx, m.admin); err != nil {
		return actReport{}, err
	}
	began, ramp := time.Now(), time.Duration(0)
	var beside *meter.Hiccups // of the measured load
	r, err := load.Spawn(ctx, a.load, load.Hooks{
		Connected: func() {
			ramp = time.Since(began)
			if m.idle.When.IsZero() {
				m.sample(&m.idle)
				m.heapIdle = liveHeap(ctx, m.admin)
			}
		},
		Window: func() {
			m.sample(&m.begin)
			beside = meter.WatchHiccups()
		},
		Done: func() {
			m.sample(&m.end)
			beside.Stop()
		},
		Snapshot: m.snapshot,
	})
	var late int64
	if beside != nil {
		late = beside.Stop().ValueAtQuantile(99) // again, where the load was stopped
	}
	if err := errors.Join(err, m.err); err != nil {
		return actReport{}, fmt.Errorf("%s: %w", a.Name, err)
	}
	n, perSecond := r.Messages, r.PerSecond
	if a.load.Rooms > 0 {
		n, perSecond = r.Deliveries, r.DeliveriesPerSecond
	}
	d, million := m.begin.Until(m.end), max(1, float64(n))/1e6
	return actReport{Name: a.Name, Does: a.does, Connections: r.Connected, Ramp: ramp.Seconds(), Seconds: r.Window.Seconds(),
		Messages: n, PerSecond: perSecond, P50: r.P50, P99: r.P99, P999: r.P999, Hiccups: late,
		CPUPerMillion: d.CPU().Seconds() / million, SwarmCPU: r.CPU.Seconds() / million, CoresBusy: d.Cores(), RSS: m.end.RSS,
		Gaps: r.Gaps, Faults: r.Faults, latency: r.Latency}, nil
}

// viewers is how many connections may be there besides the swarm's: each
// browser that shows the dashboard is a member of its chat room.
const viewers = 20

// waitEmpty waits until the server has seen the last act's clients go.
func waitEmpty(ctx context.Context, admin string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		var stats struct{ Connections int }
		text, err := get(ctx, admin, "/api/stats")
		if err == nil {
			err = json.Unmarshal(text, &stats)
		}
		if err != nil {
			return fmt.Errorf("ask the server for its connections: %w", err)
		}
		if stats.Connections <= viewers {
			return nil
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("the server still has %d connections of clients that have gone", stats.Connections)
		}
	}
}

// get fetches a page of the server's admin address.
func get(ctx context.Context, admin, page string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+page, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	return io.ReadAll(answer.Body)
}

var heapAlloc = regexp.MustCompile(`(?m)^# HeapAlloc = (\d+)$`)

// liveHeap has the server collect its garbage, and returns what is left, in
// bytes; 0 if it does not tell.
func liveHeap(ctx context.Context, admin string) int64 {
	text, err := get(ctx, admin, "/debug/pprof/heap?gc=1&debug=1")
	found := heapAlloc.FindSubmatch(text)
	if err != nil || found == nil {
		return 0
	}
	n, _ := strconv.ParseInt(string(found[1]), 10, 64)
	return n
}
