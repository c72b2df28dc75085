package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
	"golang.org/x/sys/unix"
)

// A job is one process of a test binary.
type job struct {
	args    []string
	env     []string
	pinned  bool             // run on the first core alone, where there are two
	onEvent func(spec.Event) // called for each event as it comes; may be nil
	limit   time.Duration    // the last resort behind the suite's own deadlines; 0 means lastResort
}

// lastResort is far behind the deadlines of the suite, which tell more: it is
// there for a process that cannot even run its timers.
const lastResort = 4 * time.Minute

// An ending is what one process left behind.
type ending struct {
	events   []spec.Event
	output   string // both streams, as far as outputLimit
	status   int    // exit status; -1 when a signal ended it
	timedOut bool   // it was ended at the limit
	took     time.Duration
}

// outputLimit keeps a program that prints without end from filling memory.
const outputLimit = 4 << 20

// run starts the binary for one job and waits for it. The error is for what is
// not the lab's fault: the process did not start, or ctx ended.
func (c clone) run(ctx context.Context, b binary, j job) (ending, error) {
	if j.limit == 0 {
		j.limit = lastResort
	}
	limited, cancel := context.WithTimeout(ctx, j.limit)
	defer cancel()
	read, write, err := os.Pipe()
	if err != nil {
		return ending{}, fmt.Errorf("make the event pipe: %w", err)
	}
	defer read.Close()

	cmd := exec.CommandContext(limited, b.path, j.args...)
	cmd.Dir = c.path(b.folder)
	cmd.Env = append(c.environ(), spec.EventsFD+"=3", "GORACE=halt_on_error=1 exitcode=66 atexit_sleep_ms=0", "GOTRACEBACK=all")
	cmd.Env = append(cmd.Env, j.env...)
	cmd.ExtraFiles = []*os.File{write}
	var out capped
	cmd.Stdout, cmd.Stderr = &out, &out
	endWithGroup(cmd)
	cmd.WaitDelay = 2 * time.Second // a child of the lab's that keeps the output open

	began := time.Now()
	err = start(cmd, j.pinned)
	write.Close()
	if err != nil {
		return ending{}, fmt.Errorf("start %s: %w", b.path, err)
	}
	var end ending
	decoded := make(chan struct{})
	go func() {
		defer close(decoded)
		end.events = decode(read, j.onEvent)
	}()
	cmd.Wait()
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // children it left behind hold the pipe
	<-decoded
	end.took = time.Since(began)
	end.status = cmd.ProcessState.ExitCode()
	end.output = out.String()
	end.timedOut = limited.Err() != nil
	return end, ctx.Err()
}

// decode reads events until every writer has closed the pipe.
func decode(from io.Reader, onEvent func(spec.Event)) []spec.Event {
	var events []spec.Event
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 8<<20)
	for lines.Scan() {
		var e spec.Event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue // cut short by a crash
		}
		events = append(events, e)
		if onEvent != nil {
			onEvent(e)
		}
	}
	return events
}

// start starts cmd, on one core when pinned. A child inherits the affinity of
// the thread that forks it, and the runtime reads GOMAXPROCS from it.
func start(cmd *exec.Cmd, pinned bool) error {
	var before unix.CPUSet
	if !pinned || unix.SchedGetaffinity(0, &before) != nil || before.Count() < 2 {
		return cmd.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var first unix.CPUSet
	for cpu := 0; first.Count() == 0; cpu++ {
		if before.IsSet(cpu) {
			first.Set(cpu)
		}
	}
	if unix.SchedSetaffinity(0, &first) == nil {
		defer unix.SchedSetaffinity(0, &before)
	}
	return cmd.Start()
}

// capped keeps the first outputLimit bytes written to it and forgets the rest.
type capped struct {
	mu   sync.Mutex // guards text: two streams may write
	text strings.Builder
}

func (c *capped) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if room := outputLimit - c.text.Len(); room > 0 {
		c.text.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (c *capped) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}
