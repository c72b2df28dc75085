package meter

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// IdleCores lets a window pass in which the caller does nothing, and returns how
// many cores this process was busy on average: near 0 for a server that waits,
// near 1 for a loop that spins. Beside other programs a loop that spins gets its
// share only, which may be a few hundredths: an [IdleWatch] sees it even then.
func IdleCores(window time.Duration) float64 {
	before, began := cpuTime(), time.Now()
	time.Sleep(window)
	return (cpuTime() - before).Seconds() / time.Since(began).Seconds()
}

// cpuTime is the CPU time of this process, in microseconds' precision.
func cpuTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic("meter: getrusage: " + err.Error()) // EFAULT and EINVAL only
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// An IdleWatch tells a process that waits from one that spins, whatever else the
// machine does. A thread that spins is at any time either running or in the
// queue for its turn, so the two are added up.
type IdleWatch struct {
	threads []*os.File // schedstat of each thread there was when it was made
}

// WatchIdle makes a watch over the threads this process has now. It opens a
// file for each, so that Busy works even with no descriptor left. The kernel may
// keep no such figures (CONFIG_SCHED_INFO): the watch then sees the running
// alone.
func WatchIdle() *IdleWatch {
	w := &IdleWatch{}
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, t := range tasks {
		if f, err := os.Open("/proc/self/task/" + t.Name() + "/schedstat"); err == nil {
			w.threads = append(w.threads, f)
		}
	}
	return w
}

// Busy lets a window pass in which the caller does nothing. It returns how many
// cores this process ran on, and how many it ran on or queued for. A loop that
// spins wants 1. One that wakes now and then runs little, but beside other
// programs may queue long each time: call a process busy only when both figures
// say so, and in several windows in a row.
func (w *IdleWatch) Busy(window time.Duration) (ran, wanted float64) {
	before, began := w.queued(), time.Now()
	ran = IdleCores(window)
	return ran, ran + (w.queued()-before).Seconds()/time.Since(began).Seconds()
}

// Spins lets a window pass as Busy does, and says whether it looks as if the
// process spun: it ran much, or it ran a little and queued for its turn most of
// the time. Threads that were begun after the watch are seen running alone. One
// window says little on a machine at work: ask again before you say so. share is
// the part of a core that it kept, or would have kept, busy.
func (w *IdleWatch) Spins(window time.Duration) (share float64, spins bool) {
	ran, wanted := w.Busy(window)
	return wanted, ran >= 0.15 || ran >= 0.02 && wanted >= 0.6
}

// queued is how long the threads have been ready without running: the second
// figure in schedstat (sched-stats.rst).
func (w *IdleWatch) queued() (sum time.Duration) {
	var text [64]byte
	for _, f := range w.threads {
		var ran, queued int64
		n, _ := f.ReadAt(text[:], 0) // 0 for a thread that has ended
		fmt.Sscan(string(text[:n]), &ran, &queued)
		sum += time.Duration(queued)
	}
	return sum
}

// Close gives the files back.
func (w *IdleWatch) Close() {
	for _, f := range w.threads {
		f.Close()
	}
	w.threads = nil
}
