//go:build !light

package main

import (
	"context"
	"fmt"
	"html/template"
	"io"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/asynclab/asynclab/harness/course"
	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/pages"
	"github.com/asynclab/asynclab/harness/report"
	"github.com/spf13/cobra"
)

func compareCommand() *cobra.Command {
	rounds := 5
	cmd := &cobra.Command{
		Use:   "compare LAB",
		Short: "your targets beside the reference's, with a page of latency curves",
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
			if rounds < 1 {
				return fmt.Errorf("--rounds %d: at least one", rounds)
			}
			return c.compare(cmd.Context(), lab, rounds, cmd.OutOrStdout())
		},
	}
	cmd.Flags().IntVar(&rounds, "rounds", rounds, "measurements of each side and target")
	return cmd
}

// A contender is one side of a comparison and what it measured.
type contender struct {
	name    string // "you", "reference"
	binary  binary
	figures map[string][]float64               // by target
	latency map[string]*hdrhistogram.Histogram // by target, all rounds together
}

// compare measures every target of lab on both sides in alternation, prints a
// table and writes a page.
func (c clone) compare(ctx context.Context, lab course.Lab, rounds int, out io.Writer) error {
	work, done, err := c.workspace()
	if err != nil {
		return err
	}
	defer done()
	screen := newScreen(out)
	defer screen.close()
	you, reference, targets, err := c.contenders(ctx, lab, work, screen)
	if err != nil {
		return err
	}
	for n := range rounds {
		for i, t := range targets {
			screen.status("round %d of %d, target %d of %d: %s", n+1, rounds, i+1, len(targets), t.Name)
			order := []*contender{you, reference}
			if n%2 == 1 {
				order[0], order[1] = order[1], order[0]
			}
			for _, side := range order {
				if err := c.take(ctx, side, t.Name); err != nil {
					return err
				}
			}
		}
	}
	screen.status("")
	return c.showComparison(lab, rounds, you, reference, targets, out)
}

// contenders builds both sides and lists the targets.
func (c clone) contenders(ctx context.Context, lab course.Lab, work string, screen *screen) (you, reference *contender, targets []report.Target, err error) {
	var sides []*contender
	for _, name := range []string{"labs", "solutions"} {
		s, err := sideOf(lab, name)
		if err != nil {
			return nil, nil, nil, err
		}
		screen.status("building %s", s.Folder)
		b, err := c.build(ctx, work, s.Folder, false)
		if err != nil {
			return nil, nil, nil, fmt.Errorf("build %s: %w", s.Folder, err)
		}
		sides = append(sides, &contender{name: "you", binary: b, figures: map[string][]float64{}, latency: map[string]*hdrhistogram.Histogram{}})
	}
	sides[1].name = "reference"
	_, targets, err = c.list(ctx, sides[1].binary)
	if err == nil && len(targets) == 0 {
		err = fmt.Errorf("lab %s has no targets to compare", lab.Dir())
	}
	return sides[0], sides[1], targets, err
}

// take measures one target once.
func (c clone) take(ctx context.Context, side *contender, target string) error {
	sample, verdict, finding, err := c.measure(ctx, side.binary, target)
	if err != nil {
		return err
	}
	if verdict != report.Passed {
		return fmt.Errorf("%s gave no figure for %s: %s (make the checks green first: make check)", side.binary.folder, target, finding.Happened)
	}
	side.figures[target] = append(side.figures[target], sample.Value)
	h, err := meter.DecodeHistogram(sample.Latency)
	if err != nil {
		return fmt.Errorf("latency of %s: %w", target, err)
	}
	if sum := side.latency[target]; sum != nil {
		sum.Merge(h)
	} else if h.TotalCount() > 0 {
		side.latency[target] = h
	}
	return nil
}

func (c clone) showComparison(lab course.Lab, rounds int, you, reference *contender, targets []report.Target, out io.Writer) error {
	figures := figuresTable(you, reference, targets)
	text := report.TextFor(out)
	curves := latencyTable(you, reference, targets)
	fmt.Fprintf(out, "lab %s: you beside the reference, %d rounds in alternation; medians, ± half of the middle half\n", lab.Dir(), rounds)
	fmt.Fprint(out, text.Table(report.Table{Head: figures.Columns, Rows: figures.Rows}))
	if len(curves.Rows) > 0 {
		fmt.Fprintln(out, "latency in µs, all rounds together")
		fmt.Fprint(out, text.Table(report.Table{Head: curves.Columns, Rows: curves.Rows}))
	}
	page := pages.Page{
		Title: "Lab " + lab.Dir() + ": you beside the reference",
		Lead:  fmt.Sprintf("%d rounds of each target, both sides in alternation on this machine.", rounds),
		Foot:  fmt.Sprintf("Made by make compare LAB=%s on %s.", lab.ID, time.Now().Format("2 January 2006, 15:04")),
		Sections: []pages.Section{{Heading: "Targets", Table: &figures,
			Text: "Medians, ± half the width of the middle half of the rounds. A ratio compares the two sides of one round."}},
	}
	if len(curves.Rows) > 0 {
		s := pages.Section{Heading: "Latency", Text: "Microseconds, all rounds together. The closer a curve stays to the floor on its way to the right, the fewer users wait.", Table: &curves}
		for _, t := range targets {
			plot, err := percentilePlot(you, reference, t.Name)
			if err != nil {
				return err
			}
			if plot != "" {
				s.Plots = append(s.Plots, plot)
			}
		}
		page.Sections = append(page.Sections, s)
	}
	path := c.state("compare", lab.Dir()+".html")
	if err := page.Save(path); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	if err := c.keepComparison(lab, rounds, you, reference, targets); err != nil {
		return fmt.Errorf("keep the latency for make report: %w", err)
	}
	fmt.Fprintf(out, "page: %s (open it in a browser)\n", path)
	return nil
}

func figuresTable(you, reference *contender, targets []report.Target) pages.Table {
	t := pages.Table{Columns: []string{"target", "unit", "you", "reference", "ratio"}}
	for _, target := range targets {
		mine, theirs := you.figures[target.Name], reference.figures[target.Name]
		var ratios []float64
		for i := range mine {
			ratios = append(ratios, mine[i]/theirs[i])
		}
		t.Rows = append(t.Rows, []string{target.Name, target.Unit, spread(mine), spread(theirs), spread(ratios)})
	}
	return t
}

func latencyTable(you, reference *contender, targets []report.Target) pages.Table {
	t := pages.Table{Columns: []string{"target", "side", "p50", "p90", "p99", "p99.9", "max"}}
	for _, target := range targets {
		for _, side := range []*contender{you, reference} {
			h := side.latency[target.Name]
			if h == nil {
				continue
			}
			row := []string{target.Name, side.name}
			for _, q := range []float64{50, 90, 99, 99.9} {
				row = append(row, fmt.Sprint(h.ValueAtQuantile(q)))
			}
			t.Rows = append(t.Rows, append(row, fmt.Sprint(h.Max())))
		}
	}
	return t
}

// percentilePlot is empty when the target records no latency.
func percentilePlot(you, reference *contender, target string) (template.HTML, error) {
	var series []pages.Series
	for _, side := range []*contender{you, reference} {
		if h := side.latency[target]; h != nil {
			series = append(series, pages.Series{Name: side.name, Hist: h})
		}
	}
	if len(series) == 0 {
		return "", nil
	}
	return pages.Percentiles(target, series...)
}

// spread writes a median, and how far the middle half of the rounds reaches to
// either side on average: "1,234 ±2.1%".
func spread(figures []float64) string {
	s := report.SpreadOf(figures)
	return fmt.Sprintf("%s ±%.1f%%", report.Number(s.Median), 100*(s.Q3-s.Q1)/2/max(s.Median, 1e-9))
}
