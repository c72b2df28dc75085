// Package diagram draws pictures that were typed: boxes of + - |, arrows, box
// characters of Unicode. The result is SVG in which lines are lines and words
// are words.
//
// The rule above all others is that nothing typed gets lost or changes its
// place. A character becomes part of a line only where its neighbours say so;
// everything else, a v in "priority, v)" too, stays text in its own cell.
package diagram

import "strings"

// A Picture is a diagram that has been read: which of its characters are lines,
// and where these go. Immutable after Read.
type Picture struct {
	cells [][]cell // rows of equal length
	wide  int      // columns
}

// A cell is one character's place.
type cell struct {
	r    rune
	kind kind
	dirs dirs // a line leaves its cell in these directions; a head points in one
}

type kind uint8

const (
	text   kind = iota
	line        // a stroke, or several that meet in the middle of the cell
	dotted      // a horizontal stroke of points
	double      // a horizontal or vertical pair of strokes
	head        // an arrow's head
)

// dirs is a set of directions from a cell's middle to its border.
type dirs uint8

const (
	north dirs = 1 << iota
	northEast
	east
	southEast
	south
	southWest
	west
	northWest
)

// Read reads a diagram. Tabs stand for spaces up to the next eighth column.
func Read(source string) *Picture {
	p := &Picture{}
	for row := range strings.Lines(strings.Trim(source, "\n")) {
		var cells []cell
		for _, r := range strings.TrimRight(row, " \t\r\n") {
			if r != '\t' {
				cells = append(cells, cell{r: r})
				continue
			}
			for cells = append(cells, cell{r: ' '}); len(cells)%8 != 0; {
				cells = append(cells, cell{r: ' '})
			}
		}
		p.cells = append(p.cells, cells)
		p.wide = max(p.wide, len(cells))
	}
	for i, row := range p.cells {
		for len(row) < p.wide {
			row = append(row, cell{r: ' '})
		}
		p.cells[i] = row
	}
	p.find()
	return p
}

// Upright says whether an arrow of the picture points up or down. Nobody types
// one by chance: it takes a line that ends in a head below or above it.
func (p *Picture) Upright() (found bool) {
	p.each(func(_, _ int, c *cell) { found = found || c.kind == head && c.dirs&(north|south) != 0 })
	return found
}

// at is the cell of a row and a column; a blank one outside of the picture.
func (p *Picture) at(row, col int) cell {
	if row < 0 || row >= len(p.cells) || col < 0 || col >= p.wide {
		return cell{r: ' '}
	}
	return p.cells[row][col]
}

// each calls f for every cell of the picture, row by row.
func (p *Picture) each(f func(row, col int, c *cell)) {
	for row := range p.cells {
		for col := range p.cells[row] {
			f(row, col, &p.cells[row][col])
		}
	}
}

// stroke says whether c is part of a line, its heads excepted.
func (c cell) stroke() bool { return c.kind == line || c.kind == dotted || c.kind == double }

// level says whether c is part of a line that runs from west to east.
func (c cell) level() bool { return c.stroke() && c.dirs&(east|west) != 0 }

// upright says whether c is part of a line that runs from north to south.
func (c cell) upright() bool { return c.stroke() && c.dirs&(north|south) != 0 }
