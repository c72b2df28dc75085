package meter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrNotPermitted is what OpenSyscalls returns where counting is not allowed: to
// ordinary users, and in most containers.
var ErrNotPermitted = errors.New("counting system calls is not permitted: run as root, or allow it with `sysctl kernel.perf_event_paranoid=-1` and a readable /sys/kernel/tracing")

// named are the calls counted by name beside the total.
var named = []string{"epoll_ctl", "epoll_wait", "epoll_pwait", "read", "write", "accept4"}

// Syscalls counts the system calls of a process, from outside, with the
// kernel's tracepoints (perf_event_open(2)).
type Syscalls struct {
	counters map[string][]int // descriptors by the call's name; "" counts all
}

// Counts is system calls since OpenSyscalls: in total under "", and by name.
type Counts map[string]uint64

// Total is the number of all system calls.
func (c Counts) Total() uint64 { return c[""] }

// Since returns what was counted after an earlier reading.
func (c Counts) Since(earlier Counts) Counts {
	d := Counts{}
	for name, n := range c {
		d[name] = n - earlier[name]
	}
	return d
}

// OpenSyscalls starts counting the system calls of the process pid: those of
// the threads it has, and of those they will start, but not of the processes
// (before Linux 5.13 of those, too). A call costs the process some hundred
// nanoseconds more while it is counted. The error is [ErrNotPermitted] on an
// ordinary user's machine.
func OpenSyscalls(pid int) (*Syscalls, error) {
	ids, err := tracepoints()
	if err != nil {
		return nil, err
	}
	// A thread that starts before the one that starts it is counted would be
	// missed, with all that it starts in turn. Where none has come meanwhile, none
	// was missed. A process that starts them all the time is counted as well as
	// the last attempt could.
	for attempt := 1; ; attempt++ {
		before, err := threads(pid)
		if err != nil {
			return nil, err
		}
		s := &Syscalls{counters: map[string][]int{}}
		if err := s.countThreads(before, ids); err != nil {
			s.Close()
			return nil, err
		}
		after, err := threads(pid)
		if err == nil && (attempt == attempts || len(without(after, before)) == 0) {
			return s, nil
		}
		s.Close()
	}
}

// attempts is how often OpenSyscalls begins again.
const attempts = 20

// without returns those of a that are not in b.
func without(a, b []int) []int {
	return slices.DeleteFunc(a, func(tid int) bool { return slices.Contains(b, tid) })
}

// threads lists a process's threads.
func threads(pid int) (tids []int, err error) {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil, fmt.Errorf("count system calls of process %d: %w", pid, err)
	}
	for _, task := range tasks {
		tid, _ := strconv.Atoi(task.Name())
		tids = append(tids, tid)
	}
	return tids, nil
}

func (s *Syscalls) countThreads(tids []int, ids map[string]uint64) error {
	for _, tid := range tids {
		if err := s.count(tid, ids); err != nil {
			return err
		}
	}
	return nil
}

// count adds one thread's counters.
func (s *Syscalls) count(tid int, ids map[string]uint64) error {
	for name, id := range ids {
		fd, err := openCounter(tid, id)
		switch {
		case err == nil:
			s.counters[name] = append(s.counters[name], fd)
		case errors.Is(err, unix.ESRCH):
			return nil // the thread has ended meanwhile
		case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
			return fmt.Errorf("count system calls, %d descriptors for each thread: %w", len(ids), err)
		default:
			return fmt.Errorf("%w (perf_event_open: %v)", ErrNotPermitted, err)
		}
	}
	return nil
}

// inheritThread makes inheriting stop at the process (perf_event_open(2), since
// Linux 5.13). x/sys has no name for this bit.
const inheritThread = 1 << 35

func openCounter(tid int, id uint64) (fd int, err error) {
	attr := unix.PerfEventAttr{
		Type:   unix.PERF_TYPE_TRACEPOINT,
		Size:   uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
		Config: id,
		Bits:   unix.PerfBitInherit | inheritThread, // threads started later are counted into this one
	}
	fd, err = unix.PerfEventOpen(&attr, tid, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err == unix.EINVAL {
		attr.Bits &^= inheritThread
		fd, err = unix.PerfEventOpen(&attr, tid, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
	}
	return fd, err
}

// Read returns the counts so far.
func (s *Syscalls) Read() (Counts, error) {
	counts := Counts{}
	for name, fds := range s.counters {
		for _, fd := range fds {
			var b [8]byte
			if _, err := unix.Read(fd, b[:]); err != nil {
				return nil, fmt.Errorf("read system call counter: %w", err)
			}
			counts[name] += binary.NativeEndian.Uint64(b[:])
		}
	}
	return counts, nil
}

// Close stops counting.
func (s *Syscalls) Close() {
	for _, fds := range s.counters {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}
	s.counters = nil
}

// tracepoints finds the kernel's numbers of the tracepoints we count. They do
// not change while the system runs.
var tracepoints = sync.OnceValues(func() (ids map[string]uint64, err error) {
	for _, dir := range []string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"} {
		if ids, err = readIDs(dir); err == nil {
			return ids, nil
		}
	}
	if os.Geteuid() == 0 {
		if ids, err = readIDsPrivately(); err == nil {
			return ids, nil
		}
	}
	return nil, fmt.Errorf("%w (%v)", ErrNotPermitted, err)
})

func readIDs(dir string) (map[string]uint64, error) {
	ids := map[string]uint64{}
	paths := map[string]string{"": "raw_syscalls/sys_enter"}
	for _, name := range named {
		paths[name] = "syscalls/sys_enter_" + name
	}
	for name, path := range paths {
		text, err := os.ReadFile(filepath.Join(dir, "events", path, "id"))
		if errors.Is(err, os.ErrNotExist) && name != "" {
			continue // not every architecture has every call
		}
		if err != nil {
			return nil, err
		}
		id, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
		if err != nil {
			return nil, err
		}
		ids[name] = id
	}
	return ids, nil
}

// readIDsPrivately mounts tracefs where only one thread sees it. The thread is
// not used for anything else: it ends with its goroutine, which stays locked to
// it, and its mounts go with it.
func readIDsPrivately() (ids map[string]uint64, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() {
			// The first thread never ends, and /proc/self shows its mounts as the
			// process's. While we hold it another one must take the work.
			ids, err = readIDsPrivately()
			runtime.UnlockOSThread()
			return
		}
		ids, err = mountAndRead()
	}()
	<-done
	return ids, err
}

func mountAndRead() (map[string]uint64, error) {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return nil, os.NewSyscallError("unshare", err)
	}
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, os.NewSyscallError("mount", err)
	}
	const dir = "/sys/kernel/tracing"
	if err := unix.Mount("tracefs", dir, "tracefs", 0, ""); err != nil {
		return nil, os.NewSyscallError("mount tracefs", err)
	}
	return readIDs(dir)
}
