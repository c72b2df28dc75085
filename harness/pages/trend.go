package pages

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// A Trend is a figure of several runs, in their order, beside what it is
// compared with.
type Trend struct {
	Caption string
	Note    template.HTML // behind the caption: a badge, the last figure
	Runs    []Run
	Bound   *Bound
	Other   float64 // the reference's figure; 0 if it is not known
	First   string  // below the left end: when the first run was
	Last    string
	Number  func(float64) string // how values are written
}

// A Run is one point of a trend.
type Run struct {
	Value float64
	Kind  string // "good", "bad", or empty: neither
}

// A Bound is a line with a good side.
type Bound struct {
	Word    string // "bound"
	Value   float64
	AtLeast bool // the good side is above
}

const (
	trendWide, trendHigh   = 320.0, 150.0
	trendLeft, trendRight  = 8.0, 8.0
	trendTop, trendBottom  = 14.0, 20.0
	trendWidth, trendDepth = trendWide - trendLeft - trendRight, trendHigh - trendTop - trendBottom
)

// HTML draws the trend as a figure. A run is a dot, evenly apart whatever time
// lies between.
func (t Trend) HTML() template.HTML {
	top := t.Other
	for _, r := range t.Runs {
		top = max(top, r.Value)
	}
	if t.Bound != nil {
		top = max(top, t.Bound.Value)
	}
	top = max(top*1.15, 1e-12)
	y := func(v float64) float64 { return trendTop + trendDepth*(1-v/top) }
	x := func(i int) float64 {
		if len(t.Runs) == 1 {
			return trendLeft + trendWidth/2
		}
		return trendLeft + trendWidth*float64(i)/float64(len(t.Runs)-1)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<figure class="trend"><figcaption>%s %s</figcaption><svg viewBox="0 0 %g %g" role="img">`, Text(t.Caption), t.Note, trendWide, trendHigh)
	fmt.Fprintf(&b, `<line class="axis" x1="%g" x2="%g" y1="%g" y2="%g"/>`, trendLeft, trendWide-trendRight, y(0), y(0))
	if t.Bound != nil {
		from, to := trendTop, y(t.Bound.Value)
		if !t.Bound.AtLeast {
			from, to = to, y(0)
		}
		fmt.Fprintf(&b, `<rect class="goodside" x="%g" y="%.1f" width="%g" height="%.1f"/><line class="bound" x1="%g" x2="%g" y1="%.1f" y2="%.1f"/>`,
			trendLeft, from, trendWidth, math.Max(0, to-from), trendLeft, trendWide-trendRight, y(t.Bound.Value), y(t.Bound.Value))
		fmt.Fprintf(&b, `<text x="%g" y="%.1f">%s %s</text>`, trendLeft+2, y(t.Bound.Value)-3, Text(t.Bound.Word), Text(t.Number(t.Bound.Value)))
	}
	if t.Other > 0 {
		fmt.Fprintf(&b, `<line class="other" x1="%g" x2="%g" y1="%.1f" y2="%.1f"/><text class="other" text-anchor="end" x="%g" y="%.1f">reference %s</text>`,
			trendLeft, trendWide-trendRight, y(t.Other), y(t.Other), trendWide-trendRight-2, y(t.Other)-3, Text(t.Number(t.Other)))
	}
	var points []string
	for i, r := range t.Runs {
		points = append(points, fmt.Sprintf("%.1f,%.1f", x(i), y(r.Value)))
	}
	fmt.Fprintf(&b, `<polyline points="%s"/>`, strings.Join(points, " "))
	for i, r := range t.Runs {
		fmt.Fprintf(&b, `<circle class="%s" cx="%.1f" cy="%.1f" r="3.5"><title>%s</title></circle>`, Text(r.Kind), x(i), y(r.Value), Text(t.Number(r.Value)))
	}
	fmt.Fprintf(&b, `<text class="soft" x="%g" y="%g">%s</text><text class="soft" text-anchor="end" x="%g" y="%g">%s</text></svg></figure>`,
		trendLeft, trendHigh-5, Text(t.First), trendWide-trendRight, trendHigh-5, Text(t.Last))
	return template.HTML(b.String())
}
