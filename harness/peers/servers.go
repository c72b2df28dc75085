package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A server is one row of the table.
type server struct {
	name  string
	build func(ctx context.Context, s *server, dir string) error // fills in command
	args  []string

	command []string
}

// servers are the peers, and the reference first.
var servers = []server{
	{name: "asynclab", build: goBuild("../..", "./solutions/capstone/cmd/asyncserver"),
		args: []string{"-listen", "127.0.0.1:0", "-admin", "", "-log-level", "error", "-max-conns", "15000"}},
	{name: "gnet", build: goBuild(".", "./gnet")},
	{name: "nbio", build: goBuild(".", "./nbio")},
	{name: "gws", build: goBuild(".", "./gws")},
	{name: "gorilla", build: goBuild(".", "./gorilla")},
	{name: "coder", build: goBuild(".", "./coder")},
	{name: "gobwas", build: goBuild(".", "./gobwas")},
	{name: "node-ws", build: nodeBuild},
}

func names() (all []string) {
	for _, s := range servers {
		all = append(all, s.name)
	}
	return all
}

// given is a server that somebody else has built: one in C++, say.
func given(v string) (server, error) {
	name, command, ok := strings.Cut(v, "=")
	if !ok || name == "" || command == "" {
		return server{}, fmt.Errorf("%q is not NAME=COMMAND", v)
	}
	return server{name: name, build: func(_ context.Context, s *server, _ string) error {
		s.command = strings.Fields(command)
		_, err := exec.LookPath(s.command[0])
		return err
	}}, nil
}

func goBuild(module, pkg string) func(context.Context, *server, string) error {
	return func(ctx context.Context, s *server, dir string) error {
		bin := filepath.Join(dir, s.name)
		cmd := exec.CommandContext(ctx, "go", "build", "-o", bin, pkg)
		cmd.Dir = module
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		s.command = append([]string{bin}, s.args...)
		return nil
	}
}

// nodeBuild installs ws beside a copy of the script.
func nodeBuild(ctx context.Context, s *server, dir string) error {
	node, err := exec.LookPath("node")
	if err != nil {
		return errors.New("no node here: install Node.js to compare with it")
	}
	for _, f := range []string{"server.js", "package.json"} {
		text, err := os.ReadFile(filepath.Join("nodews", f))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, f), text, 0o644); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, "npm", "install", "--silent", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm install: %w: %s", err, out)
	}
	s.command = []string{node, filepath.Join(dir, "server.js")}
	return nil
}

// process is a running server.
type process struct {
	cmd  *exec.Cmd
	addr string
}

// start runs a server on the first core, where there are two, until stop.
func start(ctx context.Context, s server) (*process, error) {
	cmd := exec.CommandContext(ctx, s.command[0], s.command[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := pinned(cmd.Start); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd}
	said := make(chan string, 1)
	go func() {
		for scan := bufio.NewScanner(out); scan.Scan(); {
			if addr, ok := strings.CutPrefix(scan.Text(), "listening on "); ok {
				said <- addr
			}
		}
	}()
	select {
	case p.addr = <-said:
		return p, p.answers()
	case <-time.After(20 * time.Second):
		p.stop()
		return nil, errors.New("does not listen")
	}
}

// answers waits until the port accepts: some print their address before.
func (p *process) answers() error {
	for range 100 {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		var port int
		fmt.Sscanf(p.addr[strings.LastIndex(p.addr, ":")+1:], "%d", &port)
		err = unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
		unix.Close(fd)
		if err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.stop()
	return errors.New("does not accept")
}

// stop ends the server, by force if it must.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(3*time.Second, func() { p.cmd.Process.Kill() })
	p.cmd.Wait()
	kill.Stop()
}

// pinned calls fn with this thread on the first core: a child inherits that.
func pinned(fn func() error) error {
	if runtime.NumCPU() < 2 {
		return fn()
	}
	runtime.LockOSThread() // and stays so: the child dies with the thread that made it
	var before, first unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	first.Set(0)
	if err := unix.SchedSetaffinity(0, &first); err != nil {
		return err
	}
	defer unix.SchedSetaffinity(0, &before)
	return fn()
}
