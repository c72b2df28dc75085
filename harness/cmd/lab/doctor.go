package main

import (
	"fmt"
	"io"

	"github.com/asynclab/asynclab/harness/report"
	"github.com/spf13/cobra"
)

// A symptom is one thing about this machine that matters to the labs.
type symptom struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	State state  `json:"state"`
	Means string `json:"means,omitempty"` // for which labs, and what
	Mend  string `json:"mend,omitempty"`  // the exact command; empty when there is nothing to mend
}

type state string

const (
	ok    state = "ok"
	warn  state = "warn"  // labs work, some figures or sizes are smaller
	stops state = "stops" // a lab cannot run at all
)

func doctorCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "what this machine gives the labs, and how to mend what is short; changes nothing",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := findClone()
			if err != nil {
				return err
			}
			found := c.examine(cmd.Context())
			if err := showSymptoms(cmd.OutOrStdout(), found, asJSON); err != nil {
				return err
			}
			for _, s := range found {
				if s.State == stops {
					return exit(report.ExitFailed)
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

func showSymptoms(out io.Writer, found []symptom, asJSON bool) error {
	if asJSON {
		return writeJSON(out, found)
	}
	text := report.TextFor(out)
	for _, s := range found {
		mark := map[state]string{ok: text.Good("ok   "), warn: text.Warn("warn "), stops: text.Bad("stops")}[s.State]
		fmt.Fprintf(out, "%s %-28s %s\n", mark, s.Name, s.Value)
		if s.Means != "" {
			fmt.Fprintf(out, "      %s\n", text.Dim(s.Means))
		}
		if s.Mend != "" && s.State != ok {
			fmt.Fprintf(out, "      mend: %s\n", s.Mend)
		}
	}
	return nil
}
