package main

import (
	"encoding/json"
	"os"

	"github.com/asynclab/asynclab/harness/course"
	"github.com/asynclab/asynclab/harness/report"
)

// remember keeps the whole last report, which hint and watch read, and the line
// of the history.
func (c clone) remember(r *report.Check, inHistory bool) error {
	if inHistory {
		if err := c.history().Append(report.EntryOf(r)); err != nil {
			return err
		}
	}
	if err := c.forgetHints(r); err != nil {
		return err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(c.lastReport(r.Dir, r.Side), text, 0o644)
}

func (c clone) lastReport(dir, side string) string {
	return c.state("last-" + dir + "-" + side + ".json")
}

// whatNext says what to do after a check, most useful first.
func (c clone) whatNext(r *report.Check, s side) []string {
	again := "make check LAB=" + s.Lab
	switch r.Outcome {
	case report.NotBuilt:
		return []string{"fix the compile error first, then: " + again}
	case report.NotRunnable:
		return []string{"look at package variables and init functions in " + s.Folder + ", then: " + again}
	case report.NotVetted:
		return []string{"mend what go vet says, then: " + again}
	case report.NotStarted:
		return []string{"read " + s.Handout, "keep a second terminal open with: make watch LAB=" + s.Lab}
	case report.TooNoisy:
		return []string{"close other programs and run again: " + again}
	case report.TargetsSkipped:
		return []string{"measure the targets too: " + again}
	case report.StepsPassed:
		return []string{"go on with the next step in " + s.Handout + "; all checks and the targets: " + again}
	case report.AllPoints:
		return append([]string{"see your code beside the reference: make compare LAB=" + s.Lab}, nextLab(s)...)
	case report.JudgeBroken:
		return []string{"this is hardly your code's fault: see what changed with git diff -- harness solutions " + s.Folder + "/*_test.go"}
	}
	return []string{"hint: make hint LAB=" + s.Lab}
}

func nextLab(s side) []string {
	after := false
	for _, lab := range course.Labs {
		if after && lab.Built {
			return []string{"go on with labs/" + lab.Dir() + "/README.md"}
		}
		after = after || lab.ID == s.Lab
	}
	return nil
}
