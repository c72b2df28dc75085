package diagram

import (
	"cmp"
	"fmt"
	"html"
	"slices"
	"strings"
)

// A cell's size in pixels, that of a character of 13.3 pixels in a font whose
// advance is 0.6 em.
const (
	cellWide = 8
	cellHigh = 17
	baseline = 13 // of text, from the top of its cell
	margin   = 4
)

// SVG draws the picture. Colours and the font are left to the page: lines have
// the class "line", dotted ones "dots", heads "head", boxes "box".
func (p *Picture) SVG() string {
	var b strings.Builder
	wide, high := p.Width(), len(p.cells)*cellHigh+2*margin
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="%d %d %[1]d %[2]d">`, wide, high, -margin, -margin)
	for _, r := range p.rectangles() {
		fmt.Fprintf(&b, `<path class="box" d="M%g %gH%gV%gH%gZ"/>`, midX(r.left), midY(r.top), midX(r.right), midY(r.bottom), midX(r.left))
	}
	if d := p.lines(); d != "" {
		fmt.Fprintf(&b, `<path class="line" d="%s"/>`, d)
	}
	if d := p.points(); d != "" {
		fmt.Fprintf(&b, `<path class="dots" d="%s"/>`, d)
	}
	if d := p.heads(); d != "" {
		fmt.Fprintf(&b, `<path class="head" d="%s"/>`, d)
	}
	p.words(func(row, col int, s string, n int) {
		fmt.Fprintf(&b, `<text x="%d" y="%d"`, col*cellWide, row*cellHigh+baseline)
		if n > 1 { // a reader's font may be wider or narrower than ours
			fmt.Fprintf(&b, ` textLength="%d"`, n*cellWide)
		}
		fmt.Fprintf(&b, ">%s</text>", html.EscapeString(s))
	})
	b.WriteString("</svg>")
	return b.String()
}

// Width is the picture's in pixels, at its natural size.
func (p *Picture) Width() int { return p.wide*cellWide + 2*margin }

// Words is the text of the picture without its lines, for those who search or
// listen.
func (p *Picture) Words() string {
	var all []string
	p.words(func(_, _ int, s string, _ int) { all = append(all, s) })
	return strings.Join(all, " ")
}

func midX(col int) float64 { return float64(col*cellWide) + cellWide/2.0 }
func midY(row int) float64 { return float64(row*cellHigh) + cellHigh/2.0 }

// words calls f for every run of text: words with single spaces between them,
// and how many cells they take.
func (p *Picture) words(f func(row, col int, s string, n int)) {
	isText := func(row, col int) bool { c := p.at(row, col); return c.kind == text && c.r != ' ' }
	for row := range p.cells {
		for col := 0; col < p.wide; col++ {
			if !isText(row, col) {
				continue
			}
			var run []rune
			from := col
			for ; isText(row, col) || p.at(row, col).r == ' ' && isText(row, col+1); col++ {
				run = append(run, p.at(row, col).r)
			}
			f(row, from, string(run), len(run))
		}
	}
}

// lines is a path of all solid strokes: long ones as one piece, corners round.
func (p *Picture) lines() string {
	var b strings.Builder
	p.levels(&b)
	p.uprights(&b)
	p.each(func(row, col int, c *cell) {
		x, y := midX(col), midY(row)
		if turn := c.turn(); turn != 0 {
			dx, dy := 4.0, 4.0
			if turn&west != 0 {
				dx = -dx
			}
			if turn&north != 0 {
				dy = -dy
			}
			fmt.Fprintf(&b, "M%g %gQ%g %g %g %g", x, y+dy, x, y, x+dx, y)
		}
		if c.kind == head {
			p.tail(&b, row, col)
			return
		}
		for _, s := range slopes {
			if c.kind == line && c.dirs&s.to != 0 {
				fmt.Fprintf(&b, "M%g %gL%g %g", x, y, x+s.x*cellWide/2, y+s.y*cellHigh/2)
			}
		}
	})
	return b.String()
}

// slopes are the corners of a cell, as seen from its middle.
var slopes = []struct {
	to   dirs
	x, y float64
}{{northWest, -1, -1}, {northEast, 1, -1}, {southWest, -1, 1}, {southEast, 1, 1}}

// turn is the two directions of a corner, or none: round corners are drawn
// apart.
func (c cell) turn() dirs {
	switch c.dirs {
	case north | east, north | west, south | east, south | west:
		if c.kind == line {
			return c.dirs
		}
	}
	return 0
}

// levels draws the strokes from west to east, cells in a row as one.
func (p *Picture) levels(b *strings.Builder) {
	for row := range p.cells {
		var from, to float64
		flush := func() {
			if to > from {
				fmt.Fprintf(b, "M%g %gH%g", from, midY(row), to)
			}
			from, to = 0, 0
		}
		for col := range p.wide {
			c := p.at(row, col)
			if c.kind == double {
				p.pair(b, row, col)
			}
			if c.kind != line || c.dirs&(east|west) == 0 {
				flush()
				continue
			}
			start, end := reach(midX(col), cellWide, c, west, east)
			if to != start {
				flush()
				from = start
			}
			to = end
		}
		flush()
	}
}

// uprights draws the strokes from north to south, cells of a column as one.
func (p *Picture) uprights(b *strings.Builder) {
	for col := range p.wide {
		var from, to float64
		flush := func() {
			if to > from {
				fmt.Fprintf(b, "M%g %gV%g", midX(col), from, to)
			}
			from, to = 0, 0
		}
		for row := range p.cells {
			c := p.at(row, col)
			if c.kind != line && !(c.kind == dotted && c.dirs&(north|south) != 0) || c.dirs&(north|south) == 0 {
				flush()
				continue
			}
			start, end := reach(midY(row), cellHigh, c, north, south)
			if to != start {
				flush()
				from = start
			}
			to = end
		}
		flush()
	}
}

// reach is from where to where a stroke goes inside a cell, along one axis.
// A round corner takes the four pixels beside the middle.
func reach(middle float64, size float64, c cell, back, forth dirs) (from, to float64) {
	from, to = middle, middle
	round := 0.0
	if c.turn() != 0 {
		round = 4
	}
	if c.dirs&back != 0 {
		from, to = middle-size/2, to-round
	}
	if c.dirs&forth != 0 {
		to = middle + size/2
		if c.dirs&back == 0 {
			from += round
		}
	}
	return from, to
}

// pair draws a double stroke through a cell.
func (p *Picture) pair(b *strings.Builder, row, col int) {
	x, y := midX(col), midY(row)
	if p.at(row, col).dirs&(north|south) != 0 {
		fmt.Fprintf(b, "M%g %gv%dM%g %gv%[3]d", x-1.5, y-cellHigh/2.0, cellHigh, x+1.5, y-cellHigh/2.0)
		return
	}
	fmt.Fprintf(b, "M%g %gh%dM%g %gh%[3]d", x-cellWide/2.0, y-1.5, cellWide, x-cellWide/2.0, y+1.5)
}

// points is a path of the dotted strokes.
func (p *Picture) points() string {
	var b strings.Builder
	for row := range p.cells {
		for col := 0; col < p.wide; col++ {
			if p.at(row, col).kind != dotted {
				continue
			}
			from := col
			for p.at(row, col).kind == dotted {
				col++
			}
			fmt.Fprintf(&b, "M%g %gh%d", float64(from*cellWide), midY(row), (col-from)*cellWide)
		}
	}
	return b.String()
}

const headLong, headHalf = 7.5, 3.6

// tip is where a head ends: at its cell's border, or at the line behind it.
func (p *Picture) tip(row, col int) (x, y float64) {
	x, y = midX(col), midY(row)
	switch p.at(row, col).dirs {
	case east:
		if x += cellWide / 2; p.at(row, col+1).upright() {
			x += cellWide/2 - 1
		}
	case west:
		if x -= cellWide / 2; p.at(row, col-1).upright() {
			x -= cellWide/2 - 1
		}
	case south:
		if y += cellHigh/2 - 2; p.at(row+1, col).level() {
			y += cellHigh/2 + 2
		}
	case north:
		if y -= cellHigh/2 - 2; p.at(row-1, col).level() {
			y -= cellHigh/2 + 2
		}
	case southEast: // a slope goes through its cell's corners
		x, y = x+cellWide/2, y+cellHigh/2.0
	case southWest:
		x, y = x-cellWide/2, y+cellHigh/2.0
	}
	return x, y
}

// tail draws the stroke between a head's cell's border and its tip.
func (p *Picture) tail(b *strings.Builder, row, col int) {
	x, y := p.tip(row, col)
	left, top := float64(col*cellWide), float64(row*cellHigh)
	switch p.at(row, col).dirs {
	case east:
		if p.at(row, col-1).kind == line {
			fmt.Fprintf(b, "M%g %gH%g", left, y, x-headLong)
		}
	case west:
		if p.at(row, col+1).kind == line {
			fmt.Fprintf(b, "M%g %gH%g", x+headLong, y, left+cellWide)
		}
	case south:
		fmt.Fprintf(b, "M%g %gV%g", x, top, y-headLong)
	case north:
		fmt.Fprintf(b, "M%g %gV%g", x, y+headLong, top+cellHigh)
	case southEast:
		fmt.Fprintf(b, "M%g %gL%g %g", left, top, x-3, y-6.4)
	case southWest:
		fmt.Fprintf(b, "M%g %gL%g %g", left+cellWide, top, x+3, y-6.4)
	}
}

// heads is a path of all arrows' heads.
func (p *Picture) heads() string {
	var b strings.Builder
	p.each(func(row, col int, c *cell) {
		if c.kind != head {
			return
		}
		x, y := p.tip(row, col)
		switch c.dirs {
		case east:
			triangle(&b, x, y, -headLong, -headHalf, -headLong, headHalf)
		case west:
			triangle(&b, x, y, headLong, -headHalf, headLong, headHalf)
		case south:
			triangle(&b, x, y, -headHalf, -headLong, headHalf, -headLong)
		case north:
			triangle(&b, x, y, -headHalf, headLong, headHalf, headLong)
		case southEast:
			triangle(&b, x, y, -6.5, -5.3, 0.1, -8.3)
		case southWest:
			triangle(&b, x, y, 6.5, -5.3, -0.1, -8.3)
		}
	})
	return b.String()
}

func triangle(b *strings.Builder, x, y, dx1, dy1, dx2, dy2 float64) {
	fmt.Fprintf(b, "M%g %gL%.1f %.1f %.1f %.1fZ", x, y, x+dx1, y+dy1, x+dx2, y+dy2)
}

// A rectangle is a box by the rows and columns of its edges.
type rectangle struct{ top, left, bottom, right int }

// rectangles finds the boxes: for each corner at the top left the smallest
// that closes. Large ones come first, so that small ones lie on top.
func (p *Picture) rectangles() []rectangle {
	var all []rectangle
	p.each(func(row, col int, c *cell) {
		if c.kind == line && c.dirs&east != 0 && c.dirs&south != 0 {
			if r, found := p.close(row, col); found {
				all = append(all, r)
			}
		}
	})
	slices.SortStableFunc(all, func(a, b rectangle) int { return cmp.Compare(b.area(), a.area()) })
	return all
}

func (r rectangle) area() int { return (r.bottom - r.top) * (r.right - r.left) }

// close walks from a corner east along the top edge, and from each corner there
// down, until all four edges are lines.
func (p *Picture) close(top, left int) (rectangle, bool) {
	for right := p.along(top, left); right > 0; right = p.along(top, right) {
		if p.at(top, right).dirs&south == 0 {
			continue
		}
		for bottom := top + 1; p.edge(bottom, left) && p.edge(bottom, right); bottom++ {
			if r := (rectangle{top, left, bottom, right}); p.closed(r) {
				return r, true
			}
		}
	}
	return rectangle{}, false
}

// along is the next column of a level line, past a title in it:
//
//	+---- title ----+
//
// 0 is where the line ends.
func (p *Picture) along(row, col int) int {
	if p.at(row, col+1).level() {
		return col + 1
	}
	if p.at(row, col).dirs&west == 0 || p.at(row, col+1).r != ' ' {
		return 0
	}
	for col += 2; col < p.wide; col++ {
		c := p.at(row, col)
		if c.r == ' ' && p.at(row, col+1).level() {
			return col + 1
		}
		if c.kind != text || c.r == ' ' && p.at(row, col+1).r == ' ' {
			return 0
		}
	}
	return 0
}

// edge says whether a box's side goes through a cell.
func (p *Picture) edge(row, col int) bool {
	c := p.at(row, col)
	return c.stroke() && c.dirs&north != 0
}

// closed says whether the bottom edge goes from side to side.
func (p *Picture) closed(r rectangle) bool {
	col := r.left
	for p.at(r.bottom, col).level() && col < r.right {
		if col = p.along(r.bottom, col); col == 0 {
			return false
		}
	}
	return col == r.right
}
