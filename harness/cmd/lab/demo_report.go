//go:build !light

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"

	"github.com/asynclab/asynclab/harness/load"
	"github.com/asynclab/asynclab/harness/report"
)

// A demoReport is what a demo measured; --json prints it.
type demoReport struct {
	Server      string  `json:"server"`      // package of the program
	Asked       int     `json:"asked"`       // connections
	Connections int     `json:"connections"` // each with a verified echo
	Limit       int     `json:"file_limit"`  // descriptors one process may have
	Cores       int     `json:"cores"`       // shared by swarm and server
	Depth       int     `json:"depth"`       // messages in flight on a connection; 0 in an open loop
	Rate        float64 `json:"rate"`        // open loop: messages a second sent; 0 in a closed loop
	Seconds     float64 `json:"seconds"`     // of load
	Messages    int64   `json:"messages"`    // come back in that time, every byte verified
	PerSecond   float64 `json:"per_second"`
	P50         int64   `json:"p50_us"`
	P99         int64   `json:"p99_us"`
	P999        int64   `json:"p999_us"`

	CPUPerMillion   float64 `json:"cpu_s_per_million"` // the server's CPU seconds for a million messages
	CoresBusy       float64 `json:"cores_busy"`        // by the server
	CallsPerMessage float64 `json:"calls_per_message"` // its read and write calls
	IdleRSS         int64   `json:"idle_rss"`          // its bytes with all connections idle
	RSSPerConn      float64 `json:"rss_per_conn"`      // of which each connection added this

	Faults load.Faults `json:"faults"`
	wire   string
}

func (m *demoMeter) report(s *server, r load.Result) *demoReport {
	d := m.begin.Until(m.end)
	limit, _ := openFileLimit()
	messages := max(1, float64(r.Messages))
	rep := &demoReport{
		Server: s.pkg, Asked: m.options.conns, Connections: r.Connected, Limit: limit, Cores: runtime.NumCPU(),
		Depth: m.options.depth, Rate: m.options.rate, Seconds: r.Window.Seconds(),
		Messages: r.Messages, PerSecond: r.PerSecond, P50: r.P50, P99: r.P99, P999: r.P999,
		CPUPerMillion: d.CPU().Seconds() / messages * 1e6, CoresBusy: d.Cores(), CallsPerMessage: float64(d.ReadCalls+d.WriteCalls) / messages,
		IdleRSS: m.idle.RSS, RSSPerConn: float64(m.idle.RSS-m.empty.RSS) / float64(max(1, r.Connected)),
		Faults: r.Faults, wire: m.options.wire(),
	}
	if m.options.rate > 0 {
		rep.Depth = 0
	}
	return rep
}

// print writes the report for people or as JSON.
func (r *demoReport) print(out io.Writer, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	x := report.TextFor(out)
	fmt.Fprintf(out, "%s, %.0f s of load\n%s\n", x.Bold(r.Server), r.Seconds, r.wire)
	fmt.Fprint(out, x.Table(r.table(x)))
	for _, note := range r.notes() {
		fmt.Fprintln(out, note)
	}
	fmt.Fprintln(out, x.Bold("Next: make check LAB=01"), "(it fails, and says where to start writing)")
	return nil
}

// table puts what was measured beside what the article claims. Its claims are
// for 8 cores, half busy, and for 100,000 connections in 2 GB; per message and
// per connection they can be compared.
func (r *demoReport) table(x report.Text) report.Table {
	number := func(f float64) string { return report.Number(f) }
	t := report.Table{Head: []string{"", "measured", "the article claims"}}
	t.Add("connections, each verified", number(float64(r.Connections)), "100,000")
	t.Add("messages, each byte verified", number(float64(r.Messages)), "")
	t.Add("messages/s", number(float64(int(r.PerSecond))), "1,000,000 on 8 cores at 50%")
	t.Add("latency p50", millis(r.P50), "")
	t.Add("latency p99", millis(r.P99), "below 10 ms")
	t.Add("latency p99.9", millis(r.P999), "")
	t.Add("server CPU per million", fmt.Sprintf("%.2f s", r.CPUPerMillion), "4 s (that is 8 cores at 50%)")
	t.Add("read + write calls per message", fmt.Sprintf("%.2f", r.CallsPerMessage), "")
	t.Add("memory, all connected and idle", megabytes(r.IdleRSS), "2 GB")
	t.Add("memory per connection", fmt.Sprintf("%.1f KB", r.RSSPerConn/1000), "20 KB")
	faults := x.Good("none")
	if r.Faults.Err() != nil {
		faults = x.Bad(faultsInWords(r.Faults))
	}
	t.Add("faults", faults, "")
	return t
}

// notes say what the figures depend on here.
func (r *demoReport) notes() []string {
	notes := []string{
		fmt.Sprintf("Swarm and server share %d cores, and one loop uses one core: compare CPU per\nmessage, not messages/s. A process may open %s files here, which bounds the\nconnections. Memory is the process's (RSS); socket buffers are the kernel's.",
			r.Cores, report.Number(float64(r.Limit))),
	}
	if r.Depth > 0 && r.PerSecond > 0 {
		// A message that comes alone costs several times what one in a full
		// queue does: only a tenth of the rate is far from the limit.
		flight := float64(r.Connections * r.Depth)
		notes = append(notes, fmt.Sprintf("Latency is the queue that the swarm keeps full: %s in flight at %s/s\nis %.0f ms each. Almost without it: make demo ARGS=\"--rate %.0f\"",
			report.Number(flight), report.Number(float64(int(r.PerSecond))), flight/r.PerSecond*1000, roundRate(r.PerSecond/10)))
	}
	return notes
}

// roundRate leaves one digit that is not 0, so that it can be typed.
func roundRate(rate float64) float64 {
	unit := 1.0
	for unit*10 <= rate {
		unit *= 10
	}
	return float64(int(rate/unit)) * unit
}
