// Command fileserver serves the files below a directory over HTTP, until Ctrl-C.
//
//	go run ./labs/09-zerocopy/cmd/fileserver -root /usr/share/doc -way sendfile
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
	addr := flag.String("addr", "127.0.0.1:8009", "address to listen on")
	root := flag.String("root", ".", "directory to serve")
	way := flag.String("way", zerocopy.Sendfile, "how to send: copy, mmap, sendfile or splice")
	flag.Parse()
	if err := run(*addr, *root, *way); err != nil {
		fmt.Fprintln(os.Stderr, "fileserver:", err)
		os.Exit(1)
	}
}

func run(addr, root, way string) error {
	s, err := zerocopy.New(zerocopy.Options{
		Root: root, Way: way, HeadTimeout: time.Minute, WriteTimeout: 30 * time.Second,
		OnError: func(err error) { fmt.Fprintln(os.Stderr, "fileserver:", err) },
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
		drained <- s.Shutdown(grace)
	}()
	fmt.Printf("serving %s by %s on http://%s; Ctrl-C ends it\n", root, way, ln.Addr())
	if err := s.Serve(ln); err != nil {
		return err
	}
	return <-drained
}
