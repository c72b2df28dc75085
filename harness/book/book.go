// Package book makes one static site out of the course's documents: the
// handouts of the labs, the chapters below docs/, and the source files that
// these link to.
//
// A site stands by itself: styles, script, fonts and the search index are in
// it, its links are relative, and it loads nothing from elsewhere. It can be
// served from any folder, or opened as files.
//
// docs/contents.md says what is in the book and in which order. contents.go
// reads it, markdown.go renders a page, links.go finds out where its links go,
// colour.go colours code, layout.go puts all into the frame, search.go makes the
// index, check.go proves that no link of the whole site is dead. Package diagram
// draws.
package book

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// A Site is the files of a book by their path, with slashes, below its folder.
type Site map[string][]byte

// A Page is one document of the book.
type Page struct {
	Source string // the Markdown file, from the repository's root
	Out    string // the page in the site
	Title  string // the document's first heading
	Short  string // what the contents call it
	Part   string // the title of the part it belongs to
	Nested bool   // stands below the page before it in the contents

	Prev, Next *Page // in the order of the contents; nil at the ends

	markdown []byte
}

// A builder collects what one build finds.
type builder struct {
	root     string
	parts    []Part
	order    []*Page          // all pages, as the contents list them
	pages    map[string]*Page // by Source
	files    map[string]bool  // source files and folders that documents link to
	pictures map[string]bool  // files that are copied as they are
	problems []string
	site     Site
}

// Build renders the book of the repository at root. Problems are sentences
// about links that lead nowhere and about the contents; the site is whole
// without what they name.
func Build(root string) (site Site, problems []string, err error) {
	b := &builder{root: root, pages: map[string]*Page{}, files: map[string]bool{}, pictures: map[string]bool{}, site: Site{}}
	if err := b.collect(); err != nil {
		return nil, nil, err
	}
	index := newIndex()
	for _, p := range b.order {
		if err := b.writePage(p, index); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", p.Source, err)
		}
	}
	steps := []func() error{b.writePrint, b.writeContents, b.writeFiles, b.writePictures, b.writeAssets}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, nil, err
		}
	}
	if b.site["assets/search.js"], err = index.script(); err != nil {
		return nil, nil, err
	}
	return b.site, b.problems, nil
}

// collect reads the contents and every document they list. Documents that they
// forget come last, so that nothing is lost.
func (b *builder) collect() error {
	titles, parts, err := contents(b.root)
	if err != nil {
		return err
	}
	missing, _, err := Forgotten(b.root)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		var rest []entry
		for _, m := range missing {
			b.problem("%s does not list %s", contentsFile, m)
			rest = append(rest, entry{path: m})
		}
		titles, parts = append(titles, "Not in the contents yet"), append(parts, rest)
	}
	for i, entries := range parts {
		part := Part{Title: titles[i]}
		for _, e := range entries {
			if p := b.read(e); p != nil {
				p.Part = part.Title
				part.Pages = append(part.Pages, p)
			}
		}
		if len(part.Pages) > 0 {
			b.parts = append(b.parts, part)
		}
	}
	for i, p := range b.order {
		if i > 0 {
			p.Prev, b.order[i-1].Next = b.order[i-1], p
		}
	}
	return nil
}

// read adds one document to the book; nil if it is not there, or there already.
func (b *builder) read(e entry) *Page {
	text, err := os.ReadFile(filepath.Join(b.root, e.path))
	if err != nil {
		b.problem("%s lists %s: %v", contentsFile, e.path, err)
		return nil
	}
	if b.pages[e.path] != nil {
		b.problem("%s lists %s twice", contentsFile, e.path)
		return nil
	}
	p := &Page{Source: e.path, Out: pageName(e.path), Title: firstHeading(text), Short: e.title, Nested: e.nested, markdown: text}
	if p.Title == "" {
		p.Title = e.path
	}
	if p.Short == "" || p.Short == "Chapter" {
		p.Short = p.Title
	}
	b.pages[e.path], b.order = p, append(b.order, p)
	return p
}

// pageName is the page of a document: a folder's README is its index.
func pageName(source string) string {
	if path.Base(source) == "README.md" {
		return path.Join(path.Dir(source), "index.html")
	}
	return strings.TrimSuffix(source, ".md") + ".html"
}

// firstHeading is the text of the first line that begins with a single #.
func firstHeading(markdown []byte) string {
	for line := range strings.Lines(string(markdown)) {
		if title, found := strings.CutPrefix(line, "# "); found {
			return curl(strings.ReplaceAll(strings.TrimSpace(title), "`", ""))
		}
	}
	return ""
}

// problem notes what is wrong, once.
func (b *builder) problem(format string, args ...any) {
	if s := fmt.Sprintf(format, args...); !slices.Contains(b.problems, s) {
		b.problems = append(b.problems, s)
	}
}
