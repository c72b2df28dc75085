// Package pages writes self-contained HTML: tables and SVG plots, readable on a
// phone and on paper, with no script and nothing loaded from elsewhere.
package pages

import (
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

// A Section is a heading with a table, plots, or both.
type Section struct {
	Heading string
	Text    string
	Table   *Table
	Plots   []template.HTML // SVG
}

// A Table has a row of column names. From the second column on, cells are
// aligned to the right.
type Table struct {
	Columns []string
	Rows    [][]string
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

var layout = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>
:root { color-scheme: light; --ink: #1c2430; --soft: #5b6776; --line: #dfe4ea; --paper: #fff; --accent: #005fa3 }
body { margin: 0; background: #f5f7f9; color: var(--ink); font: 16px/1.55 system-ui, sans-serif }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 4rem }
h1 { font-size: 1.7rem; margin: .5rem 0 } h2 { font-size: 1.15rem; margin: 0 0 .5rem }
p { margin: .4rem 0 } .lead, footer { color: var(--soft) }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 8px; padding: 1rem 1.2rem; margin: 1.2rem 0; overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .95rem }
th, td { padding: .35rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }
th { color: var(--soft); font-weight: 600 } th:first-child, td:first-child { text-align: left }
tr:last-child td { border-bottom: 0 } figure { margin: .8rem 0 } svg { max-width: 100%; height: auto } svg text { font-family: system-ui, sans-serif !important }
footer { font-size: .85rem; margin-top: 2rem }
@media print { body { background: #fff } section { break-inside: avoid } }
</style></head><body><main>
<h1>{{.Title}}</h1><p class="lead">{{.Lead}}</p>
{{range .Sections}}<section><h2>{{.Heading}}</h2>{{with .Text}}<p>{{.}}</p>{{end}}
{{with .Table}}<table><thead><tr>{{range .Columns}}<th>{{.}}</th>{{end}}</tr></thead>
<tbody>{{range .Rows}}<tr>{{range .}}<td>{{.}}</td>{{end}}</tr>{{end}}</tbody></table>{{end}}
{{range .Plots}}<figure>{{.}}</figure>{{end}}</section>
{{end}}<footer>{{.Foot}}</footer></main></body></html>
`))
