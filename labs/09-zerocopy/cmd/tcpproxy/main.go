// Command tcpproxy relays TCP connections to a target, until Ctrl-C.
//
//	go run ./labs/09-zerocopy/cmd/tcpproxy -target 127.0.0.1:8009 -way splice
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	zerocopy "github.com/asynclab/asynclab/labs/09-zerocopy"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8010", "address to listen on")
	target := flag.String("target", "127.0.0.1:8009", "address to relay to")
	way := flag.String("way", zerocopy.Splice, "how to relay: copy or splice")
	flag.Parse()
	if err := run(*addr, *target, *way); err != nil {
		fmt.Fprintln(os.Stderr, "tcpproxy:", err)
		os.Exit(1)
	}
}

func run(addr, target, way string) error {
	p, err := zerocopy.NewProxy(zerocopy.ProxyOptions{
		Target: target, Way: way, DialTimeout: 5 * time.Second, IdleTimeout: 10 * time.Minute,
	})
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("%w: choose another with -addr", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	drained := make(chan error, 1)
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		drained <- p.Shutdown(grace)
	}()
	fmt.Printf("relaying %s to %s by %s; Ctrl-C ends it\n", ln.Addr(), target, way)
	if err := p.Serve(ln); err != nil {
		return err
	}
	return <-drained
}
