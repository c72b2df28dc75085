package main

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/asynclab/asynclab/harness/report"
	"github.com/asynclab/asynclab/harness/spec"
	"github.com/stretchr/testify/require"
)

// testClone is this repository with a private folder of the test's own.
func testClone(t *testing.T) clone {
	c, err := findClone()
	require.NoError(t, err)
	c.private = t.TempDir()
	return c
}

// fake is a throw-away lab below testdata that stands for lab 01.
func fake(name string) side {
	return side{Lab: "01", Dir: "01-blocking", Name: "labs", Folder: "harness/cmd/lab/testdata/" + name, Handout: "labs/01-blocking/README.md"}
}

func check(t *testing.T, c clone, s side, o checkOptions) (*report.Check, string) {
	var out bytes.Buffer
	r, err := c.checkAndSave(t.Context(), s, o, &out)
	require.NoError(t, err)
	return r, out.String()
}

// compiled builds a throw-away lab with the race detector.
func compiled(t *testing.T, c clone, name string, race bool) binary {
	b, err := c.build(t.Context(), t.TempDir(), fake(name).Folder, race)
	require.NoError(t, err)
	return b
}

func TestEveryEndingIsAttributedToItsRule(t *testing.T) {
	t.Parallel()
	c := testClone(t)
	b := compiled(t, c, "mixed", true)
	for rule, want := range map[string]struct {
		verdict         report.Verdict
		happened, stack string
	}{
		"Passes":         {verdict: report.Passed},
		"AnswersWrongly": {report.Failed, "it was 8", ""},
		"IsNotThereYet":  {report.NotYet, "not implemented: step 3, admission", ""},
		"Crashes":        {report.Crash, "panic: runtime error: invalid memory address", "mixed.explode"},
		"Races":          {report.Race, "without ordering", "testdata/mixed/mixed_test.go:"},
		"Exits":          {report.Crash, "panic: unexpected call to os.Exit(0)", "mixed_test.go"},
	} {
		t.Run(rule, func(t *testing.T) {
			verdict, finding, started, err := c.runRule(t.Context(), b, rule)
			require.NoError(t, err)
			require.True(t, started)
			require.Equal(t, want.verdict, verdict, "%+v", finding)
			require.Contains(t, finding.Happened, want.happened)
			require.Contains(t, finding.Stack, want.stack)
			require.NotContains(t, finding.Stack, c.root, "paths are relative to the clone")
			require.NotContains(t, finding.Stack, "src/runtime/", "the student's frames alone")
			if verdict != report.Passed {
				require.Equal(t, "go test -race -count=1 -run '^Test$/^"+rule+"$' ./"+b.folder, finding.Repeat)
			}
		})
	}
}

func TestAProcessThatSticksIsEndedAndIsAHang(t *testing.T) {
	t.Parallel()
	c := testClone(t)
	b := compiled(t, c, "mixed", true)
	end, err := c.run(t.Context(), b, job{args: []string{"-test.run=" + exactly("Test", "Sticks")}, limit: 2 * time.Second})
	require.NoError(t, err)
	verdict, finding, _ := c.judge(end)
	require.Equal(t, report.Hang, verdict)
	require.Contains(t, finding.Happened, "stuck")
}

func TestAHangThatTheSuiteFoundIsAHang(t *testing.T) {
	end := ending{status: 1, events: []spec.Event{{Kind: spec.EventResult, Name: "X", Hung: true, Happened: "it hangs", Dump: "goroutine 7"}}}
	verdict, finding, _ := clone{root: "/clone"}.judge(end)
	require.Equal(t, report.Hang, verdict)
	require.Equal(t, "goroutine 7", finding.Goroutines)
}

func TestOutputThatMentionsAPanicIsNoCrash(t *testing.T) {
	end := ending{status: 1, output: "panic: says the student's log\n", events: []spec.Event{{Kind: spec.EventResult, Name: "X", Happened: "wrong"}}}
	verdict, _, _ := clone{root: "/clone"}.judge(end)
	require.Equal(t, report.Failed, verdict)
}

func TestASkeletonFailsAtOnceWithOneSentence(t *testing.T) {
	t.Parallel()
	r, out := check(t, testClone(t), fake("skeleton"), checkOptions{})
	require.Equal(t, report.NotStarted, r.Outcome)
	require.Equal(t, report.ExitFailed, r.Exit)
	require.Contains(t, out, "not implemented: start at labs/01-blocking/README.md, step 1\nNothing is broken: this is where you start.\n")
}

func TestACompileErrorIsShownWithItsPlace(t *testing.T) {
	t.Parallel()
	r, out := check(t, testClone(t), fake("uncompiled"), checkOptions{})
	require.Equal(t, report.NotBuilt, r.Outcome)
	require.Equal(t, report.ExitFailed, r.Exit)
	require.Equal(t, "harness/cmd/lab/testdata/uncompiled/uncompiled.go:4:28", r.Faults[0].At)
	require.Contains(t, out, "fix the compile error first")
}

func TestAVetFaultIsAVerdictOfItsOwn(t *testing.T) {
	t.Parallel()
	r, _ := check(t, testClone(t), fake("unvetted"), checkOptions{})
	require.Equal(t, report.NotVetted, r.Outcome)
	require.Equal(t, report.ExitFailed, r.Exit)
	require.Contains(t, r.Faults[0].At, "unvetted_test.go")
}

func TestJSONIsOneDocument(t *testing.T) {
	t.Parallel()
	_, out := check(t, testClone(t), fake("skeleton"), checkOptions{json: true})
	var r report.Check
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	require.Equal(t, "First", r.Rules[0].Name)
}

func TestTargetsAreComparedInAlternation(t *testing.T) {
	t.Parallel()
	c := testClone(t)
	own, other := compiled(t, c, "mixed", false), compiled(t, c, "slower", false)
	target := report.Target{Against: other.folder, Goal: "at least", Bound: 2, Explained: report.Explained{Name: "high-enough"}}
	require.NoError(t, c.decideTarget(t.Context(), pair{own: own, other: &other}, &target, func(int) {}))
	require.Equal(t, report.Met, target.Verdict)
	require.Len(t, target.Rounds, report.FirstRounds)
	require.Equal(t, 4.0, target.Spread.Median)
	require.Equal(t, 3.0, target.Baseline.Median)

	absolute := report.Target{Goal: "at most", Bound: 10, Explained: report.Explained{Name: "too-high"}}
	require.NoError(t, c.decideTarget(t.Context(), pair{own: own}, &absolute, func(int) {}))
	require.Equal(t, report.NotMet, absolute.Verdict)
}

func TestABaselineWithoutTheFigureIsNotTheStudentsFault(t *testing.T) {
	t.Parallel()
	c := testClone(t)
	own, other := compiled(t, c, "mixed", false), compiled(t, c, "slower", false)
	target := report.Target{Against: other.folder, Goal: "at most", Bound: 2, Explained: report.Explained{Name: "too-high"}}
	require.NoError(t, c.decideTarget(t.Context(), pair{own: own, other: &other}, &target, func(int) {}))
	require.Equal(t, report.Broken, target.Verdict)
}

func TestCommandsThatCannotRunSayWhatToDoAndExitWith2(t *testing.T) {
	for want, args := range map[string][]string{
		"planned but not built yet": {"check", "16"},
		"the labs are 01-blocking":  {"check", "99"},
		"SIDE=solutions":            {"check", "01", "--side", "mine"},
		"unknown flag":              {"check", "--wrong"},
		"adopt which lab?":          {"adopt"},
		"say --write":               {"skeletons"},
	} {
		var out, complaint bytes.Buffer
		require.Equal(t, report.ExitUsage, execute(t.Context(), args, &out, &complaint), args)
		require.Contains(t, complaint.String(), want)
	}
}

func TestCtrlCEndsTheProcessAndCleansUp(t *testing.T) {
	t.Parallel()
	c := testClone(t)
	b := compiled(t, c, "mixed", true)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := c.run(ctx, b, job{args: []string{"-test.run=" + exactly("Test", "Sticks")}, onEvent: func(spec.Event) { cancel() }})
	require.ErrorIs(t, err, context.Canceled)
}

func TestACrashBeforeTheFirstRuleIsShown(t *testing.T) {
	t.Parallel()
	r, out := check(t, testClone(t), fake("unrunnable"), checkOptions{})
	require.Equal(t, report.NotRunnable, r.Outcome)
	require.Equal(t, report.ExitFailed, r.Exit)
	require.Contains(t, out, "assignment to entry in nil map")
	require.Contains(t, out, "unrunnable_test.go:8")
}

func TestASignalIsNoExit(t *testing.T) {
	verdict, finding, _ := clone{root: "/clone"}.judge(ending{status: -1})
	require.Equal(t, report.Crash, verdict)
	require.Contains(t, finding.Happened, "signal")
}

func TestTargetsAreMeasuredOnlyWhenTheRulesPassOrWhenAsked(t *testing.T) {
	t.Parallel()
	c := testClone(t)
	_, err := c.readReport(fake("slower"))
	require.Error(t, err)
	r, _ := check(t, c, fake("slower"), checkOptions{noTargets: true})
	require.Equal(t, report.TargetsSkipped, r.Outcome)
	require.Equal(t, report.NotRun, r.Targets[0].Verdict)
	last, err := c.readReport(fake("slower"))
	require.NoError(t, err)
	require.Equal(t, r, last)
}

// watchUntil is what watch prints to; it ends the watch when it has seen text.
type watchUntil struct {
	bytes.Buffer
	text string
	end  func()
}

func (w *watchUntil) Write(p []byte) (int, error) {
	w.Buffer.Write(p)
	if bytes.Contains(w.Bytes(), []byte(w.text)) {
		w.end()
	}
	return len(p), nil
}

func TestWatchChecksAndWaits(t *testing.T) {
	t.Parallel()
	c := testClone(t)
	ctx, end := context.WithCancel(t.Context())
	defer end()
	out := &watchUntil{text: "watching " + fake("skeleton").Folder, end: end}
	require.NoError(t, c.watch(ctx, fake("skeleton"), 0, out))
	require.Contains(t, out.String(), "not implemented: start at labs/01-blocking/README.md, step 1")
	all, err := c.history().Entries()
	require.NoError(t, err)
	require.Empty(t, all, "a watched run is no line in the history")
}

func TestWhoIsMeasuredFirstAlternatesAlsoAgainstItself(t *testing.T) {
	t.Setenv("COUNT", t.TempDir()+"/count")
	c := testClone(t)
	b := compiled(t, c, "counting", false)
	target := report.Target{Against: b.folder, Goal: "at least", Bound: 0.5, Explained: report.Explained{Name: "count"}}
	require.NoError(t, c.decideTarget(t.Context(), pair{own: b, other: &b}, &target, func(int) {}))
	for i, want := range []report.Round{{Figure: 1, Baseline: 2}, {Figure: 4, Baseline: 3}, {Figure: 5, Baseline: 6}} {
		require.Equal(t, want.Figure, target.Rounds[i].Figure)
		require.Equal(t, want.Baseline, target.Rounds[i].Baseline)
	}
}

func TestAStepIsCheckedWithThoseBeforeIt(t *testing.T) {
	t.Parallel()
	c := testClone(t)
	r, out := check(t, c, fake("steps"), checkOptions{step: 1})
	require.Equal(t, report.StepsPassed, r.Outcome)
	require.Equal(t, report.ExitPassed, r.Exit)
	require.Equal(t, report.NotRun, r.Rules[1].Verdict)
	require.Contains(t, out, "a step after 1 was not run")
	r, _ = check(t, c, fake("steps"), checkOptions{step: 2})
	require.Equal(t, report.SomeFailed, r.Outcome)
}

func TestPatienceEndsForLaterStepsOnly(t *testing.T) {
	rule := func(section string, v report.Verdict, millis int64) *report.Rule {
		r := &report.Rule{Explained: report.Explained{Section: section, Verdict: v}}
		r.Millis = millis
		return r
	}
	k := &checker{report: &report.Check{}}
	var p patience
	p.saw(rule("Step 1: a", report.Passed, 600_000))
	p.saw(rule("Step 3: c", report.Failed, 29_000))
	require.False(t, k.leftOut(rule("Step 4: d", "", 0), &p))
	p.saw(rule("Step 2: b", report.Hang, 60_000))
	require.False(t, k.leftOut(rule("Step 2: b", "", 0), &p))
	require.Empty(t, k.report.NotRun)
	require.True(t, k.leftOut(rule("Step 3: c", "", 0), &p))
	require.Contains(t, k.report.NotRun, "the steps after 2 were not run")
	k.o.all = true
	require.False(t, k.leftOut(rule("Step 3: c", "", 0), &p))
}
