package book

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/yuin/goldmark/ast"
	east "github.com/yuin/goldmark/extension/ast"

	"github.com/asynclab/asynclab/harness/book/diagram"
)

// A section is what a search finds: a heading and the text below it.
type section struct {
	anchor  string
	heading string
	text    string
}

// An index is what the browser searches: sections, and for each word the
// sections that have it, with weights. The ranking is in assets/book.js.
type index struct {
	Pages    [][2]string `json:"pages"`    // title, address
	Sections [][]any     `json:"sections"` // page, anchor, heading, text
	Terms    []string    `json:"terms"`    // sorted, so that a beginning can be looked up
	Posts    [][]int     `json:"posts"`    // for each term: section, weight, section, weight, ...

	weights map[string]map[int]int // by term and section
}

// What a word weighs in a section, by where it stands.
const (
	weightText    = 1
	weightHeading = 6
	weightTitle   = 12 // of a page, in its first section
	weightMost    = 40 // of one word in one section
)

func newIndex() *index { return &index{weights: map[string]map[int]int{}} }

// add adds the sections of a page.
func (x *index) add(p *Page, sections []section) {
	page := len(x.Pages)
	x.Pages = append(x.Pages, [2]string{p.Title, p.Out})
	for i, s := range sections {
		number := len(x.Sections)
		x.Sections = append(x.Sections, []any{page, s.anchor, s.heading, s.text})
		x.count(number, s.text, weightText)
		x.count(number, s.heading, weightHeading)
		if i == 0 {
			x.count(number, p.Title+" "+p.Short, weightTitle)
		}
	}
}

func (x *index) count(section int, text string, weight int) {
	for _, w := range words(text) {
		if x.weights[w] == nil {
			x.weights[w] = map[int]int{}
		}
		x.weights[w][section] = min(x.weights[w][section]+weight, weightMost)
	}
}

// script is the index as a script: a page opened as a file may load that, but
// no JSON.
func (x *index) script() ([]byte, error) {
	x.Terms = slices.Sorted(maps.Keys(x.weights))
	x.Posts = nil
	for _, term := range x.Terms {
		var posts []int
		for _, s := range slices.Sorted(maps.Keys(x.weights[term])) {
			posts = append(posts, s, x.weights[term][s])
		}
		x.Posts = append(x.Posts, posts)
	}
	data, err := json.Marshal(x)
	return slices.Concat([]byte("window.bookIndex="), data, []byte(";\n")), err
}

// words are the search terms of a text, in small letters. A name such as
// CapHolds or MSG_ZEROCOPY counts as a whole and by its parts. Chinese is
// written without blanks, so every place may begin a term.
func words(text string) (all []string) {
	for _, w := range strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' }) {
		parts := partsOf(w)
		if len(parts) > 1 {
			parts = append(parts, w)
		}
		for _, p := range parts {
			if len(p) > 1 {
				all = append(all, strings.ToLower(p))
			}
		}
	}
	return all
}

var part = regexp.MustCompile(`\p{Lu}+\p{Ll}[\p{Ll}\d]*|\p{Lu}+|[\p{Ll}\p{Nd}]+|\p{Lo}+`)

func partsOf(word string) (parts []string) {
	for _, p := range part.FindAllString(word, -1) {
		parts = append(parts, p)
		if r := []rune(p); unicode.Is(unicode.Han, r[0]) {
			for i := 1; i < len(r); i++ {
				parts = append(parts, string(r[i:]))
			}
		}
	}
	return parts
}

// sectionsOf cuts a document at its headings of the first three levels.
func sectionsOf(doc ast.Node, source []byte) []section {
	all := []section{{}}
	var text strings.Builder
	flush := func() {
		all[len(all)-1].text = strings.Join(strings.Fields(text.String()), " ")
		text.Reset()
	}
	for n := doc.FirstChild(); n != nil; n = n.NextSibling() {
		if h, heading := n.(*ast.Heading); heading && h.Level <= 3 {
			flush()
			s := section{anchor: idOf(h), heading: plain(h, source)}
			if h.Level == 1 && len(all) == 1 && all[0].text == "" {
				all[0] = section{heading: s.heading}
				continue
			}
			all = append(all, s)
			continue
		}
		sayBlock(&text, n, source)
	}
	flush()
	return all
}

// sayBlock writes the words of a block.
func sayBlock(w *strings.Builder, n ast.Node, source []byte) {
	switch n := n.(type) {
	case *ast.FencedCodeBlock:
		say := string(n.Lines().Value(source))
		if kindOf(string(n.Language(source)), say) == drawing {
			say = diagram.Read(say).Words()
		}
		w.WriteString(say + " ")
		return
	case *ast.HTMLBlock, *ast.CodeBlock:
		w.WriteString(unescape(tag.ReplaceAllString(string(n.Lines().Value(source)), "")) + " ")
		return
	case *ast.Paragraph, *ast.TextBlock, *east.TableCell, *ast.Heading:
		w.WriteString(plain(n, source) + " ")
		return
	}
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		sayBlock(w, c, source)
	}
}

var tag = regexp.MustCompile(`<[^>]*>`)
