//go:build !light

package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/asynclab/asynclab/harness/course"
	"github.com/asynclab/asynclab/harness/queuetest"
	"github.com/asynclab/asynclab/harness/report"
)

func crashCommand() *cobra.Command {
	name, cycles, seed, dir, asJSON := "solutions", 500, uint64(0), "", false
	cmd := &cobra.Command{
		Use:   "crash",
		Short: "lab 14's log under load, in a process that is killed (SIGKILL) again and again: nothing acknowledged may be missing",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cycles < 1 {
				return fmt.Errorf("--cycles %d: kill at least once", cycles)
			}
			c, err := findClone()
			if err != nil {
				return err
			}
			lab, err := course.Find("queue")
			if err != nil {
				return err
			}
			s, err := sideOf(lab, name)
			if err != nil {
				return err
			}
			if seed == 0 {
				seed = rand.Uint64N(1_000_000) + 1
			}
			return c.crash(cmd.Context(), s, queuetest.Killing{Cycles: cycles, Seed: seed, Dir: dir}, asJSON, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&name, "side", name, "labs (yours) or solutions (the reference)")
	cmd.Flags().IntVar(&cycles, "cycles", cycles, "how many processes are killed")
	cmd.Flags().Uint64Var(&seed, "seed", seed, "of the load and of the moments; 0 draws one")
	cmd.Flags().StringVar(&dir, "dir", dir, "an empty directory for the log, which is left there; by default one that is removed")
	cmd.Flags().BoolVar(&asJSON, "json", asJSON, "print JSON")
	return cmd
}

// crash builds the lab's test, which is the victim, and kills it.
func (c clone) crash(ctx context.Context, s side, k queuetest.Killing, asJSON bool, out, progress io.Writer) error {
	work, done, err := c.workspace()
	if err != nil {
		return err
	}
	defer done()
	show := newScreen(progress)
	defer show.close()
	show.status("building %s", s.Folder)
	b, err := c.build(ctx, work, s.Folder, false)
	if err != nil {
		return fmt.Errorf("%s does not compile: %w", s.Folder, err)
	}
	if k.Victim.Path, err = filepath.Abs(b.path); err != nil {
		return err
	}
	k.Victim.Args = queuetest.VictimArgs
	show.line(fmt.Sprintf("killing %s %d times, seed %d", s.Folder, k.Cycles, k.Seed))
	k.Each = func(f queuetest.Killed) {
		text := fmt.Sprintf("killed %d of %d, %s records acknowledged, all there", f.Cycles, k.Cycles, report.Number(float64(f.Acknowledged)))
		show.status("%s", text)
		if !show.terminal && f.Cycles%50 == 0 {
			show.line(text)
		}
	}
	found, failed := queuetest.Kill(ctx, k)
	show.status("")
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if asJSON {
		if err := crashJSON(out, s, found, failed); err != nil {
			return err
		}
	} else {
		crashText(out, s, found, failed)
	}
	if failed != nil {
		return exit(report.ExitFailed)
	}
	return nil
}

func crashJSON(out io.Writer, s side, found queuetest.Killed, failed error) error {
	doc := struct {
		Folder string `json:"folder"`
		OK     bool   `json:"ok"`
		Error  string `json:"error,omitempty"`
		queuetest.Killed
	}{Folder: s.Folder, OK: failed == nil, Killed: found}
	if failed != nil {
		doc.Error = failed.Error()
	}
	return writeJSON(out, doc)
}

func crashText(out io.Writer, s side, found queuetest.Killed, failed error) {
	text := report.TextFor(out)
	if failed != nil {
		fmt.Fprintf(out, "%s %s: %v\n", text.Bad("✗"), s.Folder, failed)
		fmt.Fprintf(out, "  again, with the same load and the same moments: make crash SIDE=%s SEED=%d\n", s.Name, found.Seed)
		return
	}
	n := func(v int) string { return report.Number(float64(v)) }
	fmt.Fprintf(out, "%s %s was killed %d times, seed %d, in %.0f s\n", text.Good("✓"), s.Folder, found.Cycles, found.Seed, found.Seconds)
	table := report.Table{Head: []string{"", "", ""}}
	table.Add("records acknowledged", n(found.Acknowledged), "each is there, once, in order, at its offset")
	table.Add("records found at the end", n(found.Found), n(found.Unanswered)+" of them were on their way when the kill came")
	table.Add("killed while opening the log", n(found.InRecovery), "")
	table.Add("deliveries to consumers", n(found.Delivered), n(found.Again)+" of them again: taken, and not yet acknowledged")
	table.Add("deliveries acknowledged", n(found.Acked), "none was delivered again")
	fmt.Fprint(out, text.Table(table))
}
