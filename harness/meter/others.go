package meter

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Busy is what all cores of the machine have worked, and what of it was this
// process and the children that it has waited for; both since their beginning.
type Busy struct {
	Machine, Ours time.Duration
	when          time.Time
}

// BusyNow reads it from /proc/stat and getrusage(2).
func BusyNow() (Busy, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return Busy{}, err
	}
	var user, nice, system, idle, iowait, irq, softirq, steal int64
	if _, err := fmt.Sscanf(string(text), "cpu %d %d %d %d %d %d %d %d", &user, &nice, &system, &idle, &iowait, &irq, &softirq, &steal); err != nil {
		return Busy{}, fmt.Errorf("/proc/stat: %w", err)
	}
	b := Busy{Machine: time.Duration(user+nice+system+irq+softirq+steal) * time.Second / userHZ, when: time.Now()}
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if err := unix.Getrusage(who, &u); err != nil {
			return Busy{}, fmt.Errorf("getrusage: %w", err)
		}
		b.Ours += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return b, nil
}

// Others is the share of cores that other programs have had since b, from 0 to
// 1. Children that still run count among them.
func (b Busy) Others(now Busy, cores int) float64 {
	wall := now.when.Sub(b.when) * time.Duration(cores)
	if wall <= 0 {
		return 0
	}
	theirs := (now.Machine - b.Machine) - (now.Ours - b.Ours)
	return min(1, max(0, float64(theirs)/float64(wall)))
}
