package websockettest

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/asynclab/asynclab/harness/spec"
)

const closeSection = "Step 8: the close"

var closeRules = []spec.Rule[lab]{
	{
		Name: "CloseIsEchoed", Group: "close", Points: 2, Section: closeSection,
		Why: "A close frame is answered by one with the same code; then the server ends the transport, so that it is the client who knows that both have said goodbye (RFC 6455, 5.5.1 and 7.1.1; Autobahn's case 7).",
		Hints: [3]string{
			"What do you send when a close frame comes, and what do you do then?",
			"A close frame with the two bytes of the code, or none if there were none; then the transport's Close, which sends it first.",
			"case opClose: if c.state == open { c.writeClose(code) }; c.state = over; c.transport.Close().",
		},
		Check: closeIsEchoed,
	},
	{
		Name: "CloseCodesAreChecked", Group: "close", Points: 1, Section: closeSection,
		Why: "A close frame's payload is nothing, or a code of 2 bytes and a reason in UTF-8. 1005, 1006 and 1015 never travel, and most other numbers have no meaning: 1002; a reason that is no UTF-8: 1007 (RFC 6455, 7.4).",
		Hints: [3]string{
			"Which of 0, 999, 1004, 1005, 1006, 1015, 2999 do you send back as if they were right?",
			"Allowed are 1000 to 1003, 1007 to 1014, and 3000 to 4999. A payload of one byte is no code.",
			"code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006 || code >= 3000 && code < 5000.",
		},
		Check: closeCodesAreChecked,
	},
	{
		Name: "NothingBehindTheClose", Group: "close", Points: 1, Section: closeSection,
		Why: "The close frame is the last one a peer sends. Whatever stands behind it, in the same packet or the next, is neither delivered nor answered, and a second close is not answered again.",
		Hints: [3]string{
			"What does your loop over frames do after a close frame?",
			"One state, over: Data consumes everything and looks at nothing.",
			"for c.state != over { ... }; return len(data).",
		},
		Check: nothingBehindTheClose,
	},
	{
		Name: "CloseWaitsForThePeer", Group: "close", Points: 2, Section: closeSection,
		Why: "Close says goodbye first and then waits for the peer's goodbye before it ends the transport: what the peer had sent until then is not reset on its way. Nothing is delivered any more, no ping is answered, and only one close frame is ever written.",
		Hints: [3]string{
			"After your close frame, which frames of the peer's still matter?",
			"Its close frame alone. The others are parsed, as their ends must be found, and dropped.",
			"state closing: deliver and pong look for c.state == open; the peer's close ends the transport without an answer; Close in any state but open writes nothing.",
		},
		Check: closeWaitsForThePeer,
	},
	{
		Name: "OnCloseTellsTheCode", Group: "close", Points: 2, Section: closeSection,
		Why: "OnClose comes once for each OnOpen, last, from End: with the peer's code and reason; 1005 if its close frame had none; 1006 if none came; and what we sent if the peer broke the rules (RFC 6455, 7.1.5).",
		Hints: [3]string{
			"Where do you keep the peer's code until the transport has ended?",
			"Data notes it, End tells it. Until something is noted it is 1006. Without OnOpen there is no OnClose.",
			"func (c *Conn) End(err error) { if !c.opened { return }; c.opened = false; OnClose(c, c.code, c.reason) }, with c.code = 1006 at first.",
		},
		Check: onCloseTellsTheCode,
	},
}

func closeIsEchoed(r *spec.Run, l lab) error {
	all := []exchange{
		{"a close without a code", in(byeRaw(nil)), []string{"sent close | sent close 1000", "end"}},
		{"a close with a reason", in(byeBecause(1000, "bye, and thank you")), []string{"sent close 1000", "end"}},
		{"a close with a reason of 123 bytes", in(byeBecause(1001, strings.Repeat("*", 123))), []string{"sent close 1001", "end"}},
		{"a message, a ping and a close", in(text("a"), ping("b"), bye(1000)), []string{`text "a"`, `sent pong "b"`, "sent close 1000", "end"}},
		{"a close inside a message", in(text("a").part(), bye(1000), next("b")), []string{"sent close 1000", "end"}},
	}
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		all = append(all, exchange{fmt.Sprint("a close with code ", code), in(bye(code)), []string{fmt.Sprint("sent close ", code), "end"}})
	}
	return holds(r, l, Options[Conn]{}, all)
}

func closeCodesAreChecked(r *spec.Run, l lab) error {
	all := []exchange{
		{"a close of one byte", in(byeRaw([]byte{3})), broken(1002)},
		{"a reason that is no UTF-8", in(byeBecause(1000, "\xce\xba\xed\xa0\x80")), broken(1007)},
		{"a reason that ends inside a character", in(byeBecause(1000, "a\xe2\x82")), broken(1007)},
	}
	for _, code := range []int{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999} {
		all = append(all, exchange{fmt.Sprint("a close with code ", code), in(bye(code)), broken(1002)})
	}
	return holds(r, l, Options[Conn]{}, all)
}

func nothingBehindTheClose(r *spec.Run, l lab) error {
	goodbye := []string{"sent close 1000", "end"}
	return holds(r, l, Options[Conn]{}, []exchange{
		{"two closes", in(bye(1000), bye(1000)), goodbye},
		{"a close, then one with another code", in(bye(1000), bye(1001)), goodbye},
		{"a close, then a ping", in(bye(1000), ping("late")), goodbye},
		{"a close, then a text", in(bye(1000), text("late")), goodbye},
		{"a close between two fragments", in(text("a").part(), bye(1000), next("b")), goodbye},
		{"a close, then what breaks every rule", append(in(bye(1000)), pattern(1, 500)...), goodbye},
		{"a broken rule, then a text and a close", in(next("x"), text("late"), bye(1000)), broken(1002)},
	})
}

func closeWaitsForThePeer(r *spec.Run, l lab) error {
	for _, step := range []func(*spec.Run, lab) error{closeFirst, closeInACallback, closeEarly} {
		if err := step(r, l); err != nil {
			return err
		}
	}
	return nil
}

func closeFirst(r *spec.Run, l lab) error {
	for _, c := range []struct {
		code int
		raw  string
		line string
	}{{4000, "\x88\x06\x0f\xa0done", "sent close 4000"}, {0, "\x88\x00", "sent close"}} {
		r.Step("Close(%d); then the client sends a text, a ping, half a message and its close", c.code)
		s, err := opened(l, Options[Conn]{})
		if err != nil {
			return err
		}
		for range 2 {
			if err := s.c.Close(c.code, strings.Repeat("done", min(1, c.code))); err != nil {
				return spec.Fail("Close to return nil, the second one too", "%v", err)
			}
		}
		s.feed(in(text("late"), ping("late"), text("lat").part()))
		if err := s.expect(c.line); err != nil {
			return err
		}
		if string(s.raw) != c.raw {
			return spec.Fail(fmt.Sprintf("the close frame %x", c.raw), "%x was written", s.raw)
		}
		s.feed(in(next("e"), byeBecause(1000, "bye"), text("later")))
		if err := s.c.Close(1001, ""); err != nil {
			return spec.Fail("Close to return nil behind the end", "%v", err)
		}
		if err := s.expect(c.line, "end"); err != nil {
			return err
		}
	}
	r.Step("Close, and then the peer breaks a rule: no second close frame")
	s, err := opened(l, Options[Conn]{})
	if err != nil {
		return err
	}
	s.c.Close(1000, "")
	s.feed(in(frame{op: 3, payload: []byte("a")}, text("c"))) // a rule of frames: those of messages may be over
	if err := s.expect("sent close 1000", "end"); err != nil {
		return err
	}
	r.Step("Close with a reason that does not fit")
	if s, err = opened(l, Options[Conn]{}); err != nil {
		return err
	}
	reason := strings.Repeat("é", 62) // 124 bytes: a cut behind 123 would be inside a character
	if err := s.c.Close(1000, reason); err != nil {
		return spec.Fail("Close to cut a reason of 124 bytes, and to return nil", "%v", err)
	}
	if err := s.expect("sent close 1000"); err != nil {
		return err
	}
	if got := string(s.raw[4:]); got == "" || !strings.HasPrefix(reason, got) || !utf8.ValidString(got) {
		return spec.Fail("a reason cut between two characters", "the %d bytes sent are %q", len(got), got)
	}
	return nil
}

func closeInACallback(r *spec.Run, l lab) error {
	r.Step("OnMessage calls Close; more messages are in the same packet")
	s, err := opened(l, Options[Conn]{OnMessage: func(c Conn, _ bool, _ []byte) { c.Close(1008, "") }})
	if err != nil {
		return err
	}
	s.feed(in(text("a"), text("b"), ping("c"), bin(nil)))
	if err := s.expect(`text "a"`, "sent close 1008"); err != nil {
		return err
	}
	s.feed(in(bye(1008)))
	if err := s.expect(`text "a"`, "sent close 1008", "end"); err != nil {
		return err
	}
	r.Step("OnOpen calls Close; a message is in the same packet")
	s = newSession(l, Options[Conn]{OnOpen: func(c Conn) { c.Close(1013, "") }})
	s.feed(append(usual.bytes(), in(text("a"))...))
	return s.expect("request /chat", "sent 101", "open", "sent close 1013")
}

func closeEarly(r *spec.Run, l lab) error {
	r.Step("Close before the handshake is done: the transport ends, and there is no WebSocket")
	s := newSession(l, Options[Conn]{})
	s.feed(usual.bytes()[:20])
	s.c.Close(1001, "")
	s.feed(usual.bytes()[20:])
	if s.ends == 0 || slices.Contains(s.log, "open") || slices.Contains(s.log, "sent 101") {
		return spec.Fail("Close before the handshake is done to end the transport", "the connection did: %s", s.story())
	}
	r.Step("Close in OnRequest, which then accepts")
	s = newSession(l, Options[Conn]{OnRequest: func(c Conn, _ string, _ http.Header) int { c.Close(1001, ""); return 0 }})
	s.feed(usual.bytes())
	if s.ends == 0 || slices.Contains(s.log, "open") || slices.Contains(s.log, "sent 101") {
		return spec.Fail("a connection that was closed in OnRequest not to be opened", "the connection did: %s", s.story())
	}
	return nil
}

func onCloseTellsTheCode(r *spec.Run, l lab) error {
	broke := errors.New("connection reset by peer")
	for _, c := range []struct {
		name string
		send []byte
		ours int // what Close is called with first
		end  error
		want string
	}{
		{"the peer closes", in(byeBecause(1000, "bye")), 0, nil, "closed 1000 bye"},
		{"with a code of its own", in(bye(4321)), 0, nil, "closed 4321"},
		{"without a code", in(byeRaw(nil)), 0, nil, "closed 1005"},
		{"the transport ends without a close", in(text("a")), 0, nil, "closed 1006"},
		{"the transport breaks", in(text("a").part()), 0, broke, "closed 1006"},
		{"the transport breaks behind the peer's close", in(byeBecause(1001, "tab")), 0, broke, "closed 1001 tab"},
		{"the peer breaks the protocol", in(next("a")), 0, nil, "closed 1002"},
		{"the peer's text is no text", in(text("\xff")), 0, nil, "closed 1007"},
		{"the peer's message is too long", frame{op: opText, claim: 1 << 40}.appendHead(nil), 0, nil, "closed 1009"},
		{"we close, the peer answers", in(text("late"), byeBecause(1000, "ok")), 1000, nil, "closed 1000 ok"},
		{"we close, the peer had closed, too", in(byeBecause(4000, "crossing")), 1000, nil, "closed 4000 crossing"},
		{"we close, no answer comes", in(text("late")), 1000, broke, "closed 1006"},
	} {
		r.Step("%s", c.name)
		s, err := opened(l, Options[Conn]{})
		if err != nil {
			return err
		}
		if c.ours > 0 {
			s.c.Close(c.ours, "")
		}
		s.feed(c.send)
		if i := slices.IndexFunc(s.log, func(line string) bool { return strings.HasPrefix(line, "closed") }); i >= 0 {
			return spec.Fail("OnClose when the transport has ended, not before", "%s: %s", c.name, s.story())
		}
		s.c.End(c.end)
		s.c.End(nil)
		s.feed(in(text("later"), bye(1000)))
		n := len(s.log) - 1
		if n < 0 || !onCloseIs(s.log[n], c.want) || slices.ContainsFunc(s.log[:n], func(line string) bool { return strings.HasPrefix(line, "closed") }) {
			return spec.Fail(c.name+": OnClose once, last: "+c.want, "the connection did: %s", s.story())
		}
	}
	r.Step("no OnOpen, no OnClose: half a request, then the end")
	s := newSession(l, Options[Conn]{})
	s.feed(usual.bytes()[:50])
	s.c.End(nil)
	s.feed(usual.bytes()[50:])
	return s.expect()
}

// onCloseIs compares OnClose's line. What reason we give a peer who broke the
// rules is our own business.
func onCloseIs(line, want string) bool {
	switch want {
	case "closed 1002", "closed 1007", "closed 1009":
		return line == want || strings.HasPrefix(line, want+" ")
	}
	return line == want
}
