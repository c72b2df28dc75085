package report

import (
	"strings"

	"github.com/charmbracelet/lipgloss"
)

// A Table is rows under a head; cells may carry colours.
type Table struct {
	Head []string
	Rows [][]string
}

// Add adds a row.
func (t *Table) Add(cells ...string) { t.Rows = append(t.Rows, cells) }

// Table renders t, columns as wide as their widest cell.
func (x Text) Table(t Table) string {
	widths := make([]int, len(t.Head))
	for _, row := range append([][]string{t.Head}, t.Rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], lipgloss.Width(cell))
		}
	}
	var b strings.Builder
	line := func(cells []string, style func(string) string) {
		var l strings.Builder
		for i, cell := range cells {
			l.WriteString("  " + style(cell) + strings.Repeat(" ", widths[i]-lipgloss.Width(cell)))
		}
		b.WriteString(strings.TrimRight(l.String(), " ") + "\n")
	}
	line(t.Head, x.Bold)
	for _, row := range t.Rows {
		line(row, func(cell string) string { return cell })
	}
	return b.String()
}

const barWidth = 20

// Bar draws got of all; an empty frame when there is nothing to get.
func (x Text) Bar(got, all int) string {
	full := 0
	if all > 0 {
		full = min(barWidth, got*barWidth/all)
	}
	return x.good.Render(strings.Repeat("█", full)) + x.dim.Render(strings.Repeat("░", barWidth-full))
}

// Bold, Dim, Good, Bad and Warn put text in a style.
func (x Text) Bold(text string) string { return x.bold.Render(text) }
func (x Text) Dim(text string) string  { return x.dim.Render(text) }
func (x Text) Good(text string) string { return x.good.Render(text) }
func (x Text) Bad(text string) string  { return x.bad.Render(text) }
func (x Text) Warn(text string) string { return x.warn.Render(text) }
