//go:build light

package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// heavyCommands are known to the light binary by name only: see heavy.go.
func heavyCommands() []*cobra.Command {
	var all []*cobra.Command
	for _, name := range []string{"compare", "profile", "demo", "storm", "resume", "crash", "claims", "book", "report"} {
		all = append(all, &cobra.Command{
			Use:                name,
			Short:              "only through make " + name,
			DisableFlagParsing: true,
			RunE: func(*cobra.Command, []string) error {
				return fmt.Errorf("this binary is built without %s, to be quick: run make %s", name, name)
			},
		})
	}
	return all
}

// becomeSwarm has nothing to do: the light binary makes no load.
func becomeSwarm() {}
