package book

import (
	"bytes"
	"fmt"
	"html/template"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	east "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer"
	"github.com/yuin/goldmark/renderer/html"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"

	"github.com/asynclab/asynclab/harness/book/diagram"
)

// markdown is the dialect of the documents: GitHub's tables, footnotes, HTML as
// it stands, and quotation marks that curl.
var markdown = goldmark.New(
	goldmark.WithExtensions(extension.Table, extension.Strikethrough, footnotes, extension.Linkify, typographer),
	goldmark.WithParserOptions(parser.WithAutoHeadingID()),
	goldmark.WithRendererOptions(html.WithUnsafe(), renderer.WithNodeRenderers(util.Prioritized(blocks{}, 100))),
)

// typographer leaves hyphens and << alone: documents speak of flags and shifts.
var typographer = extension.NewTypographer(extension.WithTypographicSubstitutions(extension.TypographicSubstitutions{
	extension.EnDash: nil, extension.EmDash: nil, extension.LeftAngleQuote: nil, extension.RightAngleQuote: nil,
}))

// footnotes bear the page's name where many pages are one.
var footnotes = extension.NewFootnote(extension.WithFootnoteIDPrefixFunction(func(n ast.Node) []byte {
	prefix, _ := n.OwnerDocument().AttributeString("prefix")
	name, _ := prefix.(string)
	return []byte(name)
}))

// A Heading is one that a page's own contents list.
type Heading struct {
	Level    int
	ID, Text string
}

// A rendering is a document as HTML.
type rendering struct {
	html     template.HTML
	headings []Heading // of levels 2 and 3
	sections []section // its text, for the index
}

// render makes HTML of a page. flat renders it for the page with everything:
// its anchors bear the page's name, its links stay inside.
func (b *builder) render(p *Page, flat bool) (rendering, error) {
	prefix := ""
	if flat {
		prefix = p.key() + "--"
	}
	context := parser.NewContext(parser.WithIDs(newAnchors(prefix)))
	doc := markdown.Parser().Parse(text.NewReader(p.markdown), parser.WithContext(context))
	doc.SetAttributeString("prefix", prefix)
	r := rendering{sections: sectionsOf(doc, p.markdown)}
	top := true
	var names []*ast.CodeSpan // these and pictures are replaced, so not while walking
	var images []*ast.Image
	var raw []ast.Node // HTML
	var texts []*ast.Text
	err := ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Heading:
			if n.Level == 1 && top && flat {
				n.SetAttributeString("id", []byte(p.key()))
			}
			top = false
			if n.Level == 2 || n.Level == 3 {
				r.headings = append(r.headings, Heading{n.Level, idOf(n), plain(n, p.markdown)})
			}
		case *ast.Link:
			n.Destination = []byte(b.href(p, string(n.Destination), flat))
		case *ast.Image:
			images = append(images, n)
		case *ast.CodeSpan:
			names = append(names, n)
		case *ast.Text:
			texts = append(texts, n)
		case *east.TableCell:
			if utf8.RuneCountInString(plain(n, p.markdown)) <= 12 {
				n.SetAttributeString("class", []byte("short")) // a figure and its unit stay on a line
			}
		case *ast.HTMLBlock, *ast.RawHTML:
			raw = append(raw, n)
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		return r, err
	}
	for _, n := range texts {
		keepUnits(n, p.markdown)
	}
	for _, n := range names {
		b.linkFile(p, n, flat)
	}
	for _, n := range images {
		b.show(p, n, flat)
	}
	for _, n := range raw {
		b.linkHTML(p, n, flat)
	}
	var w bytes.Buffer
	err = markdown.Renderer().Render(&w, p.markdown, doc)
	page := narrow(w.String())
	if flat {
		page = strings.ReplaceAll(page, "<details>", "<details open>")
	}
	r.html = template.HTML(page)
	return r, err
}

var longCode = regexp.MustCompile(`<code>[^<>\n]{21,}</code>`)

// narrow lets long names in tables break behind / and _, so that the columns
// beside them have room.
func narrow(page string) string {
	lines := strings.SplitAfter(page, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "<td") {
			lines[i] = longCode.ReplaceAllStringFunc(line, func(code string) string {
				name := strings.TrimSuffix(strings.TrimPrefix(code, "<code>"), "</code>")
				return "<code>" + strings.NewReplacer("/", "/<wbr>", "_", "_<wbr>").Replace(name) + "</code>"
			})
		}
	}
	return strings.Join(lines, "")
}

// key is the page's anchor where all pages are one.
func (p *Page) key() string {
	if p.Source == "README.md" {
		return "start"
	}
	return slug(strings.ReplaceAll(strings.TrimSuffix(strings.TrimSuffix(p.Source, ".md"), "/README"), "/", " "))
}

// linkFile makes a link of a file's name in code, if there is such a file: from
// the root if it has a slash, beside the document if it has none.
func (b *builder) linkFile(p *Page, n *ast.CodeSpan, flat bool) {
	for up := n.Parent(); up != nil; up = up.Parent() {
		if up.Kind() == ast.KindLink || up.Kind() == ast.KindHeading {
			return
		}
	}
	name := plain(n, p.markdown)
	file := name
	if !strings.Contains(name, "/") {
		file = path.Join(path.Dir(p.Source), name)
	}
	if path.Ext(name) == "" || path.Clean(file) == p.Source || !b.isFile(file) {
		return
	}
	link := ast.NewLink()
	link.Destination = []byte(b.hrefOf(p, file, "", flat))
	link.SetAttributeString("class", []byte("file"))
	n.Parent().ReplaceChild(n.Parent(), n, link)
	link.AppendChild(link, n)
}

var unit = regexp.MustCompile(`\d (?:n|µ|m)?s\b|\d (?:K|M|G|T)i?B\b|\d (?:M|G)bit\b|\d (?:k|M|G)?Hz\b`)

// keepUnits puts a space that does not break between a figure and its unit.
func keepUnits(n *ast.Text, source []byte) {
	if n.Parent().Kind() == ast.KindCodeSpan {
		return
	}
	for {
		at := unit.FindIndex(n.Segment.Value(source))
		if at == nil {
			return
		}
		space := n.Segment.Start + at[0] + 1
		before, between := ast.NewTextSegment(n.Segment.WithStop(space)), ast.NewString([]byte("\u00a0"))
		n.Parent().InsertBefore(n.Parent(), n, before)
		n.Parent().InsertBefore(n.Parent(), n, between)
		n.Segment = n.Segment.WithStart(space + 1)
	}
}

var hrefAttribute = regexp.MustCompile(`(<a\s[^<>]*?href=")([^"]*)(")`)

// linkHTML sets the links of HTML that stands in a document.
func (b *builder) linkHTML(p *Page, n ast.Node, flat bool) {
	var text []byte
	switch n := n.(type) {
	case *ast.RawHTML:
		text = n.Segments.Value(p.markdown)
	case *ast.HTMLBlock:
		text = n.Lines().Value(p.markdown)
		if n.HasClosure() {
			text = append(slices.Clone(text), n.ClosureLine.Value(p.markdown)...)
		}
	}
	if !hrefAttribute.Match(text) {
		return
	}
	linked := ast.NewString(hrefAttribute.ReplaceAllFunc(text, func(link []byte) []byte {
		m := hrefAttribute.FindSubmatch(link)
		return fmt.Appendf(nil, "%s%s%s", m[1], util.EscapeHTML([]byte(b.href(p, unescape(string(m[2])), flat))), m[3])
	}))
	linked.SetCode(true) // as it is
	n.Parent().ReplaceChild(n.Parent(), n, linked)
}

// plain is the text of a node, without marks.
func plain(n ast.Node, source []byte) string {
	var b strings.Builder
	ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Text:
			b.Write(n.Segment.Value(source))
			if n.SoftLineBreak() || n.HardLineBreak() {
				b.WriteByte(' ')
			}
		case *ast.String:
			b.WriteString(unescape(string(n.Value)))
		case *ast.AutoLink:
			b.Write(n.Label(source))
		}
		return ast.WalkContinue, nil
	})
	return b.String()
}

func idOf(n *ast.Heading) string {
	id, _ := n.AttributeString("id")
	name, _ := id.([]byte)
	return string(name)
}

// blocks renders what the site shows in its own way: headings that can be
// linked to, tables and code that scroll in boxes of their own, diagrams.
type blocks struct{}

// RegisterFuncs implements renderer.NodeRenderer.
func (blocks) RegisterFuncs(r renderer.NodeRendererFuncRegisterer) {
	r.Register(ast.KindHeading, renderHeading)
	r.Register(ast.KindFencedCodeBlock, renderFence)
	r.Register(ast.KindCodeBlock, renderFence)
	r.Register(east.KindTable, renderTable)
}

func renderHeading(w util.BufWriter, _ []byte, node ast.Node, entering bool) (ast.WalkStatus, error) {
	n := node.(*ast.Heading)
	if entering {
		fmt.Fprintf(w, `<h%d id="%s">`, n.Level, util.EscapeHTML([]byte(idOf(n))))
		return ast.WalkContinue, nil
	}
	if n.Level > 1 {
		fmt.Fprintf(w, ` <a class="anchor" href="#%s" aria-label="Link to this section">#</a>`, util.EscapeHTML([]byte(idOf(n))))
	}
	fmt.Fprintf(w, "</h%d>\n", n.Level)
	return ast.WalkContinue, nil
}

func renderTable(w util.BufWriter, _ []byte, _ ast.Node, entering bool) (ast.WalkStatus, error) {
	if entering {
		w.WriteString("<div class=\"table\" tabindex=\"0\"><table>\n")
	} else {
		w.WriteString("</table></div>\n")
	}
	return ast.WalkContinue, nil
}

func renderFence(w util.BufWriter, source []byte, node ast.Node, entering bool) (ast.WalkStatus, error) {
	if !entering {
		return ast.WalkContinue, nil
	}
	language := ""
	if f, fenced := node.(*ast.FencedCodeBlock); fenced {
		language = string(f.Language(source))
	}
	block := string(node.Lines().Value(source))
	switch kindOf(language, block) {
	case drawing:
		picture := diagram.Read(block)
		fmt.Fprintf(w, "<figure class=\"diagram\" style=\"--w: %dpx\" tabindex=\"0\">%s</figure>\n", picture.Width(), picture.SVG())
	case output:
		fmt.Fprintf(w, "<pre tabindex=\"0\"><code>%s</code></pre>\n", util.EscapeHTML([]byte(block)))
	case commands:
		fmt.Fprintf(w, "<pre class=\"commands\" tabindex=\"0\"><code>%s</code></pre>\n", coloured("bash", block))
	case code:
		fmt.Fprintf(w, "<pre tabindex=\"0\"><code>%s</code></pre>\n", coloured(language, block))
	}
	return ast.WalkContinue, nil
}
