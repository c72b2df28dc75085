package diagram

import (
	"strings"
	"unicode"
)

// boxes are the box characters of Unicode: their lines are not in doubt.
var boxes = map[rune]dirs{
	'─': east | west, '│': north | south, '┌': east | south, '┐': west | south, '└': north | east, '┘': north | west,
	'├': north | south | east, '┤': north | south | west, '┬': east | west | south, '┴': east | west | north, '┼': north | south | east | west,
	'╭': east | south, '╮': west | south, '╰': north | east, '╯': north | west, '╱': northEast | southWest, '╲': northWest | southEast,
	'╴': west, '╵': north, '╶': east, '╷': south, '╌': east | west, '┄': east | west, '┈': east | west, '╎': north | south, '┆': north | south,
	'━': east | west, '┃': north | south, '┏': east | south, '┓': west | south, '┗': north | east, '┛': north | west,
	'┣': north | south | east, '┫': north | south | west, '┳': east | west | south, '┻': east | west | north, '╋': north | south | east | west,
	'═': east | west, '║': north | south, '╔': east | south, '╗': west | south, '╚': north | east, '╝': north | west,
	'╠': north | south | east, '╣': north | south | west, '╦': east | west | south, '╩': east | west | north, '╬': north | south | east | west,
}

// find decides for every cell whether it is part of a line. The order matters:
// each step leans on what the steps before have found.
func (p *Picture) find() {
	p.each(p.findBox)
	for row := range p.cells {
		p.findLevel(row)
	}
	p.each(p.findSideways)
	p.each(p.findPlus)
	p.each(p.stack)
	p.each(p.findBar)
	p.each(p.findUpright)
	p.each(p.findSlope)
	p.each(p.join)
}

func (p *Picture) findBox(_, _ int, c *cell) {
	d, found := boxes[c.r]
	if !found {
		return
	}
	c.kind, c.dirs = line, d
	switch {
	case strings.ContainsRune("╌┄┈", c.r):
		c.kind = dotted
	case c.r == '═' || c.r == '║':
		c.kind = double
	}
}

// findLevel finds lines of - = . in a row.
func (p *Picture) findLevel(row int) {
	for from := 0; from < p.wide; {
		r, to := p.at(row, from).r, from+1
		for to < p.wide && p.at(row, to).r == r {
			to++
		}
		if k := levelKind(r, to-from, p.at(row, from-1), p.at(row, to)); k != text {
			for col := from; col < to; col++ {
				p.cells[row][col].kind, p.cells[row][col].dirs = k, east|west
			}
		}
		from = to
	}
}

// levelKind says what n equal characters in a row are, between these two.
// A single - is a hyphen unless it ends at a corner or an arrow's head. Points
// and = are lines when an arrow ends them, or when there are many.
func levelKind(r rune, n int, before, after cell) kind {
	arrow := before.r == '<' || after.r == '>'
	switch {
	case r == '-' && (n > 1 || arrow || before.r == '+' || after.r == '+' || before.stroke() || after.stroke()):
		return line
	case r == '=' && n > 1 && (arrow || n > 3):
		return double
	case r == '.' && n > 1 && (arrow || n > 5 && before.r != '[' && after.r != ']'):
		return dotted
	}
	return text
}

// findSideways finds the heads that a level line ends in.
func (p *Picture) findSideways(row, col int, c *cell) {
	switch {
	case strings.ContainsRune(">►▶→", c.r) && p.at(row, col-1).level():
		c.kind, c.dirs = head, east
	case strings.ContainsRune("<◄◀←", c.r) && p.at(row, col+1).level():
		c.kind, c.dirs = head, west
	}
}

// findPlus finds the + where lines meet: any that has a line beside it, or a
// bar above or below.
func (p *Picture) findPlus(row, col int, c *cell) {
	if c.r != '+' {
		return
	}
	var d dirs
	if left := p.at(row, col-1); left.level() || left.kind == head && left.dirs == west {
		d |= west
	}
	if right := p.at(row, col+1); right.level() || right.kind == head && right.dirs == east {
		d |= east
	}
	if strings.ContainsRune("^▲", p.at(row-1, col).r) || p.side(row-1, col, -1) {
		d |= north
	}
	if p.at(row+1, col).r == '▼' || p.at(row+1, col).r == 'v' && p.alone(row+1, col) || p.side(row+1, col, 1) {
		d |= south
	}
	if p.at(row-1, col-1).r == '\\' && p.alone(row-1, col-1) {
		d |= northWest
	}
	if p.at(row-1, col+1).r == '/' && p.alone(row-1, col+1) {
		d |= northEast
	}
	if p.at(row+1, col-1).r == '/' && p.alone(row+1, col-1) {
		d |= southWest
	}
	if p.at(row+1, col+1).r == '\\' && p.alone(row+1, col+1) {
		d |= southEast
	}
	if d != 0 {
		c.kind, c.dirs = line, d
	}
}

// side says whether a box's side may go through a cell, away from a corner: a
// bar, or points that cross it.
func (p *Picture) side(row, col, on int) bool {
	bar := func(row int) bool { return strings.ContainsRune("|│", p.at(row, col).r) }
	return bar(row) || p.at(row, col).kind == dotted && bar(row+on)
}

// stack connects a + with the + above it, unless a box ends at the one and
// another begins at the other.
func (p *Picture) stack(row, col int, c *cell) {
	above := p.at(row-1, col)
	if c.r != '+' || c.kind != line || above.r != '+' || above.kind != line || p.side(row-2, col, -1) && p.side(row+1, col, 1) {
		return
	}
	c.dirs |= north
	p.cells[row-1][col].dirs |= south
}

// findBar finds the | of upright lines: those that go on above or below, and
// those that stand apart from words.
func (p *Picture) findBar(row, col int, c *cell) {
	if c.r != '|' || p.at(row, col-1).r == '|' || p.at(row, col+1).r == '|' {
		return
	}
	above, below := p.at(row-1, col), p.at(row+1, col)
	goesOn := strings.ContainsRune("|^▲", above.r) || above.stroke() || strings.ContainsRune("|v▼", below.r) || below.stroke()
	if goesOn || p.alone(row, col) {
		c.kind, c.dirs = line, north|south
	}
}

// findUpright finds the heads that an upright or a sloping line ends in, and
// the corners ' and . of level lines.
func (p *Picture) findUpright(row, col int, c *cell) {
	above, below := p.at(row-1, col), p.at(row+1, col)
	left, right := p.at(row, col-1), p.at(row, col+1)
	switch {
	case c.kind != text:
	case c.r == '▼' && above.kind != text, c.r == '↓' && above.upright():
		c.kind, c.dirs = head, south
	case c.r == '▲' && below.kind != text, c.r == '↑' && below.upright():
		c.kind, c.dirs = head, north
	case (c.r == 'v' || c.r == 'V') && p.alone(row, col):
		switch {
		case above.upright():
			c.kind, c.dirs = head, south
		case p.at(row-1, col-1).r == '\\':
			c.kind, c.dirs = head, southEast
		case p.at(row-1, col+1).r == '/':
			c.kind, c.dirs = head, southWest
		}
	case c.r == '^' && below.upright() && p.alone(row, col):
		c.kind, c.dirs = head, north
	case (c.r == '\'' || c.r == '`') && left.level() != right.level():
		c.kind, c.dirs = line, north|beside(left)
	case c.r == '.' && below.r == '|' && left.level() != right.level():
		c.kind, c.dirs = line, south|beside(left)
	}
}

// beside is where the level line at a corner is, by the corner's left cell.
func beside(left cell) dirs {
	if left.level() {
		return west
	}
	return east
}

// findSlope finds the / and \ that are lines: no part of a word or a path, and
// with a line or a head at an end.
func (p *Picture) findSlope(row, col int, c *cell) {
	if c.r != '/' && c.r != '\\' || !p.alone(row, col) {
		return
	}
	if c.r == '\\' && p.at(row, col+1).level() { // \--> turns off a line
		c.kind, c.dirs = line, north|east
		return
	}
	up, down, d := p.at(row-1, col-1), p.at(row+1, col+1), northWest|southEast
	if c.r == '/' {
		up, down, d = p.at(row-1, col+1), p.at(row+1, col-1), northEast|southWest
	}
	if up.kind != text || down.kind != text || up.r == c.r || down.r == c.r {
		c.kind, c.dirs = line, d
	}
}

// join lets lines reach into neighbours that they end at: a bar below a box's
// edge, an edge beside a bar.
func (p *Picture) join(row, col int, c *cell) {
	if !c.stroke() || boxes[c.r] != 0 || c.dirs&(northEast|northWest|southEast|southWest) == c.dirs {
		return
	}
	above, below := p.at(row-1, col), p.at(row+1, col)
	left, right := p.at(row, col-1), p.at(row, col+1)
	if c.kind == dotted {
		if above.upright() && below.upright() && above.dirs&south != 0 && below.dirs&north != 0 {
			c.dirs |= north | south
		}
		return
	}
	if c.level() {
		if above.r == '|' && above.upright() {
			c.dirs |= north
		}
		if below.r == '|' && below.upright() {
			c.dirs |= south
		}
	}
	if c.r == '|' || c.r == '+' {
		if left.level() && left.r != '+' && left.r != '|' || left.kind == head && left.dirs == west {
			c.dirs |= west
		}
		if right.level() && right.r != '+' && right.r != '|' || right.kind == head && right.dirs == east {
			c.dirs |= east
		}
	}
}

// alone says whether no word touches a cell from the left or the right.
func (p *Picture) alone(row, col int) bool {
	return !wordy(p.at(row, col-1).r) && !wordy(p.at(row, col+1).r)
}

func wordy(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_./\\()'\",;:~", r)
}
