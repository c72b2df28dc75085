// Package transcript writes a student's results as one page: points by lab,
// each target over time beside the reference, latency where it was recorded,
// and where the time went.
//
// It reads nothing: harness/cmd/lab gathers what lies in .asynclab.
package transcript

import (
	"time"

	"github.com/asynclab/asynclab/harness/course"
	"github.com/asynclab/asynclab/harness/profiles"
	"github.com/asynclab/asynclab/harness/report"
)

// A Transcript is all that is known of one student's work.
type Transcript struct {
	When time.Time
	Labs []Lab // in the course's order, those too that were not touched
}

// A Lab is what is known of one lab.
type Lab struct {
	course.Lab
	Runs      []report.Entry // the student's, oldest first
	Reference []report.Entry // the reference's on this machine, if it was checked
	Last      *report.Check  // the student's last one in full; nil if there is none
	Known     *report.Check  // the reference's last one; nil if there is none
	Latency   []Latency      // of the last make compare
	Profile   *Profile       // of the last make profile
}

// A Latency is one target's, as HDR histograms that meter has encoded.
type Latency struct {
	Target    string `json:"target"`
	You       string `json:"you,omitempty"`
	Reference string `json:"reference,omitempty"`
}

// A Comparison is what make compare keeps for this page.
type Comparison struct {
	Time    time.Time `json:"time"`
	Rounds  int       `json:"rounds"`
	Latency []Latency `json:"latency"`
}

// A Profile is where the CPU time went, yours and the reference's; that one may
// be empty.
type Profile struct {
	When           time.Time
	You, Reference profiles.Summary
}

// standing is where the student is in the lab.
func (l Lab) standing() report.Standing { return report.Standings(l.Runs, "labs")[l.ID] }

// target finds what is known of a target: the last full report that measured
// it, the student's or else the reference's, names its title, unit and bound.
func (l Lab) target(name string) (report.Target, bool) {
	for _, c := range []*report.Check{l.Last, l.Known} {
		if c == nil {
			continue
		}
		for _, t := range c.Targets {
			if t.Name == name {
				return t, true
			}
		}
	}
	return report.Target{}, false
}

// targets lists the names of all targets that some run has measured, in the
// suite's order where that is known.
func (l Lab) targets() (names []string) {
	seen := map[string]bool{}
	for _, c := range []*report.Check{l.Last, l.Known} {
		if c == nil {
			continue
		}
		for _, t := range c.Targets {
			if !seen[t.Name] {
				seen[t.Name] = true
				names = append(names, t.Name)
			}
		}
	}
	measured := map[string]bool{}
	var others []string
	for _, e := range l.Runs {
		for name, f := range e.Targets {
			if f.Median != 0 {
				if !seen[name] && !measured[name] {
					others = append(others, name)
				}
				measured[name] = true
			}
		}
	}
	names = append(names, sorted(others)...)
	kept := names[:0]
	for _, name := range names {
		if measured[name] {
			kept = append(kept, name)
		}
	}
	return kept
}
