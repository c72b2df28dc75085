package book

import (
	"bytes"
	"embed"
	"fmt"
	"html"
	"html/template"
	"io/fs"
	"path"
	"strings"
)

// Pages that no document stands behind.
const (
	contentsPage = "contents.html"
	printPage    = "print.html"
)

//go:embed assets
var assets embed.FS

var layout = template.Must(template.ParseFS(assets, "assets/layout.html"))

// A frame is what a page consists of beside the text.
type frame struct {
	Out        string
	Title      string
	Part       string
	Body       template.HTML
	Headings   []Heading
	Prev, Next *Page
	Crumbs     []crumb
	Wide       bool // code or everything: no column of its own contents

	Parts []Part // for the navigation
}

// Root is the way to the site's folder.
func (f frame) Root() string { return relative(f.Out, ".") + "/" }

// To is the way to another page.
func (f frame) To(out string) string { return relative(f.Out, out) }

func (b *builder) writeFrame(f frame) error {
	f.Parts = b.parts
	var w bytes.Buffer
	if err := layout.ExecuteTemplate(&w, "layout.html", f); err != nil {
		return err
	}
	b.site[f.Out] = w.Bytes()
	return nil
}

func (b *builder) writePage(p *Page, x *index) error {
	r, err := b.render(p, false)
	if err != nil {
		return err
	}
	x.add(p, r.sections)
	return b.writeFrame(frame{Out: p.Out, Title: p.Title, Part: p.Part, Body: r.html, Headings: r.headings, Prev: p.Prev, Next: p.Next})
}

// writePrint writes the page with everything.
func (b *builder) writePrint() error {
	var body strings.Builder
	for _, p := range b.order {
		r, err := b.render(p, true)
		if err != nil {
			return fmt.Errorf("%s: %w", p.Source, err)
		}
		fmt.Fprintf(&body, "<article class=\"chapter\">%s</article>\n", r.html)
	}
	return b.writeFrame(frame{Out: printPage, Title: "The whole book", Wide: true, Body: template.HTML(body.String())})
}

// writeContents writes the contents as a page of its own.
func (b *builder) writeContents() error {
	var body strings.Builder
	body.WriteString("<h1>Contents</h1>\n")
	for _, part := range b.parts {
		fmt.Fprintf(&body, "<h2 id=%q>%s</h2>\n<ul class=\"contents\">\n", slug(part.Title), html.EscapeString(part.Title))
		for _, p := range part.Pages {
			class := ""
			if p.Nested {
				class = ` class="nested"`
			}
			fmt.Fprintf(&body, "<li%s><a href=%q>%s</a></li>\n", class, relative(contentsPage, p.Out), html.EscapeString(p.Short))
		}
		body.WriteString("</ul>\n")
	}
	fmt.Fprintf(&body, "<p><a href=%q>Everything on one page</a>, to print or to search with the browser.</p>", printPage)
	return b.writeFrame(frame{Out: contentsPage, Title: "Contents", Body: template.HTML(body.String())})
}

// writeAssets writes styles, script and fonts.
func (b *builder) writeAssets() error {
	ttfs, err := fonts()
	if err != nil {
		return err
	}
	for name, font := range ttfs {
		b.site["assets/"+name+".ttf"] = font
	}
	return fs.WalkDir(assets, "assets", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) == ".html" {
			return err
		}
		b.site[name], err = assets.ReadFile(name)
		return err
	})
}

func unescape(s string) string { return html.UnescapeString(s) }
