// Package report says how a check went: verdicts and their arithmetic, the JSON
// document of a run, its text for people, and the history in .asynclab.
//
// It runs nothing; harness/cmd/lab does.
package report

import (
	"math"
	"slices"
)

// A Verdict is what became of one rule, one target, or a step before them.
type Verdict string

const (
	Passed       Verdict = "passed"
	Failed       Verdict = "failed"        // a wrong answer
	NotYet       Verdict = "not there yet" // the check met a hole of the skeleton
	Race         Verdict = "data race"
	Crash        Verdict = "crash"
	Hang         Verdict = "hang"
	NotRun       Verdict = "not run"
	Met          Verdict = "met"
	NotMet       Verdict = "not met"
	Shown        Verdict = "shown"        // a figure without a bound
	Inconclusive Verdict = "inconclusive" // too noisy to say
	Broken       Verdict = "broken"       // the judge's fault, not the student's
)

// Good reports whether v earns its points.
func (v Verdict) Good() bool { return v == Passed || v == Met || v == Shown }

// Bad reports whether v is a failure the student can act on.
func (v Verdict) Bad() bool {
	switch v {
	case Failed, NotYet, Race, Crash, Hang, NotMet:
		return true
	}
	return false
}

// Rounds of a target: enough for a middle half, then two at a time while the
// figures do not decide, and an end.
const (
	FirstRounds = 3
	MoreRounds  = 2
	MaxRounds   = 7
)

// A Spread is where the figures of several rounds lie.
type Spread struct {
	Q1     float64 `json:"q1"`
	Median float64 `json:"median"`
	Q3     float64 `json:"q3"`
}

// SpreadOf returns the quartiles of figures, interpolated between neighbours
// (R's type 7). Figures stay as they are; none give zeros.
func SpreadOf(figures []float64) Spread {
	if len(figures) == 0 {
		return Spread{}
	}
	sorted := slices.Sorted(slices.Values(figures))
	return Spread{Q1: quantile(sorted, 0.25), Median: quantile(sorted, 0.5), Q3: quantile(sorted, 0.75)}
}

func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	low := int(math.Floor(at))
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

// A Bound is the good side of a number, the number included.
type Bound struct {
	AtLeast bool // else at most
	Value   float64
}

func (b Bound) holds(x float64) bool {
	if b.AtLeast {
		return x >= b.Value
	}
	return x <= b.Value
}

// Decide gives the verdict on figures: met when their whole middle half is on
// the good side of b, not met when it is wholly on the bad side, and otherwise
// inconclusive. So half of the rounds may be spoiled by other programs, a
// quarter at each end, without turning the verdict over.
func Decide(figures []float64, b Bound) Verdict {
	if len(figures) == 0 || slices.ContainsFunc(figures, math.IsNaN) {
		return Inconclusive
	}
	s := SpreadOf(figures)
	switch low, high := b.holds(s.Q1), b.holds(s.Q3); {
	case low && high:
		return Met
	case !low && !high:
		return NotMet
	}
	return Inconclusive
}

// NextRounds says how many more rounds to take after those that gave figures; 0
// when the verdict stands or there have been enough.
func NextRounds(figures []float64, b Bound) int {
	switch {
	case len(figures) < FirstRounds:
		return FirstRounds - len(figures)
	case Decide(figures, b) != Inconclusive || len(figures) >= MaxRounds:
		return 0
	}
	return min(MoreRounds, MaxRounds-len(figures))
}
