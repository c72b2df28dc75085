package transcript

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/asynclab/asynclab/harness/course"
	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/profiles"
	"github.com/asynclab/asynclab/harness/report"
)

var began = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

func labs() (all []Lab) {
	for _, l := range course.Labs {
		all = append(all, Lab{Lab: l})
	}
	return all
}

func run(day, points int, outcome report.Outcome, figure report.Figure, rules map[string]report.Verdict) report.Entry {
	e := report.Entry{Time: began.AddDate(0, 0, day), Lab: "01", Side: "labs", Points: points, OutOf: 100, Outcome: outcome, Rules: rules}
	if figure.Verdict != "" {
		e.Targets = map[string]report.Figure{"idle-memory": figure}
	}
	return e
}

func html(t *testing.T, labs []Lab) string {
	page, err := Transcript{When: began.AddDate(0, 0, 30), Labs: labs}.Page()
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, page.Write(&b))
	for _, outside := range []string{"src=", "href=\"http", "@import", "url(", "ZgotmplZ", "NaN"} {
		require.NotContains(t, b.String(), outside)
	}
	return b.String()
}

func TestANewStudentIsToldWhereToBegin(t *testing.T) {
	page := html(t, labs())
	require.Contains(t, page, "make check LAB=01")
	require.Contains(t, page, "not started")
	require.NotContains(t, page, `id="lab-01"`, "no section for a lab that nobody has touched")
}

func TestALabsHistoryIsDrawn(t *testing.T) {
	all := labs()
	all[0].Runs = []report.Entry{
		run(0, 24, report.SomeFailed, report.Figure{}, map[string]report.Verdict{"EchoesEveryByte": report.Passed, "CapHolds": report.NotYet, "NothingIsLeft": report.Race}),
		run(1, 95, report.SomeFailed, report.Figure{Verdict: report.NotMet, Median: 16_000, Ratio: 2}, map[string]report.Verdict{"EchoesEveryByte": report.Passed, "CapHolds": report.Failed}),
	}
	all[0].Runs[1].First = "CapHolds"
	all[0].Last = &report.Check{Targets: []report.Target{{Title: "memory of an idle connection", Unit: "bytes/connection", Against: "solutions/01-blocking", Goal: "at most", Bound: 1.25,
		Explained: report.Explained{Name: "idle-memory"}}}}
	page := html(t, all)
	for _, want := range []string{`id="lab-01"`, "95 of 100 points", "2, from 1 March 2026 to 2 March 2026", "1 of 2 kept; not kept: <code>CapHolds</code>",
		"memory of an idle connection, as a ratio", "bound 1.25", "reference 1<", "not met", "make hint LAB=01", "95 of 1,", "<circle class=\"bad\"", "all 100"} {
		require.Contains(t, page, want)
	}
}

func TestAFinishedLabIsDone(t *testing.T) {
	all := labs()
	all[0].Runs = []report.Entry{run(0, 100, report.AllPoints, report.Figure{Verdict: report.Met, Median: 7000}, map[string]report.Verdict{"EchoesEveryByte": report.Passed})}
	page := html(t, all)
	require.Contains(t, page, `<span class="badge good">done</span>`)
	require.Regexp(t, `100 of [\d,]+ points, 1 of \d+ labs finished. 1 check;`, page)
	require.Contains(t, page, "make compare LAB=01")
	require.Contains(t, page, "idle-memory", "a target without its title is called by its name")
}

func TestTheReferencesFiguresStandBeside(t *testing.T) {
	all := labs()
	all[0].Runs = []report.Entry{run(0, 100, report.AllPoints, report.Figure{Verdict: report.Met, Median: 7000}, nil)}
	reference := run(0, 100, report.AllPoints, report.Figure{Verdict: report.Met, Median: 6999}, nil)
	reference.Side = "solutions"
	all[0].Reference = []report.Entry{reference}
	require.Contains(t, html(t, all), "reference 6,999")
}

func TestLatencyAndProfilesAreShownWhereTheyAre(t *testing.T) {
	h := meter.NewHistogram()
	for i := range int64(1000) {
		h.RecordValue(50 + i)
	}
	text, err := meter.EncodeHistogram(h)
	require.NoError(t, err)
	all := labs()
	all[0].Runs = []report.Entry{run(0, 100, report.AllPoints, report.Figure{}, nil)}
	all[0].Latency = []Latency{{Target: "echo", You: text, Reference: text}, {Target: "memory"}}
	sum := func(kernel float64) profiles.Summary {
		return profiles.Summary{Total: 1, Kinds: map[profiles.Kind]float64{profiles.Kernel: kernel, profiles.Lab: 1 - kernel},
			Packages: []profiles.Row{{Name: course.Module + "/labs/01-blocking", Kind: profiles.Lab, Part: 1 - kernel}}}
	}
	all[0].Profile = &Profile{When: began, You: sum(0.4), Reference: sum(0.8)}
	page := html(t, all)
	for _, want := range []string{"Latency, from the last make compare", "<svg", "Where the CPU time went, 1 March 2026", `title="kernel 40%"`, "01-blocking", "60.0%", "20.0%"} {
		require.Contains(t, page, want)
	}
	all[0].Profile.Reference = profiles.Summary{}
	require.NotContains(t, html(t, all), `title="kernel 80%"`)
}
