package transcript

import (
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	"github.com/asynclab/asynclab/harness/course"
	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/pages"
	"github.com/asynclab/asynclab/harness/profiles"
	"github.com/asynclab/asynclab/harness/report"
)

func sorted(names []string) []string {
	slices.Sort(names)
	return names
}

const day = "2 January 2006"

// Page is the transcript as HTML.
func (t Transcript) Page() (pages.Page, error) {
	p := pages.Page{Title: "Your course", Lead: t.lead(), Foot: "Made by make report on " + t.When.Format(day+", 15:04") + " from this clone's own history in .asynclab. Nothing of it leaves your machine."}
	p.Sections = append(p.Sections, t.overview())
	for _, l := range t.Labs {
		if len(l.Runs) == 0 {
			continue
		}
		s, err := l.section()
		if err != nil {
			return p, fmt.Errorf("lab %s: %w", l.Dir(), err)
		}
		p.Sections = append(p.Sections, s)
	}
	return p, nil
}

// lead sums up in a sentence.
func (t Transcript) lead() string {
	points, outOf, done, built, runs := 0, 0, 0, 0, 0
	var last time.Time
	for _, l := range t.Labs {
		if !l.Built {
			continue
		}
		s := l.standing()
		built++
		outOf += l.Points
		points += s.Best.Points
		runs += s.Runs
		if s.Done() {
			done++
		}
		if s.Last.Time.After(last) {
			last = s.Last.Time
		}
	}
	if runs == 0 {
		return fmt.Sprintf("Nothing has been checked yet. %d labs with %s points are waiting: begin with make check LAB=01, which fails and says where to start.", built, report.Number(float64(outOf)))
	}
	return fmt.Sprintf("%s of %s points, %d of %d labs finished. %s; the last on %s.", report.Number(float64(points)), report.Number(float64(outOf)), done, built, counted(runs), last.Local().Format(day))
}

func counted(runs int) string {
	if runs == 1 {
		return "1 check"
	}
	return report.Number(float64(runs)) + " checks"
}

func (t Transcript) overview() pages.Section {
	var tiles []pages.Tile
	for _, l := range t.Labs {
		s := l.standing()
		tile := pages.Tile{Over: l.ID, Title: l.Title, Share: float64(s.Best.Points) / float64(max(1, l.Points)), Text: fmt.Sprintf("%d of %d", s.Best.Points, l.Points)}
		switch {
		case !l.Built:
			tile.Text, tile.Badge = "", pages.Badge{Kind: "plain", Text: "planned"}
		case s.Runs == 0:
			tile.Text, tile.Badge = l.Hours+" hours", pages.Badge{Kind: "plain", Text: "not started"}
		case s.Done():
			tile.Link, tile.Badge = "#lab-"+l.ID, pages.Badge{Kind: "good", Text: "done"}
		default:
			tile.Link, tile.Badge = "#lab-"+l.ID, pages.Badge{Kind: "warn", Text: string(s.Last.Outcome)}
		}
		tiles = append(tiles, tile)
	}
	return pages.Section{Heading: "The labs", Body: []template.HTML{pages.Tiles(tiles...)}}
}

// section is one lab's part of the page.
func (l Lab) section() (pages.Section, error) {
	s := l.standing()
	badge := pages.Badge{Kind: "warn", Text: fmt.Sprintf("%d of %d points", s.Best.Points, l.Points)}
	if s.Done() {
		badge.Kind = "good"
	}
	section := pages.Section{ID: "lab-" + l.ID, Heading: l.Dir() + ": " + l.Title, Badge: &badge}
	section.Body = append(section.Body, l.notes(), pages.Group(l.figures()...))
	plots, err := l.latency()
	if err != nil {
		return section, err
	}
	if len(plots) > 0 {
		section.Body = append(section.Body, heading("Latency, from the last make compare"), pages.Pairs(plots...))
	}
	if l.Profile != nil {
		section.Body = append(section.Body, heading("Where the CPU time went, "+l.Profile.When.Local().Format(day)), l.Profile.html())
	}
	return section, nil
}

func heading(text string) template.HTML { return "<h3>" + pages.Text(text) + "</h3>" }

// notes say where the lab stands and what is next.
func (l Lab) notes() template.HTML {
	s := l.standing()
	span := fmt.Sprintf("%d, from %s to %s", s.Runs, l.Runs[0].Time.Local().Format(day), s.Last.Time.Local().Format(day))
	if s.Runs == 1 {
		span = "1, on " + s.Last.Time.Local().Format(day)
	}
	last := fmt.Sprintf("%d of %d points: %s", s.Last.Points, l.Points, s.Last.Outcome)
	next := template.HTML("")
	if s.Last.First != "" && !s.Done() {
		next = pages.Code(s.Last.First) + " is the first check without its points: " + pages.Code("make hint LAB="+l.ID)
	} else if s.Done() && len(l.Latency) == 0 {
		next = "see your code beside the reference: " + pages.Code("make compare LAB="+l.ID)
	} else if s.Done() && l.Profile == nil {
		next = "see where the time goes: " + pages.Code("make profile LAB="+l.ID)
	}
	return pages.Notes(pages.Note{Word: "checks", Text: pages.Text(span)}, pages.Note{Word: "the last", Text: pages.Text(last)},
		pages.Note{Word: "rules", Text: l.rules()}, pages.Note{Word: "next", Text: next})
}

// rules counts the last run's verdicts, and names those that failed.
func (l Lab) rules() template.HTML {
	last := l.Runs[len(l.Runs)-1]
	passed, failed := 0, []string{}
	for name, v := range last.Rules {
		if v.Good() {
			passed++
		} else if v.Bad() {
			failed = append(failed, name)
		}
	}
	if len(last.Rules) == 0 {
		return ""
	}
	text := pages.Text(fmt.Sprintf("%d of %d kept", passed, len(last.Rules)))
	for i, name := range sorted(failed) {
		if i == 5 {
			return text + pages.Text(fmt.Sprintf(" and %d more", len(failed)-5))
		}
		if i == 0 {
			text += "; not kept: "
		} else {
			text += ", "
		}
		text += pages.Code(name)
	}
	return text
}

// figures are the points, and each target, over time.
func (l Lab) figures() []template.HTML {
	points := pages.Trend{Caption: "points", First: l.Runs[0].Time.Local().Format(day), Last: l.standing().Last.Time.Local().Format(day), Number: report.Number,
		Bound: &pages.Bound{Word: "all", Value: float64(l.Points), AtLeast: true}}
	for _, e := range l.Runs {
		one := pages.Run{Value: float64(e.Points)}
		if e.Points == l.Points {
			one.Kind = "good"
		}
		points.Runs = append(points.Runs, one)
	}
	if len(l.Runs) == 1 {
		points.Last = ""
	}
	all := []template.HTML{points.HTML()}
	for _, name := range l.targets() {
		all = append(all, l.trend(name))
	}
	return all
}

// trend draws one target: the ratio to its baseline where there is one, and
// else its own figure.
func (l Lab) trend(name string) template.HTML {
	t, known := l.target(name)
	ratio := false
	var runs []report.Entry
	for _, e := range l.Runs {
		if f := e.Targets[name]; f.Median != 0 {
			runs = append(runs, e)
			ratio = ratio || f.Ratio != 0
		}
	}
	value := func(f report.Figure) float64 {
		if ratio {
			return f.Ratio
		}
		return f.Median
	}
	trend := pages.Trend{Caption: name, Number: report.Number, First: runs[0].Time.Local().Format(day), Last: runs[len(runs)-1].Time.Local().Format(day)}
	if known {
		trend.Caption = t.Title
		if ratio {
			trend.Caption += ", as a ratio"
		} else {
			trend.Caption += ", " + t.Unit
		}
		if t.Goal != "shown" {
			trend.Bound = &pages.Bound{Word: "bound", Value: t.Bound, AtLeast: t.Goal == "at least"}
		}
	}
	for _, e := range runs {
		trend.Runs = append(trend.Runs, pages.Run{Value: value(e.Targets[name]), Kind: kind(e.Targets[name].Verdict)})
	}
	for _, e := range l.Reference {
		if f := e.Targets[name]; f.Median != 0 {
			trend.Other = value(f)
		}
	}
	if trend.Other == 0 && ratio && strings.HasPrefix(t.Against, l.Path("solutions")) {
		trend.Other = 1 // the baseline is the reference
	}
	last := runs[len(runs)-1].Targets[name]
	if len(runs) == 1 {
		trend.Last = ""
	}
	trend.Note = `<span class="now"><b>` + pages.Text(report.Number(value(last))) + "</b> " + pages.Badge{Kind: kind(last.Verdict), Text: string(last.Verdict)}.HTML() + "</span>"
	return trend.HTML()
}

// kind is a verdict's colour; figures that are only shown, or too noisy, have
// none.
func kind(v report.Verdict) string {
	switch {
	case v.Bad():
		return "bad"
	case v.Good() && v != report.Shown:
		return "good"
	}
	return ""
}

// latency are the plots of what make compare has recorded.
func (l Lab) latency() (plots []template.HTML, err error) {
	for _, one := range l.Latency {
		var series []pages.Series
		for _, side := range []struct{ name, text string }{{"you", one.You}, {"reference", one.Reference}} {
			h, err := meter.DecodeHistogram(side.text)
			if err != nil {
				return nil, err
			}
			if h.TotalCount() > 0 {
				series = append(series, pages.Series{Name: side.name, Hist: h})
			}
		}
		if len(series) == 0 {
			continue
		}
		plot, err := pages.Percentiles(one.Target, series...)
		if err != nil {
			return nil, err
		}
		plots = append(plots, "<figure>"+plot+"</figure>")
	}
	return plots, nil
}

// html shows the shares by kind, and the packages that differ most.
func (p Profile) html() template.HTML {
	stack := func(name string, s profiles.Summary) pages.Stack {
		one := pages.Stack{Name: name}
		for _, k := range profiles.Kinds {
			one.Parts = append(one.Parts, pages.Part{Name: string(k), Share: s.Kinds[k]})
		}
		return one
	}
	stacks := []pages.Stack{stack("you", p.You)}
	table := pages.Table{Columns: []string{"package", "you"}}
	if p.Reference.Total > 0 {
		stacks = append(stacks, stack("reference", p.Reference))
		table.Columns = append(table.Columns, "reference")
		changes := profiles.Compare(p.You, p.Reference)
		for _, c := range changes[:min(6, len(changes))] {
			table.Rows = append(table.Rows, []string{named(c.Name, c.Kind), percent(c.Mine), percent(c.Other)})
		}
	} else {
		for _, r := range p.You.Packages[:min(6, len(p.You.Packages))] {
			table.Rows = append(table.Rows, []string{named(r.Name, r.Kind), percent(r.Part)})
		}
	}
	return pages.Stacks(stacks...) + table.Body()
}

// named is a package's name. What it spends inside system calls is a row of its
// own.
func named(pkg string, kind profiles.Kind) string {
	pkg = strings.ReplaceAll(pkg, course.Module+"/", "")
	if kind == profiles.Kernel {
		pkg += ", in the kernel"
	}
	return pkg
}

func percent(share float64) string { return fmt.Sprintf("%.1f%%", 100*share) }
