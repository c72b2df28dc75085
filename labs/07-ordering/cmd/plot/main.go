// Command plot shows what a window costs and what it saves: it sends a shuffled,
// lossy stream through buffers with windows from 1 to 1024, prints what came of
// it, and draws the picture of the handout.
//
//	go run ./labs/07-ordering/cmd/plot -o labs/07-ordering/window.svg
//
// The same numbers come out on every machine: nothing in it is timed.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	out := flag.String("o", "", "write the picture to this SVG file")
	flag.Parse()
	if err := run(*out); err != nil {
		fmt.Fprintln(os.Stderr, "plot:", err)
		os.Exit(1)
	}
}

func run(out string) error {
	var results []result
	fmt.Println("window   given up   wait p50      p99      max   most waiting")
	for window := 1; window <= 1024; window *= 2 {
		res, err := simulate(window)
		if err != nil {
			return err
		}
		fmt.Printf("%6d   %7.3f%%   %5d ms %5d ms %5d ms   %12d\n", window, res.lost, res.wait(0.5), res.wait(0.99), res.wait(1), res.depth)
		results = append(results, res)
	}
	if out == "" {
		return nil
	}
	return paint(out, results)
}
