package main

import (
	"fmt"
	"image/color"
	"os"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

var (
	blue   = color.RGBA{R: 0x00, G: 0x5f, B: 0xa3, A: 0xff}
	orange = color.RGBA{R: 0xc8, G: 0x55, B: 0x00, A: 0xff}
)

// paint writes two charts below each other: what a window gives up, and how long
// messages wait for each other in it.
func paint(file string, results []result) error {
	lost := chart(fmt.Sprintf("Up to %d places out of order, %.0f%% lost and asked for again", late, 100*loss), "given up, % of messages")
	wait := chart("", "wait in the buffer, ms")
	wait.X.Label.Text = "window, messages"
	wait.Legend.Top, wait.Legend.Left, wait.Legend.Padding = true, true, vg.Points(3)
	add(lost, "", orange, false, results, func(r result) float64 { return r.lost })
	add(wait, "99 of 100 wait less", orange, false, results, func(r result) float64 { return float64(r.wait(0.99)) })
	add(wait, "half of them wait less", blue, true, results, func(r result) float64 { return float64(r.wait(0.5)) })

	c := vgsvg.New(18*vg.Centimeter, 16*vg.Centimeter)
	charts := [][]*plot.Plot{{lost}, {wait}}
	tiles := draw.Tiles{Rows: 2, Cols: 1, PadY: 4 * vg.Millimeter, PadTop: 3 * vg.Millimeter, PadBottom: 3 * vg.Millimeter, PadLeft: 3 * vg.Millimeter, PadRight: 6 * vg.Millimeter}
	paper := draw.New(c)
	paper.SetColor(color.White)
	paper.Fill(paper.Rectangle.Path())
	for i, canvas := range plot.Align(charts, tiles, paper) {
		charts[i][0].Draw(canvas[0])
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if _, err := c.WriteTo(f); err != nil {
		f.Close()
		return fmt.Errorf("write %s: %w", file, err)
	}
	return f.Close()
}

func chart(title, y string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = color.White
	p.Title.Text = title
	p.Title.Padding = vg.Points(6)
	p.Y.Label.Text = y
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, powersOfTwo{}
	p.Add(plotter.NewGrid())
	return p
}

func add(p *plot.Plot, name string, c color.Color, dashed bool, results []result, y func(result) float64) {
	var points plotter.XYs
	for _, r := range results {
		points = append(points, plotter.XY{X: float64(r.window), Y: y(r)})
	}
	line, dots, err := plotter.NewLinePoints(points)
	if err != nil {
		panic(err) // a figure that is not a number
	}
	line.Color, line.Width = c, vg.Points(1.8)
	dots.Color, dots.Shape = c, draw.CircleGlyph{}
	if dashed {
		line.Dashes = []vg.Length{vg.Points(5), vg.Points(3)}
	}
	p.Add(line, dots)
	if name != "" {
		p.Legend.Add(name, line, dots)
	}
}

// powersOfTwo marks each doubling.
type powersOfTwo struct{}

func (powersOfTwo) Ticks(low, high float64) (ticks []plot.Tick) {
	for x := 1.0; x <= high; x *= 2 {
		if x >= low {
			ticks = append(ticks, plot.Tick{Value: x, Label: fmt.Sprint(x)})
		}
	}
	return ticks
}
