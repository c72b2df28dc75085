package websockettest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"unicode/utf8"

	"github.com/asynclab/asynclab/harness/spec"
)

const textSection = "Step 7: UTF-8 as it comes"

var textRules = []spec.Rule[lab]{
	{
		Name: "TextIsValidUTF8", Group: "text", Points: 2, Section: textSection,
		Why: "A text message is UTF-8 or ends the connection with 1007 (RFC 6455, 8.1; Autobahn's case 6). Overlong forms, surrogates and what lies above U+10FFFF are not UTF-8: they are how a filter is passed by one spelling and read as another. Binary messages are not looked at.",
		Hints: [3]string{
			"Which sequence is the first to go wrong: one cut short, one too long, a surrogate?",
			"unicode/utf8's Valid knows all of it. A text that ends inside a character is invalid, too.",
			"if text && !utf8.Valid(payload) { fail(1007) }, for a message in one frame.",
		},
		Check: textIsValidUTF8,
	},
	{
		Name: "UTF8IsCheckedAcrossCuts", Group: "text", Points: 2, Section: textSection,
		Why: "A fragment, and a packet, may end inside a character. Its first bytes are neither valid nor invalid: keep them, at most 3, until the next ones come.",
		Hints: [3]string{
			"What does utf8.Valid say of the first two bytes of a euro sign?",
			"Cut off what utf8.FullRune calls incomplete at the end, check the rest, and put the cut-off bytes in front of what comes next.",
			"At the end of a piece: for n := 1; n < 4; n++ { if tail := p[len(p)-n:]; utf8.RuneStart(tail[0]) { if !utf8.FullRune(tail) { keep tail }; break } }.",
		},
		Check: utf8IsCheckedAcrossCuts,
	},
	{
		Name: "InvalidTextFailsFast", Group: "text", Points: 2, Section: textSection,
		Why: "The first byte that nothing behind it can make right ends the connection: not the end of the fragment, nor of the message, which may be megabytes away or never come (Autobahn's case 6.4).",
		Hints: [3]string{
			"A frame announces 1,000 bytes, the tenth is 0xFF. When do you notice?",
			"Check each piece as it comes, whole frame or not. After E0, for one, a byte below A0 can already never become a character.",
			"utf8.FullRune returns true for a sequence that is wrong already: then utf8.Valid says no. While it returns false, wait.",
		},
		Check: invalidTextFailsFast,
	},
}

// validTexts are those of Autobahn's cases 6.
var validTexts = []string{
	"", "Hello-µ@ßöäüàá-UTF-8!!", "κόσμε", "\x00", "\u0080", "\u0800", "\U00010000", "\x7f", "\u07ff", "\uffff", "\U0010ffff",
	"\ud7ff", "\ue000", "\ufffd", "\ufffe", "\U0001fffe", "\U0001ffff", "\U0002fffe", "\U0008ffff", "\U0010fffe", "\ufeffwith a mark", "日本語 𝄞 \U0001f600",
}

// invalidTexts are sequences that are no UTF-8, with the reason.
var invalidTexts = []struct{ why, text string }{
	{"a surrogate among letters", "κόσμε\xed\xa0\x80edited"},
	{"5 bytes", "\xf8\x88\x80\x80\x80"},
	{"6 bytes", "\xfc\x84\x80\x80\x80\x80"},
	{"the last of 4 bytes", "\xf7\xbf\xbf\xbf"},
	{"the last of 5 bytes", "\xfb\xbf\xbf\xbf\xbf"},
	{"the last of 6 bytes", "\xfd\xbf\xbf\xbf\xbf\xbf"},
	{"above U+10FFFF", "\xf4\x90\x80\x80"},
	{"a lone continuation byte", "\x80"},
	{"another", "\xbf"},
	{"two", "\x80\xbf"},
	{"seven", "\x80\xbf\x80\xbf\x80\xbf\x80"},
	{"a lone first byte of 2", "\xc2 "},
	{"another of 2", "\xdf "},
	{"a lone first byte of 3", "\xe0 "},
	{"another of 3", "\xef "},
	{"a lone first byte of 4", "\xf0 "},
	{"a lone first byte of 5", "\xf8 "},
	{"a lone first byte of 6", "\xfc "},
	{"FE", "\xfe"},
	{"FF", "\xff"},
	{"FE FE FF FF", "\xfe\xfe\xff\xff"},
	{"a slash in 2 bytes", "\xc0\xaf"},
	{"a slash in 3", "\xe0\x80\xaf"},
	{"a slash in 4", "\xf0\x80\x80\xaf"},
	{"a slash in 5", "\xf8\x80\x80\x80\xaf"},
	{"a slash in 6", "\xfc\x80\x80\x80\x80\xaf"},
	{"the last overlong of 2", "\xc1\xbf"},
	{"the last overlong of 3", "\xe0\x9f\xbf"},
	{"the last overlong of 4", "\xf0\x8f\xbf\xbf"},
	{"NUL in 2 bytes", "\xc0\x80"},
	{"NUL in 3", "\xe0\x80\x80"},
	{"NUL in 4", "\xf0\x80\x80\x80"},
	{"the first surrogate", "\xed\xa0\x80"},
	{"the last high surrogate", "\xed\xaf\xbf"},
	{"the first low surrogate", "\xed\xb0\x80"},
	{"the last surrogate", "\xed\xbf\xbf"},
	{"a pair of surrogates", "\xed\xa0\x80\xed\xb0\x80"},
	{"Latin-1", "Gr\xfc\xdfe"},
}

// unfinishedTexts end inside a character.
var unfinishedTexts = []string{"\xc2", "\xdf", "\xe0\xa0", "\xe2\x82", "\xef\xbf", "\xf0\x90", "\xf0\x9d\x84", "\xf4\x8f\xbf", "\xe2"}

func textIsValidUTF8(r *spec.Run, l lab) error {
	var all []exchange
	for _, s := range validTexts {
		all = append(all, exchange{fmt.Sprintf("the text %+q", s), in(text(s)), []string{message(true, []byte(s))}})
	}
	for _, s := range invalidTexts {
		all = append(all,
			exchange{fmt.Sprintf("invalid text, %s: %+q", s.why, s.text), in(text("ok "+s.text), text("a")), broken(1007)},
			exchange{fmt.Sprintf("%+q in a binary message", s.text), in(bin([]byte(s.text))), []string{message(false, []byte(s.text))}})
	}
	for _, s := range unfinishedTexts {
		all = append(all,
			exchange{fmt.Sprintf("a text that ends with %+q, inside a character", s), in(text("ok "+s), text("\x80")), broken(1007)},
			exchange{fmt.Sprintf("the same in two fragments, %+q", s), in(text("ok ").part(), next(s)), broken(1007)})
	}
	if err := holds(r, l, Options[Conn]{}, all); err != nil {
		return err
	}
	return anyBytes(r, l)
}

// anyBytes compares with unicode/utf8.
func anyBytes(r *spec.Run, l lab) error {
	const texts = 3000
	r.Step("%d texts of up to 6 bytes in which UTF-8's rules change", texts)
	edges := []byte("\x00\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc2\xdf\xe0\xe1\xec\xed\xee\xef\xf0\xf1\xf3\xf4\xf5\xf7\xf8\xff")
	from := rand.New(rand.NewPCG(3, 4))
	for range texts {
		p := make([]byte, 1+from.IntN(6))
		for i := range p {
			p[i] = edges[from.IntN(len(edges))]
		}
		x := exchange{fmt.Sprintf("the text %x", p), in(text(string(p))), []string{message(true, p)}}
		if !utf8.Valid(p) {
			x.want = broken(1007)
		}
		if err := x.hold(r, l, Options[Conn]{}, cutting{"cut at random", atRandom(len(x.send), from.Uint64())}); err != nil {
			return err
		}
	}
	return nil
}

func utf8IsCheckedAcrossCuts(r *spec.Run, l lab) error {
	var all []exchange
	for _, s := range []string{"Hello-µ@ßöäüàá-UTF-8!!", "κόσμε", "𝄞€ä", "\U0010ffff\uffff\u07ff"} {
		want := []string{message(true, []byte(s))}
		for cut := range len(s) + 1 {
			all = append(all, exchange{fmt.Sprintf("the text %q in two fragments, %d bytes in the first", s, cut), in(text(s[:cut]).part(), next(s[cut:])), want})
		}
		all = append(all, exchange{fmt.Sprintf("the text %q in fragments of a byte", s), textFragments(s, 1), want},
			exchange{fmt.Sprintf("the text %q, twice, in fragments of 3 bytes", s), append(textFragments(s, 3), textFragments(s, 3)...), append(want, want...)})
	}
	for _, s := range invalidTexts[:8] {
		all = append(all, exchange{fmt.Sprintf("invalid text in fragments of a byte: %+q", s.text), textFragments(s.text, 1), broken(1007)})
	}
	all = append(all, exchange{"a message inside a character, then another message", in(text("\xe2\x82").part(), next("")), broken(1007)},
		exchange{"half a character in a binary message, then a text", in(bin([]byte("\xe2\x82")).part(), next(""), text("a")), []string{`binary "\xe2\x82"`, `text "a"`}})
	return holds(r, l, Options[Conn]{}, all)
}

func invalidTextFailsFast(r *spec.Run, l lab) error {
	r.Step("%d invalid texts, up to the first byte that cannot be right", len(invalidTexts))
	for _, s := range invalidTexts {
		whole := "so far so good " + s.text
		bad := hopeless(whole)
		if bad < 0 {
			continue
		}
		for _, beginning := range []struct {
			name string
			send []byte
		}{
			{"in a frame of 1,000 bytes", frame{op: opText, claim: 1000}.appendHead(nil)},
			{"in the second fragment, of 70,000 bytes", frame{op: opContinuation, claim: 70_000, more: true}.appendHead(in(text("ä").part()))},
		} {
			if err := failsAt(l, fmt.Sprintf("%+q %s", whole, beginning.name), beginning.send, whole, bad); err != nil {
				return err
			}
		}
		x := exchange{fmt.Sprintf("a fragment with more to follow: %+q", whole), in(text(whole[:bad+1]).part()), broken(1007)}
		if err := x.hold(r, l, Options[Conn]{}, cutting{name: "in one piece"}); err != nil {
			return err
		}
	}
	return nil
}

// failsAt feeds text behind a head whose payload never becomes whole.
func failsAt(l lab, what string, head []byte, whole string, bad int) error {
	s, err := opened(l, Options[Conn]{})
	if err != nil {
		return err
	}
	s.feed(head)
	for i := range bad + 1 {
		if len(s.log) > 0 {
			return spec.Fail("nothing while the text can still become valid", "%s: before byte %d, the connection did: %s", what, i, s.story())
		}
		s.feed([]byte{whole[i] ^ usualMask[i%4]})
	}
	if !same(s.log, broken(1007)) {
		return spec.Fail(fmt.Sprintf("%s: close 1007 and the end at byte %d, which nothing can make right", what, bad), "the connection did: %s", s.story())
	}
	return nil
}

// hopeless is the index of the first byte with which s can no longer become
// valid UTF-8, or -1.
func hopeless(s string) int {
	for end := 1; end <= len(s); end++ {
		if !canBecomeValid(s[:end]) {
			return end - 1
		}
	}
	return -1
}

func canBecomeValid(s string) bool {
	for len(s) > 0 {
		if !utf8.FullRuneInString(s) {
			return true
		}
		if c, size := utf8.DecodeRuneInString(s); c == utf8.RuneError && size == 1 {
			return false
		} else {
			s = strings.TrimPrefix(s, s[:size])
		}
	}
	return true
}
