package book

import (
	"bytes"
	"fmt"
	"html"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/yuin/goldmark/ast"
)

// href is where a link in a document goes inside the site: to a page, to a
// source file's page, to a folder's. What lies outside stays as it is. A link
// that leads nowhere is a problem and becomes an empty one.
func (b *builder) href(from *Page, dest string, flat bool) string {
	if strings.Contains(dest, "://") || strings.HasPrefix(dest, "mailto:") {
		return dest
	}
	target, anchor, _ := strings.Cut(dest, "#")
	if target == "" {
		return b.hrefOf(from, from.Source, anchor, flat)
	}
	return b.hrefOf(from, path.Join(path.Dir(from.Source), target), anchor, flat)
}

// hrefOf is href for a path from the root. It remembers files and folders that
// need pages of their own.
func (b *builder) hrefOf(from *Page, target, anchor string, flat bool) string {
	base := from.Out
	if flat {
		base = printPage
	}
	p := b.pages[target]
	if p == nil {
		p = b.pages[path.Join(target, "README.md")]
	}
	switch {
	case p != nil && flat && anchor == "":
		return "#" + p.key()
	case p != nil && flat:
		return "#" + p.key() + "--" + anchor
	case p != nil:
		return withAnchor(relative(base, p.Out), anchor)
	case target == contentsFile:
		return relative(base, contentsPage)
	case b.isFile(target) && isPicture(target):
		b.pictures[target] = true
		return relative(base, target)
	case b.isFile(target):
		b.files[target] = true
		return withAnchor(relative(base, target+".html"), firstLine(anchor))
	case b.isFolder(target):
		b.files[target] = true
		return relative(base, path.Join(target, "index.html"))
	}
	b.problem("%s links to %s, which is not there", from.Source, target)
	return ""
}

// show puts a picture into a page: plots as part of it, so that they have the
// site's fonts and colours, others as files that are copied.
func (b *builder) show(from *Page, n *ast.Image, flat bool) {
	dest := string(n.Destination)
	file := path.Join(path.Dir(from.Source), dest)
	switch {
	case strings.Contains(dest, "://"):
		b.problem("%s shows %s from elsewhere: put the picture beside the document", from.Source, dest)
	case !b.isFile(file):
		b.problem("%s shows %s, which is not there", from.Source, file)
		n.Destination = nil
	case path.Ext(file) == ".svg":
		svg, err := os.ReadFile(filepath.Join(b.root, file))
		if err != nil {
			b.problem("%s shows %s: %v", from.Source, file, err)
		}
		_, picture, _ := bytes.Cut(svg, []byte("<svg"))
		plot := ast.NewString(fmt.Appendf(nil, `<span class="plot" role="img" aria-label="%s"><svg%s</span>`, html.EscapeString(plain(n, from.markdown)), picture))
		plot.SetCode(true) // as it is
		n.Parent().ReplaceChild(n.Parent(), n, plot)
	default:
		b.pictures[file] = true
		base := from.Out
		if flat {
			base = printPage
		}
		n.Destination = []byte(relative(base, file))
	}
}

var lineRange = regexp.MustCompile(`^(L\d+)-L?\d+$`)

// firstLine is the anchor of the first of several lines: L3 of L3-L7.
func firstLine(anchor string) string { return lineRange.ReplaceAllString(anchor, "$1") }

func withAnchor(href, anchor string) string {
	if anchor == "" {
		return href
	}
	return href + "#" + anchor
}

// relative is the way from one page of the site to another.
func relative(from, to string) string {
	way, err := filepath.Rel(path.Dir(from), to)
	if err != nil { // both are below the site's folder
		panic(err)
	}
	return filepath.ToSlash(way)
}

func isPicture(file string) bool {
	switch path.Ext(file) {
	case ".svg", ".png", ".jpg", ".jpeg", ".gif", ".webp":
		return true
	}
	return false
}

func (b *builder) isFile(name string) bool {
	info, err := os.Stat(filepath.Join(b.root, name))
	return inside(name) && err == nil && info.Mode().IsRegular()
}

func (b *builder) isFolder(name string) bool {
	info, err := os.Stat(filepath.Join(b.root, name))
	return inside(name) && err == nil && info.IsDir()
}

// inside says whether a path stays below the repository's root, and out of what
// is hidden there.
func inside(name string) bool {
	return filepath.IsLocal(name) && (!strings.HasPrefix(name, ".") || name == ".")
}
