// Command asyncserver is the broadcast server of the course, complete: run it
// with -help for its settings. It ends in order on SIGTERM and Ctrl-C.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	capstone "github.com/asynclab/asynclab/capstone"
)

func main() {
	s, err := parse(os.Args[1:], os.Getenv, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintln(os.Stderr, "asyncserver:", err)
		os.Exit(2)
	}
	if err := serve(s); err != nil {
		fmt.Fprintln(os.Stderr, "asyncserver:", err)
		os.Exit(1)
	}
}

func serve(s settings) error {
	journal, err := capstone.NewJournal(os.Stderr)
	if err != nil {
		return err
	}
	defer end(journal)
	log, err := s.logger(journal)
	if err != nil {
		return err
	}
	server, err := capstone.New(s.Config, log)
	if err != nil {
		return err
	}
	addr, err := server.Listen()
	if err != nil {
		server.Shutdown(context.Background())
		return err
	}
	admin, err := server.Admin()
	if err != nil {
		server.Shutdown(context.Background())
		return err
	}
	defer admin.Close()
	// Before anybody knows where we are: whoever does may send a signal.
	stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	// For programs that started this one, with port 0: where it is.
	fmt.Println("listening on", addr)
	if admin != nil {
		fmt.Println("admin on", admin.Addr())
	}
	down := make(chan error, 1)
	go func() {
		<-stop.Done()
		cancel() // a second signal ends the process at once
		log.Info("draining", "patience", s.drain)
		ctx, cancel := context.WithTimeout(context.Background(), s.drain)
		defer cancel()
		down <- server.Shutdown(ctx)
	}()
	if err := server.Run(); err != nil {
		return err
	}
	if err := <-down; err != nil {
		log.Warn("some connections were closed by force", "error", err)
	}
	log.Info("ended", "lost_log_lines", journal.Lost())
	return nil
}

// end gives whoever reads the log a second to take what is left of it.
func end(journal *capstone.Journal) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	journal.Close(ctx)
}
