// Command queues measures lab 14's log beside an embedded NATS JetStream and
// bbolt: the same records, the same disk, in turns. See README.md above.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/asynclab/asynclab/harness/meter"
)

const (
	crowd = 64
	size  = 100
)

func main() {
	rounds := flag.Int("rounds", 5, "times that each store is measured, in turns")
	dir := flag.String("dir", "", "a directory on the disk to measure; by default one for temporary files")
	asJSON := flag.Bool("json", false, "print JSON")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, *rounds, *dir, *asJSON); err != nil {
		fmt.Fprintln(os.Stderr, "queues:", err)
		os.Exit(1)
	}
}

// figures are a store's, one for each round.
type figures struct {
	Name     string    `json:"name"`
	Waiting  []float64 `json:"records_per_second_64_producers_wait"`
	Flooding []float64 `json:"records_per_second_nobody_waits"`
	CPU      []float64 `json:"cpu_seconds_per_million_nobody_waits"`
}

func run(ctx context.Context, rounds int, above string, asJSON bool) error {
	all := make([]figures, len(stores))
	total, done := rounds*len(stores), 0
	for round := range rounds {
		for i := range stores {
			i = (i + round) % len(stores) // not always behind the same one
			if ctx.Err() != nil {
				return ctx.Err()
			}
			done++
			fmt.Fprintf(os.Stderr, "[%2d/%2d] %s\n", done, total, stores[i].name)
			all[i].Name = stores[i].name
			if err := measure(stores[i], above, &all[i]); err != nil {
				return fmt.Errorf("%s: %w", stores[i].name, err)
			}
		}
	}
	if asJSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(all)
	}
	return print(os.Stdout, all)
}

// measure takes a store's figures once, in directories that are removed.
func measure(s store, above string, f *figures) error {
	if s.crowds {
		rate, err := in(s, above, func(o opened) (float64, error) { return waiting(o.append) })
		if err != nil {
			return err
		}
		f.Waiting = append(f.Waiting, rate)
	}
	if !s.floods {
		return nil
	}
	_, err := in(s, above, func(o opened) (float64, error) {
		rate, cpu, err := flooding(o.flood)
		f.Flooding, f.CPU = append(f.Flooding, rate), append(f.CPU, cpu)
		return rate, err
	})
	return err
}

func in(s store, above string, do func(o opened) (float64, error)) (float64, error) {
	dir, err := os.MkdirTemp(above, "asynclab-queues-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	o, err := s.open(dir)
	if err != nil {
		return 0, err
	}
	v, err := do(o)
	if failed := o.close(); err == nil {
		err = failed
	}
	return v, err
}

// waiting is records a second of 64 producers who wait for each of theirs, for
// two seconds.
func waiting(append func([]byte) error) (float64, error) {
	began := time.Now()
	var all sync.WaitGroup
	var mu sync.Mutex
	count, failed := 0, error(nil)
	for range crowd {
		all.Go(func() {
			r, n := make([]byte, size), 0
			var err error
			for err == nil && time.Since(began) < 2*time.Second {
				if err = append(r); err == nil {
					n++
				}
			}
			mu.Lock()
			defer mu.Unlock()
			if count += n; err != nil {
				failed = err
			}
		})
	}
	all.Wait()
	return float64(count) / time.Since(began).Seconds(), failed
}

// flooding appends records as fast as that goes, for about as long.
func flooding(flood func([]byte, int) error) (rate, cpuPerMillion float64, err error) {
	r := make([]byte, size)
	began := time.Now()
	if err := flood(r, 2000); err != nil { // how fast is it?
		return 0, 0, err
	}
	n := min(1_000_000, max(2000, int(2000*2/time.Since(began).Seconds())))
	runtime.GC()
	before, err := meter.Self()
	if err != nil {
		return 0, 0, err
	}
	began = time.Now()
	if err := flood(r, n); err != nil {
		return 0, 0, err
	}
	took := time.Since(began).Seconds()
	after, err := meter.Self()
	if err != nil {
		return 0, 0, err
	}
	return float64(n) / took, before.Until(after).CPU().Seconds() / float64(n) * 1e6, nil
}

func print(out io.Writer, all []figures) error {
	fmt.Fprintf(out, "records of %d bytes, medians (and the range)\n", size)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\t64 producers wait: records/s\tnobody waits: records/s\tCPU s for a million")
	for _, f := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", f.Name, cell(f.Waiting, "%.0f"), cell(f.Flooding, "%.0f"), cell(f.CPU, "%.2f"))
	}
	return w.Flush()
}

func cell(all []float64, format string) string {
	if len(all) == 0 {
		return ""
	}
	slices.Sort(all)
	f := func(v float64) string { return fmt.Sprintf(format, v) }
	return fmt.Sprintf("%s (%s to %s)", f(all[len(all)/2]), f(all[0]), f(all[len(all)-1]))
}
