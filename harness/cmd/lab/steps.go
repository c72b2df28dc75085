package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/asynclab/asynclab/harness/course"
	"github.com/asynclab/asynclab/harness/report"
	"github.com/spf13/cobra"
)

// stepsCommand proves that a step's checks need no later step: whoever has done
// the steps up to one, and rightly, passes them, though the rest is holes.
func stepsCommand() *cobra.Command {
	var step int
	var asJSON bool
	cmd := &cobra.Command{
		Use:    "steps [LAB]",
		Short:  "for authors: each step's checks on the answer, with the holes of later steps put back",
		Hidden: true,
		Args:   cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, labs, err := findLabs(args)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				out = cmd.ErrOrStderr() // what goes on; the document comes at the end
			}
			results, err := c.stepsOf(cmd.Context(), labs, step, out)
			if err != nil {
				return err
			}
			if asJSON {
				if err := writeJSON(cmd.OutOrStdout(), results); err != nil {
					return err
				}
			}
			for _, r := range results {
				if !r.Green {
					return exit(report.ExitFailed)
				}
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&step, "step", 0, "this step alone")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array; what goes on, on stderr")
	return cmd
}

// A stepResult is what the checks of the steps up to one say of the answer
// without what belongs to later steps.
type stepResult struct {
	Lab     string       `json:"lab"`
	Step    int          `json:"step"`
	Missing []string     `json:"missing"`          // functions that are holes still
	Rules   int          `json:"rules"`            // that were run
	Green   bool         `json:"green"`            // and every one passed
	Fault   string       `json:"fault,omitempty"`  // why none could be run
	Failed  []failedRule `json:"failed,omitempty"` // in the suite's order
}

type failedRule struct {
	Name     string         `json:"name"`
	Section  string         `json:"section"`
	Verdict  report.Verdict `json:"verdict"`
	Happened string         `json:"happened"`
}

// stepsOf looks at the steps of labs, or at one of each, and prints a line for
// each.
func (c clone) stepsOf(ctx context.Context, labs []course.Lab, only int, out io.Writer) ([]stepResult, error) {
	work, done, err := c.workspace()
	if err != nil {
		return nil, err
	}
	defer done()
	show := newScreen(out)
	defer show.close()
	text := report.TextFor(out)
	results := []stepResult{}
	for _, lab := range labs {
		d, answer, err := c.deskAndAnswer(lab)
		if err != nil {
			return nil, err
		}
		for step := 1; step < d.last(); step++ {
			if only > 0 && step != only {
				continue
			}
			r, err := c.step(ctx, work, lab, d, answer, step, show)
			if err != nil {
				return nil, err
			}
			results = append(results, r)
			show.line(stepLine(r, lab, text))
		}
		if only >= d.last() {
			show.line(fmt.Sprintf("lab %s step %d: no hole is left: this is make check LAB=%s SIDE=solutions", lab.Dir(), only, lab.ID))
		}
	}
	return results, nil
}

func (c clone) deskAndAnswer(lab course.Lab) (d desk, answer sources, err error) {
	noTest := func(name string) bool { return !strings.HasSuffix(name, "_test.go") }
	files, err := goFilesOf(c.path(lab.Path("labs")), noTest)
	if err != nil {
		return d, nil, err
	}
	if d, err = deskIn(files); err != nil {
		return d, nil, err
	}
	if d.last() < 2 {
		return d, nil, fmt.Errorf("%s has no hole of a later step than 1, so it is not the skeleton: make reset LAB=%s puts that back", lab.Path("labs"), lab.ID)
	}
	answer, err = goFilesOf(c.path(lab.Path("solutions")), noTest)
	return d, answer, err
}

// step builds the answer with the holes of later steps, and runs the rules of
// the steps up to step. Its error is for what no rule is to blame for.
func (c clone) step(ctx context.Context, work string, lab course.Lab, d desk, answer sources, step int, show *screen) (stepResult, error) {
	r := stepResult{Lab: lab.ID, Step: step, Missing: d.after(step)}
	files, err := unfilled(answer, d, step)
	if err != nil {
		return r, fmt.Errorf("lab %s: %w", lab.Dir(), err)
	}
	folder := lab.Path("solutions")
	if c.overlay, err = overlay(work, c.path(folder), files); err != nil {
		return r, err
	}
	show.status("lab %s step %d: building", lab.Dir(), step)
	b, err := c.build(ctx, work, folder, c.noRace(ctx) == "")
	var compiler *buildError
	if errors.As(err, &compiler) {
		r.Fault = compiler.Error()
		return r, nil
	}
	if err != nil {
		return r, err
	}
	rules, _, err := c.list(ctx, b)
	if err != nil {
		return r, fmt.Errorf("lab %s step %d: %w", lab.Dir(), step, err)
	}
	for i, rule := range rules {
		if rule.Step() > step {
			continue
		}
		show.status("lab %s step %d: %d of %d  %s", lab.Dir(), step, i+1, len(rules), rule.Name)
		verdict, finding, _, err := c.runRule(ctx, b, rule.Name)
		if err != nil {
			return r, err
		}
		r.Rules++
		if verdict != report.Passed {
			r.Failed = append(r.Failed, failedRule{rule.Name, rule.Section, verdict, finding.Happened})
		}
	}
	r.Green = r.Rules > 0 && len(r.Failed) == 0
	return r, nil
}

// overlay stores files in dir and writes there what tells the go command to
// take them for those of folder (go help build, -overlay). Nothing is copied,
// and folder is not touched.
func overlay(dir, folder string, files sources) (string, error) {
	dir, err := os.MkdirTemp(dir, "overlay-")
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for name, text := range files {
		replace[filepath.Join(folder, name)] = filepath.Join(dir, name)
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return "", err
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	list := filepath.Join(dir, "overlay.json")
	return list, os.WriteFile(list, text, 0o644)
}

// stepLine says it in one line, and one more for each rule that failed.
func stepLine(r stepResult, lab course.Lab, text report.Text) string {
	head := fmt.Sprintf("lab %s step %d", lab.Dir(), r.Step)
	left := fmt.Sprintf("holes of later steps: %d", len(r.Missing))
	red := fmt.Sprintf("%s %s: red, ", text.Bad("✗"), head)
	switch {
	case r.Green:
		return fmt.Sprintf("%s %s: green, %d rules, %s", text.Good("✓"), head, r.Rules, text.Dim(left))
	case r.Fault != "":
		return red + "it does not compile: " + r.Fault
	case r.Rules == 0:
		return red + "it has no rule"
	}
	line := red + fmt.Sprintf("%d of %d rules failed, %s", len(r.Failed), r.Rules, text.Dim(left))
	for _, f := range r.Failed {
		line += fmt.Sprintf("\n    %s (%s; %s): %s", f.Name, f.Section, f.Verdict, shortened(f.Happened, 120))
	}
	return line
}
