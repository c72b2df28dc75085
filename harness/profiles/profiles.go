// Package profiles reads pprof profiles and says where the time (or memory, or
// waiting) went: in the kernel, in the Go runtime, in the lab's code, or
// elsewhere; by package, and by function.
package profiles

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/asynclab/asynclab/harness/course"
	"github.com/google/pprof/profile"
)

// A Kind is the kind of code that a sample was taken in.
type Kind string

const (
	Kernel  Kind = "kernel"  // inside a system call
	Runtime Kind = "runtime" // the Go scheduler, the collector, locks, maps
	Lab     Kind = "lab"     // code below labs, solutions or capstone
	Harness Kind = "harness" // the judge's own work in the same process
	Other   Kind = "other"   // the standard library and modules
)

// Kinds lists all kinds in the order of a report.
var Kinds = []Kind{Kernel, Runtime, Lab, Harness, Other}

// A Row is one package or function with what was sampled in it itself, not in
// what it called. For a system call that is the caller's name: a table full of
// Syscall6 would tell nobody anything.
type Row struct {
	Name string  `json:"name"`
	Kind Kind    `json:"kind"`
	Flat float64 `json:"flat"`  // in the summary's unit
	Part float64 `json:"share"` // of the total, 0 to 1
}

// A Summary is one profile, added up.
type Summary struct {
	Type      string           `json:"type"` // "cpu", "alloc_space", "delay"
	Unit      string           `json:"unit"` // "nanoseconds", "bytes", "count"
	Total     float64          `json:"total"`
	Kinds     map[Kind]float64 `json:"kinds"` // share of the total, 0 to 1
	Packages  []Row            `json:"packages"`
	Functions []Row            `json:"functions"`
}

// ReadFile summarizes the profile in a file by the named sample type; an empty
// one means the profile's default (CPU time for a CPU profile). A profile
// without samples gives a Summary with a Total of 0.
func ReadFile(path, sampleType string) (Summary, error) {
	f, err := os.Open(path)
	if err != nil {
		return Summary{}, err
	}
	defer f.Close()
	p, err := profile.Parse(f)
	if err != nil {
		return Summary{}, fmt.Errorf("read profile %s: %w", path, err)
	}
	s, err := Summarize(p, sampleType)
	if err != nil {
		return Summary{}, fmt.Errorf("profile %s: %w", path, err)
	}
	return s, nil
}

// Summarize adds p up by the named sample type.
func Summarize(p *profile.Profile, sampleType string) (Summary, error) {
	index, err := sampleIndex(p, sampleType)
	if err != nil {
		return Summary{}, err
	}
	s := Summary{Type: p.SampleType[index].Type, Unit: p.SampleType[index].Unit, Kinds: map[Kind]float64{}}
	packages, functions := map[string]*Row{}, map[string]*Row{}
	find := place
	if s.Type == "delay" || s.Type == "contentions" {
		find = waiter
	}
	for _, sample := range p.Sample {
		v := float64(sample.Value[index])
		name, kind := find(sample)
		s.Total += v
		s.Kinds[kind] += v
		add(packages, packageOf(name), kind, v)
		add(functions, name, kind, v)
	}
	for k := range s.Kinds {
		s.Kinds[k] /= max(s.Total, 1)
	}
	s.Packages, s.Functions = sorted(packages, s.Total), sorted(functions, s.Total)
	return s, nil
}

func sampleIndex(p *profile.Profile, sampleType string) (int, error) {
	if sampleType == "" {
		sampleType = p.DefaultSampleType
	}
	if sampleType == "" {
		return len(p.SampleType) - 1, nil // by convention the most useful one
	}
	var have []string
	for i, t := range p.SampleType {
		if t.Type == sampleType {
			return i, nil
		}
		have = append(have, t.Type)
	}
	return 0, fmt.Errorf("no samples of type %q: there are %s", sampleType, strings.Join(have, ", "))
}

// place says in which function, and in what kind of code, a sample was taken.
func place(s *profile.Sample) (name string, kind Kind) {
	frames := stack(s)
	if len(frames) == 0 {
		return "(unknown)", Other
	}
	if !isSystemCall(frames[0]) {
		return frames[0], kindOf(frames[0])
	}
	for _, f := range frames {
		if !isSystemCall(f) {
			return f, Kernel
		}
	}
	return frames[0], Kernel
}

// waiter says who waited, in a profile of waiting: not the runtime's channel or
// the lock itself, but the code that used it.
func waiter(s *profile.Sample) (name string, kind Kind) {
	frames := stack(s)
	for _, f := range frames {
		switch packageOf(f) {
		case "runtime", "sync", "internal/sync":
			continue
		}
		return f, kindOf(f)
	}
	return place(s)
}

// stack is the sample's function names, the innermost first.
func stack(s *profile.Sample) (names []string) {
	for _, loc := range s.Location {
		for _, line := range loc.Line {
			if line.Function != nil {
				names = append(names, line.Function.Name)
			}
		}
	}
	return names
}

// isSystemCall reports whether a function is a system call's stub or one of the
// thin wrappers around it.
func isSystemCall(name string) bool {
	switch name {
	case "runtime.futex", "runtime.epollwait", "runtime.usleep", "runtime.osyield", "runtime.madvise",
		"runtime.write1", "runtime.read", "runtime.tgkill", "runtime.mmap", "runtime.sysMmap", "runtime.rt_sigaction":
		return true
	}
	for _, prefix := range []string{"internal/runtime/syscall", "runtime/internal/syscall", "syscall.", "golang.org/x/sys/unix."} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

func kindOf(name string) Kind {
	pkg := packageOf(name)
	if rest, ours := strings.CutPrefix(pkg, course.Module+"/"); ours {
		if strings.HasPrefix(rest, "harness/") {
			return Harness
		}
		return Lab
	}
	if pkg == "runtime" || strings.HasPrefix(pkg, "runtime/") || strings.HasPrefix(pkg, "internal/runtime/") || pkg == "gcWriteBarrier" {
		return Runtime
	}
	return Other
}

// packageOf is the import path in front of a function's name:
// "net/http" for "net/http.(*conn).serve".
func packageOf(name string) string {
	slash := strings.LastIndex(name, "/") + 1
	// Generic arguments may hold slashes: cut them off first.
	if i := strings.Index(name, "["); i >= 0 {
		slash = strings.LastIndex(name[:i], "/") + 1
	}
	dot := strings.Index(name[slash:], ".")
	if dot < 0 {
		return name
	}
	return name[:slash+dot]
}

func add(rows map[string]*Row, name string, kind Kind, v float64) {
	key := name + "\x00" + string(kind)
	if rows[key] == nil {
		rows[key] = &Row{Name: name, Kind: kind}
	}
	rows[key].Flat += v
}

func sorted(rows map[string]*Row, total float64) []Row {
	var list []Row
	for _, r := range rows {
		if r.Flat == 0 {
			continue
		}
		r.Part = r.Flat / total
		list = append(list, *r)
	}
	slices.SortFunc(list, func(a, b Row) int {
		return cmp.Or(cmp.Compare(b.Flat, a.Flat), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// A Change is one package's share here and in another profile.
type Change struct {
	Name        string  `json:"name"`
	Kind        Kind    `json:"kind"`
	Mine, Other float64 // shares of the totals, 0 to 1
}

// Compare sets packages side by side, the largest difference of shares first.
// The lab's own packages are called by their last element, so that labs/03-x
// and solutions/03-x meet in one row.
func Compare(mine, other Summary) []Change {
	rows := map[string]*Change{}
	at := func(r Row) *Change {
		name := r.Name
		if r.Kind == Lab {
			name = name[strings.LastIndex(name, "/")+1:]
		}
		key := name + "\x00" + string(r.Kind)
		if rows[key] == nil {
			rows[key] = &Change{Name: name, Kind: r.Kind}
		}
		return rows[key]
	}
	for _, r := range mine.Packages {
		at(r).Mine += r.Part
	}
	for _, r := range other.Packages {
		at(r).Other += r.Part
	}
	var list []Change
	for _, c := range rows {
		list = append(list, *c)
	}
	slices.SortFunc(list, func(a, b Change) int {
		return cmp.Or(cmp.Compare(distance(b), distance(a)), cmp.Compare(a.Name, b.Name))
	})
	return list
}

func distance(c Change) float64 { return max(c.Mine-c.Other, c.Other-c.Mine) }
