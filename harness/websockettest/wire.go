package websockettest

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

// usualMask has four different bytes, so that a wrong place in it shows.
var usualMask = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// frame is one frame of a client, right but for what is said of it.
type frame struct {
	op      byte
	payload []byte
	more    bool     // FIN is not set
	rsv     byte     // the three reserved bits
	naked   bool     // without a mask
	form    int      // bits of the length: 16 or 64; 0 is the shortest
	claim   uint64   // the length in the head, if it is not the payload's
	mask    *[4]byte // usualMask if nil
}

func text(s string) frame   { return frame{op: opText, payload: []byte(s)} }
func bin(p []byte) frame    { return frame{op: opBinary, payload: p} }
func next(s string) frame   { return frame{op: opContinuation, payload: []byte(s)} }
func ping(s string) frame   { return frame{op: opPing, payload: []byte(s)} }
func pong(s string) frame   { return frame{op: opPong, payload: []byte(s)} }
func byeRaw(p []byte) frame { return frame{op: opClose, payload: p} }
func bye(code int) frame    { return byeBecause(code, "") }

func byeBecause(code int, reason string) frame {
	return byeRaw(append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...))
}

// part is f as a fragment that is not the last.
func (f frame) part() frame { f.more = true; return f }

// masked is f with another mask.
func (f frame) masked(mask [4]byte) frame { f.mask = &mask; return f }

// in is frames as they come in from a client.
func in(frames ...frame) (p []byte) {
	for _, f := range frames {
		p = f.append(p)
	}
	return p
}

// append appends the frame as it is on the wire.
func (f frame) append(dst []byte) []byte {
	dst = f.appendHead(dst)
	at := len(dst)
	dst = append(dst, f.payload...)
	if !f.naked {
		mask := f.key()
		for i := range dst[at:] {
			dst[at+i] ^= mask[i%4]
		}
	}
	return dst
}

func (f frame) key() [4]byte {
	if f.mask != nil {
		return *f.mask
	}
	return usualMask
}

// appendHead appends the frame's head alone.
func (f frame) appendHead(dst []byte) []byte {
	first, second := f.op|f.rsv<<4, byte(0x80)
	if !f.more {
		first |= 0x80
	}
	if f.naked {
		second = 0
	}
	size := uint64(len(f.payload))
	if f.claim != 0 {
		size = f.claim
	}
	dst = append(dst, first)
	switch {
	case f.form == 64 || f.form == 0 && size > 65535:
		dst = binary.BigEndian.AppendUint64(append(dst, second|127), size)
	case f.form == 16 || f.form == 0 && size > 125:
		dst = binary.BigEndian.AppendUint16(append(dst, second|126), uint16(size))
	default:
		dst = append(dst, second|byte(size))
	}
	if f.naked {
		return dst
	}
	mask := f.key()
	return append(dst, mask[:]...)
}

// reply is one frame of a server.
type reply struct {
	op      byte
	payload []byte
}

// readReply reads the frame at the beginning of p. n is 0 while it is not whole;
// an error says what no server may send.
func readReply(p []byte) (f reply, n int, err error) {
	if len(p) < 2 {
		return f, 0, nil
	}
	head, size := 2, uint64(p[1]&0x7f)
	switch {
	case p[0]&0x80 == 0 || p[0]&0x70 != 0:
		return f, 0, fmt.Errorf("a frame that begins with %#02x: a fragment, or reserved bits", p[0])
	case p[1]&0x80 != 0:
		return f, 0, fmt.Errorf("a masked frame (a server must not mask)")
	case size == 126:
		if len(p) < 4 {
			return f, 0, nil
		}
		head, size = 4, uint64(binary.BigEndian.Uint16(p[2:]))
	case size == 127:
		if len(p) < 10 {
			return f, 0, nil
		}
		head, size = 10, binary.BigEndian.Uint64(p[2:])
	}
	if head == 4 && size < 126 || head == 10 && size < 1<<16 {
		return f, 0, fmt.Errorf("a length of %d in %d bytes, which is not the shortest form", size, head-2)
	}
	if size > 64<<20 {
		return f, 0, fmt.Errorf("a frame of %d bytes", size)
	}
	if uint64(len(p)-head) < size {
		return f, 0, nil
	}
	return reply{p[0] & 0xf, p[head : head+int(size)]}, head + int(size), nil
}

// String is the frame as a session's log has it. A close is its code alone.
func (f reply) String() string {
	switch f.op {
	case opText:
		return "sent " + message(true, f.payload)
	case opBinary:
		return "sent " + message(false, f.payload)
	case opPing:
		return "sent ping " + show(f.payload)
	case opPong:
		return "sent pong " + show(f.payload)
	case opClose:
		switch {
		case len(f.payload) == 0:
			return "sent close"
		case len(f.payload) == 1 || len(f.payload) > 125:
			return fmt.Sprintf("sent a close frame of %d bytes", len(f.payload))
		}
		return fmt.Sprint("sent close ", binary.BigEndian.Uint16(f.payload))
	}
	return fmt.Sprintf("sent a frame with opcode %#x", f.op)
}

// message is a message as a session's log has it.
func message(text bool, p []byte) string {
	if text {
		return "text " + show(p)
	}
	return "binary " + show(p)
}

// show is a payload in words: all of a short one; of a long one the length and a
// sum, so that two that differ look different.
func show(p []byte) string {
	if len(p) <= 64 {
		if s := string(p); strings.ToValidUTF8(s, "") == s {
			return strconv.Quote(s)
		}
		return strconv.Quote(string(p))
	}
	sum := uint32(2166136261) // FNV-1a
	for _, b := range p {
		sum = (sum ^ uint32(b)) * 16777619
	}
	return fmt.Sprintf("%q... (%d bytes, sum %08x)", p[:16], len(p), sum)
}

// closedLine is a call of OnClose as a log has it.
func closedLine(code int, reason string) string {
	return strings.TrimSpace(fmt.Sprintf("closed %d %s", code, reason))
}

const someLines = 8

// list is lines in a message to people: all, or the first and the last.
func list(lines []string) string {
	if len(lines) == 0 {
		return "nothing"
	}
	if more := len(lines) - 2*someLines; more > 1 {
		return strings.Join(lines[:someLines], ", ") + fmt.Sprintf(", ... %d more, ", more) + strings.Join(lines[len(lines)-someLines:], ", ")
	}
	return strings.Join(lines, ", ")
}

// same compares a log with what must be in it. A line that may be one or
// another has both, with " | " between.
func same(got, want []string) bool {
	if len(got) != len(want) {
		return false
	}
	for i, line := range want {
		found := false
		for choice := range strings.SplitSeq(line, " | ") {
			found = found || got[i] == choice
		}
		if !found {
			return false
		}
	}
	return true
}
