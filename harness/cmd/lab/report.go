//go:build !light

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/asynclab/asynclab/harness/course"
	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/profiles"
	"github.com/asynclab/asynclab/harness/report"
	"github.com/asynclab/asynclab/harness/transcript"
)

func reportCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "report",
		Short: "one page of all your results: points, targets over time, latency, profiles",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := findClone()
			if err != nil {
				return err
			}
			return c.report(time.Now(), cmd.OutOrStdout())
		},
	}
}

// report writes the student's page.
func (c clone) report(now time.Time, out io.Writer) error {
	t, err := c.transcript(now)
	if err != nil {
		return err
	}
	page, err := t.Page()
	if err != nil {
		return err
	}
	path := c.state("report.html")
	if err := page.Save(path); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	fmt.Fprintln(out, page.Lead)
	fmt.Fprintf(out, "page: %s (open it in a browser)\n", path)
	return nil
}

// transcript gathers what lies in .asynclab. What is not there is left out.
func (c clone) transcript(now time.Time) (transcript.Transcript, error) {
	t := transcript.Transcript{When: now}
	entries, err := c.history().Entries()
	if err != nil {
		return t, fmt.Errorf("read the history: %w", err)
	}
	for _, lab := range course.Labs {
		l := transcript.Lab{Lab: lab}
		for _, e := range entries {
			switch {
			case e.Lab != lab.ID:
			case e.Side == "labs":
				l.Runs = append(l.Runs, e)
			default:
				l.Reference = append(l.Reference, e)
			}
		}
		var kept transcript.Comparison
		if err := errors.Join(
			readJSON(c.lastReport(lab.Dir(), "labs"), &l.Last),
			readJSON(c.lastReport(lab.Dir(), "solutions"), &l.Known),
			readJSON(c.comparison(lab), &kept)); err != nil {
			return t, err
		}
		l.Latency = kept.Latency
		if l.Profile, err = c.lastProfile(lab); err != nil {
			return t, err
		}
		t.Labs = append(t.Labs, l)
	}
	return t, nil
}

// readJSON reads a file if it is there. One that is cut short is as good as
// none: the next command writes it anew.
func readJSON(path string, into any) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_ = json.Unmarshal(text, into)
	return nil
}

// lastProfile is that of the last make profile; nil if there was none.
func (c clone) lastProfile(lab course.Lab) (*transcript.Profile, error) {
	p := &transcript.Profile{}
	for name, into := range map[string]*profiles.Summary{"labs": &p.You, "solutions": &p.Reference} {
		path := c.profilePath(side{Dir: lab.Dir(), Name: name}, "cpu")
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if *into, err = profiles.ReadFile(path, "cpu"); err != nil {
			return nil, err
		}
		if name == "labs" {
			p.When = info.ModTime()
		}
	}
	if p.When.IsZero() {
		return nil, nil
	}
	return p, nil
}

func (c clone) comparison(lab course.Lab) string { return c.state("compare", lab.Dir()+".json") }

// keepComparison keeps the latencies of a make compare for the page.
func (c clone) keepComparison(lab course.Lab, rounds int, you, reference *contender, targets []report.Target) error {
	kept := transcript.Comparison{Time: time.Now(), Rounds: rounds}
	for _, t := range targets {
		l := transcript.Latency{Target: t.Title}
		var err, other error
		l.You, err = meter.EncodeHistogram(you.latency[t.Name])
		l.Reference, other = meter.EncodeHistogram(reference.latency[t.Name])
		if err := errors.Join(err, other); err != nil {
			return err
		}
		if l.You != "" || l.Reference != "" {
			kept.Latency = append(kept.Latency, l)
		}
	}
	text, err := json.Marshal(kept)
	if err != nil {
		return err
	}
	return os.WriteFile(c.comparison(lab), text, 0o644)
}
