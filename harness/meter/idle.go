package meter

import (
	"time"

	"golang.org/x/sys/unix"
)

// IdleCores lets a window pass in which the caller does nothing, and returns how
// many cores this process was busy on average: near 0 for a server that waits,
// near 1 for a loop that spins. Other programs do not change the result of the
// first and lower that of the second at most to their fair share.
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
