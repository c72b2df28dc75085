// Package claims holds the article's claims about speed and size against what
// this machine measures: the list of them, the verdict on each, and the two
// pages that say so.
//
// It measures little itself (the files own_*.go): most figures are targets of
// the labs' judges, taken from the reference, and a load on the finished server
// beside a naive one. harness/cmd/lab runs them and hands the samples over.
package claims

import (
	"fmt"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/report"
	"github.com/asynclab/asynclab/harness/spec"
)

// A Verdict is what became of a claim.
type Verdict string

// The verdicts. A claim that needs hardware has its normalised form judged in
// Finding.Normal.
const (
	Holds    Verdict = "holds"
	Partly   Verdict = "holds partly"
	Fails    Verdict = "does not hold"
	Hardware Verdict = "needs hardware we lack"
	TooNoisy Verdict = "too noisy to say" // other programs were in the way of a latency
)

// A Claim is one promise of the article's.
type Claim struct {
	ID      string   // "sendfile"
	Title   string   // "sendfile against a copy"
	Says    string   // what is promised, with its figures
	Against string   // the naive counterpart
	Lab     string   // ID of the lab that builds what is promised
	From    []string // keys of the samples that judge needs
	Command string   // what the reader runs to see these figures alone

	elapsed bool // judged by elapsed time under load, which other programs lengthen
	judge   func(s Samples) Finding
}

// A Finding is a claim's verdict and the figures it stands on.
type Finding struct {
	Measured string   `json:"measured"` // in half a sentence
	Verdict  Verdict  `json:"verdict"`
	Because  string   `json:"because"`
	Normal   string   `json:"normalised,omitempty"` // the claim in a form that this machine can decide
	Figures  []Figure `json:"figures"`
	Curves   []Curve  `json:"-"`
}

// A Figure is one bar of a claim's plot. Figures with the same unit share one.
type Figure struct {
	Name    string `json:"name"`
	Unit    string `json:"unit"`
	Claimed bool   `json:"claimed,omitempty"` // the article's word, not a measurement
	report.Spread
}

// A Curve is a latency distribution, in microseconds.
type Curve struct {
	Name string
	Hist *hdrhistogram.Histogram
}

// A Result is a claim as it was judged.
type Result struct {
	ID      string `json:"id"`
	Title   string `json:"title"`
	Says    string `json:"claim"`
	Against string `json:"against"`
	Lab     string `json:"lab"`
	Command string `json:"command"`
	Finding
}

// Samples are the rounds of each measurement, by key.
type Samples map[string][]spec.Sample

// value is the spread of a measurement's figure.
func (s Samples) value(key string) report.Spread {
	var all []float64
	for _, one := range s[key] {
		all = append(all, one.Value)
	}
	return report.SpreadOf(all)
}

// also is the spread of a further figure of it.
func (s Samples) also(key, name string) report.Spread {
	var all []float64
	for _, one := range s[key] {
		if v, ok := one.Also[name]; ok {
			all = append(all, v)
		}
	}
	return report.SpreadOf(all)
}

// ratio is the spread of the quotient of two figures, round by round.
func (s Samples) ratio(key, other string) report.Spread {
	var all []float64
	for i := range min(len(s[key]), len(s[other])) {
		all = append(all, s[key][i].Value/s[other][i].Value)
	}
	return report.SpreadOf(all)
}

// latency is that of all rounds together; nil if none was recorded.
func (s Samples) latency(key string) *hdrhistogram.Histogram {
	sum := meter.NewHistogram()
	for _, one := range s[key] {
		if h, err := meter.DecodeHistogram(one.Latency); err == nil {
			sum.Merge(h)
		}
	}
	if sum.TotalCount() == 0 {
		return nil
	}
	return sum
}

// missing is the first sample of c that is not there; empty when all are.
func (s Samples) missing(c Claim) string {
	for _, key := range c.From {
		if len(s[key]) == 0 {
			return key
		}
	}
	return ""
}

// Judge gives the verdict on every claim whose samples are all there. others is
// the share of the cores that other programs had meanwhile: where it is large, a
// latency that is too long may be theirs, and there is no verdict on it.
func Judge(all []Claim, s Samples, others float64) []Result {
	var results []Result
	for _, c := range all {
		if s.missing(c) != "" {
			continue
		}
		f := c.judge(s)
		if c.elapsed && others > noisy && (f.Verdict == Fails || f.Verdict == Partly) {
			f.Verdict, f.Because = TooNoisy, fmt.Sprintf("Other programs had %s of the cores meanwhile, and whoever waits for a core waits longer than for a message. Run it again on a quiet machine.", percent(others))
		}
		results = append(results, Result{ID: c.ID, Title: c.Title, Says: c.Says, Against: c.Against, Lab: c.Lab, Command: c.Command, Finding: f})
	}
	return results
}

// measured is a figure that was.
func measured(name, unit string, s report.Spread) Figure {
	return Figure{Name: name, Unit: unit, Spread: s}
}

// claimed is a figure that the article gives.
func claimed(unit string, v float64) Figure {
	return Figure{Name: "the article", Unit: unit, Claimed: true, Spread: constant(v)}
}

// times is a spread in another unit.
func times(s report.Spread, factor float64) report.Spread {
	return report.Spread{Q1: s.Q1 * factor, Median: s.Median * factor, Q3: s.Q3 * factor}
}

func n(v float64) string { return report.Number(v) }

// constant is a spread of a figure that cannot differ.
func constant(v float64) report.Spread { return report.Spread{Q1: v, Median: v, Q3: v} }
