//go:build !light

package main

import (
	"fmt"
	"io"
	"runtime"

	"github.com/asynclab/asynclab/harness/load"
	"github.com/asynclab/asynclab/harness/report"
)

// A demoReport is what a demo measured; --json prints it.
type demoReport struct {
	Server   string      `json:"server"`     // package of the program
	Asked    int         `json:"asked"`      // connections
	Limit    int         `json:"file_limit"` // descriptors that one table may hold
	Cores    int         `json:"cores"`      // shared by swarm and server
	Acts     []actReport `json:"acts"`
	IdleRSS  int64       `json:"idle_rss"`      // its bytes with all connections idle
	PerConn  float64     `json:"rss_per_conn"`  // of which each connection added this
	HeapConn float64     `json:"heap_per_conn"` // and this in live heap
}

func (m *demoMeter) report(r *demoReport) *demoReport {
	r.Asked, r.Cores, r.IdleRSS = m.options.conns, runtime.NumCPU(), m.idle.RSS
	r.Limit, _ = openFileLimit()
	conns := float64(max(1, r.Acts[0].Connections))
	r.PerConn = float64(m.idle.RSS-m.empty.RSS) / conns
	r.HeapConn = float64(m.heapIdle-m.heapEmpty) / conns
	return r
}

// faults are those of the first act that had any.
func (r *demoReport) faults() load.Faults {
	for _, a := range r.Acts {
		if a.Faults.Err() != nil {
			return a.Faults
		}
	}
	return load.Faults{}
}

// print writes the report for people or as JSON.
func (r *demoReport) print(out io.Writer, asJSON bool) error {
	if asJSON {
		return writeJSON(out, r)
	}
	x := report.TextFor(out)
	fmt.Fprintf(out, "%s\n", x.Bold(r.Server))
	for i, a := range r.Acts {
		fmt.Fprintf(out, "%d. %s: %s\n", i+1, a.Name, a.Does)
	}
	fmt.Fprint(out, x.Table(r.table(x)))
	for _, note := range r.notes() {
		fmt.Fprintln(out, note)
	}
	fmt.Fprintln(out, x.Bold("Next: make check LAB=01"), "(it fails, and says where to start writing)")
	return nil
}

func number(f float64) string { return report.Number(f) }

// table puts what was measured beside what the article claims. Its claims are
// for 8 cores, half busy, and for 100,000 connections in 2 GB; per message and
// per connection they can be compared.
func (r *demoReport) table(x report.Text) report.Table {
	t := report.Table{Head: []string{"", "1. echo", "2. at a rate", "3. broadcast", "the article"}}
	row := func(name, claim string, cell func(a actReport) string) {
		cells := []string{name}
		for _, a := range r.Acts {
			cells = append(cells, cell(a))
		}
		t.Add(append(cells, claim)...)
	}
	row("connections, each verified", "100,000", func(a actReport) string { return number(float64(a.Connections)) })
	row("all connected after", "", func(a actReport) string { return fmt.Sprintf("%.1f s", a.Ramp) })
	row("messages/s, each verified", "1,000,000", func(a actReport) string { return number(float64(int(a.PerSecond))) })
	row("latency p50", "", func(a actReport) string { return millis(a.P50) })
	row("latency p99", "below 10 ms", func(a actReport) string { return millis(a.P99) })
	row("latency p99.9", "", func(a actReport) string { return millis(a.P999) })
	row("a sleeper's delay p99", "", func(a actReport) string { return millis(a.Hiccups) })
	row("server CPU per million", "4 s", func(a actReport) string { return fmt.Sprintf("%.2f s", a.CPUPerMillion) })
	row("swarm CPU per million", "", func(a actReport) string { return fmt.Sprintf("%.2f s", a.SwarmCPU) })
	row("server, cores busy", "4 of 8", func(a actReport) string { return fmt.Sprintf("%.2f of %d", a.CoresBusy, r.Cores) })
	row("server's memory (RSS)", "2 GB", func(a actReport) string { return megabytes(a.RSS) })
	row("faults", "", func(a actReport) string {
		if a.Faults.Err() != nil {
			return x.Bad(faultsInWords(a.Faults))
		}
		return x.Good("none")
	})
	return t
}

// notes say what the figures depend on here.
func (r *demoReport) notes() []string {
	first := r.Acts[0]
	notes := []string{
		fmt.Sprintf("With all connections idle the server held %s (RSS): %.0f bytes a connection, of\nwhich %.0f are live heap. The article has 2 GB. Socket buffers are the kernel's.",
			megabytes(r.IdleRSS), r.PerConn, r.HeapConn),
		fmt.Sprintf("Swarm and server share %d cores; the article's million has 8 for itself, half busy,\nwhich is 4 CPU seconds per million: compare those. One descriptor table holds %s\nfiles here; where that is too few, both use several (docs/ARCHITECTURE.md).",
			r.Cores, number(float64(r.Limit))),
		fmt.Sprintf("The latency of 1 and 3 is the queue that the swarm keeps full: in 1, %s in\nflight at %s/s are %.0f ms each. The latency of 2 is what a client would see. The\nsleeper is a thread beside them that asks for nothing but to be woken: as late as\nthat is the machine, whatever the server does.",
			number(float64(first.Connections)), number(float64(int(first.PerSecond))), float64(first.Connections)/max(1, first.PerSecond)*1000),
	}
	for _, a := range r.Acts {
		if a.Gaps > 0 {
			notes = append(notes, fmt.Sprintf("%s: members missed %s messages, which the server has counted as dropped.", a.Name, number(float64(a.Gaps))))
		}
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
