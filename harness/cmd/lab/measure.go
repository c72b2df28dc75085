package main

import (
	"context"
	"fmt"

	"github.com/asynclab/asynclab/harness/course"
	"github.com/asynclab/asynclab/harness/report"
	"github.com/asynclab/asynclab/harness/spec"
)

// measure takes one figure of one target in a process of its own, on the first
// core. The verdict is Passed when there is a sample.
func (c clone) measure(ctx context.Context, b binary, name string) (spec.Sample, report.Verdict, report.Finding, error) {
	end, err := c.run(ctx, b, job{pinned: true,
		args: []string{"-test.run=^$", "-test.bench=" + exactly("Benchmark", name), "-test.benchtime=1x", "-test.count=1"}})
	if err != nil {
		return spec.Sample{}, "", report.Finding{}, err
	}
	verdict, finding, _ := c.judge(end)
	if verdict != report.Passed {
		finding.Repeat = repeatTarget(b, name)
		return spec.Sample{}, verdict, finding, nil
	}
	result := lastResult(end.events)
	if result.Sample == nil {
		return spec.Sample{}, report.Broken, report.Finding{Expected: "a figure", Happened: "the benchmark reported none"}, nil
	}
	return *result.Sample, report.Passed, finding, nil
}

func repeatTarget(b binary, name string) string {
	return fmt.Sprintf("go test -run '^$' -bench '%s' -benchtime 1x ./%s", exactly("Benchmark", name), b.folder)
}

// baselineFolder is the package a target is compared with; empty when its bound
// is absolute.
func baselineFolder(s side, baseline string) (string, error) {
	switch baseline {
	case "":
		return "", nil
	case spec.Reference:
		baseline = s.Lab
	}
	lab, err := course.Find(baseline)
	if err != nil {
		return "", fmt.Errorf("a target's baseline: %w", err)
	}
	return lab.Path("solutions"), nil
}

// A pair is the two binaries a target is measured on. other is nil when the
// bound is absolute.
type pair struct {
	own   binary
	other *binary
}

// round measures both sides, one right after the other; which goes first
// alternates, so that neither always has the warmer machine.
func (c clone) round(ctx context.Context, p pair, name string, n int) (report.Round, report.Verdict, report.Finding, error) {
	if p.other == nil {
		sample, verdict, finding, err := c.measure(ctx, p.own, name)
		return report.Round{Figure: sample.Value, Also: sample.Also}, verdict, finding, err
	}
	var r report.Round
	for turn := range 2 {
		own := turn == n%2 // not by the binary: the reference is compared with itself, too
		b := *p.other
		if own {
			b = p.own
		}
		sample, verdict, finding, err := c.measure(ctx, b, name)
		switch {
		case err != nil || own && verdict != report.Passed:
			return r, verdict, finding, err
		case verdict != report.Passed:
			finding.Happened = "the baseline " + b.folder + " gave no figure: " + finding.Happened
			return r, report.Broken, finding, nil
		case own:
			r.Figure, r.Also = sample.Value, sample.Also
		default:
			r.Baseline = sample.Value
		}
	}
	r.Ratio = r.Figure / r.Baseline
	return r, report.Passed, report.Finding{}, nil
}

// decideTarget takes rounds until t's verdict stands or there have been enough.
// before is called ahead of each round.
func (c clone) decideTarget(ctx context.Context, p pair, t *report.Target, before func(round int)) error {
	bound := report.Bound{AtLeast: t.Goal == string(spec.AtLeast), Value: t.Bound}
	var figures []float64 // the ratios, or this side's figures
	for more := rounds(t, figures, bound); more > 0; more = rounds(t, figures, bound) {
		for range more {
			before(len(figures) + 1)
			r, verdict, finding, err := c.round(ctx, p, t.Name, len(figures))
			if err != nil {
				return err
			}
			if verdict != report.Passed {
				t.Verdict, t.Finding = verdict, finding
				return nil
			}
			t.Rounds = append(t.Rounds, r)
			if p.other != nil {
				figures = append(figures, r.Ratio)
			} else {
				figures = append(figures, r.Figure)
			}
		}
	}
	t.Settle(figures, bound)
	if t.Verdict != report.Met {
		t.Repeat = repeatTarget(p.own, t.Name)
	}
	return nil
}

func rounds(t *report.Target, figures []float64, b report.Bound) int {
	if t.Goal == string(spec.Shown) {
		return 1 - len(figures)
	}
	return report.NextRounds(figures, b)
}
