// Command lab is the student's command line. The Makefile builds and runs it;
// it runs `go test` binaries of one lab and says what they found.
//
// One file per command; what they share is in clone.go (where things are),
// build.go (test binaries), process.go (one process and its events), rules.go
// and measure.go (one rule, one measurement) and screen.go (the terminal).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/asynclab/asynclab/harness/report"
	"github.com/spf13/cobra"
)

func main() {
	becomeSwarm()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	status := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// execute runs one command and returns the exit status: 0 good, 1 something
// failed, 2 the command or its surroundings are wrong, 3 too noisy to say.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := commands()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if ctx.Err() != nil {
		fmt.Fprintln(stderr, "\nstopped")
		return 130
	}
	var status exit
	switch {
	case err == nil:
		return report.ExitPassed
	case errors.As(err, &status):
		return int(status)
	}
	fmt.Fprintln(stderr, "lab:", err)
	return report.ExitUsage
}

// exit is an exit status whose reason has been printed already.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// ended turns a status into a command's result.
func ended(status int) error {
	if status == report.ExitPassed {
		return nil
	}
	return exit(status)
}

func commands() *cobra.Command {
	root := &cobra.Command{
		Use:           "lab",
		Short:         "check, compare and profile the labs of this clone",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(checkCommand())
	root.AddCommand(extraCommands()...)
	return root
}
