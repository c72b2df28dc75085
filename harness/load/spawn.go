package load

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// swarmEnv names the environment variable that makes a process a swarm. It
// holds the Config as JSON.
const swarmEnv = "ASYNCLAB_SWARM"

// report is one line that a swarm in its own process writes. Exactly one field
// is set.
type report struct {
	Swarm    bool      `json:"swarm"`           // tells our lines from the testing package's
	Phase    string    `json:"phase,omitempty"` // "connected", "window", "done": wait for the parent's go-ahead
	Snapshot *Snapshot `json:"snapshot,omitempty"`
	Result   *Result   `json:"result,omitempty"`
	Error    string    `json:"error,omitempty"` // with the Result so far
}

// Spawn is [Run] in a process of its own: this executable, started again, in
// which [BecomeSwarm] takes over. The hooks run in this process, on the calling
// goroutine, which stays on its thread meanwhile. The child ends with ctx, and
// when this process ends, however it does.
func Spawn(ctx context.Context, cfg Config, hooks Hooks) (Result, error) {
	if err := cfg.check(); err != nil {
		return Result{}, err
	}
	text, err := json.Marshal(cfg)
	if err != nil {
		return Result{}, err
	}
	exe, err := os.Executable()
	if err != nil {
		return Result{}, fmt.Errorf("load: start the swarm: %w", err)
	}
	cmd := exec.CommandContext(ctx, exe, arguments()...)
	cmd.Env = append(os.Environ(), swarmEnv+"="+string(text))
	cmd.WaitDelay = 5 * time.Second
	// The kernel kills the child when the thread that started it ends (prctl(2),
	// PR_SET_PDEATHSIG), so that thread must stay with us. The end of the
	// child's stdin tells it, too; this is for a child that does not get to read.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	lines, err := cmd.StdoutPipe()
	if err != nil {
		return Result{}, err
	}
	goAhead, err := cmd.StdinPipe()
	if err != nil {
		return Result{}, err
	}
	if err := cmd.Start(); err != nil {
		return Result{}, fmt.Errorf("load: start the swarm: %w", err)
	}
	result, err := follow(lines, goAhead, hooks)
	goAhead.Close()
	wait := cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return result, ctx.Err()
	case err != nil:
		return result, err
	case wait != nil:
		return result, fmt.Errorf("load: the swarm's process: %w\n%s", wait, complaints.String())
	}
	return result, nil
}

// arguments start a test binary's benchmark, where BecomeSwarm is called; any
// other program calls it first thing in main.
func arguments() []string {
	if testing.Testing() {
		return []string{"-test.run=^$", "-test.bench=^Benchmark$", "-test.benchtime=1x"}
	}
	return nil
}

// follow reads the child's lines to their end and calls the hooks.
func follow(lines io.Reader, goAhead io.Writer, hooks Hooks) (result Result, err error) {
	scan := bufio.NewScanner(lines)
	scan.Buffer(nil, 4<<20)
	finished := false
	for scan.Scan() {
		var r report
		if json.Unmarshal(scan.Bytes(), &r) != nil || !r.Swarm {
			continue
		}
		switch {
		case r.Phase != "":
			call(hooks, r.Phase)
			io.WriteString(goAhead, "go\n")
		case r.Snapshot != nil:
			hooks.snapshot(*r.Snapshot)
		case r.Result != nil:
			result, finished = *r.Result, true
		}
		if r.Error != "" {
			err = errors.New(r.Error)
		}
	}
	if err == nil && !finished {
		err = errors.New("load: the swarm ended without a result")
	}
	return result, err
}

func call(h Hooks, phase string) {
	switch phase {
	case "connected":
		h.connected()
	case "window":
		h.window()
	case "done":
		h.done()
	}
}

// BecomeSwarm does nothing in an ordinary process. In one that [Spawn] started
// it runs the swarm and exits. Call it before anything else in main, and first
// in Benchmark.
func BecomeSwarm() {
	text := os.Getenv(swarmEnv)
	if text == "" {
		return
	}
	os.Unsetenv(swarmEnv)
	var cfg Config
	if err := json.Unmarshal([]byte(text), &cfg); err != nil {
		say(report{Error: "load: read the swarm's configuration: " + err.Error()})
		os.Exit(2)
	}
	pin(cfg.Core)
	// The parent's words come on stdin; its end means that the parent is gone.
	words := make(chan struct{})
	go func() {
		in := bufio.NewScanner(os.Stdin)
		for in.Scan() {
			words <- struct{}{}
		}
		os.Exit(3)
	}()
	ask := func(phase string) func() {
		return func() { say(report{Phase: phase}); <-words }
	}
	result, err := Run(context.Background(), cfg, Hooks{Connected: ask("connected"), Window: ask("window"), Done: ask("done"),
		Snapshot: func(s Snapshot) { say(report{Snapshot: &s}) }})
	r := report{Result: &result}
	if err != nil {
		r.Error = err.Error()
	}
	say(r)
	os.Exit(0)
}

func say(r report) {
	r.Swarm = true
	line, err := json.Marshal(r)
	if err != nil {
		panic("load: encode report: " + err.Error())
	}
	os.Stdout.Write(append(line, '\n'))
}

// pin moves every thread of this process to one core, counted from 1; threads
// started later inherit it. 0 gives back all cores: a child has inherited what
// its parent was pinned to.
func pin(core int) {
	var set unix.CPUSet
	for i := range runtime.NumCPU() + 64 { // NumCPU counts the cores we are pinned to now
		if core == 0 || i == core-1 {
			set.Set(i)
		}
	}
	moved := map[string]bool{}
	for before := -1; len(moved) > before; { // a thread not moved yet may have started another
		before = len(moved)
		tasks, _ := os.ReadDir("/proc/self/task")
		for _, t := range tasks {
			tid, _ := strconv.Atoi(t.Name())
			unix.SchedSetaffinity(tid, &set) // best effort: a core that is not there changes nothing
			moved[t.Name()] = true
		}
	}
}
