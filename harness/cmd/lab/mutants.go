package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/asynclab/asynclab/harness/course"
	"github.com/asynclab/asynclab/harness/report"
	"github.com/asynclab/asynclab/harness/spec"
	"github.com/spf13/cobra"
)

func mutantsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "mutants [LAB]",
		Short: "the wrong implementations, and the check that refuses each",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := findClone()
			if err != nil {
				return err
			}
			labs, err := builtLabs(args)
			if err != nil {
				return err
			}
			return c.mutants(cmd.Context(), labs, cmd.OutOrStdout())
		},
	}
}

// mutants runs the judges' own tests and prints what became of each mutant.
func (c clone) mutants(ctx context.Context, labs []course.Lab, out io.Writer) error {
	work, done, err := c.workspace()
	if err != nil {
		return err
	}
	defer done()
	s := newScreen(out)
	defer s.close()
	text := report.TextFor(out)
	table := report.Table{Head: []string{"lab", "mutant", "article", "refused by", "because", "ms"}}
	var troubles []string
	judged, accepted := 0, 0
	for _, lab := range labs {
		events, trouble, err := c.judgeMutants(ctx, work, lab, s)
		if err != nil {
			return err
		}
		if trouble != "" {
			troubles = append(troubles, text.Bad("lab "+lab.Dir()+": ")+trouble)
		}
		for _, e := range events {
			judged++
			refused := text.Good(e.Name)
			if !e.OK {
				accepted++
				refused = text.Bad("NOT by " + e.Name)
			}
			table.Add(lab.ID, e.Mutant, yesNo(e.Article), refused, shortened(because(e.Happened), 80), fmt.Sprint(e.Millis))
		}
	}
	s.status("")
	fmt.Fprint(out, text.Table(table))
	for _, t := range troubles {
		fmt.Fprintf(out, "\n%s\n", t)
	}
	fmt.Fprintf(out, "\n%d mutants, %d refused by their check for the right reason\n", judged, judged-accepted)
	if accepted > 0 || len(troubles) > 0 {
		return exit(report.ExitFailed)
	}
	return nil
}

// judgeMutants runs one judge's TestMutants. trouble is what else failed there.
func (c clone) judgeMutants(ctx context.Context, work string, lab course.Lab, s *screen) (mutants []spec.Event, trouble string, err error) {
	s.status("lab %s: building %s", lab.Dir(), lab.Judge())
	race := c.noRace(ctx) == ""
	b, err := c.build(ctx, work, lab.Judge(), race)
	var compiler *buildError
	if errors.As(err, &compiler) {
		return nil, "its judge does not compile: " + compiler.Error(), nil
	}
	if err != nil {
		return nil, "", err
	}
	n := 0
	s.status("lab %s: mutants judged: 0", lab.Dir())
	end, err := c.run(ctx, b, job{args: []string{"-test.run=^TestMutants$", "-test.count=1"}, limit: 10 * time.Minute, onEvent: func(e spec.Event) {
		n++
		s.status("lab %s: mutants judged: %d (%s)", lab.Dir(), n, e.Mutant)
	}})
	if err != nil {
		return nil, "", err
	}
	refusedAll := true
	for _, e := range end.events {
		if e.Kind == spec.EventMutant {
			mutants = append(mutants, e)
			refusedAll = refusedAll && e.OK
		}
	}
	if end.status != 0 && refusedAll || len(mutants) == 0 {
		trouble = fmt.Sprintf("TestMutants ended with status %d:\n%s", end.status, lastLines(end.output, 30))
	}
	return mutants, trouble, nil
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

// because is the part of a refusal that says what happened: after the
// expectation, and after the line that only says that the process ended.
func because(refusal string) string {
	if _, after, found := strings.Cut(refusal, "):\n"); found && strings.HasPrefix(refusal, "the process ended") {
		return after
	}
	if _, happened, found := strings.Cut(refusal, "; "); found && strings.HasPrefix(refusal, "expected ") {
		return happened
	}
	return refusal
}

// shortened is the first line of text, as far as width.
func shortened(text string, width int) string {
	line, _, _ := strings.Cut(text, "\n")
	runes := []rune(line)
	if len(runes) > width {
		return string(runes[:width-3]) + "..."
	}
	return line
}
