package websockettest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/asynclab/asynclab/harness/spec"
)

const sendSection = "Step 9: what goes out"

var sendRules = []spec.Rule[lab]{
	{
		Name: "SendWritesOneFrame", Group: "sending", Points: 2, Section: sendSection,
		Why: "A message goes out as one frame, with its length in the shortest form and no mask, and with one Write: the transport takes all of it or nothing, so a frame handed over in two pieces may lose its second half, and with it the stream.",
		Hints: [3]string{
			"How many calls of Write does a message cost, and what if the second is refused?",
			"Put head and payload together in one buffer, and write that. A sync.Pool keeps the buffer from being made anew.",
			"frame := appendHead(buf[:0], op, len(payload)); frame = append(frame, payload...); c.transport.Write(frame).",
		},
		Check: sendWritesOneFrame,
	},
	{
		Name: "PreparedFramesAreShared", Group: "sending", Points: 1, Section: sendSection,
		Why: "A broadcast to 5,000 clients is one message. Encode it once with Prepare and give the same bytes to each with SendFrame, which writes them as they are and changes nothing.",
		Hints: [3]string{
			"Is what Prepare returns a copy of the payload, or does it refer to it?",
			"Prepare returns what Send would write. SendFrame is the transport's Write behind the same question as Send's: is it open?",
			"func Prepare(dst []byte, text bool, payload []byte) []byte { return append(appendHead(dst, op, len(payload)), payload...) }.",
		},
		Check: preparedFramesAreShared,
	},
	{
		Name: "PingHasALimit", Group: "sending", Points: 1, Section: sendSection,
		Why: "A control frame has at most 125 bytes. A longer ping is an error of the caller's, and must not reach a client, who would have to end the connection.",
		Hints: [3]string{
			"What does Ping do with 126 bytes?",
			"Return an error and write nothing.",
			"if len(payload) > 125 { return fmt.Errorf(...) }.",
		},
		Check: pingHasALimit,
	},
	{
		Name: "SendNeedsAnOpenConnection", Group: "sending", Points: 1, Section: sendSection,
		Why: "Before the 101 a frame would be part of the HTTP answer; behind a close frame it breaks the protocol. Send, SendFrame and Ping return an error then, and write nothing.",
		Hints: [3]string{
			"What does Send write while the request is not whole yet?",
			"Open is between OnOpen and the first close frame, ours or the peer's. In OnOpen itself you may send.",
			"if c.state != open { return ErrClosed }, first in all three.",
		},
		Check: sendNeedsAnOpenConnection,
	},
	{
		Name: "TransportErrorsAreReturned", Group: "sending", Points: 1, Section: sendSection,
		Why: "The transport refuses what would pass its bound. The caller must learn it, or a slow client loses messages that nobody counts. A close frame that is refused leaves no farewell to wait for: the transport is ended.",
		Hints: [3]string{
			"What do you do with Write's error?",
			"Return it, wrapped if you like.",
			"_, err := c.transport.Write(frame); return err.",
		},
		Check: transportErrorsAreReturned,
	},
}

func sendWritesOneFrame(r *spec.Run, l lab) error {
	s, err := opened(l, Options[Conn]{})
	if err != nil {
		return err
	}
	for _, size := range []int{0, 1, 125, 126, 127, 65535, 65536, 300_000} {
		for _, text := range []bool{true, false} {
			p := bytes.Repeat([]byte("a"), size)
			r.Step("Send(%v, %d bytes)", text, size)
			s.forget()
			if err := s.c.Send(text, p); err != nil {
				return spec.Fail("Send to return nil", "%v", err)
			}
			if err := s.expect("sent " + message(text, bytes.Repeat([]byte("a"), size))); err != nil {
				return err
			}
			if s.writes != 1 {
				return spec.Fail("one Write for a frame", "%d", s.writes)
			}
			if bytes.ContainsFunc(p, func(c rune) bool { return c != 'a' }) {
				return spec.Fail("Send to leave its payload as it is", "it has changed it")
			}
		}
	}
	if err := sendsDoNotMix(r, l); err != nil {
		return err
	}
	r.Step("an echo, sent in OnMessage, and one sent in OnOpen")
	s = newSession(l, Options[Conn]{
		OnOpen:    func(c Conn) { c.Send(true, []byte("welcome")) },
		OnMessage: func(c Conn, text bool, payload []byte) { c.Send(text, payload) },
	})
	s.feed(append(usual.bytes(), in(text("hello"), bin([]byte{7}))...))
	return s.expect("request /chat", "sent 101", "open", `sent text "welcome"`, `text "hello"`, `sent text "hello"`, `binary "\a"`, `sent binary "\a"`)
}

// sendsDoNotMix has two connections of one server: while the transport copies
// what one sends, the other sends. On two loops that happens by itself.
func sendsDoNotMix(r *spec.Run, l lab) error {
	r.Step("while the transport takes a message of one connection, another connection sends one")
	one, err := opened(l, Options[Conn]{})
	if err != nil {
		return err
	}
	another, err := opened(l, Options[Conn]{})
	if err != nil {
		return err
	}
	one.before = func() { another.c.Send(true, []byte("of another")) }
	for range 20 { // a pool may give another buffer by chance
		one.forget()
		if err := one.c.Send(true, []byte("one's own, and longer")); err != nil {
			return spec.Fail("Send to return nil", "%v", err)
		}
		if err := one.expect(`sent text "one's own, and longer"`); err != nil {
			return err
		}
	}
	return nil
}

func preparedFramesAreShared(r *spec.Run, l lab) error {
	for _, size := range []int{0, 5, 125, 126, 65535, 65536} {
		payload := bytes.Repeat([]byte("p"), size)
		r.Step("a message of %d bytes, prepared once, is sent to three connections", size)
		frame := l.Prepare(nil, size%2 == 0, payload)
		if frame == nil {
			return errors.New("not implemented: Prepare returned nil")
		}
		behind := l.Prepare([]byte("before"), size%2 == 0, payload)
		if !bytes.Equal(behind, append([]byte("before"), frame...)) {
			return spec.Fail("Prepare to append to what it is given", "%d bytes behind 6, for a frame of %d", len(behind), len(frame))
		}
		room := make([]byte, 0, size+10)
		if into := l.Prepare(room, size%2 == 0, payload); &into[:1][0] != &room[:1][0] {
			return spec.Fail("Prepare to use the room there is: payload and 10 bytes", "it made new memory")
		}
		for i := range payload {
			payload[i] = 'X' // it is the caller's again
		}
		want := message(size%2 == 0, bytes.Repeat([]byte("p"), size))
		before := slices.Clone(frame)
		for range 3 {
			s, err := opened(l, Options[Conn]{})
			if err != nil {
				return err
			}
			if err := s.c.SendFrame(frame); err != nil {
				return spec.Fail("SendFrame to return nil", "%v", err)
			}
			if err := s.expect("sent " + want); err != nil {
				return err
			}
			if s.writes != 1 || !bytes.Equal(frame, before) || !bytes.Equal(s.raw, before) {
				return spec.Fail("SendFrame to write the frame as it is, at once, and not to change it", "%d writes of %d bytes in all, for a frame of %d", s.writes, len(s.raw), len(frame))
			}
		}
	}
	return nil
}

func pingHasALimit(r *spec.Run, l lab) error {
	s, err := opened(l, Options[Conn]{})
	if err != nil {
		return err
	}
	long := bytes.Repeat([]byte("p"), 126)
	r.Step("Ping with 0, 5, 125 and 126 bytes")
	for _, p := range [][]byte{nil, []byte("hello"), long[:125]} {
		if err := s.c.Ping(p); err != nil {
			return spec.Fail(fmt.Sprintf("Ping of %d bytes to return nil", len(p)), "%v", err)
		}
	}
	if err := s.c.Ping(long); err == nil {
		return spec.Fail("Ping of 126 bytes to return an error", "it returned nil; the connection did: %s", s.story())
	}
	return s.expect(`sent ping ""`, `sent ping "hello"`, "sent ping "+show(long[:125]))
}

func sendNeedsAnOpenConnection(r *spec.Run, l lab) error {
	frame := l.Prepare(nil, true, []byte("a"))
	for _, c := range []struct {
		when string
		do   func(s *session)
	}{
		{"before the request", func(s *session) {}},
		{"while the request is not whole", func(s *session) { s.feed(usual.bytes()[:60]) }},
		{"after a refusal", func(s *session) { s.feed(usual.without("Host").bytes()) }},
		{"after Close", func(s *session) { s.feed(usual.bytes()); s.c.Close(1000, "") }},
		{"after the peer's close", func(s *session) { s.feed(append(usual.bytes(), in(bye(1000))...)) }},
		{"after the peer has broken a rule", func(s *session) { s.feed(append(usual.bytes(), in(next("a"))...)) }},
		{"after the end", func(s *session) { s.feed(usual.bytes()); s.c.End(nil) }},
	} {
		s := newSession(l, Options[Conn]{})
		c.do(s)
		before := len(s.raw)
		r.Step("Send, SendFrame and Ping %s", c.when)
		for i, err := range []error{s.c.Send(true, []byte("a")), s.c.SendFrame(frame), s.c.Ping(nil)} {
			if err == nil {
				return spec.Fail(fmt.Sprintf("%s to return an error %s", []string{"Send", "SendFrame", "Ping"}[i], c.when), "it returned nil")
			}
		}
		if len(s.raw) != before {
			return spec.Fail("nothing to be written "+c.when, "%d bytes were: %s", len(s.raw)-before, s.story())
		}
	}
	return nil
}

func transportErrorsAreReturned(r *spec.Run, l lab) error {
	s, err := opened(l, Options[Conn]{})
	if err != nil {
		return err
	}
	full := errors.New("the queue is full")
	r.Step("the transport refuses; then it takes again")
	s.refusing = full
	for i, err := range []error{s.c.Send(false, make([]byte, 100)), s.c.SendFrame(l.Prepare(nil, true, nil)), s.c.Ping(nil)} {
		if !errors.Is(err, full) {
			return spec.Fail(fmt.Sprintf("%s to return the transport's error", []string{"Send", "SendFrame", "Ping"}[i]), "it returned: %v", err)
		}
	}
	r.Step("the transport refuses the close frame: there can be no farewell")
	late, err := opened(l, Options[Conn]{})
	if err != nil {
		return err
	}
	late.refusing = full
	if err := late.c.Close(1000, ""); !errors.Is(err, full) {
		return spec.Fail("Close to return the transport's error", "it returned: %v", err)
	}
	if late.ends == 0 {
		return spec.Fail("Close to end the transport when the close frame was refused", "the connection did: %s", late.story())
	}
	s.refusing = nil
	if err := s.c.Send(true, []byte("again")); err != nil {
		return spec.Fail("Send to go on when the transport takes again", "%v", err)
	}
	return s.expect(`sent text "again"`)
}
