// Command echod serves the event loop of this folder: it echoes frames until
// SIGTERM or Ctrl-C, and then shuts down in order.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	eventloop "github.com/asynclab/asynclab/labs/03-eventloop"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:9003", "address to listen on; port 0 takes a free one")
	patience := flag.Duration("drain", 5*time.Second, "how long a shutdown may take before it uses force")
	flag.Parse()
	if err := serve(*addr, *patience); err != nil {
		fmt.Fprintln(os.Stderr, "echod:", err)
		os.Exit(1)
	}
}

func serve(addr string, patience time.Duration) error {
	loop, err := eventloop.New(eventloop.Options{
		OnMessage: func(c *eventloop.Conn, msg []byte) {
			if err := c.Send(msg); err != nil {
				c.Abort(err) // it asks for more than it takes: its queue is full
			}
		},
	})
	if err != nil {
		return err
	}
	at, err := loop.Listen(addr)
	if err != nil {
		return err
	}
	fmt.Println("listening on", at)
	stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	down := make(chan error, 1)
	go func() {
		<-stop.Done()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		down <- loop.Shutdown(ctx)
	}()
	if err := loop.Run(); err != nil {
		return err
	}
	return <-down
}
