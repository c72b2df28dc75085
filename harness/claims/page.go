package claims

import (
	"fmt"
	"html/template"
	"slices"
	"time"

	"github.com/asynclab/asynclab/harness/course"
	"github.com/asynclab/asynclab/harness/pages"
	"github.com/asynclab/asynclab/harness/report"
)

// A Document is one run of all claims; --json prints it.
type Document struct {
	Format  int       `json:"format"` // 1
	Time    time.Time `json:"time"`
	Machine string    `json:"machine"`
	Rounds  int       `json:"rounds"`
	Quick   bool      `json:"quick,omitempty"` // short measurements: not for a verdict
	Seconds float64   `json:"seconds"`
	Others  float64   `json:"others"` // share of the cores that other programs had meanwhile, 0 to 1
	Results []Result  `json:"results"`
}

const lead = "The article's claims about speed and size, each against its own naive counterpart, measured on this machine in one run."

// made says how the document came about.
func (d Document) made() string {
	quick := ""
	if d.Quick {
		quick = " With --quick, so the figures are for a look and not for a verdict."
	}
	return fmt.Sprintf("Made by make claims on %s: %s. %d rounds, in turns, %.0f minutes; medians, ± half of the middle half.%s%s",
		d.Time.Format("2 January 2006"), d.Machine, d.Rounds, max(1, d.Seconds/60), d.noise(), quick)
}

// noisy is the share of the cores from which on other programs show in the
// latencies. CPU time hardly sees them.
const noisy = 0.1

// Noisy reports whether other programs have spoiled the latencies.
func (d Document) Noisy() bool { return d.Others > noisy }

func (d Document) noise() string {
	if !d.Noisy() {
		return ""
	}
	return fmt.Sprintf(" Other programs had %s of the cores meanwhile: latencies are longer than they would be alone.", percent(d.Others))
}

// Page is the document as HTML with plots.
func (d Document) Page() (pages.Page, error) {
	p := pages.Page{Title: "The article's claims", Lead: lead, Foot: d.made()}
	table := &pages.Table{Columns: []string{"claim", "measured", "verdict"}, Prose: true}
	p.Sections = append(p.Sections, pages.Section{Table: table})
	for _, r := range d.Results {
		table.HTML = append(table.HTML, []template.HTML{pages.Text(r.Title), pages.Text(r.Measured), badge(r.Verdict).HTML()})
		s, err := r.section()
		if err != nil {
			return p, err
		}
		p.Sections = append(p.Sections, s)
	}
	return p, nil
}

func (r Result) section() (pages.Section, error) {
	b := badge(r.Verdict)
	s := pages.Section{Heading: r.Title, Badge: &b, Text: r.Says}
	s.Body = append(s.Body, pages.Notes(pages.Note{Word: "against", Text: pages.Text(r.Against)}, pages.Note{Word: "measured", Text: pages.Text(r.Measured)},
		pages.Note{Word: "normalised", Text: pages.Text(r.Normal)}, pages.Note{Word: "because", Text: pages.Text(r.Because)},
		pages.Note{Word: "again", Text: pages.Code(r.Command)}, pages.Note{Word: "build it", Text: pages.Text(handout(r.Lab))}))
	for _, unit := range r.units() {
		s.Body = append(s.Body, pages.Bars(unit, r.bars(unit)...))
	}
	var series []pages.Series
	for _, c := range r.Curves {
		series = append(series, pages.Series{Name: c.Name, Hist: c.Hist})
	}
	if len(series) > 0 {
		plot, err := pages.Percentiles("latency by percentile", series...)
		if err != nil {
			return s, err
		}
		s.Plots = append(s.Plots, plot)
	}
	return s, nil
}

// units lists the units of r's figures, in their order.
func (r Result) units() (all []string) {
	for _, f := range r.Figures {
		if !slices.Contains(all, f.Unit) {
			all = append(all, f.Unit)
		}
	}
	return all
}

func (r Result) bars(unit string) (bars []pages.Bar) {
	for _, f := range r.Figures {
		if f.Unit != unit {
			continue
		}
		b := pages.Bar{Name: f.Name, Value: f.Median, Text: report.Number(f.Median), Note: f.plusMinus()}
		if f.Claimed {
			b.Kind = "claim"
		}
		bars = append(bars, b)
	}
	return bars
}

// plusMinus is half of the middle half of the rounds, in percent; empty where
// all were the same.
func (f Figure) plusMinus() string {
	if f.Q1 == f.Q3 {
		return ""
	}
	return fmt.Sprintf("±%.1f%%", 100*(f.Q3-f.Q1)/2/max(f.Median, 1e-9))
}

func badge(v Verdict) pages.Badge {
	kind := map[Verdict]string{Holds: "good", Partly: "warn", Fails: "bad", Hardware: "plain", TooNoisy: "plain"}[v]
	return pages.Badge{Kind: kind, Text: string(v)}
}

// handout is the path of the handout that builds what was promised.
func handout(id string) string {
	lab, err := course.Find(id)
	if err != nil {
		panic("claims: " + err.Error()) // the table names a lab that is not there; a test looks
	}
	return lab.Path("labs") + "/README.md"
}
