package pages

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/stretchr/testify/require"
)

func sample(scale int64) *hdrhistogram.Histogram {
	h := hdrhistogram.New(1, 60_000_000, 3)
	for i := int64(1); i <= 10_000; i++ {
		h.RecordValue(scale * (50 + i*i/20_000))
	}
	return h
}

func TestAPageStandsByItself(t *testing.T) {
	plot, err := Percentiles("echo", Series{"you", sample(2)}, Series{"reference", sample(1)})
	require.NoError(t, err)
	page := Page{Title: "Lab <03>", Lead: "a & b", Foot: "made by a test", Sections: []Section{{
		Heading: "Targets", Table: &Table{Columns: []string{"target", "you"}, Rows: [][]string{{"echo", "1 < 2"}}}, Plots: nil,
	}, {Heading: "Latency"}}}
	page.Sections[1].Plots = append(page.Sections[1].Plots, plot)
	path := filepath.Join(t.TempDir(), "deep", "page.html")
	require.NoError(t, page.Save(path))
	html, err := os.ReadFile(path)
	require.NoError(t, err)
	text := string(html)
	require.Contains(t, text, "Lab &lt;03&gt;")
	require.Contains(t, text, "1 &lt; 2")
	require.Contains(t, text, "<svg")
	require.NotContains(t, text, "<?xml")
	for _, outside := range []string{"src=", "href=\"http", "@import", "url("} {
		require.False(t, strings.Contains(text, outside), "the page loads something: %s", outside)
	}
}

func TestAPlotWithoutLatencyIsAnError(t *testing.T) {
	_, err := Percentiles("nothing", Series{"you", hdrhistogram.New(1, 10, 1)})
	require.ErrorContains(t, err, "no latency")
}

func TestPointsEndWhereSamplesEnd(t *testing.T) {
	last := points(sample(1))
	require.InDelta(t, 4, last[len(last)-1].X, 0.03, "10,000 samples carry four nines")
	for i := 1; i < len(last); i++ {
		require.GreaterOrEqual(t, last[i].Y, last[i-1].Y)
	}
}
