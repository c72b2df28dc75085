package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/asynclab/asynclab/harness/report"
	"github.com/asynclab/asynclab/harness/spec"
	"github.com/spf13/cobra"
)

func soakCommand() *cobra.Command {
	var name string
	var runs int
	cmd := &cobra.Command{
		Use:   "soak [LAB]",
		Short: "every rule many times in a row, with two CPU hogs beside it",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, labs, err := findLabs(args)
			if err != nil {
				return err
			}
			failed := false
			for _, lab := range labs {
				s, err := sideOf(lab, name)
				if err != nil {
					return err
				}
				ok, err := c.soak(cmd.Context(), s, runs, cmd.OutOrStdout())
				if err != nil {
					return err
				}
				failed = failed || !ok
			}
			if failed {
				return exit(report.ExitFailed)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&name, "side", "solutions", "labs (yours) or solutions (the reference)")
	cmd.Flags().IntVar(&runs, "runs", 50, "how many times")
	return cmd
}

// A tally counts the failures of one rule and keeps the first reason.
type tally struct {
	failed int
	reason string
}

// soak runs one side's whole suite many times, a process each, and reports
// whether all passed.
func (c clone) soak(ctx context.Context, s side, runs int, out io.Writer) (bool, error) {
	work, done, err := c.workspace()
	if err != nil {
		return false, err
	}
	defer done()
	show := newScreen(out)
	defer show.close()
	show.status("building %s", s.Folder)
	b, err := c.build(ctx, work, s.Folder, c.noRace(ctx) == "")
	var compiler *buildError
	if errors.As(err, &compiler) {
		return false, fmt.Errorf("%s does not compile: %w", s.Folder, compiler)
	}
	if err != nil {
		return false, err
	}
	stop, err := startHogs(ctx, 2)
	if err != nil {
		return false, err
	}
	defer stop()

	began := time.Now()
	tallies := map[string]tally{}
	for n := range runs {
		show.status("%s: run %d of %d, %d failed, %v so far", s.Folder, n+1, runs, count(tallies), time.Since(began).Round(time.Second))
		if err := c.soakOnce(ctx, b, tallies); err != nil {
			return false, err
		}
		if !show.terminal && (n+1)%10 == 0 {
			show.line(fmt.Sprintf("%s: %d of %d runs, %d failures, %v", s.Folder, n+1, runs, count(tallies), time.Since(began).Round(time.Second)))
		}
	}
	show.status("")
	text := report.TextFor(out)
	if len(tallies) == 0 {
		fmt.Fprintf(out, "%s %s: %d of %d runs passed beside two CPU hogs (%v)\n", text.Good("✓"), s.Folder, runs, runs, time.Since(began).Round(time.Second))
		return true, nil
	}
	table := report.Table{Head: []string{"rule", "failed", "first reason"}}
	for _, rule := range slices.Sorted(maps.Keys(tallies)) {
		table.Add(rule, fmt.Sprintf("%d of %d", tallies[rule].failed, runs), shortened(tallies[rule].reason, 100))
	}
	fmt.Fprintf(out, "%s %s:\n%s", text.Bad("✗"), s.Folder, text.Table(table))
	return false, nil
}

func (c clone) soakOnce(ctx context.Context, b binary, tallies map[string]tally) error {
	end, err := c.run(ctx, b, job{args: []string{"-test.run=^Test$", "-test.count=1", "-test.paniconexit0"}, limit: 15 * time.Minute})
	if err != nil {
		return err
	}
	if end.status == 0 {
		return nil
	}
	running, named := "(the process)", false // a crash belongs to the rule that had started
	for _, e := range end.events {
		switch {
		case e.Kind == spec.EventStart:
			running = e.Name
		case e.Kind == spec.EventResult && !e.OK:
			add(tallies, running, e.Happened)
			named = true
		}
	}
	if !named {
		_, finding, _ := c.judge(end)
		add(tallies, running, finding.Happened+" "+finding.Stack)
	}
	return nil
}

func add(tallies map[string]tally, rule, reason string) {
	t := tallies[rule]
	if t.failed == 0 {
		t.reason = reason
	}
	t.failed++
	tallies[rule] = t
}

func count(tallies map[string]tally) (n int) {
	for _, t := range tallies {
		n += t.failed
	}
	return n
}
