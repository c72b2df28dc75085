// Command step shows how limiters find the rate of a server that becomes slower
// and recovers: it prints a table and draws the rate over time.
//
//	go run ./solutions/06-ratelimit/cmd/step -o labs/06-ratelimit/step.svg
//
// Time is simulated, so the same numbers come out on every machine.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	ratelimit "github.com/asynclab/asynclab/solutions/06-ratelimit"
)

func main() {
	out := flag.String("o", "", "write the picture to this SVG file")
	flag.Parse()
	if err := run(*out); err != nil {
		fmt.Fprintln(os.Stderr, "step:", err)
		os.Exit(1)
	}
}

func run(out string) error {
	var now clock
	ours, err := ratelimit.NewAdaptive(ratelimit.AdaptiveOptions{
		Min: 10, Max: 5000, Start: 100, Burst: 10, Target: target, Increase: 50, Decrease: 0.8, Now: now.read})
	if err != nil {
		return err
	}
	fmt.Printf("%-24s %9s %9s %12s %12s\n", "", "answered", "rate", "p50", "p99")
	var results []result
	for _, l := range []struct {
		name string
		limiter
	}{
		{"none", unlimited{}},
		{"the article's", newArticle(&now)},
		{"additive, by percentile", ours},
	} {
		now = 0
		res := simulate(l.limiter, &now)
		res.name = l.name
		fmt.Printf("%-24s %9d %7.0f/s %12v %12v\n", res.name, len(res.latencies), res.rates[len(res.rates)-1], res.latency(0.5), res.latency(0.99))
		results = append(results, res)
	}
	if out == "" {
		return nil
	}
	return paint(out, results)
}

// clock is the simulation's time.
type clock time.Duration

func (c *clock) read() time.Duration { return time.Duration(*c) }
