//go:build !light

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/asynclab/asynclab/harness/claims"
	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/report"
)

// claimOptions say what is measured, and what becomes of it.
type claimOptions struct {
	only   []string // IDs of claims; empty means all
	rounds int
	quick  bool // a look, not a verdict
	json   bool
	write  bool // the workbook's page, too
}

func claimsCommand() *cobra.Command {
	o := claimOptions{rounds: 3}
	cmd := &cobra.Command{
		Use:   "claims",
		Short: "the article's claims about speed and size, each measured against its naive counterpart",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := findClone()
			if err != nil {
				return err
			}
			chosen, err := o.complete()
			if err != nil {
				return err
			}
			return c.claims(cmd.Context(), o, chosen, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.only, "only", nil, "some claims alone: "+strings.Join(claimIDs(), ", "))
	f.IntVar(&o.rounds, "rounds", o.rounds, "measurements of each")
	f.BoolVar(&o.quick, "quick", false, "short measurements, once: for a look, not for a verdict")
	f.BoolVar(&o.json, "json", false, "one JSON document on stdout")
	f.BoolVar(&o.write, "write", false, "for authors: write "+claims.Path+", too")
	return cmd
}

func claimIDs() (all []string) {
	for _, c := range claims.Table {
		all = append(all, c.ID)
	}
	return all
}

// complete checks the options and returns the claims they choose.
func (o *claimOptions) complete() (chosen []claims.Claim, err error) {
	if o.quick {
		o.rounds = 1
	}
	switch {
	case o.rounds < 1:
		return nil, fmt.Errorf("--rounds %d: at least one", o.rounds)
	case o.write && (o.quick || len(o.only) > 0):
		return nil, errors.New("--write needs the whole run: leave --quick and --only out")
	}
	for _, c := range claims.Table {
		if len(o.only) == 0 || slices.Contains(o.only, c.ID) {
			chosen = append(chosen, c)
		}
	}
	for _, id := range o.only {
		if !slices.Contains(claimIDs(), id) {
			return nil, fmt.Errorf("--only %s: the claims are %s", id, strings.Join(claimIDs(), ", "))
		}
	}
	return chosen, nil
}

// claims measures what the chosen ones need and shows the verdicts.
func (c clone) claims(ctx context.Context, o claimOptions, chosen []claims.Claim, out, errOut io.Writer) error {
	began := time.Now()
	work, done, err := c.workspace()
	if err != nil {
		return err
	}
	defer done()
	s := newScreen(errOut)
	defer s.close()
	steps, err := c.claimSteps(ctx, o, chosen, work, s)
	if err != nil {
		return err
	}
	before, err := meter.BusyNow()
	if err != nil {
		return err
	}
	samples, troubles, err := takeAll(ctx, o, steps, s)
	if err != nil {
		return err
	}
	s.status("")
	after, err := meter.BusyNow()
	if err != nil {
		return err
	}
	others := before.Others(after, runtime.NumCPU())
	d := claims.Document{Format: 1, Time: began, Machine: machine(), Rounds: o.rounds, Quick: o.quick,
		Seconds: time.Since(began).Seconds(), Others: others, Results: claims.Judge(chosen, samples, others)}
	if err := c.showClaims(d, o, out); err != nil {
		return err
	}
	if d.Noisy() {
		fmt.Fprintf(errOut, "lab: other programs had %.0f%% of the cores meanwhile: latencies are longer than they would be alone. Close them and run it again\n", 100*d.Others)
	}
	for _, t := range troubles {
		fmt.Fprintln(errOut, "lab: not measured:", t)
	}
	if len(troubles) > 0 {
		return exit(report.ExitFailed)
	}
	return nil
}

// takeAll takes the rounds of all steps in turns, every other round backwards,
// so that what else the machine does falls on all of them. What could not be
// measured is told in troubles.
func takeAll(ctx context.Context, o claimOptions, steps []claimStep, s *screen) (samples claims.Samples, troubles []string, err error) {
	samples = claims.Samples{}
	total, taken, began := 0, 0, time.Now()
	for _, step := range steps {
		total += step.times(o.rounds)
	}
	for round := range o.rounds {
		turn := slices.Clone(steps)
		if round%2 == 1 {
			slices.Reverse(turn)
		}
		for _, step := range turn {
			if round >= step.times(o.rounds) {
				continue
			}
			status := fmt.Sprintf("[%2d/%d] %s%s", taken+1, total, step.name, left(began, taken, total))
			if s.status("%s", status); !s.terminal {
				s.line(status)
			}
			found, err := step.take(ctx)
			taken++
			switch {
			case ctx.Err() != nil:
				return nil, nil, ctx.Err()
			case err != nil:
				troubles = append(troubles, fmt.Sprintf("%s, round %d: %v", step.name, round+1, err))
			}
			for key, sample := range found {
				samples[key] = append(samples[key], sample)
			}
		}
	}
	return samples, troubles, nil
}

// left guesses how long the rest takes; empty while there is nothing to go by.
func left(began time.Time, taken, total int) string {
	spent := time.Since(began)
	if spent < 10*time.Second {
		return ""
	}
	rest := spent / time.Duration(taken) * time.Duration(total-taken)
	return fmt.Sprintf(" · about %s left", rest.Round(10*time.Second))
}

// machine is what the figures depend on, in words.
func machine() string {
	text, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	release := regexp.MustCompile(`^\d+\.\d+`).FindString(string(text))
	return fmt.Sprintf("%d cores, %.0f GB, Linux %s, %s", runtime.NumCPU(), float64(totalMemory())/1e9, release, runtime.Version())
}

// totalMemory is the machine's, in bytes; 0 if the kernel does not say.
func totalMemory() int64 {
	text, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(text)) {
		var kb int64
		if n, _ := fmt.Sscanf(line, "MemTotal: %d kB", &kb); n == 1 {
			return kb << 10
		}
	}
	return 0
}

// showClaims prints the document and writes its pages.
func (c clone) showClaims(d claims.Document, o claimOptions, out io.Writer) error {
	page, err := d.Page()
	if err != nil {
		return err
	}
	path := c.state("claims.html")
	if err := page.Save(path); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	if o.write {
		if err := os.WriteFile(c.path(claims.Path), []byte(d.Markdown()), 0o644); err != nil {
			return err
		}
	}
	if o.json {
		return writeJSON(out, d)
	}
	fmt.Fprint(out, claimsTable(report.TextFor(out), d))
	if o.write {
		fmt.Fprintln(out, "written:", claims.Path)
	}
	fmt.Fprintf(out, "page: %s (open it in a browser)\n", path)
	return nil
}

// claimsTable has two lines for each claim, so that it fits into a terminal.
func claimsTable(x report.Text, d claims.Document) string {
	t := report.Table{Head: []string{"claim", "verdict", "command"}}
	var b strings.Builder
	for _, r := range d.Results {
		t.Add(r.Title, paint(x, r.Verdict), x.Dim(r.Command))
		fmt.Fprintf(&b, "\n%s  %s\n  claim     %s\n  against   %s\n  measured  %s\n", x.Bold(r.Title), paint(x, r.Verdict), r.Says, r.Against, r.Measured)
		if r.Normal != "" {
			fmt.Fprintf(&b, "  per unit  %s\n", r.Normal)
		}
		fmt.Fprintf(&b, "  because   %s\n", r.Because)
	}
	return b.String() + "\n" + x.Table(t) + "\n"
}

func paint(x report.Text, v claims.Verdict) string {
	switch v {
	case claims.Holds:
		return x.Good(string(v))
	case claims.Fails:
		return x.Bad(string(v))
	case claims.Partly:
		return x.Warn(string(v))
	}
	return x.Bold(string(v))
}
