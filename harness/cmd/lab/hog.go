package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// hogLife bounds a hog whose parent forgot it.
const hogLife = 30 * time.Minute

// hogCommand spins on one core. It is this binary's own child.
func hogCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "hog SECONDS",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			seconds, err := strconv.Atoi(args[0])
			if err != nil {
				return fmt.Errorf("hog: %w", err)
			}
			end := time.Now().Add(min(time.Duration(seconds)*time.Second, hogLife))
			for cmd.Context().Err() == nil && time.Now().Before(end) {
				for range 1 << 20 {
				}
			}
			return nil
		},
	}
}

// startHogs starts n processes that use a core each. They end with stop, with
// ctx, with this process, or at hogLife.
func startHogs(ctx context.Context, n int) (stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var hogs []*exec.Cmd
	stop = func() {
		cancel()
		for _, hog := range hogs {
			hog.Wait()
		}
	}
	for range n {
		hog := exec.CommandContext(ctx, self, "hog", strconv.Itoa(int(hogLife.Seconds())))
		hog.Env = append(os.Environ(), "GOMAXPROCS=1")
		endWithGroup(hog)
		if err := hog.Start(); err != nil {
			stop()
			return nil, fmt.Errorf("start a CPU hog: %w", err)
		}
		hogs = append(hogs, hog)
	}
	return stop, nil
}
