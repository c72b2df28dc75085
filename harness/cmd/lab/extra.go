package main

import "github.com/spf13/cobra"

// extraCommands are all but check. heavyCommands depends on how this binary was
// built: see heavy.go.
func extraCommands() []*cobra.Command {
	return append(heavyCommands(), watchCommand(), hintCommand(), adoptCommand(), resetCommand(), progressCommand(),
		doctorCommand(), mutantsCommand(), soakCommand(), hogCommand(), costsCommand(), skeletonsCommand(), stepsCommand(), autopsiesCommand())
}
