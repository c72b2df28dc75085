package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/asynclab/asynclab/harness/report"
	"github.com/asynclab/asynclab/harness/spec"
)

// list asks a test binary for its suite: rules, then targets, none of them run.
func (c clone) list(ctx context.Context, b binary) ([]report.Rule, []report.Target, error) {
	end, err := c.run(ctx, b, job{args: []string{"-test.run=^Test$", "-test.count=1"}, env: []string{spec.ListOnly + "=1"}})
	if err != nil {
		return nil, nil, err
	}
	var rules []report.Rule
	var targets []report.Target
	for _, e := range end.events {
		explained := report.Explained{Name: e.Name, Why: e.Why, Points: e.Points, Section: e.Section, Hints: e.Hints[:], Verdict: report.NotRun}
		switch e.Kind {
		case spec.EventRule:
			rules = append(rules, report.Rule{Group: e.Group, Explained: explained})
		case spec.EventTarget:
			targets = append(targets, report.Target{Title: e.Title, Unit: e.Unit, Against: e.Baseline,
				Goal: string(e.Goal), Bound: e.Bound, Explained: explained})
		}
	}
	if len(rules) == 0 {
		return nil, nil, &emptySuite{end}
	}
	return rules, targets, nil
}

// emptySuite is a test binary that listed no rules: package initialisation
// ended it, or its test file was changed.
type emptySuite struct{ ending }

func (e *emptySuite) Error() string { return "the lab's test lists no rules" }

// runRule checks one rule in a process of its own, so that a crash, a data race
// or a hang is the rule's and nobody else's. started is false when the lab is
// the skeleton still; finding.Happened then says where to start.
func (c clone) runRule(ctx context.Context, b binary, name string) (verdict report.Verdict, finding report.Finding, started bool, err error) {
	end, err := c.run(ctx, b, job{args: []string{"-test.run=" + exactly("Test", name), "-test.count=1", "-test.paniconexit0"}})
	if err != nil {
		return "", finding, true, err
	}
	verdict, finding, started = c.judge(end)
	if verdict != report.Passed {
		finding.Repeat = repeatRule(b, name)
	}
	return verdict, finding, started, nil
}

func repeatRule(b binary, name string) string {
	race := ""
	if b.race {
		race = "-race "
	}
	return fmt.Sprintf("go test %s-count=1 -run '%s' ./%s", race, exactly("Test", name), b.folder)
}

// judge attributes an ending. The order matters: a race detector that ends the
// process leaves no result, and a goroutine may crash after its rule has passed.
func (c clone) judge(end ending) (verdict report.Verdict, f report.Finding, started bool) {
	result := lastResult(end.events)
	f.Millis = end.took.Milliseconds()
	if result != nil {
		f = report.Finding{Expected: result.Expected, Happened: result.Happened, Steps: result.Steps, Goroutines: c.relative(result.Dump), Millis: result.Millis}
	}
	switch {
	case strings.Contains(end.output, raceMark):
		f.Expected, f.Happened = "no data race", "two goroutines touch the same memory without ordering, and one of them writes"
		f.Stack = c.trimRace(end.output)
		return report.Race, f, true
	case result != nil && result.NotImplemented && result.Name == "":
		return report.NotYet, f, false
	case result == nil && end.timedOut:
		f.Expected, f.Happened = "the check to end", fmt.Sprintf("the whole process was stuck for %v and was ended", end.took.Round(1e9))
		return report.Hang, f, true
	case crashed(end):
		f.Expected, f.Happened = "no crash", crashLine(end.output)
		f.Stack = c.trimCrash(end.output)
		return report.Crash, f, true
	case result == nil:
		f.Expected, f.Happened = "a result", endedHow(end.status)
		f.Stack = lastLines(end.output, 20)
		return report.Crash, f, true
	case result.Hung:
		return report.Hang, f, true
	case strings.HasPrefix(result.Happened, "panic: "): // on the check's own goroutine
		panicked, stack, _ := strings.Cut(result.Happened, "\n")
		f.Happened, f.Stack = panicked, c.trim(stack)
		return report.Crash, f, true
	case result.NotImplemented:
		return report.NotYet, f, true
	case !result.OK:
		return report.Failed, f, true
	case end.status != 0:
		f.Expected, f.Happened = "a clean exit", fmt.Sprintf("the check passed, but its process ended with status %d", end.status)
		f.Stack = lastLines(end.output, 20)
		return report.Failed, f, true
	}
	return report.Passed, report.Finding{Millis: f.Millis}, true
}

// endedHow words the end of a process that left no result and no crash report.
func endedHow(status int) string {
	if status < 0 {
		return "a signal ended the process: was it out of memory (sudo dmesg | tail)?"
	}
	return fmt.Sprintf("the process ended with status %d and none: does the code call os.Exit?", status)
}

func lastResult(events []spec.Event) (last *spec.Event) {
	for i := range events {
		if events[i].Kind == spec.EventResult || events[i].Kind == spec.EventSample {
			last = &events[i]
		}
	}
	return last
}

// exactly makes a -test.run or -test.bench pattern for one subtest and no other.
func exactly(names ...string) string {
	for i, n := range names {
		names[i] = "^" + regexp.QuoteMeta(n) + "$"
	}
	return strings.Join(names, "/")
}
