package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

// examine looks at everything and changes nothing.
func (c clone) examine(ctx context.Context) []symptom {
	return []symptom{
		c.goVersion(ctx), c.raceDetector(ctx), kernel(), openFiles(), ports(), backlog(),
		sysctl("net.ipv4.tcp_mem", "pages of TCP memory: when it is used up, connections of labs 02 to the capstone stall", ""),
		sysctl("net.ipv4.tcp_rmem", "receive buffer of a socket, least, usual, most: slow readers fill it before backpressure shows", ""),
		sysctl("net.ipv4.tcp_wmem", "send buffer of a socket, the same", ""),
		cores(), memory(), perfEvents(), cgroupCPU(), cgroupMemory(), c.inotify(), c.leftovers(),
	}
}

func (c clone) goVersion(ctx context.Context) symptom {
	s := symptom{Name: "Go", State: ok, Means: "all labs; go.mod names the version needed, and the go command fetches it where it may"}
	out, err := c.goTool(ctx, "version")
	s.Value = strings.TrimSpace(out)
	if err != nil {
		s.State, s.Mend = stops, "install Go from https://go.dev/dl and open a new terminal"
		if s.Value == "" {
			s.Value = err.Error()
		}
	}
	return s
}

func (c clone) raceDetector(ctx context.Context) symptom {
	s := symptom{Name: "race detector", Value: "works", State: ok, Means: "all labs: rules run under it"}
	if reason := c.noRace(ctx); reason != "" {
		s.Value, s.State, s.Mend = "not here", warn, reason
	}
	return s
}

func kernel() symptom {
	s := symptom{Name: "kernel", State: ok, Means: "all labs need Linux; lab 16 needs 5.19 or newer for io_uring"}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		s.Value, s.State = err.Error(), warn
		return s
	}
	s.Value = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
	return s
}

// needFiles is what the largest measurement of labs 01 to 03 opens in one
// process: 10,000 connections and some.
const needFiles = 10_500

func openFiles() symptom {
	s := symptom{Name: "open files", State: ok, Means: "labs 01 to 03 hold 10,000 connections in a process, the capstone 100,000; Go raises the soft limit to the hard one by itself"}
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		s.Value, s.State = err.Error(), warn
		return s
	}
	s.Value = fmt.Sprintf("hard limit %d (soft %s)", l.Max, softLimit())
	if l.Max < needFiles {
		s.State = warn
		s.Mend = "echo '* hard nofile 1048576' | sudo tee /etc/security/limits.d/asynclab.conf, then log in again; in a container: docker run --ulimit nofile=1048576"
	}
	return s
}

// softLimit is our parent's: Go has raised ours already.
func softLimit() string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", os.Getppid()))
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, "Max open files"); found && len(strings.Fields(rest)) > 0 {
			return strings.Fields(rest)[0]
		}
	}
	return "unknown"
}

func ports() symptom {
	s := sysctl("net.ipv4.ip_local_port_range", "client ports of one source address; the swarm spreads over 127.x.y.z, so the default is enough", "sudo sysctl -w net.ipv4.ip_local_port_range='16384 60999'")
	var low, high int
	if n, _ := fmt.Sscan(s.Value, &low, &high); n == 2 && high-low < 12_000 {
		s.State = warn
	}
	return s
}

func backlog() symptom {
	s := sysctl("net.core.somaxconn", "longest queue of finished handshakes; a swarm of 10,000 that connects at once waits and tries again beyond it", "sudo sysctl -w net.core.somaxconn=4096")
	if n, err := strconv.Atoi(s.Value); err == nil && n < 1024 {
		s.State = warn
	}
	return s
}

func sysctl(name, means, mend string) symptom {
	s := symptom{Name: name, State: ok, Means: means, Mend: mend}
	text, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
	if err != nil {
		s.Value, s.State, s.Mend = "cannot be read here", ok, ""
		return s
	}
	s.Value = strings.Join(strings.Fields(string(text)), " ")
	return s
}

func cores() symptom {
	s := symptom{Name: "cores", State: ok, Means: "targets: the measured process gets the first core, the swarm the last"}
	var set unix.CPUSet
	n := runtime.NumCPU()
	if unix.SchedGetaffinity(0, &set) == nil {
		n = set.Count()
	}
	s.Value = strconv.Itoa(n)
	if n < 2 {
		s.State, s.Mend = warn, "give the machine or container two cores: on one, targets are noisy and may be inconclusive"
	}
	return s
}

func memory() symptom {
	s := symptom{Name: "memory available", State: ok, Means: "10,000 connections need about 0.2 GB with the kernel's part, the capstone about 2 GB"}
	if free := availableMemory(); free > 0 {
		s.Value = fmt.Sprintf("%.1f GB", float64(free)/1e9)
		if free < 1_000_000_000 {
			s.State, s.Mend = warn, "close other programs"
		}
		return s
	}
	s.Value, s.State = "unknown", warn
	return s
}

// availableMemory is what a program may take without swapping, in bytes, 0 if
// the kernel does not say (proc(5), /proc/meminfo).
func availableMemory() int64 {
	text, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(text)) {
		var kb int64
		if n, _ := fmt.Sscanf(line, "MemAvailable: %d kB", &kb); n == 1 {
			return kb << 10
		}
	}
	return 0
}

func perfEvents() symptom {
	s := sysctl("kernel.perf_event_paranoid", "system calls are counted exactly with perf tracepoints where allowed (root, or -1), else read and write alone", "sudo sysctl -w kernel.perf_event_paranoid=-1")
	if n, err := strconv.Atoi(s.Value); err == nil && n > -1 && os.Geteuid() != 0 {
		s.State = warn
	}
	return s
}

func cgroupCPU() symptom {
	s := symptom{Name: "cgroup CPU limit", Value: "none", State: ok, Means: "a quota stops processes in the middle of a measurement"}
	if text := cgroupFile("cpu.max"); text != "" && !strings.HasPrefix(text, "max") {
		s.Value = text + " (quota and period, µs)"
		var quota, period float64
		if fmt.Sscan(text, &quota, &period); period > 0 && quota/period < 2 {
			s.State, s.Mend = warn, "docker run --cpus=2, or no limit"
		}
	}
	return s
}

func cgroupMemory() symptom {
	s := symptom{Name: "cgroup memory limit", Value: "none", State: ok, Means: "beyond it the kernel ends a process without a word"}
	if text := cgroupFile("memory.max"); text != "" && text != "max" {
		s.Value = text + " bytes"
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && n < 2<<30 {
			s.State, s.Mend = warn, "docker run --memory=4g, or no limit"
		}
	}
	return s
}

// cgroupFile reads a file of this process's cgroup (version 2); empty when
// there is none.
func cgroupFile(name string) string {
	self, _ := os.ReadFile("/proc/self/cgroup")
	_, path, _ := strings.Cut(strings.TrimSpace(string(self)), "0::")
	text, _ := os.ReadFile(filepath.Join("/sys/fs/cgroup", path, name))
	return strings.TrimSpace(string(text))
}

func (c clone) inotify() symptom {
	s := symptom{Name: "file notification", Value: "works in this clone", State: ok, Means: "make watch"}
	w, err := fsnotify.NewWatcher()
	if err == nil {
		defer w.Close()
		err = w.Add(c.root)
	}
	if err != nil {
		s.Value, s.State = "not here ("+err.Error()+"); make watch looks every second instead", warn
		s.Mend = "sudo sysctl -w fs.inotify.max_user_instances=512, or keep the clone on a local disk"
	}
	return s
}

// leftovers looks for test binaries of this clone that are still running.
func (c clone) leftovers() symptom {
	s := symptom{Name: "leftover processes", Value: "none", State: ok, Means: "a lab's process that still runs spoils every measurement"}
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	var pids []string
	for _, link := range links {
		exe, err := os.Readlink(link)
		if err == nil && strings.HasPrefix(exe, c.state()+"/run-") {
			pids = append(pids, filepath.Base(filepath.Dir(link)))
		}
	}
	if len(pids) > 0 {
		s.Value, s.State = "process "+strings.Join(pids, ", ")+" (unless a check is running in another terminal)", warn
		s.Mend = "kill " + strings.Join(pids, " ")
	}
	return s
}
