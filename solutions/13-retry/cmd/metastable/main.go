// Command metastable shows an overload that outlives its cause. A second of too
// many calls comes to a server; with retries as everybody writes them it never
// recovers, with this lab's it does. It prints a table and draws the answers in
// time, over time.
//
//	go run ./solutions/13-retry/cmd/metastable -o labs/13-retry/metastable.svg
//
// It takes 20 seconds: the time is real, the client and the server are the lab's.
// What a machine is busy with besides shows in the figures, but not in the story.
package main

import (
	"flag"
	"fmt"
	"os"
	"sync"
	"time"
)

func main() {
	out := flag.String("o", "", "write the picture to this SVG file")
	flag.Parse()
	if err := run(*out); err != nil {
		fmt.Fprintln(os.Stderr, "metastable:", err)
		os.Exit(1)
	}
}

func run(out string) error {
	scenes := []*scene{
		{name: "three more tries, at once", play: naively, naive: true},
		{name: "your client", play: carefully},
		{name: "your client and your server", play: carefully, drops: true},
	}
	var all sync.WaitGroup
	for _, s := range scenes {
		all.Go(func() { s.err = s.run() })
	}
	progress()
	all.Wait()
	fmt.Printf("%-36s %16s %16s %16s\n", "", "before the pulse", "the last 5 s", "frames/call")
	for _, s := range scenes {
		if s.err != nil {
			return fmt.Errorf("%s: %w", s.name, s.err)
		}
		fmt.Printf("%-36s %14.0f/s %14.0f/s %16.2f\n", s.name, s.rate(0, pulseFrom), s.rate(length-5*time.Second, length), s.amplification())
	}
	if out == "" {
		return nil
	}
	return paint(out, scenes)
}

// progress counts the seconds on standard error.
func progress() {
	for left := length; left > 0; left -= time.Second {
		fmt.Fprintf(os.Stderr, "\r%v to go ", left)
		time.Sleep(time.Second)
	}
	fmt.Fprintf(os.Stderr, "\r%20s\r", "")
}
