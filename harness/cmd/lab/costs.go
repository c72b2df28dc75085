package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/asynclab/asynclab/harness/costs"
	"github.com/asynclab/asynclab/harness/report"
)

func costsCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "costs",
		Short: "what a system call, a goroutine, a copy, a connection cost on this machine",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			scr := newScreen(cmd.ErrOrStderr())
			figures, err := costs.Measure(cmd.Context(), func(i, of int, name string) {
				scr.status("[%2d/%d] %s", i+1, of, name)
			})
			scr.close()
			if err != nil {
				return err
			}
			return showCosts(cmd.OutOrStdout(), figures, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

func showCosts(out io.Writer, figures []costs.Figure, asJSON bool) error {
	if asJSON {
		return writeJSON(out, figures)
	}
	text := report.TextFor(out)
	table, group := report.Table{Head: make([]string, 4)}, ""
	for _, f := range figures {
		if f.Group != group {
			group = f.Group
			table.Add("", "", "", "")
			table.Add(text.Bold(group), "", "", "")
		}
		table.Add("  "+f.Name, costFigure(f.Median, f.Unit), text.Dim(fmt.Sprintf("[%s, %s]", report.Number(f.Low), report.Number(f.High))), text.Dim(f.Note))
	}
	_, err := fmt.Fprintln(out, text.Table(table)+"\nCPU time of this process for one operation: median [lowest, highest] of 5 rounds.")
	return err
}

func costFigure(v float64, unit costs.Unit) string {
	if unit == costs.CPU && v >= 1000 {
		return report.Number(v/1000) + " µs"
	}
	return report.Number(v) + " " + string(unit)
}
