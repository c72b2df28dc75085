package book

import (
	"fmt"
	"go/scanner"
	"go/token"
	"html"
	"path"
	"strings"

	"github.com/alecthomas/chroma/v2"
	"github.com/alecthomas/chroma/v2/lexers"
)

// A piece is a stretch of code of one class. Classes have chroma's short names:
// k keyword, kt type, nf function, s string, m number, c comment. Those of the
// style sheet have a colour.
type piece struct{ class, text string }

// coloured is a block of code as HTML, in a language that is named. Code in a
// language that nobody knows stays plain.
func coloured(language, text string) string {
	var b strings.Builder
	for _, p := range pieces(language, text) {
		writePiece(&b, p)
	}
	return b.String()
}

// colouredFile is a file's text as HTML, its language told from its name. Lines
// have numbers that can be linked to: #L12.
func colouredFile(name, text string) string {
	language := path.Ext(name)
	if language != ".go" { // it is slow to tell
		if l := lexers.Match(path.Base(name)); l != nil {
			language = l.Config().Name
		}
	}
	var b strings.Builder
	line := 0
	begin := func() {
		line++
		fmt.Fprintf(&b, `<span class="line"><span class="ln" id="L%d"><a href="#L%[1]d">%[1]d</a></span><span class="cl">`, line)
	}
	begin()
	for _, p := range pieces(language, strings.TrimRight(text, "\n")) {
		for i, part := range strings.Split(p.text, "\n") {
			if i > 0 {
				b.WriteString("\n</span></span>")
				begin()
			}
			writePiece(&b, piece{p.class, part})
		}
	}
	b.WriteString("\n</span></span>")
	return b.String()
}

func writePiece(b *strings.Builder, p piece) {
	switch text := html.EscapeString(p.text); {
	case text == "":
	case p.class == "":
		b.WriteString(text)
	default:
		fmt.Fprintf(b, `<span class="%s">%s</span>`, p.class, text)
	}
}

func pieces(language, text string) []piece {
	if language == "go" || language == ".go" {
		return goPieces(text)
	}
	lexer := lexers.Get(language)
	if lexer == nil {
		return []piece{{"", text}}
	}
	tokens, err := chroma.Tokenise(chroma.Coalesce(lexer), nil, text)
	if err != nil {
		return []piece{{"", text}}
	}
	var all []piece
	for _, t := range tokens {
		all = append(all, piece{classOf(t.Type), t.Value})
	}
	return all
}

// classOf is a token's class, or that of the kind it belongs to.
func classOf(t chroma.TokenType) string {
	for t > 0 {
		if class, found := chroma.StandardTypes[t]; found {
			return class
		}
		t = t.Parent()
	}
	return ""
}

// goPieces reads Go with the standard library's scanner: the book holds a
// hundred files of Go, and this is a hundred times as fast as patterns are.
func goPieces(text string) []piece {
	var all []piece
	var s scanner.Scanner
	set := token.NewFileSet()
	file := set.AddFile("", set.Base(), len(text))
	s.Init(file, []byte(text), func(token.Position, string) {}, scanner.ScanComments) // code with holes is read as far as it goes
	at, declares := 0, false
	for {
		pos, tok, literal := s.Scan()
		if tok == token.EOF {
			return append(all, piece{"", text[at:]})
		}
		if tok == token.SEMICOLON && literal != ";" {
			continue // the scanner's own, at a line's end
		}
		if literal == "" {
			literal = tok.String()
		}
		from := file.Offset(pos)
		to := from + len(literal)
		if from < at || to > len(text) || text[from:to] != literal { // not as it is written, a carriage return perhaps
			continue
		}
		all = append(all, piece{"", text[at:from]}, piece{goClass(tok, literal, declares && strings.HasPrefix(text[to:], "(")), literal})
		declares = tok == token.FUNC || declares && tok != token.LBRACE
		at = to
	}
}

// goClass is the class of a token; declared says that it is a function's name
// where that is declared.
func goClass(tok token.Token, literal string, declared bool) string {
	switch {
	case tok.IsKeyword():
		return "k"
	case tok == token.COMMENT:
		return "c"
	case tok == token.STRING || tok == token.CHAR:
		return "s"
	case tok == token.INT || tok == token.FLOAT || tok == token.IMAG:
		return "m"
	case tok != token.IDENT:
		return ""
	case predeclared[literal] != "":
		return predeclared[literal]
	case declared:
		return "nf"
	}
	return ""
}

var predeclared = func() map[string]string {
	names := map[string]string{"true": "kc", "false": "kc", "nil": "kc", "iota": "kc"}
	for _, name := range strings.Fields("any bool byte comparable complex64 complex128 error float32 float64 int int8 int16 int32 int64 rune string uint uint8 uint16 uint32 uint64 uintptr") {
		names[name] = "kt"
	}
	return names
}()
