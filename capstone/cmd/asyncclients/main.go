// Command asyncclients is a crowd of clients of a kept room that come back by
// themselves: each remembers the last number it has heard, and when its
// connection ends it dials again with backoff and full jitter (lab 13) and asks
// for what it has missed. Some of them publish. All of them check that each
// number comes once, in order, and the same for everybody.
//
// It prints a line of JSON whenever all have caught up, and on SIGTERM or Ctrl-C,
// when the last message has been heard by all, one with the result. Its exit
// status is 1 when anything was missing, doubled or different.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// options is what the command can be told.
type options struct {
	addr       string
	room       string
	clients    int
	publishers int
	every      time.Duration
	patience   time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.addr, "addr", "127.0.0.1:9090", "the server's address")
	flag.StringVar(&o.room, "room", "kept", "a room that the server keeps: see its -history-rooms")
	flag.IntVar(&o.clients, "clients", 1000, "how many clients")
	flag.IntVar(&o.publishers, "publishers", 10, "how many of them publish")
	flag.DurationVar(&o.every, "every", 50*time.Millisecond, "how often each of these does")
	flag.DurationVar(&o.patience, "patience", 30*time.Second, "how long the end may take")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := run(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "asyncclients:", err)
		os.Exit(2)
	}
	say(r)
	if r.wrong() {
		os.Exit(1)
	}
}

// say prints one line of JSON.
func say(v any) { json.NewEncoder(os.Stdout).Encode(v) }

// run works until ctx ends, and then until all have heard everything.
func run(ctx context.Context, o options) (result, error) {
	if o.clients < 1 || o.publishers < 0 || o.publishers > o.clients || o.every <= 0 {
		return result{}, errors.New("give at least one client, no more publishers than clients, and -every above 0")
	}
	c := newCrowd(o)
	end, cancel := context.WithCancel(context.Background())
	defer cancel()
	for i := range o.clients {
		go c.client(i).run(end)
	}
	<-ctx.Done()
	c.quiet.Store(true) // nobody begins a new message
	late, stop := context.WithTimeout(end, o.patience)
	defer stop()
	return c.finish(late), nil
}
