package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/asynclab/asynclab/harness/report"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func watchCommand() *cobra.Command {
	step := 0
	cmd := &cobra.Command{
		Use:   "watch [LAB]",
		Short: "check the rules again whenever you save a file; q ends it",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := findClone()
			if err != nil {
				return err
			}
			lab, err := labNamed(args, c.nextUnfinished)
			if err != nil {
				return err
			}
			s, err := sideOf(lab, "labs")
			if err != nil {
				return err
			}
			ctx, quit := context.WithCancel(cmd.Context())
			defer quit()
			defer keys(ctx, cmd.InOrStdin(), quit)()
			return c.watch(ctx, s, step, cmd.OutOrStdout())
		},
	}
	stepFlag(cmd, &step)
	return cmd
}

// watch checks s now and after each change, until ctx ends. A change during a
// check ends that check: its answer is about code that is gone.
func (c clone) watch(ctx context.Context, s side, step int, out io.Writer) error {
	changed, how := changes(ctx, c.path(s.Folder))
	for ctx.Err() == nil {
		if isTerminal(out) {
			fmt.Fprint(out, "\x1b[H\x1b[2J\x1b[3J")
		}
		run, stop := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- c.watchOnce(run, s, step, out) }()
		select {
		case <-changed:
			stop()
			<-done
			continue
		case err := <-done:
			stop()
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				fmt.Fprintln(out, "lab:", err)
			}
		}
		fmt.Fprintf(out, "\nwatching %s (%s); q or Ctrl-C ends it\n", s.Folder, how)
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	return nil
}

// watchOnce checks the rules, those first that failed the last time.
func (c clone) watchOnce(ctx context.Context, s side, step int, out io.Writer) error {
	o := checkOptions{noTargets: true, step: step, watched: true, first: map[string]bool{}}
	if last, err := c.readReport(s); err == nil {
		for _, r := range last.Rules {
			o.first[r.Name] = r.Verdict.Bad() && r.Verdict != report.NotYet
		}
	}
	_, err := c.checkAndSave(ctx, s, o, out)
	return err
}

// keys calls quit when q is typed on a terminal. The function it returns puts
// the terminal back as it was.
func keys(ctx context.Context, in any, quit func()) func() {
	if !isTerminal(in) {
		return func() {}
	}
	f := in.(*os.File)
	fd := int(f.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return func() {}
	}
	single := *before
	single.Lflag &^= unix.ICANON | unix.ECHO // each key at once; Ctrl-C still a signal
	if unix.IoctlSetTermios(fd, unix.TCSETS, &single) != nil {
		return func() {}
	}
	go func() {
		key := make([]byte, 1)
		for ctx.Err() == nil {
			if n, err := f.Read(key); err != nil || n == 1 && key[0] == 'q' {
				quit()
				return
			}
		}
	}()
	return func() { unix.IoctlSetTermios(fd, unix.TCSETS, before) }
}
