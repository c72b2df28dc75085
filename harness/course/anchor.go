package course

import (
	"strings"
	"unicode"
)

// Anchor is the name that GitHub gives to a heading of a document, behind the #
// of a link: lower case, dashes for blanks, all signs but - and _ left out.
func Anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, strings.TrimSpace(heading))
}
