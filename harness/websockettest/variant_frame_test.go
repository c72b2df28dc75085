package websockettest

import (
	"encoding/binary"
	"slices"
)

// vframe is the frame whose payload is coming.
type vframe struct {
	op      byte
	fin     bool
	mask    [4]byte
	size    int // of the payload
	payload int // bytes of it still to come
}

func (f *vframe) control() bool { return f.op&8 != 0 }

// takeHead takes a byte of a head.
func (c *vconn) takeHead(data []byte) int {
	if c.fault == "a head comes in one piece" && len(data) < 6 {
		return len(data)
	}
	c.head[c.have] = data[0]
	c.have++
	if c.have >= 2 && c.have == headNeeds(c.head) {
		c.have = 0
		c.begin()
	}
	return 1
}

// headNeeds is how long a head is that begins so.
func headNeeds(h [14]byte) int {
	n := 2 + int(h[1]>>7)*4
	switch h[1] & 0x7f {
	case 126:
		return n + 2
	case 127:
		return n + 8
	}
	return n
}

// wholeFrame reports whether data begins with one.
func wholeFrame(data []byte) bool {
	var h [14]byte
	copy(h[:], data)
	return len(data) >= 2 && len(data) >= headNeeds(h) && uint64(len(data)-headNeeds(h)) >= sizeIn(h, "")
}

func sizeIn(h [14]byte, f fault) uint64 {
	switch short := h[1] & 0x7f; {
	case short == 126 && f == "16 bits are read in the other order":
		return uint64(binary.LittleEndian.Uint16(h[2:]))
	case short == 126:
		return uint64(binary.BigEndian.Uint16(h[2:]))
	case short == 127 && f == "64 bits are read as 16":
		return uint64(binary.BigEndian.Uint16(h[2:]))
	case short == 127:
		return binary.BigEndian.Uint64(h[2:])
	default:
		return uint64(short)
	}
}

// begin acts on a head that is whole.
func (c *vconn) begin() {
	size := sizeIn(c.head, c.fault)
	first := c.frame
	c.frame = vframe{op: c.head[0] & 0xf, fin: c.head[0]&0x80 != 0}
	if c.head[1]&0x80 != 0 {
		at := headNeeds(c.head) - 4
		c.frame.mask = [4]byte(c.head[at : at+4])
	}
	if c.fault == "the mask of the first fragment stays" && c.inMessage {
		c.frame.mask = first.mask
	}
	if code := c.wrong(size); code != 0 {
		c.breach(code)
		return
	}
	if c.fault == "the length is an int16" && size > 32767 {
		size &= 0x7fff
	}
	c.frame.size, c.frame.payload = int(size), int(size)
	if !c.frame.control() {
		c.beginData()
	}
	if c.frame.size == 0 {
		c.payload(nil)
	}
}

// beginData notes what a data frame begins.
func (c *vconn) beginData() {
	if c.frame.op != opContinuation {
		c.text, c.parts = c.frame.op == opText, 0
		if c.fault == "a new message replaces the old one" {
			c.message, c.chars = nil, vtext{}
		}
	} else if c.fault == "a continuation is binary" {
		c.text = false
	}
	c.parts++
	if c.fault == "allocates what the head claims" {
		c.message = slices.Grow(c.message, c.frame.size)
	}
}

// wrong is the code for a head that breaks a rule, 0 if it is right.
func (c *vconn) wrong(size uint64) int {
	op, control := c.frame.op, c.frame.control()
	switch short := c.head[1] & 0x7f; {
	case c.head[0]&0x70 != 0 && c.fault != "reserved bits are ignored" && !(control && c.fault == "a control frame's reserved bits are ignored"):
		return 1002
	case (op > opBinary && op < opClose || op > opPong) && c.fault != "unknown opcodes are skipped" && !(op < opClose && c.fault == "unknown opcodes are data"):
		return 1002
	case c.head[1]&0x80 == 0 && c.fault != "a mask is a matter of taste" && !(size == 0 && c.fault == "an empty frame needs no mask"):
		return 1002
	case control && size > 125 && c.fault != "control frames may be long":
		return 1002
	case control && !c.frame.fin && c.fault != "control frames may be fragmented":
		return 1002
	case (short == 126 && size < 126 || short == 127 && size < 65536) && c.fault != "any form of the length will do":
		return 1002
	case size >= 1<<63 && c.fault == "the top bit is cut off":
		return 1009
	case size >= 1<<63:
		return 1002
	case control:
		return 0
	}
	if (op == opContinuation) != c.inMessage {
		switch {
		case op == opContinuation && c.fault == "a continuation of nothing is a message":
		case op != opContinuation && c.fault == "a new message replaces the old one":
		default:
			return 1002
		}
	}
	return c.tooLong(size)
}

func (c *vconn) tooLong(size uint64) int {
	limit := c.o.MaxMessage
	if limit == 0 {
		limit = 1 << 20
	}
	had := len(c.message)
	switch c.fault {
	case "no limit for a message", "a message is measured when it is whole":
		return 0
	case "MaxMessage bounds a frame":
		had = 0
	case "exactly MaxMessage is too much":
		limit--
	case "MaxMessage is 0 by default":
		limit = c.o.MaxMessage
	case "a message has at most 200 fragments":
		if c.parts > 200 {
			return 1009
		}
	case "a message has at most 4 MiB":
		limit = min(limit, 4<<20)
	}
	if size > uint64(limit-had) {
		return 1009
	}
	return 0
}

// takePayload takes what has come of a payload.
func (c *vconn) takePayload(data []byte) int {
	n := min(len(data), c.frame.payload)
	piece := data[:n:n] // who appends to it must not reach what comes behind
	if c.fault == "append reaches the next frame" {
		piece = data[:n]
	}
	c.unmask(piece)
	c.frame.payload -= len(piece)
	c.payload(piece)
	return len(piece)
}

func (c *vconn) unmask(piece []byte) {
	at := c.frame.size - c.frame.payload
	switch {
	case c.fault == "each piece begins the mask":
		at = 0
	case c.fault == "four bytes at a time, and no more":
		piece = piece[:len(piece)&^3]
	}
	for i := range piece {
		if c.fault == "bytes above 64 keep their mask" && i >= 64 {
			break
		}
		piece[i] ^= c.frame.mask[(at+i)%4]
	}
}

// payload acts on a piece of a payload, unmasked; it may be the whole of it.
func (c *vconn) payload(piece []byte) {
	last := c.frame.payload == 0
	switch f := &c.frame; {
	case f.control() && last && len(c.short) == 0:
		c.controlled(piece)
	case f.control():
		c.short = append(c.short, piece...)
		if last {
			whole := c.short
			c.short = nil
			c.controlled(whole)
		}
	case last && f.fin && len(piece) == f.size && !c.inMessage && c.fault != "copies every payload" && f.op != opContinuation:
		if c.checked(piece, true, true) {
			c.deliver(piece)
		}
	default:
		c.gather(piece, last)
	}
}

// gather keeps a piece of a message that did not come in one.
func (c *vconn) gather(piece []byte, last bool) {
	c.inMessage = true // until its last byte: nothing may come between
	end := last && c.frame.fin
	if c.fault == "a copy for each piece" {
		c.message = append(slices.Clip(c.message), piece...)
	} else {
		c.message = append(c.message, piece...)
	}
	if !c.checked(piece, last, end) || !end {
		return
	}
	if c.fault == "an empty last fragment is forgotten" && c.frame.size == 0 && c.frame.op == opContinuation {
		return
	}
	message := c.message
	c.message, c.inMessage = nil, false
	if c.fault == "keeps the last message's buffer" {
		c.kept = message
	}
	c.deliver(message)
	c.sendWaiting()
}

// checked looks at a piece of a text, and ends the connection if that is none.
// last is the frame's last piece, end the message's.
func (c *vconn) checked(piece []byte, last, end bool) bool {
	if !c.text && c.fault != "binary is looked at, too" || c.fault == "text is not looked at" {
		return true
	}
	switch c.fault {
	case "text is checked when the message is whole":
		if !end {
			return true
		}
		if c.inMessage {
			piece = c.message
		}
	case "text is checked when its frame is whole":
		if !last {
			return true
		}
		if c.inMessage {
			piece, c.chars = c.message, vtext{}
		}
	}
	ok := c.chars.take(piece, c.fault)
	cut := c.chars.need > 0
	if end {
		c.chars = vtext{}
	}
	if !ok || cut && end && c.fault != "a text may end inside a character" || cut && last && c.fault == "a fragment must end with a character" {
		c.breach(1007)
		return false
	}
	return true
}

func (c *vconn) deliver(message []byte) {
	if c.fault == "a message is measured when it is whole" && c.o.MaxMessage > 0 && len(message) > c.o.MaxMessage {
		c.breach(1009)
		return
	}
	if c.state == vOpen || c.fault == "messages are delivered behind our close" && c.state == vClosing {
		if c.o.OnMessage != nil {
			c.o.OnMessage(c, c.text, message)
		}
	}
}

// controlled acts on a control frame.
func (c *vconn) controlled(payload []byte) {
	if c.fault == "a ping ends the message" && c.inMessage {
		c.inMessage, c.message = false, nil
	}
	switch c.frame.op {
	case opPing:
		c.pong(payload)
	case opPong:
		if c.fault == "a pong is answered" {
			c.pong(payload)
		}
	case opClose:
		c.theirClose(payload)
	}
}

func (c *vconn) pong(payload []byte) {
	switch {
	case c.state != vOpen && c.fault != "pings are answered behind our close":
	case c.fault == "an empty ping is not answered" && len(payload) == 0:
	case c.fault == "pongs are empty":
		c.write(opPong, nil)
	case c.fault == "pongs wait for the message's end" && c.inMessage:
		c.waits = append(c.waits, slices.Clone(payload))
	default:
		c.write(opPong, payload)
	}
}

func (c *vconn) sendWaiting() {
	for _, p := range c.waits {
		c.write(opPong, p)
	}
	c.waits = nil
}

// theirClose acts on the peer's close frame.
func (c *vconn) theirClose(payload []byte) {
	echo, code, reason, wrong := readBye(payload, c.fault)
	if wrong != 0 {
		c.breach(wrong)
		return
	}
	c.code, c.reason = code, reason
	if c.fault == "OnClose comes with the close frame" {
		c.opened = false
		c.tellClose()
	}
	if c.state == vOpen && c.fault != "a close is not answered" {
		c.sayBye(echo, "")
	}
	c.over()
	if c.fault == "reads on behind the close" {
		c.state = vOpen
	}
}

func readBye(p []byte, f fault) (echo, code int, reason string, wrong int) {
	if len(p) == 0 || len(p) == 1 && f == "a close of one byte has no code" {
		return 0, 1005, "", 0
	}
	if len(p) == 1 {
		return 0, 0, "", 1002
	}
	code, reason = int(p[0])<<8|int(p[1]), string(p[2:])
	var chars vtext
	switch known := code >= 1000 && code <= 1003 || code >= 1007 && code <= 1014 || code >= 3000 && code <= 4999; {
	case !known && f != "any code is echoed" && !(code >= 1000 && code < 3000 && f == "1004, 1005, 1006 are codes"):
		return 0, 0, "", 1002
	case f != "a reason may be anything" && (!chars.take(p[2:], "") || chars.need > 0):
		return 0, 0, "", 1007
	case f == "the answer is always 1000":
		return 1000, code, reason, 0
	}
	return code, code, reason, 0
}

// vtext checks UTF-8 a byte at a time: how many bytes of a character are still
// to come, and between what the next one must be.
type vtext struct{ need, low, high byte }

func (u *vtext) take(p []byte, f fault) bool {
	for _, b := range p {
		if u.need > 0 {
			if b < u.low || b > u.high {
				return false
			}
			u.need, u.low, u.high = u.need-1, 0x80, 0xbf
			continue
		}
		u.low, u.high = 0x80, 0xbf
		switch {
		case b < 0x80:
			continue
		case b >= 0xc2 && b <= 0xdf, b >= 0xc0 && b <= 0xdf && f == "overlong forms are letters":
			u.need = 1
		case b >= 0xe0 && b <= 0xef:
			u.need = 2
		case b >= 0xf0 && b <= 0xf4:
			u.need = 3
		default:
			return false
		}
		switch {
		case f == "overlong forms are letters" && (b == 0xe0 || b == 0xf0):
		case b == 0xe0:
			u.low = 0xa0
		case b == 0xf0:
			u.low = 0x90
		case b == 0xed && f != "surrogates are letters":
			u.high = 0x9f
		case b == 0xf4 && f != "there is more above U+10FFFF":
			u.high = 0x8f
		}
	}
	return true
}
