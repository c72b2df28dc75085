//go:build !light

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	serverStart = 10 * time.Second // until it says where it listens
	serverStop  = 10 * time.Second // from SIGTERM to SIGKILL
)

var errServerEnded = errors.New("the server ended")

// A server is a lab's program in a process of its own. It dies with this one.
type server struct {
	side  string // "solutions"
	pkg   string // "solutions/03-eventloop/cmd/echod"
	addr  string // where it listens: "127.0.0.1:40123"
	admin string // where its dashboard is
	cmd   *exec.Cmd
	stop  context.CancelFunc // sends SIGTERM, and SIGKILL after serverStop
	said  capped             // its stderr

	gone chan struct{} // closed once the process has ended and been waited for
}

// buildServer compiles a side's program and returns where it is.
func (c clone) buildServer(ctx context.Context, s side, pkg string) (string, error) {
	path := c.state("bin", filepath.Base(pkg)+"-"+s.Name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", fmt.Errorf("make a folder for the server: %w", err)
	}
	out, err := c.goTool(ctx, "build", "-o", path, "./"+pkg)
	if err := compileError(ctx, out, err); err != nil {
		return "", fmt.Errorf("%s does not compile (mend that first): %w", pkg, err)
	}
	return path, nil
}

// startServer starts the program at path, which is pkg of a side, on a free port
// of the loopback and waits until it listens. The caller closes it.
func startServer(ctx context.Context, path, side, pkg string, args ...string) (*server, error) {
	return startServerWith(ctx, nil, path, side, pkg, args...)
}

// startServerWith is startServer with more in the environment.
func startServerWith(ctx context.Context, env []string, path, side, pkg string, args ...string) (*server, error) {
	life, stop := context.WithCancel(context.WithoutCancel(ctx)) // the swarm goes before the server
	s := &server{side: side, pkg: pkg, stop: stop, gone: make(chan struct{})}
	s.cmd = exec.CommandContext(life, path, args...)
	s.cmd.Env = append(os.Environ(), env...)
	endWithGroup(s.cmd)
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	s.cmd.WaitDelay = serverStop
	s.cmd.Stderr = &s.said
	lines, err := s.cmd.StdoutPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		stop()
		return nil, fmt.Errorf("start %s: %w", pkg, err)
	}
	listening := make(chan string, 2)
	go s.follow(lines, listening)
	return s.await(ctx, listening)
}

// follow reads what the server prints and waits for its end.
func (s *server) follow(lines io.Reader, listening chan<- string) {
	for scan := bufio.NewScanner(lines); scan.Scan(); {
		for _, what := range []string{"listening on ", "admin on "} { // in this order
			if addr, ok := strings.CutPrefix(scan.Text(), what); ok {
				select {
				case listening <- addr:
				default: // said twice
				}
			}
		}
	}
	s.cmd.Wait() // what it says is in ProcessState
	close(s.gone)
}

// await returns s once it listens, and ends it if it does not.
func (s *server) await(ctx context.Context, listening <-chan string) (*server, error) {
	late := time.NewTimer(serverStart)
	defer late.Stop()
	for _, into := range []*string{&s.addr, &s.admin} {
		if err := s.awaitOne(ctx, listening, into, late.C); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *server) awaitOne(ctx context.Context, listening <-chan string, into *string, late <-chan time.Time) error {
	select {
	case *into = <-listening:
		return nil
	case <-s.gone:
		return fmt.Errorf("%s ended before it listened: %s", s.pkg, s.lastWords())
	case <-late:
		s.close()
		return fmt.Errorf("%s has not printed \"listening on ADDRESS\" and \"admin on ADDRESS\" within %v: run it by hand, go run ./%s", s.pkg, serverStart, s.pkg)
	case <-ctx.Done():
		s.close()
		return ctx.Err()
	}
}

func (s *server) pid() int { return s.cmd.Process.Pid }

// close asks the server to end, waits for it, and kills it after serverStop.
// The error says that it did not end in order, or had ended before it was asked.
func (s *server) close() error {
	how := "did not end in order"
	select {
	case <-s.gone:
		how = "ended in the middle"
	default:
		s.stop()
		<-s.gone
		if s.cmd.ProcessState.Success() || s.signal() == syscall.SIGTERM {
			return nil
		}
	}
	return fmt.Errorf("%s %s:\n%s", s.pkg, how, s.lastWords())
}

// signal is what ended the process; -1 if it exited.
func (s *server) signal() syscall.Signal {
	return s.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal()
}

// lastWords is how the process ended and the first line of what it said, which
// names the cause of a crash; then where to look.
func (s *server) lastWords() string {
	words := s.cmd.ProcessState.String()
	first, rest, _ := strings.Cut(strings.TrimSpace(s.said.String()), "\n")
	switch {
	case first == "":
		words += ", and it said nothing"
	case rest == "":
		words += ": " + first
	default:
		words += fmt.Sprintf(": %s (and %d lines more)", first, strings.Count(rest, "\n")+1)
	}
	return fmt.Sprintf("%s\nlook at it alone: go run ./%s\nand at what it must do: make check LAB=%s SIDE=%s", words, s.pkg, demoLab, s.side)
}
