package spec

import "time"

// A Goal says on which side of its bound a target's figure must be.
type Goal string

const (
	AtLeast Goal = "at least"
	AtMost  Goal = "at most"
	Shown   Goal = "shown" // no bound: a figure to look at, or a baseline for another lab
)

// Reference as a target's Baseline means: the same target of the same lab's
// solution.
const Reference = "reference"

// A Target is a measured figure with a bound. It is never a timed test:
// the figure is a count (system calls, allocations, bytes), or a ratio of two
// implementations measured in alternation on the same machine.
type Target[N any] struct {
	Name    string    // "echo-depth-16"; also the benchmark's name
	Title   string    // in words, for the report
	Why     string    // why the figure matters
	Points  int       // of the lab's total
	Section string    // the heading in the lab's README.md to read
	Hints   [3]string // from nudge to near-code
	Unit    string    // of one figure: "messages/CPU-s", "bytes/connection"

	// Baseline is the ID of the lab whose solution's target of the same name is
	// the denominator, or [Reference]; empty makes Bound absolute.
	Baseline string
	Goal     Goal
	Bound    float64

	// Deadline bounds one measurement; 0 means 60 s.
	Deadline time.Duration

	// Measure takes the figure once. It checks what it measures: a wrong answer
	// is an error, not a fast figure.
	Measure func(r *Run, new N) (Sample, error)
}

// A Sample is what one measurement found.
type Sample struct {
	Value   float64            `json:"value"`             // in the target's unit
	Also    map[string]float64 `json:"also,omitempty"`    // further figures, named with their unit: "p99 µs"
	Latency string             `json:"latency,omitempty"` // HDR histogram, encoded by meter; empty when none was taken
}

func (t Target[N]) deadline() time.Duration {
	if t.Deadline > 0 {
		return t.Deadline
	}
	return defaultDeadline
}
