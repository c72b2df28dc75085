package claims

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
)

// threads has many threads wait in read(2), each for its own connection, as the
// classic server does, and returns what one of them takes: resident memory of
// this process and the thread's kernel stack.
func threads(ctx context.Context, quick bool) (Taken, error) {
	count := 1000
	if quick {
		count = 50
	}
	runtime.GC()
	resident, kernel, err := memory()
	if err != nil {
		return nil, err
	}
	crowd := &crowd{}
	defer crowd.leave()
	if err := crowd.wait(ctx, count); err != nil {
		return nil, err
	}
	residentAfter, kernelAfter, err := memory()
	if err != nil {
		return nil, err
	}
	r, k := float64(residentAfter-resident)/float64(count), float64(kernelAfter-kernel)/float64(count)
	return Taken{ownThreads: spec.Sample{Value: r + k, Also: map[string]float64{"resident bytes": r, "kernel stack bytes": k}}}, nil
}

// A crowd is threads that wait, each in a read of its own.
type crowd struct {
	peers []int
	work  sync.WaitGroup
}

// wait starts count threads and returns when all are blocked, or nearly so:
// when they exist.
func (c *crowd) wait(ctx context.Context, count int) error {
	before, err := meter.Self()
	if err != nil {
		return err
	}
	for range count {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("make a connection for a thread: %w", err)
		}
		c.peers = append(c.peers, pair[0])
		c.work.Go(func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
			defer unix.Close(pair[1])
			buf := make([]byte, 4096)
			for {
				n, err := unix.Read(pair[1], buf)
				if n == 0 || err != nil && !errors.Is(err, unix.EINTR) {
					return
				}
			}
		})
	}
	for tries := 0; ; tries++ {
		now, err := meter.Self()
		if err != nil || now.Threads >= before.Threads+count {
			return err
		}
		if tries > 2000 {
			return fmt.Errorf("%d threads were asked for, and there are %d", count, now.Threads-before.Threads)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
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
