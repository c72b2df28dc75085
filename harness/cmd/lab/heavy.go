//go:build !light

package main

import (
	"github.com/asynclab/asynclab/harness/claims"
	"github.com/asynclab/asynclab/harness/load"
	"github.com/spf13/cobra"
)

// heavyCommands need plots and profiles, whose packages take longer to compile
// than all the rest. The Makefile leaves them out of the binary that checks
// (-tags light): a student's first `make check` has to answer quickly. Files
// with these commands begin with the same build constraint as this one.
func heavyCommands() []*cobra.Command {
	return []*cobra.Command{compareCommand(), profileCommand(), demoCommand(), stormCommand(), resumeCommand(), crashCommand(), claimsCommand(), bookCommand(), reportCommand()}
}

// becomeSwarm turns the process that a demo starts into its swarm of clients,
// and one that claims starts into its crowd of threads.
func becomeSwarm() {
	load.BecomeSwarm()
	claims.BecomeCrowd()
}
