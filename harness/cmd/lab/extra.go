package main

import "github.com/spf13/cobra"

func extraCommands() []*cobra.Command {
	return []*cobra.Command{watchCommand(), compareCommand(), profileCommand(), hintCommand(), adoptCommand(), resetCommand(), progressCommand(),
		doctorCommand(), mutantsCommand(), soakCommand(), hogCommand(), skeletonsCommand()}
}
