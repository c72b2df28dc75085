package websockettest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// FuzzHandshake gives arbitrary bytes to a new connection, whole, byte by byte
// and cut at random. It must do the same each time.
func FuzzHandshake[C Conn](f *testing.F, l Lab[C]) {
	wide := widen(l)
	notStarted(f, wide)
	f.Add(usual.bytes(), uint64(0))
	f.Add(append(usual.bytes(), in(text("hello"), bye(1000))...), uint64(1))
	f.Add(usual.ask("POST / HTTP/1.1").bytes(), uint64(2))
	f.Add(usual.but("Sec-WebSocket-Version: 8").bytes(), uint64(3))
	f.Add(usual.with("Sec-WebSocket-Protocol: chat.v1, chat.v2", "Sec-WebSocket-Extensions: permessage-deflate").bytes(), uint64(4))
	f.Add(usual.with("X-A: a\r\n b", "X-B: a\x00b").bytes(), uint64(5))
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		alike(t, wide, nil, data, seed)
	})
}

// FuzzFrames gives arbitrary bytes to an open connection in the same ways.
func FuzzFrames[C Conn](f *testing.F, l Lab[C]) {
	wide := widen(l)
	notStarted(f, wide)
	all, _ := conversation()
	f.Add(all, uint64(0))
	f.Add(in(text("frag").part(), ping("p"), next("ments"), byeBecause(1000, "bye")), uint64(1))
	f.Add(in(text("\xe2\x82").part(), next("\xac")), uint64(2))
	f.Add(in(text("\xed\xa0\x80")), uint64(3))
	f.Add(frame{op: opBinary, claim: 1 << 40}.appendHead(nil), uint64(4))
	f.Add(frame{op: opText, claim: 300}.appendHead(in(text("a"))), uint64(5))
	f.Add(in(pong("x"), byeRaw([]byte{3})), uint64(6))
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		alike(t, wide, usual.bytes(), data, seed)
	})
}

func notStarted(f *testing.F, l lab) {
	if err := probe(l); err != nil {
		f.Skip(err)
	}
}

// alike compares what a connection does with the same bytes, differently cut.
func alike(t *testing.T, l lab, before, data []byte, seed uint64) {
	if len(data) > 1<<17 {
		t.Skip("long inputs find nothing that short ones do not")
	}
	o := Options[Conn]{MaxMessage: 1 << 16, Protocols: []string{"chat.v1"}}
	var first string
	for i, cuts := range [][]int{nil, every(1, len(data)), randomSteps(rand.New(rand.NewPCG(seed, 1)), len(data), 40)} {
		s := newSession(l, o)
		s.feed(before)
		s.pieces(data, cuts...)
		rest := len(s.rest)
		if s.ends > 0 {
			rest = 0 // nobody reads it
		}
		s.c.End(nil)
		story := fmt.Sprintf("%s; %d bytes left; written %x", strings.Join(s.log, "\n"), rest, s.raw)
		if i == 0 {
			first = story
			s.sane(t)
		}
		if story != first {
			t.Fatalf("the same bytes, cut at %v, in one piece:\n%s\ncut:\n%s", cuts, first, story)
		}
	}
}

// sane looks for what may never be in a log.
func (s *session) sane(t *testing.T) {
	closes := 0
	for i, line := range s.log {
		switch {
		case strings.HasPrefix(line, "sent close"):
			closes++
		case strings.HasPrefix(line, "("), strings.HasPrefix(line, "sent a "), strings.HasPrefix(line, "sent what"):
			t.Fatalf("%s", s.story())
		case strings.HasPrefix(line, "closed") && i != len(s.log)-1:
			t.Fatalf("OnClose is not the last: %s", s.story())
		}
	}
	if closes > 1 {
		t.Fatalf("%d close frames: %s", closes, s.story())
	}
	last := ""
	if len(s.log) > 0 {
		last = s.log[len(s.log)-1]
	}
	if slices.Contains(s.log, "open") != strings.HasPrefix(last, "closed") {
		t.Fatalf("OnClose once for each OnOpen: %s", s.story())
	}
}
