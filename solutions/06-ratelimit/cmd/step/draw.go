package main

import (
	"fmt"
	"image/color"
	"os"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

var colours = []color.Color{
	color.RGBA{R: 0xb0, G: 0x00, B: 0x20, A: 0xff},
	color.RGBA{R: 0x00, G: 0x5f, B: 0xa3, A: 0xff},
	color.RGBA{R: 0x3a, G: 0x7d, B: 0x00, A: 0xff},
	color.RGBA{R: 0xc8, G: 0x55, B: 0x00, A: 0xff},
}

// paint draws each limiter's rate over time, and what the server can do.
func paint(file string, results []result) error {
	p := plot.New()
	p.BackgroundColor = color.White
	p.Title.Text = fmt.Sprintf("%d requests a second come; the server can answer 1000, for a minute 400", demand)
	p.Title.Padding = vg.Points(6)
	p.X.Label.Text, p.Y.Label.Text = "time, s", "rate, requests/s"
	p.Y.Min, p.Y.Max = 0, 3300
	p.Legend.Top, p.Legend.Padding = true, vg.Points(3)
	p.Add(plotter.NewGrid())
	able := result{name: "what the server can answer"}
	for at := time.Duration(0); at < length; at += time.Second {
		able.rates = append(able.rates, capacity(at))
	}
	for i, r := range append(results, able) {
		line, err := plotter.NewLine(points(r))
		if err != nil {
			return err
		}
		line.Color, line.Width = colours[i], vg.Points(1.8)
		p.Add(line)
		p.Legend.Add(r.name, line)
	}
	c := vgsvg.New(18*vg.Centimeter, 10*vg.Centimeter)
	p.Draw(draw.Crop(draw.New(c), 3*vg.Millimeter, -6*vg.Millimeter, 3*vg.Millimeter, -3*vg.Millimeter))
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

func points(r result) (all plotter.XYs) {
	for second, rate := range r.rates {
		all = append(all, plotter.XY{X: float64(second), Y: min(rate, 3300)})
	}
	return all
}
