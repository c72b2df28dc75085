package pages

import (
	"bytes"
	"fmt"
	"html/template"
	"image/color"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A Series is one line of a percentile plot. The histogram's values are
// microseconds.
type Series struct {
	Name string
	Hist *hdrhistogram.Histogram
}

// palette tells series apart also for readers who do not see all colours.
var palette = []color.Color{
	color.RGBA{R: 0x00, G: 0x5f, B: 0xa3, A: 0xff}, // blue
	color.RGBA{R: 0xc8, G: 0x55, B: 0x00, A: 0xff}, // orange
	color.RGBA{R: 0x2e, G: 0x7d, B: 0x32, A: 0xff}, // green
	color.RGBA{R: 0x7b, G: 0x1f, B: 0xa2, A: 0xff}, // purple
}

// Percentiles draws latency by percentile as SVG: the horizontal axis gives
// each further nine as much room as the one before, the vertical one is
// logarithmic, in microseconds.
func Percentiles(title string, series ...Series) (template.HTML, error) {
	p := plot.New()
	p.Title.Text = title
	p.X.Label.Text = "percentile"
	p.Y.Label.Text = "latency"
	p.X.Tick.Marker = nines{}
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, decades{}
	p.Legend.Top, p.Legend.Left, p.Legend.Padding = true, true, vg.Points(3)
	p.Add(plotter.NewGrid())
	low, high, far := math.Inf(1), 1.0, 3.0
	for i, s := range series {
		points := points(s.Hist)
		if len(points) == 0 {
			continue
		}
		line, err := plotter.NewLine(points)
		if err != nil {
			return "", fmt.Errorf("plot %s: %w", s.Name, err)
		}
		line.Width, line.Color = vg.Points(1.8), palette[i%len(palette)]
		if i%2 == 1 {
			line.Dashes = []vg.Length{vg.Points(5), vg.Points(3)}
		}
		p.Add(line)
		p.Legend.Add(s.Name, line)
		last := points[len(points)-1]
		low, high, far = min(low, points[0].Y), max(high, last.Y), max(far, math.Ceil(last.X))
	}
	if math.IsInf(low, 1) {
		return "", fmt.Errorf("plot %q: no latency was recorded", title)
	}
	p.X.Min, p.X.Max = 0, far*1.09 // room for half of the last label
	p.Y.Min, p.Y.Max = low/1.5, high*1.5
	return svg(p, 18*vg.Centimeter, 9*vg.Centimeter)
}

// points are a histogram's percentiles, from the first (the very fastest says
// nothing) to the last recorded value, at most five nines.
func points(h *hdrhistogram.Histogram) plotter.XYs {
	if h == nil || h.TotalCount() == 0 {
		return nil
	}
	var xys plotter.XYs
	for x := 0.005; x <= 5; x += 0.02 {
		tail := math.Pow(10, -x)
		if tail*float64(h.TotalCount()) < 1 {
			break // fewer than one sample lies beyond
		}
		v := h.ValueAtQuantile(100 * (1 - tail))
		xys = append(xys, plotter.XY{X: x, Y: float64(max(v, 1))})
	}
	return xys
}

// nines marks the horizontal axis.
type nines struct{}

func (nines) Ticks(_, most float64) []plot.Tick {
	all := []plot.Tick{
		{Value: 0, Label: "0"}, {Value: -math.Log10(0.5), Label: "50%"}, {Value: 1, Label: "90%"}, {Value: 2, Label: "99%"},
		{Value: 3, Label: "99.9%"}, {Value: 4, Label: "99.99%"}, {Value: 5, Label: "99.999%"},
	}
	return slices.DeleteFunc(all, func(t plot.Tick) bool { return t.Value > most })
}

// decades marks the vertical axis at 1, 2 and 5 times each power of ten, as far
// as there is room, in units that people use.
type decades struct{}

func (decades) Ticks(low, high float64) (ticks []plot.Tick) {
	for decade := 1.0; decade <= high; decade *= 10 {
		for _, step := range []float64{1, 2, 5} {
			v := decade * step
			if v < low || v > high {
				continue
			}
			label := ""
			if step == 1 || high/low < 100 {
				label = (time.Duration(v) * time.Microsecond).String()
			}
			ticks = append(ticks, plot.Tick{Value: v, Label: label})
		}
	}
	return ticks
}

func svg(p *plot.Plot, w, h vg.Length) (template.HTML, error) {
	canvas := vgsvg.New(w, h)
	p.Draw(draw.New(canvas))
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return "", err
	}
	// Inside a page there is no XML prologue.
	if i := bytes.Index(b.Bytes(), []byte("<svg")); i > 0 {
		b.Next(i)
	}
	return template.HTML(themed.Replace(b.String())), nil
}

// themed gives lines the colours of page.css, which are others in the dark, and
// leaves the paper to the page.
var themed = strings.NewReplacer("fill:#FFFFFF", "fill:none", "#000000", "currentColor",
	"#005FA3", "var(--accent)", "#C85500", "var(--other)", "#2E7D32", "var(--good)", "#7B1FA2", "var(--violet)")
