// Package pages writes self-contained HTML: tables, bars and SVG plots, readable
// in light and dark, on a phone and on paper, with no script and nothing loaded
// from elsewhere.
package pages

import (
	_ "embed"
	"html/template"
	"io"
	"os"
	"path/filepath"
)

// A Page is one HTML file.
type Page struct {
	Title    string
	Lead     string // a sentence or two below the title
	Sections []Section
	Foot     string // how the page was made: the command, the machine, when
}

// A Section is a heading with whatever of the following it has, in this order.
type Section struct {
	ID      string // for links to it; may be empty
	Heading string
	Badge   *Badge // beside the heading
	Text    string
	Table   *Table
	Body    []template.HTML // what this package's other functions make
	Plots   []template.HTML // SVG, side by side where there is room
}

// A Table has a row of column names. From the second column on, cells are
// aligned to the right; in one of prose none are, and they wrap, and on a phone
// each row is a card.
type Table struct {
	Columns []string
	Rows    [][]string
	HTML    [][]template.HTML // rows whose cells are HTML, behind the others
	Prose   bool
}

// Body is the table for a section's body.
func (t Table) Body() template.HTML { return render(tableLayout, t) }

// A Badge is a word in a coloured frame.
type Badge struct {
	Kind string // "good", "bad", "warn" or "plain"
	Text string
}

// HTML is the badge for a cell or a body.
func (b Badge) HTML() template.HTML {
	return template.HTML(`<span class="badge ` + template.HTMLEscapeString(b.Kind) + `">` + template.HTMLEscapeString(b.Text) + `</span>`)
}

// Text is a string for a cell of HTML.
func Text(s string) template.HTML { return template.HTML(template.HTMLEscapeString(s)) }

// Code is a command for a cell or a body.
func Code(s string) template.HTML {
	return "<code>" + Text(s) + "</code>"
}

// Write writes the page as HTML.
func (p Page) Write(w io.Writer) error { return layout.Execute(w, p) }

// Save writes the page to a file, making its folder if need be.
func (p Page) Save(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := p.Write(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

//go:embed page.html
var page string

//go:embed table.html
var table string

//go:embed page.css
var style string

var layout = template.Must(template.New("page").Funcs(template.FuncMap{
	"style": func() template.CSS { return template.CSS(style) },
}).Parse(page))

var tableLayout = template.Must(template.New("table").Parse(table))
