package websockettest

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/asynclab/asynclab/harness/spec"
)

const requestSection = "Step 1: the request"

var requestRules = []spec.Rule[lab]{
	{
		Name: "RequestMayComeInPieces", Group: "handshake", Points: 2, Section: requestSection,
		Why: "TCP may cut a request anywhere, and a slow client does. Until its empty line is there, consume nothing, answer nothing; then ask OnRequest, once, with the path, the query and all fields.",
		Hints: [3]string{
			"What does your code do with half a header line?",
			"Look for CR LF CR LF in what you have. Not there: return 0, and the same bytes come again with more behind them.",
			"i := bytes.Index(data, []byte(\"\\r\\n\\r\\n\")); if i < 0 { return 0 }; head := string(data[:i]) (a copy: it is OnRequest's to keep).",
		},
		Check: requestMayComeInPieces,
	},
	{
		Name: "RequestHasALimit", Group: "handshake", Points: 2, Section: requestSection,
		Why: "A header without an end is the cheapest way to fill a server's memory. Answer 431 as soon as it is clear that the request is longer than MaxHeader, whether its end has come or not. Frames behind the request do not count.",
		Hints: [3]string{
			"When do you know that a request is too long: when it ends, or before?",
			"MaxHeader bytes and no empty line among them: it can only be too long.",
			"if n > limit || n == 0 && len(data) >= limit { refuse(431) }, where n is the length of the head, 0 if it is not whole.",
		},
		Check: requestHasALimit,
	},
	{
		Name: "BadRequestsAreRefused", Group: "handshake", Points: 2, Section: requestSection,
		Why: "A request line is a method, a target, a version, one space between them; a field is a name, a colon, a value. What is not so gets 400, another method than GET 405 (or 400). A space before the colon must be refused: two programs read such a line in two ways, and that is how requests are smuggled past a proxy (RFC 9112, 5.1).",
		Hints: [3]string{
			"What does strings.Fields make of two spaces in a row?",
			"Split the line at each single space and ask for exactly three parts. A name is a token (RFC 9110, 5.6.2): letters, digits and fifteen other characters, never a space, never empty.",
			"parts := strings.Split(line, \" \"); name, value, found := strings.Cut(line, \":\"); if !found || !isToken(name) { refuse(400) }.",
		},
		Check: badRequestsAreRefused,
	},
	{
		Name: "StrangeBytesDoNotGetThrough", Group: "handshake", Points: 1, Section: requestSection,
		Why: "NUL, a bare CR, a bare LF and folded lines have no place in a request today. You may refuse them with 400, or repair them as RFC 9112 allows (a space for CR, NUL and a fold; a bare LF as the end of a line). But OnRequest must never see a control character: it may write what it gets into a log or another header.",
		Hints: [3]string{
			"What ends up in the header map if a value contains NUL or a CR?",
			"The simplest right answer is strict: any byte below space other than TAB, and DEL, is 400.",
			"Check the whole head once, before you split it: b < ' ' && b != '\\t' || b == 0x7f, but for CR LF at the ends of lines.",
		},
		Check: strangeBytesDoNotGetThrough,
	},
	{
		Name: "FieldsAreReadAsHTTP", Group: "handshake", Points: 1, Section: requestSection,
		Why: "Field names and the words websocket and Upgrade are the same in any case of letters. Connection and Upgrade are lists, over several lines too, and proxies do write \"keep-alive, Upgrade\". Spaces around a value do not belong to it.",
		Hints: [3]string{
			"Does your server take Firefox's \"Connection: keep-alive, Upgrade\"?",
			"Collect the values of all lines of the name, split them at commas, trim, and compare with strings.EqualFold.",
			"for _, v := range header.Values(\"Connection\") { for item := range strings.SplitSeq(v, \",\") { strings.EqualFold(strings.TrimSpace(item), \"upgrade\") } }.",
		},
		Check: fieldsAreReadAsHTTP,
	},
	{
		Name: "OnlyAnUpgradeIsTaken", Group: "handshake", Points: 2, Section: requestSection,
		Why: "RFC 6455, 4.2.1: Host, Upgrade with websocket, Connection with Upgrade. Anything else is another protocol's request: 400, or 426 where Upgrade is what is missing. Whole words: \"not-upgrade\" contains the letters and is another word.",
		Hints: [3]string{
			"Which of the fields do you compare with strings.Contains?",
			"Compare list items, not substrings. Host must be there once.",
			"if !r.has(\"Upgrade\", \"websocket\") || !r.has(\"Connection\", \"upgrade\") || r.one(\"Host\") == \"\" { refuse(400) }.",
		},
		Check: onlyAnUpgradeIsTaken,
	},
	{
		Name: "KeyIsSixteenBytes", Group: "handshake", Points: 1, Section: requestSection,
		Why: "Sec-WebSocket-Key is 16 bytes in base64, once (RFC 6455, 4.2.1). A request without one is not a WebSocket client's, so 400.",
		Hints: [3]string{
			"What does your server do with a key of 15 bytes, or none?",
			"Decode it with base64.StdEncoding, and look at the length. Two lines with a key are a mistake, too.",
			"raw, err := base64.StdEncoding.DecodeString(key); ok := err == nil && len(raw) == 16.",
		},
		Check: keyIsSixteenBytes,
	},
	{
		Name: "VersionIs13", Group: "handshake", Points: 1, Section: requestSection,
		Why: "Another version has other frames. Refuse it with 426 and say in Sec-WebSocket-Version what you speak: a client may come again with it (RFC 6455, 4.4).",
		Hints: [3]string{
			"How does a client of version 8 learn what it should try?",
			"426, with the field Sec-WebSocket-Version: 13.",
			"if r.one(\"Sec-WebSocket-Version\") != \"13\" { refuse(426, \"Upgrade: websocket\\r\\nSec-WebSocket-Version: 13\\r\\n\") }.",
		},
		Check: versionIs13,
	},
	{
		Name: "RefusalIsAnHTTPAnswer", Group: "handshake", Points: 2, Section: requestSection,
		Why: "Whoever is refused speaks HTTP and wants to know why. A status line, Connection: close, a length that is right, then Close, so that the answer is sent before the end. Nothing that comes behind is looked at, and no OnOpen means no OnClose.",
		Hints: [3]string{
			"Can net/http read your refusal?",
			"HTTP/1.1 400 Bad Request, Content-Length, Connection: close, an empty line, the text. Then the transport's Close, which sends what is queued; Abort throws it away.",
			"fmt.Sprintf(\"HTTP/1.1 %d %s\\r\\nConnection: close\\r\\nContent-Length: %d\\r\\n\\r\\n%s\", status, http.StatusText(status), len(text), text).",
		},
		Check: refusalIsAnHTTPAnswer,
	},
}

func requestMayComeInPieces(r *spec.Run, l lab) error {
	asked := usual.ask("GET /chat?room=7&name=%C3%A4 HTTP/1.1").with("Cookie: a=1", "X-Twice: one", "X-Twice: two")
	whole := asked.bytes()
	r.Step("a request of %d bytes, cut in two at each place, and byte by byte", len(whole))
	for cut := range len(whole) - 1 {
		if err := askInPieces(l, whole, cut+1); err != nil {
			return err
		}
	}
	return askInPieces(l, whole, every(1, len(whole))...)
}

func askInPieces(l lab, whole []byte, cuts ...int) error {
	s := newSession(l, Options[Conn]{})
	from := 0
	for _, cut := range cuts {
		s.feed(whole[from:cut])
		from = cut
		if len(s.log) > 0 {
			return spec.Fail("nothing before the request is whole", "after %d of %d bytes: %s", cut, len(whole), s.story())
		}
	}
	s.feed(whole[from:])
	const want = "request /chat?room=7&name=%C3%A4"
	if len(s.log) == 0 || s.log[0] != want || slices.Contains(s.log[1:], want) {
		return spec.Fail("OnRequest once, when the request is whole: "+want, "with the bytes cut at %v, the connection did: %s", clip(cuts), s.story())
	}
	return holdsFields(s.header)
}

// clip keeps a list short enough to read.
func clip(cuts []int) string {
	if len(cuts) > 5 {
		return fmt.Sprintf("%v and so on", cuts[:5])
	}
	return fmt.Sprint(cuts)
}

// holdsFields looks at the fields after Data's memory was overwritten.
func holdsFields(h http.Header) error {
	for name, want := range map[string][]string{
		"Origin": {"http://example.com"}, "Cookie": {"a=1"}, "X-Twice": {"one", "two"}, "Host": {"server.example.com"},
	} {
		if got := h.Values(name); !slices.Equal(got, want) {
			return spec.Fail(fmt.Sprintf("header.Values(%q) = %q, also after OnRequest has returned", name, want), "it is %q", got)
		}
	}
	return nil
}

func requestHasALimit(r *spec.Run, l lab) error {
	for _, c := range []struct{ option, limit int }{{0, 8 << 10}, {500, 500}, {20_000, 20_000}} {
		o := Options[Conn]{MaxHeader: c.option}
		r.Step("MaxHeader %d: a request of exactly %d bytes, with 30,000 bytes of frames behind it", c.option, c.limit)
		s := newSession(l, o)
		s.feed(append(usual.filled(c.limit).bytes(), in(bin(pattern(1, 30_000)))...))
		if len(s.log) == 0 || s.log[0] != "request /chat" {
			return spec.Fail(fmt.Sprintf("a request of exactly %d bytes to be taken", c.limit), "the connection did: %s", s.story())
		}
		r.Step("one of %d bytes", c.limit+1)
		s = newSession(l, o)
		s.feed(usual.filled(c.limit + 1).bytes())
		if err := s.expect("sent 431", "end"); err != nil {
			return err
		}
		r.Step("one that does not end: %d bytes, in pieces", c.limit+1)
		s = newSession(l, o)
		endless := bytes.Repeat([]byte("x"), c.limit+1)
		copy(endless, "GET /chat HTTP/1.1\r\nHost: a\r\nX: ")
		s.pieces(endless, every(97, len(endless))...)
		if err := s.expect("sent 431", "end"); err != nil {
			return err
		}
	}
	return nil
}

// ask is a request and what must come of it: "" is accepted.
type ask struct {
	name    string
	send    []byte
	refused string // "400 | 405"
}

// decides runs each request in one piece and byte by byte.
func decides(r *spec.Run, l lab, asks []ask) error {
	r.Step("%d requests, each in one piece and byte by byte", len(asks))
	for _, a := range asks {
		for _, cuts := range [][]int{nil, every(1, len(a.send))} {
			s := newSession(l, Options[Conn]{})
			s.pieces(a.send, cuts...)
			if err := a.verdict(s); err != nil {
				r.Step("%s: %q", a.name, a.send)
				return err
			}
		}
	}
	return nil
}

func (a ask) verdict(s *session) error {
	if a.refused == "" {
		if len(s.log) == 0 || !strings.HasPrefix(s.log[0], "request ") {
			return spec.Fail(a.name+" to be taken", "the connection did: %s", s.story())
		}
		return nil
	}
	answer := "sent " + strings.ReplaceAll(a.refused, " | ", " | sent ")
	if !same(s.log, []string{answer, "end"}) {
		return spec.Fail(fmt.Sprintf("%s to be refused: %s, end", a.name, answer), "the connection did: %s", s.story())
	}
	return nil
}

func badRequestsAreRefused(r *spec.Run, l lab) error {
	var asks []ask
	for line, refused := range map[string]string{
		"GET /chat":            "400",
		"GET":                  "400",
		"":                     "400",
		"\x16\x03\x01\x02":     "400",
		"GET  /chat HTTP/1.1":  "400",
		"GET /chat  HTTP/1.1":  "400",
		"GET /chat HTTP/1.1 ":  "400",
		" GET /chat HTTP/1.1":  "400",
		"GET /ch at HTTP/1.1":  "400",
		"GET chat HTTP/1.1":    "400",
		"GET /chat HTTP/1.0":   "400 | 426 | 505",
		"GET /chat HTTP/3.0":   "400 | 505",
		"GET /chat http/1.1":   "400 | 505",
		"GET /chat HTTP/1.1.1": "400 | 505",
		"G(T /chat HTTP/1.1":   "400 | 405 | 501",
		"get /chat HTTP/1.1":   "400 | 405 | 501",
		"POST /chat HTTP/1.1":  "400 | 405",
		"HEAD /chat HTTP/1.1":  "400 | 405",
		"PUT /chat HTTP/1.1":   "400 | 405",
	} {
		asks = append(asks, ask{fmt.Sprintf("the request line %q", line), usual.ask(line).bytes(), refused})
	}
	for _, field := range []string{"X-Space : a", "X-Tab\t: a", "no colon", ": no name", "X Y: a", "X(Y): a", "X\x80Y: a"} {
		asks = append(asks, ask{fmt.Sprintf("the field %q", field), usual.with(field).bytes(), "400"})
	}
	slices.SortFunc(asks, func(a, b ask) int { return strings.Compare(a.name, b.name) })
	return decides(r, l, asks)
}

func strangeBytesDoNotGetThrough(r *spec.Run, l lab) error {
	strange := map[string][]byte{
		"NUL in a value":            usual.with("X-A: a\x00b").bytes(),
		"NUL in the target":         usual.ask("GET /ch\x00at HTTP/1.1").bytes(),
		"ESC in a value":            usual.with("X-A: \x1b[31m").bytes(),
		"DEL in a value":            usual.with("X-A: a\x7fb").bytes(),
		"a bare CR in a value":      usual.with("X-A: a\rX-B: b").bytes(),
		"a bare LF in a value":      usual.with("X-A: a\nX-B: b").bytes(),
		"a folded line":             usual.with("X-A: a\r\n b").bytes(),
		"a folded line with a TAB":  usual.with("X-A: a\r\n\tb").bytes(),
		"a space before all fields": bytes.Replace(usual.bytes(), []byte("Host"), []byte(" Host"), 1),
		"bare LFs for ends of line": bytes.ReplaceAll(usual.bytes(), []byte("\r\n"), []byte("\n")),
	}
	r.Step("%d requests with strange bytes", len(strange))
	for name, p := range strange {
		s := newSession(l, Options[Conn]{})
		s.feed(p)
		if same(s.log, []string{"sent 400", "end"}) {
			continue
		}
		if len(s.log) == 0 && name == "bare LFs for ends of line" {
			continue // waits for the end it knows
		}
		if len(s.log) == 0 || !strings.HasPrefix(s.log[0], "request ") {
			return spec.Fail(name+" to be refused with 400, or repaired", "the connection did: %s", s.story())
		}
		if shown := fmt.Sprint(s.log[0], s.header); strings.ContainsFunc(shown, isControl) {
			return spec.Fail(name+" to be refused with 400, or repaired before OnRequest sees it", "OnRequest got %q", shown)
		}
	}
	return nil
}

func isControl(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }

func fieldsAreReadAsHTTP(r *spec.Run, l lab) error {
	list := []ask{{name: "a request with a field that is empty", send: usual.with("X-Empty:").bytes()}}
	for _, fields := range [][]string{
		{"Connection: keep-alive, Upgrade"},
		{"Connection: upgrade"},
		{"CONNECTION: UPGRADE"},
		{"Connection: keep-alive", "connection: Upgrade"},
		{"Connection: a,b ,\tUpgrade\t, c"},
		{"Upgrade: WebSocket"},
		{"upgrade:websocket"},
		{"Upgrade: h2c, websocket"},
		{"Upgrade:   websocket  \t"},
		{"host: a:80"},
		{"Sec-WebSocket-Version:13"},
		{"sec-websocket-key:  dGhlIHNhbXBsZSBub25jZQ== "},
		{"User-Agent: Mozilla/5.0 (\"quoted\"; \xe4\xf6) \t tabs"},
		{"X-Odd!#$%&'*+-.^_`|~9: yes"},
	} {
		list = append(list, ask{name: fmt.Sprintf("a request with %q", fields), send: usual.but(fields...).bytes()})
	}
	return decides(r, l, list)
}

func onlyAnUpgradeIsTaken(r *spec.Run, l lab) error {
	const either = "400 | 426"
	asks := []ask{
		{"a request without Host", usual.without("Host").bytes(), "400"},
		{"a request with two Hosts", usual.with("Host: other.example.com").bytes(), "400"},
		{"a request without Upgrade", usual.without("Upgrade").bytes(), either},
		{"a request without Connection", usual.without("Connection").bytes(), either},
	}
	for _, field := range []string{"Upgrade: h2c", "Upgrade: websockets", "Upgrade: web socket", "Upgrade:",
		"Connection: keep-alive", "Connection: not-upgrade", "Connection: Upgraded", "Connection: close"} {
		asks = append(asks, ask{fmt.Sprintf("a request with %q", field), usual.but(field).bytes(), either})
	}
	if err := decides(r, l, asks); err != nil {
		return err
	}
	body := in(text("I am a body"))
	r.Step("a request with Content-Length: %d, and so many bytes behind it that could be a frame", len(body))
	s := newSession(l, Options[Conn]{})
	s.feed(append(usual.with(fmt.Sprint("Content-Length: ", len(body))).bytes(), body...))
	if slices.Contains(s.log, `text "I am a body"`) {
		return spec.Fail("the body of a request not to be taken for frames", "the connection did: %s", s.story())
	}
	return nil
}

func keyIsSixteenBytes(r *spec.Run, l lab) error {
	asks := []ask{
		{"a request without Sec-WebSocket-Key", usual.without("Sec-WebSocket-Key").bytes(), "400"},
		{"a request with two keys", usual.with("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==").bytes(), "400"},
		{"a key of zeros", usual.but("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==").bytes(), ""},
		{"a key with + and /", usual.but("Sec-WebSocket-Key: +/+/+/+/+/+/+/+/+/+/+w==").bytes(), ""},
	}
	for _, key := range []string{"", "x", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25j", "dGhlIHNhbXBsZSBub25jZQMw",
		"dGhlIHNhbXBsZSBub25j!!==", "-_-_-_-_-_-_-_-_-_-_-w==", "dGhlIHNhbXBs ZSBub25jZQ==", "=dGhlIHNhbXBsZSBub25jZQ="} {
		asks = append(asks, ask{fmt.Sprintf("the key %q", key), usual.but("Sec-WebSocket-Key: " + key).bytes(), "400"})
	}
	return decides(r, l, asks)
}

func versionIs13(r *spec.Run, l lab) error {
	const either = "400 | 426"
	asks := []ask{
		{"a request without Sec-WebSocket-Version", usual.without("Sec-WebSocket-Version").bytes(), either},
		{"a request with two versions", usual.with("Sec-WebSocket-Version: 8").bytes(), either},
		{"a version that is no number", usual.but("Sec-WebSocket-Version: 13a").bytes(), either},
	}
	var others []ask
	for _, version := range []string{"0", "7", "8", "12", "14", "130"} {
		others = append(others, ask{"version " + version, usual.but("Sec-WebSocket-Version: " + version).bytes(), "426"})
	}
	if err := decides(r, l, append(asks, others...)); err != nil {
		return err
	}
	for _, a := range others {
		s := newSession(l, Options[Conn]{})
		s.feed(a.send)
		if got := s.answer.Header.Get("Sec-WebSocket-Version"); got != "13" {
			return spec.Fail("the 426 to say Sec-WebSocket-Version: 13", "it says %q; the answer was %q", got, s.raw)
		}
	}
	return nil
}

func refusalIsAnHTTPAnswer(r *spec.Run, l lab) error {
	for _, a := range []ask{
		{name: "a malformed request", send: usual.ask("GARBAGE").bytes()},
		{name: "a POST", send: usual.ask("POST /chat HTTP/1.1").bytes()},
		{name: "an ordinary GET", send: usual.without("Upgrade").without("Connection").bytes()},
		{name: "version 8", send: usual.but("Sec-WebSocket-Version: 8").bytes()},
		{name: "a request that is too long", send: usual.filled(10_000).bytes()},
	} {
		r.Step("%s, and then a right request and frames", a.name)
		s := newSession(l, Options[Conn]{})
		s.feed(a.send)
		story := slices.Clone(s.log)
		if err := s.wellRefused(); err != nil {
			return err
		}
		s.feed(append(usual.bytes(), in(text("hello"))...))
		s.c.End(nil)
		if err := s.expect(story...); err != nil {
			return err
		}
	}
	return nil
}

// wellRefused looks at the answer as an HTTP client does.
func (s *session) wellRefused() error {
	if s.answer == nil {
		return spec.Fail("an HTTP answer", "%q was written", s.raw)
	}
	last := s.log[len(s.log)-1]
	switch a := s.answer; {
	case a.ProtoMajor != 1 || a.ProtoMinor != 1:
		return spec.Fail("an answer of HTTP/1.1", "it is %s", a.Proto)
	case a.StatusCode < 400:
		return spec.Fail("a status of 400 or more", "%s", a.Status)
	case !strings.EqualFold(a.Header.Get("Connection"), "close") && !a.Close:
		return spec.Fail("Connection: close in the answer", "it was %q", s.raw)
	case a.ContentLength >= 0 && len(s.body) != int(a.ContentLength):
		return spec.Fail("Content-Length to be that of the text", "Content-Length is %d, and %d bytes follow", a.ContentLength, len(s.body))
	case len(s.out) > 0:
		return spec.Fail("nothing behind the answer", "%d bytes more: Content-Length is %d", len(s.out), a.ContentLength)
	case last != "end":
		return spec.Fail("the transport's Close behind the answer, which sends it first", "the connection did: %s", s.story())
	}
	return nil
}
