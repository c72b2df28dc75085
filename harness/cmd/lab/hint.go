package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/asynclab/asynclab/harness/course"
	"github.com/asynclab/asynclab/harness/report"
	"github.com/spf13/cobra"
)

func hintCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "hint [LAB]",
		Short: "the next hint for the first check that failed",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := findClone()
			if err != nil {
				return err
			}
			lab, err := labNamed(args, c.lastChecked)
			if err != nil {
				return err
			}
			s, err := sideOf(lab, "labs")
			if err != nil {
				return err
			}
			return c.hint(s, cmd.OutOrStdout())
		},
	}
}

// lastChecked is the lab of the student's last run; before any, the first lab.
func (c clone) lastChecked() (course.Lab, error) {
	var newest time.Time
	last := course.Labs[0]
	for _, lab := range course.Labs {
		info, err := os.Stat(c.lastReport(lab.Dir(), "labs"))
		if err == nil && info.ModTime().After(newest) {
			last, newest = lab, info.ModTime()
		}
	}
	return last, nil
}

// hint shows one more hint for the check to work on after the last run.
func (c clone) hint(s side, out io.Writer) error {
	last, err := c.readReport(s)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("lab %s has no result yet: run make check LAB=%s first", s.Dir, s.Lab)
	}
	if err != nil {
		return err
	}
	e := hinted(last)
	if e == nil {
		fmt.Fprintf(out, "lab %s: nothing to hint at, the last run ended with: %s\n", s.Dir, last.Outcome)
		return nil
	}
	given, err := c.hintsGiven()
	if err != nil {
		return err
	}
	was := given[s.Lab]
	if was.Check != e.Name {
		was = hintGiven{Check: e.Name}
	}
	tier := min(was.Tier+1, len(e.Hints))
	fmt.Fprintf(out, "lab %s, %s (%s): hint %d of %d\n\n  %s\n\n", s.Dir, e.Name, e.Verdict, tier, len(e.Hints), e.Hints[tier-1])
	if tier < len(e.Hints) {
		fmt.Fprintf(out, "read %s, %q; then make hint LAB=%s again for more\n", s.Handout, e.Section, s.Lab)
	} else {
		fmt.Fprintf(out, "that was the last hint for this check: read %s, %q again,\n"+
			"look at the reference in solutions/%s, see it measured beside yours with make compare LAB=%s,\n"+
			"or take it over with make adopt LAB=%s (your code is kept)\n", s.Handout, e.Section, s.Dir, s.Lab, s.Lab)
	}
	given[s.Lab] = hintGiven{Check: e.Name, Tier: tier}
	return c.keepHints(given)
}

// hinted is the check to hint at: the first failure, or for a lab that was not
// started, its first rule.
func hinted(r *report.Check) *report.Explained {
	if e := r.FirstFailure(); e != nil && len(e.Hints) > 0 {
		return e
	}
	if r.Outcome == report.NotStarted && len(r.Rules) > 0 {
		return &r.Rules[0].Explained
	}
	return nil
}

func (c clone) readReport(s side) (*report.Check, error) {
	text, err := os.ReadFile(c.lastReport(s.Dir, s.Name))
	if err != nil {
		return nil, err
	}
	var r report.Check
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%s is damaged (make check LAB=%s writes it anew): %w", c.lastReport(s.Dir, s.Name), s.Lab, err)
	}
	return &r, nil
}

// hintGiven is how far the hints for a lab's current check have gone.
type hintGiven struct {
	Check string `json:"check"`
	Tier  int    `json:"tier"` // 1 to 3
}

// hintsGiven is by the lab's ID.
func (c clone) hintsGiven() (map[string]hintGiven, error) {
	given := map[string]hintGiven{}
	text, err := os.ReadFile(c.state("hints.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return given, nil
	}
	if err == nil && json.Unmarshal(text, &given) != nil {
		return map[string]hintGiven{}, nil // damaged: begin with the first hint again
	}
	return given, err
}

func (c clone) keepHints(given map[string]hintGiven) error {
	text, err := json.Marshal(given)
	if err != nil {
		return err
	}
	return os.WriteFile(c.state("hints.json"), text, 0o644)
}

// forgetHints starts a check's hints over once the student's code passes it.
func (c clone) forgetHints(r *report.Check) error {
	if r.Side != "labs" {
		return nil
	}
	given, err := c.hintsGiven()
	if err != nil {
		return err
	}
	for _, e := range r.Explained() {
		if e.Name == given[r.Lab].Check && e.Verdict.Good() {
			delete(given, r.Lab)
			return c.keepHints(given)
		}
	}
	return nil
}
