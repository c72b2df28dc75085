package main

import (
	"fmt"
	"io"

	"github.com/asynclab/asynclab/harness/course"
	"github.com/asynclab/asynclab/harness/report"
	"github.com/spf13/cobra"
)

func progressCommand() *cobra.Command {
	var named, name string
	cmd := &cobra.Command{
		Use:   "progress [LAB]",
		Short: "points by lab; with a lab, its history",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := findClone()
			if err != nil {
				return err
			}
			all, err := c.history().Entries()
			if err != nil {
				return fmt.Errorf("read the history: %w", err)
			}
			if len(args) > 0 && args[0] != "" {
				named = args[0]
			}
			if named != "" {
				return oneLab(cmd.OutOrStdout(), all, named, name)
			}
			allLabs(cmd.OutOrStdout(), all, name)
			return nil
		},
	}
	cmd.Flags().StringVar(&named, "lab", "", "the history of one lab")
	sideFlag(cmd, &name)
	return cmd
}

func allLabs(out io.Writer, all []report.Entry, side string) {
	text := report.TextFor(out)
	standing := report.Standings(all, side)
	table := report.Table{Head: []string{"lab", "", "best", "last", "when", ""}}
	for _, lab := range course.Labs {
		s := standing[lab.ID]
		switch {
		case !lab.Built:
			table.Add(text.Dim(lab.Dir()), text.Bar(0, 0), "", "", "", text.Dim("planned"))
		case s.Runs == 0:
			table.Add(lab.Dir(), text.Bar(0, lab.Points), "", "", "", "not started")
		default:
			state := string(s.Last.Outcome)
			if s.Done() {
				state = "done"
			}
			table.Add(lab.Dir(), text.Bar(s.Best.Points, lab.Points), fmt.Sprint(s.Best.Points), fmt.Sprint(s.Last.Points),
				s.Last.Time.Local().Format("2006-01-02 15:04"), state)
		}
	}
	fmt.Fprint(out, text.Table(table))
}

func oneLab(out io.Writer, all []report.Entry, word, side string) error {
	lab, err := course.Find(word)
	if err != nil {
		return err
	}
	text := report.TextFor(out)
	table := report.Table{Head: []string{"when", "", "points", "", "first check without its points"}}
	for _, e := range all {
		if e.Lab == lab.ID && e.Side == side {
			table.Add(e.Time.Local().Format("2006-01-02 15:04"), text.Bar(e.Points, lab.Points), fmt.Sprintf("%d/%d", e.Points, lab.Points), string(e.Outcome), e.First)
		}
	}
	if len(table.Rows) == 0 {
		fmt.Fprintf(out, "lab %s has no result yet: make check LAB=%s\n", lab.Dir(), lab.ID)
		return nil
	}
	fmt.Fprint(out, text.Bold("lab "+lab.Dir()), "\n", text.Table(table))
	return nil
}
