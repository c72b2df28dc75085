package pages

import (
	"fmt"
	"html/template"
	"slices"
	"strings"
)

// Group puts small figures side by side, where there is room.
func Group(figures ...template.HTML) template.HTML { return beside("group", figures) }

// Pairs does the same for figures that want half of the page.
func Pairs(figures ...template.HTML) template.HTML { return beside("plots", figures) }

func beside(class string, figures []template.HTML) template.HTML {
	var b strings.Builder
	for _, f := range figures {
		b.WriteString(string(f))
	}
	return template.HTML(`<div class="` + class + `">` + b.String() + `</div>`)
}

// A Tile is one lab in an overview.
type Tile struct {
	Link  string // "#lab-03"; empty: there is nothing to go to
	Over  string // above the title: "03"
	Title string
	Share float64
	Text  string // "64 of 100"
	Badge Badge
}

// Tiles lays tiles out in a grid.
func Tiles(tiles ...Tile) template.HTML { return render(tilesLayout, tiles) }

var tilesLayout = template.Must(template.New("tiles").Parse(`<div class="tiles">{{range .}}{{if .Link}}<a class="tile" href="{{.Link}}">{{else}}<div class="tile">{{end}}<span class="over">{{.Over}}</span><strong>{{.Title}}</strong><span class="meter"><span style="width: {{printf "%.1f" .Percent}}%"></span></span><span class="line"><span>{{.Text}}</span>{{.Badge.HTML}}</span>{{if .Link}}</a>{{else}}</div>{{end}}{{end}}</div>`))

// Percent is the share as a width.
func (t Tile) Percent() float64 { return 100 * min(max(t.Share, 0), 1) }

// A Stack is one bar whose parts make up a whole.
type Stack struct {
	Name  string
	Parts []Part
}

// A Part of a stack, from 0 to 1.
type Part struct {
	Name  string
	Share float64
}

// Stacks draws bars of parts below each other, with a key of at most six names.
func Stacks(stacks ...Stack) template.HTML {
	var key []string
	for _, s := range stacks {
		for _, p := range s.Parts {
			if !slices.Contains(key, p.Name) {
				key = append(key, p.Name)
			}
		}
	}
	var b strings.Builder
	b.WriteString(`<div class="stacks">`)
	for _, s := range stacks {
		fmt.Fprintf(&b, `<div class="name">%s</div><div class="stack">`, Text(s.Name))
		for _, p := range s.Parts {
			fmt.Fprintf(&b, `<span class="part p%d" style="width: %.2f%%" title="%s %.0f%%"></span>`, slices.Index(key, p.Name)%6, 100*p.Share, Text(p.Name), 100*p.Share)
		}
		b.WriteString(`</div>`)
	}
	b.WriteString(`</div><div class="key">`)
	for i, name := range key {
		fmt.Fprintf(&b, `<span><i class="part p%d"></i>%s</span>`, i%6, Text(name))
	}
	b.WriteString(`</div>`)
	return template.HTML(b.String())
}
