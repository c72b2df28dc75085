package book

import (
	"strconv"
	"strings"
	"unicode"

	"github.com/yuin/goldmark/ast"
)

// anchors names the headings of one page as GitHub does, so that a link with an
// anchor works there and here. It is goldmark's parser.IDs.
type anchors struct {
	prefix string         // of every name: the page's, where many pages are one
	taken  map[string]int // how often a name was wanted
}

func newAnchors(prefix string) *anchors { return &anchors{prefix, map[string]int{}} }

// Generate implements parser.IDs.
func (a *anchors) Generate(heading []byte, _ ast.NodeKind) []byte {
	name := slug(string(heading))
	n := a.taken[name]
	a.taken[name]++
	if n > 0 {
		name += "-" + strconv.Itoa(n)
	}
	return []byte(a.prefix + name)
}

// Put implements parser.IDs.
func (a *anchors) Put(value []byte) { a.taken[string(value)]++ }

// slug is a heading in small letters, with hyphens for blanks and without
// punctuation.
func slug(heading string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(strings.TrimSpace(heading)) {
		switch {
		case r == ' ':
			b.WriteByte('-')
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			b.WriteRune(r)
		}
	}
	return b.String()
}
