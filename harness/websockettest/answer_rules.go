package websockettest

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/asynclab/asynclab/harness/spec"
)

const answerSection = "Step 2: the answer"

var answerRules = []spec.Rule[lab]{
	{
		Name: "AcceptProvesTheKey", Group: "handshake", Points: 2, Section: answerSection,
		Why: "The client checks that the server has understood it: SHA-1 over its key and a fixed GUID, in base64 (RFC 6455, 4.2.2). With it go Upgrade: websocket, Connection: Upgrade and the empty line, and no body.",
		Hints: [3]string{
			"RFC 6455, 1.3 has an example. Does your function give its value?",
			"The key is not decoded: hash the text as it came, with the GUID's text behind it.",
			"sum := sha1.Sum([]byte(key + \"258EAFA5-E914-47DA-95CA-C5AB0DC85B11\")); base64.StdEncoding.EncodeToString(sum[:]).",
		},
		Check: acceptProvesTheKey,
	},
	{
		Name: "OnRequestDecides", Group: "handshake", Points: 2, Section: answerSection,
		Why: "A browser sends a page's cookies with any WebSocket the page opens, to any server. Only Origin tells you whose page it was, and only the application knows which it trusts (RFC 6455, 10.2). Its status goes out before anything is opened; 0 accepts, and without OnRequest all are accepted.",
		Hints: [3]string{
			"When is OnRequest called: before or after the 101?",
			"After all of your own checks, before the 101. A status other than 0 is a refusal like any other.",
			"if fn := opts.OnRequest; fn != nil { if status := fn(c, target, header); status != 0 { refuse(status) } }.",
		},
		Check: onRequestDecides,
	},
	{
		Name: "SubprotocolIsChosen", Group: "handshake", Points: 1, Section: answerSection,
		Why: "A client that offers subprotocols must be told which was chosen, and fails if it is told one that it has not offered. The server's order decides. None in common: no field in the answer.",
		Hints: [3]string{
			"Whose order counts when both have several?",
			"For each of yours, the best first: is it among those offered? Names are compared exactly; the offers may come over several lines.",
			"for _, p := range opts.Protocols { if slices.Contains(offered, p) { chosen = p; break } }.",
		},
		Check: subprotocolIsChosen,
	},
	{
		Name: "ExtensionsAreDeclined", Group: "handshake", Points: 1, Section: answerSection,
		Why: "Every browser offers permessage-deflate. An extension is declined by silence: without Sec-WebSocket-Extensions in the answer it is not in use (RFC 6455, 9.1). Whoever repeats the offer has agreed to take compressed frames.",
		Hints: [3]string{
			"Do you copy fields from the request into the answer?",
			"Leave Sec-WebSocket-Extensions out.",
			"The answer has four lines: the status, Upgrade, Connection, Sec-WebSocket-Accept. A fifth only for a subprotocol.",
		},
		Check: extensionsAreDeclined,
	},
}

func acceptProvesTheKey(r *spec.Run, l lab) error {
	r.Step("the example of RFC 6455, 1.3, and 50 other keys")
	if err := acceptsKey(l, "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="); err != nil {
		return err
	}
	for i := range 50 {
		key := base64.StdEncoding.EncodeToString(pattern(i, 16))
		sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		if err := acceptsKey(l, key, base64.StdEncoding.EncodeToString(sum[:])); err != nil {
			return err
		}
	}
	return nil
}

func acceptsKey(l lab, key, accept string) error {
	s := newSession(l, Options[Conn]{})
	s.feed(usual.but("Sec-WebSocket-Key: " + key).bytes())
	if err := s.expect("request /chat", "sent 101", "open"); err != nil {
		return err
	}
	h := s.answer.Header
	switch {
	case h.Get("Sec-WebSocket-Accept") != accept:
		return spec.Fail(fmt.Sprintf("Sec-WebSocket-Accept: %s for the key %s", accept, key), "it is %q", h.Get("Sec-WebSocket-Accept"))
	case !strings.EqualFold(h.Get("Upgrade"), "websocket"):
		return spec.Fail("Upgrade: websocket in the answer", "it is %q", h.Get("Upgrade"))
	case !strings.EqualFold(h.Get("Connection"), "upgrade"):
		return spec.Fail("Connection: Upgrade in the answer", "it is %q", h.Get("Connection"))
	case !bytes.HasPrefix(s.raw, []byte("HTTP/1.1 101 ")):
		return spec.Fail("HTTP/1.1 101 Switching Protocols", "the answer begins with %q", s.raw[:min(len(s.raw), 20)])
	case h.Get("Content-Length") != "" || h.Get("Transfer-Encoding") != "" || len(s.out) > 0:
		return spec.Fail("a 101 without a body", "the answer was %q", s.raw)
	}
	return nil
}

func onRequestDecides(r *spec.Run, l lab) error {
	r.Step("OnRequest takes pages of http://example.com and no others")
	var value any
	o := Options[Conn]{
		OnRequest: func(c Conn, target string, header http.Header) int {
			c.SetValue(target)
			if header.Get("Origin") != "http://example.com" {
				return http.StatusForbidden
			}
			return 0
		},
		OnOpen: func(c Conn) { value = c.Value() },
	}
	if _, err := opened(l, o); err != nil {
		return err
	}
	if value != "/chat" {
		return spec.Fail("Value in OnOpen to return what SetValue was given in OnRequest", "it returned %v", value)
	}
	for _, q := range []request{usual.but("Origin: http://evil.example.com"), usual.without("Origin")} {
		s := newSession(l, o)
		s.feed(q.bytes())
		if err := s.expect("request /chat", "sent 403", "end"); err != nil {
			return err
		}
		if err := s.wellRefused(); err != nil {
			return err
		}
	}
	for _, status := range []int{400, 401, 404, 429, 503} {
		s := newSession(l, Options[Conn]{OnRequest: func(Conn, string, http.Header) int { return status }})
		s.feed(append(usual.bytes(), in(text("hello"))...))
		if err := s.expect("request /chat", fmt.Sprint("sent ", status), "end"); err != nil {
			return err
		}
	}
	r.Step("a request that is wrong by itself is not shown to OnRequest; without OnRequest all others are taken")
	s := newSession(l, o)
	s.feed(usual.without("Sec-WebSocket-Key").bytes())
	if err := s.expect("sent 400", "end"); err != nil {
		return err
	}
	s = new(session)
	s.c = l.New(&Options[Conn]{}, s)
	s.feed(usual.bytes())
	return s.expect("sent 101")
}

func subprotocolIsChosen(r *spec.Run, l lab) error {
	ours := []string{"chat.v2", "chat.v1"}
	for _, c := range []struct {
		ours    []string
		offered []string
		chosen  string
	}{
		{ours, []string{"chat.v1, chat.v2"}, "chat.v2"},
		{ours, []string{"chat.v1,chat.v2"}, "chat.v2"},
		{ours, []string{"chat.v1", "chat.v2"}, "chat.v2"},
		{ours, []string{"mqtt,\tchat.v1"}, "chat.v1"},
		{ours, []string{"mqtt"}, ""},
		{ours, []string{"Chat.V1"}, ""},
		{ours, []string{"chat.v"}, ""},
		{ours, nil, ""},
		{nil, []string{"chat.v1"}, ""},
	} {
		r.Step("the server speaks %q, the client offers %q", c.ours, c.offered)
		inOpen := "OnOpen was not called"
		s := newSession(l, Options[Conn]{Protocols: c.ours, OnOpen: func(c Conn) { inOpen = c.Protocol() }})
		q := usual
		for _, o := range c.offered {
			q = q.with("Sec-WebSocket-Protocol: " + o)
		}
		s.feed(q.bytes())
		if err := s.expect("request /chat", "sent 101", "open"); err != nil {
			return err
		}
		var want []string
		if c.chosen != "" {
			want = []string{c.chosen}
		}
		if got := s.answer.Header.Values("Sec-WebSocket-Protocol"); !slices.Equal(got, want) {
			return spec.Fail(fmt.Sprintf("Sec-WebSocket-Protocol in the answer: %q", want), "%q", got)
		}
		if inOpen != c.chosen {
			return spec.Fail(fmt.Sprintf("Protocol() to return %q", c.chosen), "%q", inOpen)
		}
	}
	return nil
}

func extensionsAreDeclined(r *spec.Run, l lab) error {
	for _, offer := range []string{"permessage-deflate; client_max_window_bits", "permessage-deflate", "x-webkit-deflate-frame", "a, b; c=\"d\""} {
		r.Step("the client offers %q", offer)
		s := newSession(l, Options[Conn]{})
		s.feed(usual.with("Sec-WebSocket-Extensions: " + offer).bytes())
		if err := s.expect("request /chat", "sent 101", "open"); err != nil {
			return err
		}
		if got, there := s.answer.Header["Sec-Websocket-Extensions"]; there {
			return spec.Fail("no Sec-WebSocket-Extensions in the answer", "it says %q: the client will send compressed frames", got)
		}
	}
	return nil
}
