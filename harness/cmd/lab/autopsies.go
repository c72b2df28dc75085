package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/asynclab/asynclab/harness/autopsies"
	"github.com/asynclab/asynclab/harness/course"
	"github.com/asynclab/asynclab/harness/spec"
	"github.com/spf13/cobra"
)

func autopsiesCommand() *cobra.Command {
	var write bool
	cmd := &cobra.Command{
		Use:    "autopsies",
		Short:  "for authors: " + autopsies.Path + " from the judges' mutants",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := findClone()
			if err != nil {
				return err
			}
			page, err := c.autopsies(cmd.Context(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if !write {
				_, err = io.WriteString(cmd.OutOrStdout(), page)
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "written:", autopsies.Path)
			return os.WriteFile(c.path(autopsies.Path), []byte(page), 0o644)
		},
	}
	cmd.Flags().BoolVar(&write, "write", false, "write "+autopsies.Path+" instead of printing it")
	return cmd
}

// autopsies makes the page from what the judges list.
func (c clone) autopsies(ctx context.Context, progress io.Writer) (string, error) {
	labs, err := builtLabs(nil)
	if err != nil {
		return "", err
	}
	work, done, err := c.workspace()
	if err != nil {
		return "", err
	}
	defer done()
	s := newScreen(progress)
	defer s.close()
	sections := map[string]string{}
	for i, lab := range labs {
		s.status("[%2d/%d] %s", i+1, len(labs), lab.Judge())
		faults, err := c.faults(ctx, work, lab)
		if err != nil {
			return "", err
		}
		if sections[lab.ID], err = autopsies.Section(lab, os.DirFS(c.path(lab.Judge())), faults); err != nil {
			return "", fmt.Errorf("lab %s: %w", lab.Dir(), err)
		}
	}
	return autopsies.Page(sections), nil
}

// faults asks a lab's judge for the mutants that are the article's; none is run.
func (c clone) faults(ctx context.Context, work string, lab course.Lab) ([]autopsies.Fault, error) {
	b, err := c.build(ctx, work, lab.Judge(), false)
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", lab.Judge(), err)
	}
	end, err := c.run(ctx, b, job{args: []string{"-test.run=^TestMutants$", "-test.count=1"}, env: []string{spec.ListOnly + "=1"}})
	if err != nil {
		return nil, err
	}
	var faults []autopsies.Fault
	for _, e := range end.events {
		if e.Kind == spec.EventMutant && e.Article {
			faults = append(faults, autopsies.Fault{Name: e.Mutant, Rule: e.Name, Why: e.Why})
		}
	}
	if len(faults) == 0 {
		return nil, fmt.Errorf("%s lists no fault of the article:\n%s", lab.Judge(), lastLines(end.output, 20))
	}
	return faults, nil
}
