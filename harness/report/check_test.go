package report

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write testdata/*.golden anew")

func rule(name string, v Verdict, points int) Rule {
	return Rule{Group: "echo", Explained: Explained{Name: name, Verdict: v, Points: points, Why: "a peer counts its bytes", Section: "Step 1: echo"}}
}

func target(v Verdict) Target {
	return Target{Explained: Explained{Name: "memory", Verdict: v, Points: 5}}
}

func TestConclude(t *testing.T) {
	for _, c := range []struct {
		name    string
		check   Check
		outcome Outcome
		points  int
		exit    int
	}{
		{"all there", Check{Rules: []Rule{rule("A", Passed, 10)}, Targets: []Target{target(Met)}}, AllPoints, 15, 0},
		{"a wrong answer", Check{Rules: []Rule{rule("A", Passed, 10), rule("B", Failed, 5)}}, SomeFailed, 10, 1},
		{"a data race", Check{Rules: []Rule{rule("A", Race, 10)}}, SomeFailed, 0, 1},
		{"not there yet", Check{Rules: []Rule{rule("A", NotYet, 10)}}, SomeFailed, 0, 1},
		{"a target missed", Check{Rules: []Rule{rule("A", Passed, 10)}, Targets: []Target{target(NotMet)}}, SomeFailed, 10, 1},
		{"a noisy target", Check{Rules: []Rule{rule("A", Passed, 10)}, Targets: []Target{target(Inconclusive)}}, TooNoisy, 10, 3},
		{"failed and noisy is failed", Check{Rules: []Rule{rule("A", Failed, 10)}, Targets: []Target{target(Inconclusive)}}, SomeFailed, 0, 1},
		{"targets not asked for", Check{Rules: []Rule{rule("A", Passed, 10)}, Targets: []Target{target(NotRun)}}, TargetsSkipped, 10, 0},
		{"a broken baseline", Check{Rules: []Rule{rule("A", Passed, 10)}, Targets: []Target{target(Broken)}}, JudgeBroken, 10, 2},
		{"vet", Check{Rules: []Rule{rule("A", Passed, 10)}, Faults: []Fault{{Text: "x"}}}, NotVetted, 10, 1},
		{"not compiled", Check{Outcome: NotBuilt}, NotBuilt, 0, 1},
		{"not started", Check{Outcome: NotStarted, Rules: []Rule{rule("A", NotRun, 10)}}, NotStarted, 0, 1},
	} {
		c.check.Conclude()
		require.Equal(t, c.outcome, c.check.Outcome, c.name)
		require.Equal(t, c.points, c.check.Points, c.name)
		require.Equal(t, c.exit, c.check.Exit, c.name)
	}
}

func TestAWrongAnswerComesBeforeWhatIsNotThereYet(t *testing.T) {
	c := Check{Rules: []Rule{rule("A", Passed, 1), rule("B", NotYet, 1), rule("C", Crash, 1)}}
	require.Equal(t, "C", c.FirstFailure().Name)
	c.Rules[2].Verdict = Passed
	require.Equal(t, "B", c.FirstFailure().Name)
	c.Rules[1].Verdict = Passed
	require.Nil(t, c.FirstFailure())
}

// failing is a check with one of each.
func failing() *Check {
	c := &Check{Lab: "01", Dir: "01-blocking", Folder: "labs/01-blocking", Handout: "labs/01-blocking/README.md", Seconds: 4.25,
		Rules:   []Rule{rule("EchoesEveryByte", Passed, 10), rule("SlowReaderIsWaitedFor", Failed, 10), rule("CapHolds", NotYet, 8), rule("NothingIsLeft", Race, 6)},
		Targets: []Target{{Title: "memory", Unit: "bytes", Against: "solutions/01-blocking", Goal: "at most", Bound: 0.125, Explained: Explained{Name: "memory", Points: 4}}},
		Next:    []string{"hint: make hint LAB=01"}}
	c.Rules[1].Finding = Finding{Expected: "64 MiB", Happened: "1 MiB, then EOF\nand a second line", Steps: []string{"connect", "send 64 MiB"},
		Goroutines: "goroutine 9 [IO wait]:", Repeat: "go test -race -run X ./labs/01-blocking"}
	c.Rules[2].Finding = Finding{Happened: "not implemented: step 3, admission"}
	c.Rules[3].Finding = Finding{Happened: "two goroutines touch the same memory", Stack: "WARNING: DATA RACE\nserver.go:7"}
	for _, ratio := range []float64{0.5, 0.6, 0.7} {
		c.Targets[0].Rounds = append(c.Targets[0].Rounds, Round{Figure: 1e6 * ratio, Baseline: 1e6, Ratio: ratio})
	}
	c.Targets[0].Settle([]float64{0.5, 0.6, 0.7}, Bound{Value: 0.125})
	c.Conclude()
	return c
}

func TestTextOfAFailingCheck(t *testing.T) {
	for name, all := range map[string]bool{"failing": false, "failing-all": true} {
		c := failing()
		x := TextFor(&bytes.Buffer{})
		text := x.Header(c) + "\n"
		for _, r := range c.Rules {
			text += x.RuleLine(r) + "\n"
		}
		for _, g := range c.Targets {
			text += x.TargetLine(g) + "\n"
		}
		golden(t, name, text+x.Summary(c, all))
	}
}

func golden(t *testing.T, name, got string) {
	path := filepath.Join("testdata", name+".golden")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "go test ./harness/report -update writes it")
	require.Equal(t, string(want), got)
}

func TestNumber(t *testing.T) {
	for want, f := range map[string]float64{"0": 0, "0.125": 0.125, "12.3": 12.34, "7": 7, "-1,234": -1234.2, "1,234,567": 1234567.4, "999": 999} {
		require.Equal(t, want, Number(f))
	}
}

func TestHistoryKeepsEntriesAndPassesOverDamage(t *testing.T) {
	h := History{Path: filepath.Join(t.TempDir(), "private", "history.jsonl")}
	none, err := h.Entries()
	require.NoError(t, err)
	require.Empty(t, none)

	c := failing()
	c.Time, c.Side = time.Unix(1_700_000_000, 0).UTC(), "labs"
	require.NoError(t, h.Append(EntryOf(c)))
	f, err := os.OpenFile(h.Path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString("{\"lab\":\"0\n")
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.NoError(t, h.Append(Entry{Lab: "02"}))

	all, err := h.Entries()
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.Equal(t, EntryOf(c), all[0])
	require.Equal(t, "SlowReaderIsWaitedFor", all[0].First)
	require.InDelta(t, 0.6, all[0].Targets["memory"].Ratio, 1e-9)
}

func TestStandingsKnowBestAndLast(t *testing.T) {
	s := Standings([]Entry{
		{Lab: "01", Side: "labs", Points: 40},
		{Lab: "01", Side: "labs", Points: 100, Outcome: AllPoints},
		{Lab: "01", Side: "labs", Points: 60},
		{Lab: "01", Side: "solutions", Points: 100, Outcome: AllPoints},
	}, "labs")["01"]
	require.Equal(t, 3, s.Runs)
	require.Equal(t, 100, s.Best.Points)
	require.Equal(t, 60, s.Last.Points)
	require.True(t, s.Done())
}

func TestTableAlignsColumnsAndTrimsLines(t *testing.T) {
	x := TextFor(&bytes.Buffer{})
	table := Table{Head: []string{"a", "bb", ""}}
	table.Add("wide", x.Good("x"), "")
	require.Equal(t, "  a     bb\n  wide  x\n", x.Table(table))
}
