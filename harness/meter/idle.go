package meter

import (
	"context"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// IdleCores lets a window pass in which the caller does nothing, and returns how
// many cores this process was busy on average: near 0 for a server that waits,
// near 1 for a loop that spins. Beside other programs a loop that spins gets its
// share only, which may be a few hundredths: [Spins] sees it even then.
func IdleCores(window time.Duration) float64 {
	before, began := cpuTime(), time.Now()
	time.Sleep(window)
	return (cpuTime() - before).Seconds() / time.Since(began).Seconds()
}

// Rests says whether this process comes to rest: one window in four in which it
// does not spin (see [Spins]). It ends early, and says no, when ctx does. share is
// that of the last window. It needs no descriptor.
func Rests(ctx context.Context) (share float64, rests bool) {
	for range 4 {
		var spins bool
		if share, spins = Spins(300 * time.Millisecond); !spins {
			return share, true
		}
		if ctx.Err() != nil {
			break
		}
	}
	return share, false
}

// Spins tells a process that waits from one that spins, whatever else the machine
// does. In a window in which the caller does nothing it has a rival run: a thread
// of this process that only spins. The kernel gives threads that want to run equal
// shares, so whoever spins beside it gets as much as it does, be that a whole core
// or a fiftieth; whoever waits, and wakes now and then, needs a hundredth or two.
// share is what the rest of the process ran, by what the rival ran: 1 for one loop
// that spins. Much is a share of 0.4, or 0.15 of a core: the rival itself gives Go's
// scheduler something to do, a hundredth of a core or more. The window is longer
// where the rival gets little.
//
// One window says little, since a collection or a late goodbye may fall into it:
// ask again before you say that something spins, as [Rests] does.
func Spins(window time.Duration) (share float64, spins bool) {
	rival := make(chan time.Duration)
	before, began := cpuTime(), time.Now()
	go func() {
		runtime.LockOSThread() // its CPU time is the thread's
		defer runtime.UnlockOSThread()
		start := threadTime()
		for time.Since(began) < window || threadTime()-start < window/5 && time.Since(began) < 20*window {
		}
		rival <- threadTime() - start
	}()
	its := <-rival
	rest, wall := cpuTime()-before-its, time.Since(began)
	share = rest.Seconds() / max(its, time.Microsecond).Seconds()
	return share, share >= 0.4 || rest.Seconds() >= 0.15*wall.Seconds()
}

// cpuTime is the CPU time of this process, in microseconds' precision.
func cpuTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic("meter: getrusage: " + err.Error()) // EFAULT and EINVAL only
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// threadTime is the CPU time of the thread that calls it.
func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic("meter: clock_gettime: " + err.Error()) // EFAULT and EINVAL only
	}
	return time.Duration(t.Nano())
}
