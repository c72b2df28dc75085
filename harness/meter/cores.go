package meter

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// AllCores lets this process run on every core that it may, though it was
// started on one, and returns how many they are. undo takes that back. It is for
// the few figures that are about several cores; all others are taken on one.
func AllCores() (n int, undo func(), err error) {
	var before, all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return 0, nil, err
	}
	stat, err := os.ReadFile("/proc/stat") // its lines "cpu0 ..." are the cores that are there
	if err != nil {
		return 0, nil, err
	}
	for line := range bytes.Lines(stat) {
		var core int
		if n, _ := fmt.Sscanf(string(line), "cpu%d ", &core); n == 1 {
			all.Set(core)
		}
	}
	if err := setAffinity(&all); err != nil {
		return 0, nil, err
	}
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return 0, nil, err
	}
	n = all.Count()
	procs := runtime.GOMAXPROCS(n)
	return n, func() {
		setAffinity(&before)
		runtime.GOMAXPROCS(procs)
	}, nil
}

// setAffinity sets that of every thread there is; later ones inherit it.
func setAffinity(set *unix.CPUSet) error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, task := range tasks {
		tid, _ := strconv.Atoi(task.Name())
		if err := unix.SchedSetaffinity(tid, set); err != nil && err != unix.ESRCH {
			return err
		}
	}
	return nil
}
