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
}

// paint draws each scene's answers in time, and what was asked.
func paint(file string, scenes []*scene) error {
	p := plot.New()
	p.BackgroundColor = color.White
	p.Title.Text = fmt.Sprintf("%d calls a second, for one second %d; the server can answer %d", usual, pulse, time.Second/service)
	p.Title.Padding = vg.Points(6)
	p.X.Label.Text, p.Y.Label.Text = "time, s", "answers in time, 1/s"
	p.X.Max, p.Y.Min, p.Y.Max = length.Seconds(), 0, 320
	p.Legend.Top, p.Legend.Padding = true, vg.Points(3)
	p.Add(plotter.NewGrid())
	asked, err := plotter.NewLine(points(func(at time.Duration) float64 { return min(float64(load(at)), 320) }))
	if err != nil {
		return err
	}
	asked.Color, asked.Dashes = color.Gray{Y: 0x90}, []vg.Length{vg.Points(4), vg.Points(3)}
	p.Add(asked)
	p.Legend.Add("calls made", asked)
	for i, s := range scenes {
		line, err := plotter.NewLine(points(func(at time.Duration) float64 { return s.rate(at, at+bin) }))
		if err != nil {
			return err
		}
		line.Color, line.Width = colours[i], vg.Points(1.8)
		p.Add(line)
		p.Legend.Add(s.name, line)
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

func points(f func(at time.Duration) float64) (all plotter.XYs) {
	for at := time.Duration(0); at < length; at += bin {
		all = append(all, plotter.XY{X: at.Seconds(), Y: f(at)})
	}
	return all
}
