package claims

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
)

// threads has many threads wait in read(2), each for its own connection, as the
// classic server does, and returns what one of them takes: resident memory and
// the thread's kernel stack. They are in a process of their own, whose memory
// nothing else has touched before.
func threads(ctx context.Context, quick bool) (Taken, error) {
	count := 1000
	if quick {
		count = 50
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Env = append(os.Environ(), crowdEnv+"="+strconv.Itoa(count))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var sample spec.Sample
	if err = errors.Join(err, json.Unmarshal(out, &sample)); err != nil {
		return nil, fmt.Errorf("a process of %d threads: %w", count, err)
	}
	return Taken{ownThreads: sample}, nil
}

// crowdEnv makes a process a crowd; its value is how many.
const crowdEnv = "ASYNCLAB_THREADS"

// BecomeCrowd turns a process that was started to measure threads into that,
// and ends it. A program that takes measurements of this package calls it first.
func BecomeCrowd() {
	count, err := strconv.Atoi(os.Getenv(crowdEnv))
	if err != nil {
		return
	}
	sample, err := crowdCost(count)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(sample)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "measure threads:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func crowdCost(count int) (spec.Sample, error) {
	resident, kernel, err := memory()
	if err != nil {
		return spec.Sample{}, err
	}
	crowd := &crowd{}
	defer crowd.leave()
	if err := crowd.come(count); err != nil {
		return spec.Sample{}, err
	}
	residentAfter, kernelAfter, err := memory()
	r, k := float64(residentAfter-resident)/float64(count), float64(kernelAfter-kernel)/float64(count)
	return spec.Sample{Value: r + k, Also: map[string]float64{"resident bytes": r, "kernel stack bytes": k}}, err
}

// memory is what this process has resident, and what all threads of the machine
// have as kernel stacks, in bytes.
func memory() (resident, kernelStacks int64, err error) {
	s, err := meter.Self()
	if err != nil {
		return 0, 0, err
	}
	kernelStacks, err = kernelStack()
	return s.RSS, kernelStacks, err
}

// A crowd is threads that wait, each in a read of its own.
type crowd struct {
	peers []int
	work  sync.WaitGroup
}

// come starts count threads and returns when all are there, each before its
// read.
func (c *crowd) come(count int) error {
	var there sync.WaitGroup
	defer there.Wait()
	for range count {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("make a connection for a thread: %w", err)
		}
		c.peers = append(c.peers, pair[0])
		there.Add(1)
		c.work.Go(func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
			defer unix.Close(pair[1])
			buf := make([]byte, 4096)
			there.Done()
			for {
				n, err := unix.Read(pair[1], buf)
				if n == 0 || err != nil && !errors.Is(err, unix.EINTR) {
					return
				}
			}
		})
	}
	return nil
}

// leave ends every read, and waits for its thread.
func (c *crowd) leave() {
	for _, fd := range c.peers {
		unix.Close(fd)
	}
	c.work.Wait()
}

// kernelStack is what the kernel uses for the stacks of all threads there are.
func kernelStack() (int64, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		var kb int64
		if k, _ := fmt.Sscanf(line, "KernelStack: %d kB", &kb); k == 1 {
			return kb << 10, nil
		}
	}
	return 0, nil // not told here: then it is left out
}
