// Package meter measures what a process uses: CPU time, memory, descriptors,
// goroutines, system calls. Figures are differences between two samples of a
// window; a single sample says nothing.
//
// CPU time is the measure of cost in this course: unlike elapsed time, it does
// not grow because another program runs beside the server.
package meter

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// userHZ is the unit of CPU time in /proc: 1/100 s on every Linux architecture
// that Go supports (proc(5), sysconf(_SC_CLK_TCK)).
const userHZ = 100

// A Sample is what a process had used at one moment. Cumulative figures grow
// from the start of the process.
type Sample struct {
	When        time.Time
	CPU         time.Duration // CPU time of all threads, those that have ended too, cumulative, to the nanosecond
	User, Sys   time.Duration // the same in its two parts, cumulative, in steps of 10 ms
	RSS         int64         // bytes of memory resident now
	Files       int           // descriptors open now
	Threads     int           // threads now
	ReadCalls   int64         // read-like system calls, cumulative (read, readv, pread; not recv)
	WriteCalls  int64         // write-like system calls, cumulative
	Voluntary   int64         // context switches because of waiting, cumulative
	Involuntary int64         // context switches because of others, cumulative

	// What only a Go program knows of itself: zero in Process's samples.
	Heap       int64 // bytes of heap objects now, the unreachable ones not yet swept too
	Stacks     int64 // bytes of goroutine stacks now
	Mallocs    int64 // objects allocated, cumulative
	Goroutines int   // now
}

// UserSpace is heap and stacks together. UserMemory tells what of it is live.
func (s Sample) UserSpace() int64 { return s.Heap + s.Stacks }

// Self samples this process.
func Self() (Sample, error) {
	s, err := Process(os.Getpid())
	s.readRuntime()
	return s, err
}

// Process samples the process pid from /proc. It costs about 50 µs, and more
// with many descriptors or threads. The error says which process; one that has
// ended is an error, too.
func Process(pid int) (Sample, error) {
	s := Sample{When: time.Now()}
	dir := "/proc/" + strconv.Itoa(pid)
	err := errors.Join(s.readStat(dir), s.readStatus(dir), s.readIO(dir), s.readFiles(dir))
	s.readClock(pid)
	if err != nil {
		return s, fmt.Errorf("measure process %d: %w", pid, err)
	}
	return s, nil
}

// readClock refines the CPU time by the process's own clock, whose number is made
// from its pid as clock_getcpuclockid(3) does: 2 stands for CPUCLOCK_SCHED.
// Where a sandbox has no such clock the sum of User and Sys stays.
func (s *Sample) readClock(pid int) {
	s.CPU = s.User + s.Sys
	var t unix.Timespec
	if unix.ClockGettime(int32(^pid<<3|2), &t) == nil {
		s.CPU = time.Duration(t.Nano())
	}
}

// readStat takes CPU times and resident pages from /proc/PID/stat. The second
// field is the program's name, which may hold blanks: count from the last ')'.
func (s *Sample) readStat(dir string) error {
	text, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // fields[0] is number 3, the state
	if len(fields) < 22 {
		return fmt.Errorf("%s/stat: %d fields after the name, expected 22 or more", dir, len(fields))
	}
	s.User = ticks(fields[11])
	s.Sys = ticks(fields[12])
	s.RSS = number(fields[21]) * int64(os.Getpagesize())
	return nil
}

func ticks(field string) time.Duration {
	return time.Duration(number(field)) * (time.Second / userHZ)
}

// readStatus takes counts from the "name: value" lines of /proc/PID/status. The
// context switches there are the main thread's alone, so those of all threads
// are added up.
func (s *Sample) readStatus(dir string) error {
	tasks, err := os.ReadDir(dir + "/task")
	if err != nil {
		return err
	}
	s.Threads = len(tasks)
	for _, task := range tasks {
		text, err := os.ReadFile(dir + "/task/" + task.Name() + "/status")
		if err != nil {
			continue // the thread has ended meanwhile
		}
		s.Voluntary += line(text, "voluntary_ctxt_switches:")
		s.Involuntary += line(text, "nonvoluntary_ctxt_switches:")
	}
	return nil
}

// readIO takes counts of read and write calls from /proc/PID/io.
func (s *Sample) readIO(dir string) error {
	text, err := os.ReadFile(dir + "/io")
	if err != nil {
		return err
	}
	s.ReadCalls, s.WriteCalls = line(text, "syscr:"), line(text, "syscw:")
	return nil
}

func (s *Sample) readFiles(dir string) error {
	d, err := os.Open(dir + "/fd")
	if err != nil {
		return err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	s.Files = len(names)
	return err
}

// readRuntime asks the Go runtime, which need not stop the world for these.
func (s *Sample) readRuntime() {
	m := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"},
		{Name: "/gc/heap/allocs:objects"}, {Name: "/sched/goroutines:goroutines"},
	}
	metrics.Read(m)
	s.Heap, s.Stacks = int64(m[0].Value.Uint64()), int64(m[1].Value.Uint64())
	s.Mallocs, s.Goroutines = int64(m[2].Value.Uint64()), int(m[3].Value.Uint64())
}

// line finds the number behind a name at the start of a line.
func line(text []byte, name string) int64 {
	for l := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(l, []byte(name)); ok {
			return number(string(bytes.TrimSpace(rest)))
		}
	}
	return 0
}

func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

// A Delta is what was used between two samples of one process. Its fields mean
// what a Sample's do.
type Delta struct {
	Wall                   time.Duration
	cpu                    time.Duration
	User, Sys              time.Duration
	RSS                    int64
	Files, Threads         int
	ReadCalls, WriteCalls  int64
	Voluntary, Involuntary int64
	Heap, Stacks, Mallocs  int64 // of Self's samples only
	Goroutines             int   // of Self's samples only
}

// Until returns what was used from s to later.
func (s Sample) Until(later Sample) Delta {
	return Delta{
		Wall: later.When.Sub(s.When),
		cpu:  later.CPU - s.CPU,
		User: later.User - s.User, Sys: later.Sys - s.Sys,
		RSS:   later.RSS - s.RSS,
		Files: later.Files - s.Files, Threads: later.Threads - s.Threads,
		ReadCalls: later.ReadCalls - s.ReadCalls, WriteCalls: later.WriteCalls - s.WriteCalls,
		Voluntary: later.Voluntary - s.Voluntary, Involuntary: later.Involuntary - s.Involuntary,
		Heap: later.Heap - s.Heap, Stacks: later.Stacks - s.Stacks,
		Mallocs: later.Mallocs - s.Mallocs, Goroutines: later.Goroutines - s.Goroutines,
	}
}

// CPU is user and system time together, to the nanosecond.
func (d Delta) CPU() time.Duration { return d.cpu }

// Cores is how many cores were busy on average.
func (d Delta) Cores() float64 { return d.CPU().Seconds() / max(d.Wall.Seconds(), 1e-9) }

// UserMemory returns the bytes of user-space memory that this process's live
// objects and goroutine stacks take: heap after two collections (the second
// frees what finalizers and pools held back), and stacks in use. It stops the
// world and takes milliseconds.
func UserMemory() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
