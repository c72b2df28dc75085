// Command pools measures lab 12's pool beside ants, and beside a goroutine for
// each task, on the same tasks, in turns, on the same machine. See README.md.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/asynclab/asynclab/harness/meter"
)

func main() {
	rounds := flag.Int("rounds", 7, "times that each pool does each work, in turns")
	asJSON := flag.Bool("json", false, "print JSON")
	flag.Parse()
	t := table{CPU: map[string][]float64{}, Rate: map[string][]float64{}}
	for round := range *rounds {
		fmt.Fprintf(os.Stderr, "\rround %d of %d", round+1, *rounds)
		for _, w := range works {
			for i := range pools {
				p := pools[(i+round)%len(pools)] // nobody is always the first
				if err := t.measure(p, w); err != nil {
					fmt.Fprintf(os.Stderr, "\npools: %s, %s: %v\n", p.name, w.name, err)
					os.Exit(1)
				}
			}
		}
	}
	fmt.Fprintln(os.Stderr)
	if *asJSON {
		json.NewEncoder(os.Stdout).Encode(t)
		return
	}
	t.print(os.Stdout, *rounds)
}

// table is what was measured, by "pool, work": a figure for each round.
type table struct {
	CPU  map[string][]float64 `json:"cpu_ns_per_task"`
	Rate map[string][]float64 `json:"tasks_per_second"`
}

// measure has p do w once. Making the pool and its end are part of it.
func (t *table) measure(p pool, w work) error {
	runtime.GC()
	before, err := meter.Self()
	if err != nil {
		return err
	}
	began := time.Now()
	if done := w.do(p); done != int64(w.tasks) {
		return fmt.Errorf("%d of %d tasks were done", done, w.tasks)
	}
	took := time.Since(began)
	after, err := meter.Self()
	if err != nil {
		return err
	}
	key := p.name + ", " + w.name
	t.CPU[key] = append(t.CPU[key], float64(before.Until(after).CPU())/float64(w.tasks))
	t.Rate[key] = append(t.Rate[key], float64(w.tasks)/took.Seconds())
	return nil
}

func (t *table) print(out *os.File, rounds int) {
	fmt.Fprintf(out, "Medians [lowest, highest] of %d rounds in turns; GOMAXPROCS %d.\n", rounds, runtime.GOMAXPROCS(0))
	t.grid(out, "CPU time of a task in nanoseconds", t.CPU, func(v float64) string { return fmt.Sprintf("%.0f", v) })
	t.grid(out, "Tasks a second, in thousands", t.Rate, func(v float64) string { return fmt.Sprintf("%.0f", v/1000) })
}

func (t *table) grid(out *os.File, title string, cells map[string][]float64, show func(float64) string) {
	head, line := "| "+title, "| ---"
	for _, w := range works {
		head, line = head+" | "+w.name, line+" | ---"
	}
	fmt.Fprintf(out, "\n%s |\n%s |\n", head, line)
	for _, p := range pools {
		row := "| " + p.name
		for _, w := range works {
			v := cells[p.name+", "+w.name]
			slices.Sort(v)
			row += fmt.Sprintf(" | %s [%s, %s]", show(v[len(v)/2]), show(v[0]), show(v[len(v)-1]))
		}
		fmt.Fprintln(out, row+" |")
	}
}
