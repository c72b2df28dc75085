package websockettest

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"strings"

	"github.com/asynclab/asynclab/harness/spec"
)

// session is one connection without a socket. It is the connection's Transport,
// gives it bytes as lab 03's loop does, and logs all that it does, in order:
//
//	request /chat            OnRequest was called
//	sent 101                 an HTTP answer was written
//	open                     OnOpen was called
//	text "a", binary "a"     OnMessage was called
//	sent text "a" ...        a frame was written
//	end, abort               the transport's Close or Abort was called
//	closed 1000 reason       OnClose was called
//
// After each call of Data it overwrites the bytes that it had lent: who has kept
// a reference shows that.
type session struct {
	c        Conn
	log      []string
	raw      []byte         // all that was written
	out      []byte         // of that, what is no whole answer or frame yet
	rest     []byte         // what Data has not consumed
	writes   int            // calls of Write
	ends     int            // calls of the transport's Close and Abort
	answer   *http.Response // to the handshake, when it is there
	body     []byte         // of the answer
	header   http.Header    // that OnRequest got
	refusing error          // what Write returns, having taken nothing
	before   func()         // called by Write before it takes anything; may be nil
}

// newSession makes a connection on which nothing has arrived. The callbacks of o
// are called behind the line in the log.
func newSession(l lab, o Options[Conn]) *session {
	s := new(session)
	user := o
	o.OnRequest = func(c Conn, target string, header http.Header) int {
		s.note("request " + target)
		s.header = header
		if user.OnRequest != nil {
			return user.OnRequest(c, target, header)
		}
		return 0
	}
	o.OnOpen = func(c Conn) {
		s.note("open")
		if user.OnOpen != nil {
			user.OnOpen(c)
		}
	}
	o.OnMessage = func(c Conn, text bool, payload []byte) {
		s.note(message(text, payload))
		if user.OnMessage != nil {
			user.OnMessage(c, text, payload)
		}
	}
	o.OnClose = func(c Conn, code int, reason string) {
		s.note(closedLine(code, reason))
		if user.OnClose != nil {
			user.OnClose(c, code, reason)
		}
	}
	s.c = l.New(&o, s)
	return s
}

// opened makes a connection whose handshake is done, and forgets that.
func opened(l lab, o Options[Conn]) (*session, error) {
	s := newSession(l, o)
	s.feed(usual.bytes())
	if len(s.log) < 3 || s.log[1] != "sent 101" || s.log[2] != "open" {
		return nil, spec.Fail("a right request to be answered 101, then OnOpen", "the connection did: %s", s.story())
	}
	s.forget()
	return s, nil
}

// forget empties the log.
func (s *session) forget() { s.log, s.raw, s.writes = nil, nil, 0 }

func (s *session) note(line string) { s.log = append(s.log, line) }

// story is the log in a message to people.
func (s *session) story() string { return list(s.log) }

// expect compares the log with what must be in it.
func (s *session) expect(want ...string) error {
	if same(s.log, want) {
		return nil
	}
	return spec.Fail(list(want), "the connection did: %s", s.story())
}

// feed lends p to the connection, behind what it had left.
func (s *session) feed(p []byte) {
	data := append(bytes.Clone(s.rest), p...)
	n := s.c.Data(data)
	if n < 0 || n > len(data) {
		s.note(fmt.Sprintf("(Data was given %d bytes and returned %d)", len(data), n))
		n = len(data)
	}
	s.rest = bytes.Clone(data[n:])
	for i := range data {
		data[i] = 0xAA
	}
}

// pieces feeds p, cut at the given places.
func (s *session) pieces(p []byte, cuts ...int) {
	at := 0
	for _, cut := range cuts {
		s.feed(p[at:cut])
		at = cut
	}
	s.feed(p[at:])
}

// The methods of Transport.

func (s *session) Write(p []byte) (int, error) {
	if s.refusing != nil {
		return 0, s.refusing
	}
	if s.before != nil {
		s.before()
	}
	s.writes++
	if s.ends > 0 {
		s.note("(a write behind the transport's end)")
	}
	s.raw = append(s.raw, p...)
	s.out = append(s.out, p...)
	s.read()
	return len(p), nil
}

func (s *session) Close() error { s.ends++; s.note("end"); return nil }
func (s *session) Abort(error)  { s.ends++; s.note("abort") }

// read logs what is whole of what was written.
func (s *session) read() {
	if s.answer == nil {
		s.readAnswer()
	}
	for s.answer != nil && s.answer.StatusCode == http.StatusSwitchingProtocols && len(s.out) > 0 {
		f, n, err := readReply(s.out)
		if err != nil {
			s.note("sent what no server may: " + err.Error())
			s.out = nil
			return
		}
		if n == 0 {
			return
		}
		s.note(f.String())
		s.out = s.out[n:]
	}
}

// readAnswer reads the HTTP answer, if it is whole.
func (s *session) readAnswer() {
	head, rest, found := bytes.Cut(s.out, []byte("\r\n\r\n"))
	if !found {
		return
	}
	answer, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(s.out[:len(head)+4])), nil)
	if err != nil {
		s.note("sent what is no HTTP answer: " + err.Error())
		s.out = nil
		return
	}
	size := int(max(answer.ContentLength, 0))
	if answer.StatusCode == http.StatusSwitchingProtocols {
		size = 0
	}
	if len(rest) < size && !strings.EqualFold(answer.Header.Get("Transfer-Encoding"), "chunked") {
		return
	}
	s.answer, s.body, s.out = answer, bytes.Clone(rest[:size]), bytes.Clone(rest[size:])
	s.note(fmt.Sprint("sent ", answer.StatusCode))
}
