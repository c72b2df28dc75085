package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/asynclab/asynclab/harness/report"
	"github.com/spf13/cobra"
)

// checkOptions is what the student may ask for.
type checkOptions struct {
	side      string
	json      bool
	all       bool // every failure in full
	targets   bool // also when a rule failed
	noTargets bool
	step      int             // the rules up to this step of the handout, and no targets; 0 for all
	watched   bool            // one of many runs: no line in the history
	first     map[string]bool // rules to run before the others; nil for the suite's order
}

func checkCommand() *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "check [LAB]",
		Short: "build, check every rule, measure the targets, count the points",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := findClone()
			if err != nil {
				return err
			}
			lab, err := labNamed(args, c.nextUnfinished)
			if err != nil {
				return err
			}
			s, err := sideOf(lab, o.side)
			if err != nil {
				return err
			}
			r, err := c.checkAndSave(cmd.Context(), s, o, cmd.OutOrStdout())
			if err != nil {
				return err
			}
			return ended(r.Exit)
		},
	}
	sideFlag(cmd, &o.side)
	cmd.Flags().BoolVar(&o.json, "json", false, "print one JSON document and nothing else")
	cmd.Flags().BoolVar(&o.all, "all", false, "run every check, however long, and show every failure in full")
	stepFlag(cmd, &o.step)
	cmd.Flags().BoolVar(&o.targets, "targets", false, "measure the targets even when a rule fails")
	cmd.Flags().BoolVar(&o.noTargets, "no-targets", false, "check the rules only")
	return cmd
}

func sideFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "side", "labs", "labs (yours) or solutions (the reference)")
}

func stepFlag(cmd *cobra.Command, to *int) {
	cmd.Flags().IntVar(to, "step", 0, "only the checks up to this step of the handout, and no targets")
}

// checkAndSave checks one side, prints the report, and remembers it.
func (c clone) checkAndSave(ctx context.Context, s side, o checkOptions, out io.Writer) (*report.Check, error) {
	shown := out
	if o.json {
		shown = io.Discard
	}
	k := newChecker(c, s, o, shown)
	defer k.screen.close()
	err := k.check(ctx)
	if err != nil {
		return nil, err
	}
	if !o.watched {
		k.report.Next = c.whatNext(k.report, s)
	}
	if err := c.remember(k.report, !o.watched && o.step == 0); err != nil {
		return nil, fmt.Errorf("remember the result in %s: %w", c.state(), err)
	}
	k.screen.status("")
	if o.json {
		return k.report, writeJSON(out, k.report)
	}
	fmt.Fprint(out, k.text.Summary(k.report, o.all))
	return k.report, nil
}

// A checker is one check of one side.
type checker struct {
	clone
	side   side
	o      checkOptions
	screen *screen
	text   report.Text
	report *report.Check
	race   bool
	work   string // folder of the binaries
}

func newChecker(c clone, s side, o checkOptions, out io.Writer) *checker {
	return &checker{clone: c, side: s, o: o, screen: newScreen(out), text: report.TextFor(out),
		report: &report.Check{Format: 1, Time: time.Now().UTC().Truncate(time.Second), Lab: s.Lab, Dir: s.Dir, Side: s.Name, Folder: s.Folder, Handout: s.Handout,
			Rules: []report.Rule{}, Targets: []report.Target{}}}
}

// check fills the report. Its error is for what is not the lab's fault.
func (k *checker) check(ctx context.Context) error {
	began := time.Now()
	work, done, err := k.workspace()
	if err != nil {
		return err
	}
	defer done()
	k.work = work
	k.report.NoRaceDetector = k.noRace(ctx)
	k.race = k.report.NoRaceDetector == ""
	k.screen.line(k.text.Header(k.report))

	err = k.stages(ctx)
	var compiler *buildError
	var empty *emptySuite
	switch {
	case errors.As(err, &compiler):
		k.report.Outcome, k.report.Faults = report.NotBuilt, k.relativeFaults(compiler.faults)
	case errors.As(err, &empty) && crashed(empty.ending):
		k.report.Outcome, k.report.Message = report.NotRunnable, "the package crashes before the first rule:\n"+k.trimCrash(empty.output)
	case errors.As(err, &empty):
		k.report.Outcome, k.report.Message = report.JudgeBroken, empty.Error()+":\n"+lastLines(empty.output, 20)
	case err != nil:
		return err
	}
	k.report.Conclude()
	k.report.Seconds = time.Since(began).Seconds()
	return nil
}

// stages goes from source to verdicts: build, list, rules and vet, targets.
func (k *checker) stages(ctx context.Context) error {
	k.screen.status("building %s (the first time takes longest)", k.side.Folder)
	b, err := k.build(ctx, k.work, k.side.Folder, k.race)
	if err != nil {
		return err
	}
	k.report.Rules, k.report.Targets, err = k.list(ctx, b)
	if err != nil {
		return err
	}
	if err := k.rules(ctx, b); err != nil || k.report.Outcome == report.NotStarted {
		return err
	}
	failed := k.report.FirstFailure() != nil || len(k.report.Faults) > 0
	if k.o.noTargets || k.o.step > 0 || failed && !k.o.targets || len(k.report.Targets) == 0 {
		return nil
	}
	return k.targets(ctx)
}

// rules checks them all. The first answer says whether the lab was started;
// only then is go vet worth its time.
func (k *checker) rules(ctx context.Context, b binary) error {
	vetted := false
	var p patience
	for n, i := range k.order() {
		r := &k.report.Rules[i]
		if k.leftOut(r, &p) {
			continue
		}
		k.screen.status("%d of %d  %s", n+1, len(k.report.Rules), r.Name)
		verdict, finding, started, err := k.runRule(ctx, b, r.Name)
		if err != nil {
			return err
		}
		if !started {
			k.report.Outcome = report.NotStarted
			k.report.Message = strings.Replace(finding.Happened, "README.md", k.side.Handout, 1)
			return nil
		}
		r.Verdict, r.Finding = verdict, finding
		p.saw(r)
		k.screen.line(k.text.RuleLine(*r))
		if !vetted {
			vetted = true
			if err := k.vet(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// leftOut reports whether r is not to be run, and notes why.
func (k *checker) leftOut(r *report.Rule, p *patience) bool {
	switch {
	case k.o.step > 0 && r.Step() > k.o.step:
		k.report.NotRun = fmt.Sprintf("what belongs to a step after %d was not run", k.o.step)
	case k.o.all || !p.over(r):
		return false
	default:
		k.report.NotRun = fmt.Sprintf("a check that fails often waits for a long time, so the checks of the steps after %d were not run (make check LAB=%s ALL=1 runs them)", p.step, k.side.Lab)
	}
	return true
}

// patience is how long a student at an early step waits for checks that cannot
// succeed yet: once failures have taken so much time, later steps are left out.
type patience struct {
	spent time.Duration // on checks that failed
	step  int           // of the first of them
}

const enough = 30 * time.Second

func (p *patience) saw(r *report.Rule) {
	if !r.Verdict.Bad() {
		return
	}
	if p.spent == 0 || r.Step() < p.step {
		p.step = r.Step()
	}
	p.spent += max(1, time.Duration(r.Millis)*time.Millisecond)
}

func (p *patience) over(r *report.Rule) bool { return p.spent >= enough && r.Step() > p.step }

// order is the suite's, with the rules asked for first in front.
func (k *checker) order() []int {
	var first, rest []int
	for i, r := range k.report.Rules {
		if k.o.first[r.Name] {
			first = append(first, i)
		} else {
			rest = append(rest, i)
		}
	}
	return append(first, rest...)
}

func (k *checker) vet(ctx context.Context) error {
	k.screen.status("go vet ./%s", k.side.Folder)
	out, err := k.goTool(ctx, "vet", "./"+k.side.Folder)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		k.report.Faults = k.relativeFaults(faultsIn(out))
	}
	return nil
}

func (k *checker) relativeFaults(faults []report.Fault) []report.Fault {
	for i := range faults {
		faults[i].At = k.relative(faults[i].At)
		faults[i].Text = k.relative(faults[i].Text)
	}
	return faults
}

// targets measures them all, without the race detector, whose cost would be
// the figure.
func (k *checker) targets(ctx context.Context) error {
	k.screen.status("building without the race detector, to measure")
	own, err := k.build(ctx, k.work, k.side.Folder, false)
	if err != nil {
		return err
	}
	built := map[string]binary{own.folder: own}
	for i := range k.report.Targets {
		t := &k.report.Targets[i]
		p, err := k.pair(ctx, own, t, built)
		if err != nil {
			return err
		}
		began := time.Now()
		err = k.decideTarget(ctx, p, t, func(round int) {
			k.screen.status("measuring %s, round %d", t.Name, round)
		})
		if err != nil {
			return err
		}
		t.Millis = time.Since(began).Milliseconds()
		k.screen.line(k.text.TargetLine(*t))
	}
	return nil
}

// pair finds what t is compared with, and builds it once.
func (k *checker) pair(ctx context.Context, own binary, t *report.Target, built map[string]binary) (pair, error) {
	folder, err := baselineFolder(k.side, t.Against)
	if err != nil || folder == "" {
		return pair{own: own}, err
	}
	t.Against = folder
	b, ok := built[folder]
	if !ok {
		k.screen.status("building the baseline, %s", folder)
		if b, err = k.build(ctx, k.work, folder, false); err != nil {
			return pair{}, fmt.Errorf("build the baseline %s (git checkout %s puts it back): %v", folder, folder, err)
		}
		built[folder] = b
	}
	return pair{own: own, other: &b}, nil
}
