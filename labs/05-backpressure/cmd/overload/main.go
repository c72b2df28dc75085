// Command overload sends 100,000 messages a second into queues whose consumer
// takes 50,000, and shows what becomes of them: it prints a table and draws how
// full each queue was over time.
//
//	go run ./labs/05-backpressure/cmd/overload -o labs/05-backpressure/overload.svg
//
// It takes about 12 seconds, and a core while it runs.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	out := flag.String("o", "", "write the picture to this SVG file")
	length := flag.Duration("t", 3*time.Second, "how long each queue is overloaded, at most 10s")
	flag.Parse()
	if err := run(*out, min(*length, 10*time.Second)); err != nil {
		fmt.Fprintln(os.Stderr, "overload:", err)
		os.Exit(1)
	}
}

func run(out string, length time.Duration) error {
	polite, err := newBounded(true)
	if err != nil {
		return err
	}
	deaf, err := newBounded(false)
	if err != nil {
		return err
	}
	queues := []struct {
		name string
		queue
	}{
		{"unbounded", &unbounded{}},
		{"ours, producers listen", polite},
		{"ours, nobody listens", deaf},
		{"the article's", newArticle()}, // the last one: nothing ends those who wait in it
	}
	fmt.Printf("%-24s %9s %9s %9s %9s %14s\n", "", "received", "refused", "held back", "most", "longest wait")
	var results []result
	for _, q := range queues {
		res := overload(q.queue, length)
		res.name = q.name
		fmt.Printf("%-24s %9d %9d %9d %9d %14v\n", res.name, res.received, res.refused, res.held, res.most(), res.oldest.Round(time.Millisecond))
		results = append(results, res)
	}
	if out == "" {
		return nil
	}
	return paint(out, results)
}
