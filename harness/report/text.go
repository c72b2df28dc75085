package report

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
)

// Text renders reports for people, with colours where the writer is a terminal
// that has them and NO_COLOR is not set.
type Text struct {
	good, bad, warn, dim, bold lipgloss.Style
}

// TextFor returns the styles that suit w.
func TextFor(w io.Writer) Text {
	r := lipgloss.NewRenderer(w)
	return Text{
		good: r.NewStyle().Foreground(lipgloss.Color("2")),
		bad:  r.NewStyle().Foreground(lipgloss.Color("1")),
		warn: r.NewStyle().Foreground(lipgloss.Color("3")),
		dim:  r.NewStyle().Faint(true),
		bold: r.NewStyle().Bold(true),
	}
}

// Header opens the report of a check.
func (x Text) Header(c *Check) string {
	detector := "with the race detector"
	if c.NoRaceDetector != "" {
		detector = x.warn.Render("WITHOUT the race detector: " + c.NoRaceDetector)
	}
	return x.bold.Render("lab "+c.Dir) + "  " + c.Folder + ", " + detector
}

// RuleLine is one rule, on one line.
func (x Text) RuleLine(r Rule) string {
	earned := 0
	if r.Verdict.Good() {
		earned = r.Points
	}
	line := fmt.Sprintf("  %s %-36s %-12s %3d/%-3d %6.2f s", x.mark(r.Verdict), r.Name, r.Group, earned, r.Points, float64(r.Millis)/1000)
	if r.Verdict == Passed {
		return line
	}
	return line + "  " + x.verdict(r.Verdict)
}

// TargetLine is one target with its figures, on one line or two.
func (x Text) TargetLine(t Target) string {
	earned := 0
	if t.Verdict.Good() {
		earned = t.Points
	}
	line := fmt.Sprintf("  %s %-36s %-12s %3d/%-3d %6.2f s  %s", x.mark(t.Verdict), t.Name, "target", earned, t.Points, float64(t.Millis)/1000, x.verdict(t.Verdict))
	if t.Figure == nil {
		return line
	}
	line += "\n" + x.dim.Render("      "+figures(t))
	if also := further(t); also != "" {
		line += "\n" + x.dim.Render("      "+also)
	}
	return line
}

// further puts what else a figure without a bound came with in words, as of the
// last round.
func further(t Target) string {
	if t.Goal != string(Shown) || len(t.Rounds) == 0 {
		return ""
	}
	also := t.Rounds[len(t.Rounds)-1].Also
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(also)) {
		parts = append(parts, name+" "+Number(also[name]))
	}
	return strings.Join(parts, ", ")
}

// figures puts a target's numbers in words.
func figures(t Target) string {
	if t.Goal == string(Shown) {
		return measured(t)
	}
	return measured(t) + "; wanted " + wanted(t)
}

// measured is what came out: the median, and for a target with a bound its
// spread.
func measured(t Target) string {
	text := fmt.Sprintf("%s %s", Number(t.Figure.Median), t.Unit)
	if t.Baseline != nil {
		text += fmt.Sprintf("; %s has %s: ratio %s", t.Against, Number(t.Baseline.Median), Number(t.Spread.Median))
	}
	if t.Goal == string(Shown) {
		return text
	}
	return text + fmt.Sprintf(" (middle half of %d rounds: %s to %s)", len(t.Rounds), Number(t.Spread.Q1), Number(t.Spread.Q3))
}

// wanted is the bound in words.
func wanted(t Target) string {
	if t.Against != "" {
		return fmt.Sprintf("%s %s times %s", t.Goal, Number(t.Bound), t.Against)
	}
	return fmt.Sprintf("%s %s %s", t.Goal, Number(t.Bound), t.Unit)
}

// Number prints f with three figures, and thousands apart.
func Number(f float64) string {
	if a := math.Abs(f); a < 1000 && a != math.Trunc(a) {
		return strconv.FormatFloat(f, 'g', 3, 64)
	}
	s := strconv.FormatFloat(math.Abs(f), 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	if f < 0 {
		return "-" + s
	}
	return s
}

func (x Text) mark(v Verdict) string {
	switch {
	case v.Good():
		return x.good.Render("✓")
	case v == NotYet || v == NotRun:
		return x.dim.Render("·")
	case v == Inconclusive:
		return x.warn.Render("?")
	}
	return x.bad.Render("✗")
}

func (x Text) verdict(v Verdict) string {
	switch {
	case v == Failed:
		return x.bad.Render("wrong answer")
	case v == Inconclusive:
		return x.warn.Render("too noisy to say; close other programs and run again")
	case v == NotYet || v == NotRun || v == Shown:
		return x.dim.Render(string(v))
	case v.Good():
		return x.good.Render(string(v))
	}
	return x.bad.Render(string(v))
}

// Summary closes the report of a check: the first failure in full, the others
// in a line each (all: in full, too), the points, and what to do next.
func (x Text) Summary(c *Check, all bool) string {
	var b strings.Builder
	switch {
	case c.Outcome == NotStarted:
		fmt.Fprintf(&b, "\n%s\n%s\n", x.bold.Render(c.Message), "Nothing is broken: this is where you start.")
	case c.Message != "":
		fmt.Fprintf(&b, "\n%s\n", c.Message)
	}
	x.faults(&b, c)
	first := c.FirstFailure()
	if first != nil {
		x.failure(&b, c, first)
	}
	x.others(&b, c, first, all)
	if c.NotRun != "" {
		fmt.Fprintf(&b, "\n%s\n", prose(c.NotRun))
	}
	if len(c.Rules) > 0 {
		fmt.Fprintf(&b, "\n%s\n", x.points(c))
	}
	for _, next := range c.Next {
		fmt.Fprintf(&b, "  %s %s\n", x.dim.Render("next"), next)
	}
	return b.String()
}

func (x Text) points(c *Check) string {
	line := fmt.Sprintf("%d of %d points", c.Points, c.OutOf)
	style := x.bad
	switch c.Outcome {
	case AllPoints, TargetsSkipped, StepsPassed:
		style = x.good
	case TooNoisy:
		style = x.warn
	}
	line = style.Bold(true).Render(line)
	if c.Outcome != SomeFailed && c.Outcome != AllPoints {
		line += ", " + string(c.Outcome)
	}
	return line + fmt.Sprintf(" (%.1f s)", c.Seconds)
}

// maxFaults is enough: the first compile error often makes the others.
const maxFaults = 5

func (x Text) faults(b *strings.Builder, c *Check) {
	if len(c.Faults) == 0 {
		return
	}
	title := "go vet finds a fault:"
	if c.Outcome == NotBuilt {
		title = "it does not compile: fix the compile error first"
	}
	fmt.Fprintf(b, "\n%s\n", x.bad.Render(title))
	for i, f := range c.Faults {
		if i == maxFaults {
			fmt.Fprintf(b, "  and %d more\n", len(c.Faults)-i)
			break
		}
		at := ""
		if f.At != "" {
			at = x.bold.Render(f.At) + "\n      "
		}
		fmt.Fprintf(b, "  %s%s\n", at, indent(f.Text, "      "))
	}
}

// failure tells one failure whole.
func (x Text) failure(b *strings.Builder, c *Check, e *Explained) {
	fmt.Fprintf(b, "\n%s  %s\n", x.bold.Render(e.Name), x.verdict(e.Verdict))
	part := func(name, text string) {
		if text != "" {
			fmt.Fprintf(b, "  %s %s\n", x.dim.Render(fmt.Sprintf("%-9s", name)), indent(text, "            "))
		}
	}
	if e.Verdict == NotYet {
		part("happened", prose(e.Happened))
	} else {
		part("expected", prose(e.Expected))
		part("happened", prose(e.Happened))
	}
	part("why", prose(e.Why))
	part("steps", strings.Join(e.Steps, "\n"))
	part("where", e.Stack)
	part("goroutine", firstLines(e.Goroutines, 30))
	part("read", fmt.Sprintf("%s, %q", c.Handout, e.Section))
	part("hint", "make hint LAB="+c.Lab)
	part("repeat", e.Repeat)
}

func (x Text) others(b *strings.Builder, c *Check, first *Explained, all bool) {
	title := "\nalso failing (make check LAB=" + c.Lab + " ALL=1 shows them in full):\n"
	for _, e := range c.Explained() {
		if e == first || !e.Verdict.Bad() {
			continue
		}
		if all {
			x.failure(b, c, e)
			continue
		}
		b.WriteString(title)
		title = ""
		fmt.Fprintf(b, "  %s %-36s %s: %s\n", x.mark(e.Verdict), e.Name, x.verdict(e.Verdict), firstLines(e.Happened, 1))
	}
}

// indent moves every line but the first, empty ones not at all.
func indent(text, by string) string {
	lines := strings.Split(text, "\n")
	for i := 1; i < len(lines); i++ {
		if lines[i] != "" {
			lines[i] = by + lines[i]
		}
	}
	return strings.Join(lines, "\n")
}

// proseWidth keeps sentences readable on a usual terminal; stacks are not
// wrapped.
const proseWidth = 88

func prose(text string) string { return ansi.Wordwrap(text, proseWidth, "") }

func firstLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) <= n {
		return strings.Join(lines, "\n")
	}
	return strings.Join(lines[:n], "\n") + " ..."
}
