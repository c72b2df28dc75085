package websocket

import (
	"encoding/binary"
	"errors"
	"unicode/utf8"
)

// Close codes (RFC 6455, 7.4.1). NoCode and Abnormal never travel: OnClose is
// told them.
const (
	Normal        = 1000
	GoingAway     = 1001
	ProtocolError = 1002
	NoCode        = 1005 // a close frame without a code
	Abnormal      = 1006 // no close frame
	InvalidText   = 1007
	Policy        = 1008
	TooBig        = 1009
)

// ErrClosed is returned by Send, SendFrame and Ping when there is no open
// WebSocket: before the handshake is done, or after Close or the peer's end.
var ErrClosed = errors.New("websocket: not open")

// farewell is how a connection has ended.
type farewell struct {
	code   int
	reason string
}

// Close writes a close frame, if none was written, and waits for the peer's
// before it ends the transport. Code 0 writes one without a code. A reason has at
// most 123 bytes; what is longer is cut. Before the handshake is done it ends the
// transport. Nothing is delivered any more. An error is the transport's, which
// has not taken the close frame: then it is ended without one.
func (c *Conn) Close(code int, reason string) error {
	switch c.state {
	case handshake:
		c.finish()
	case open:
		if err := c.writeClose(code, reason); err != nil {
			c.end(err)
			return err
		}
		c.state = closing
		c.left()
	}
	return nil
}

// peerCloses acts on the peer's close frame: the answer is one of our own with
// the same code, unless ours went first, and then the server ends the transport
// (RFC 6455, 7.1.1).
func (c *Conn) peerCloses(payload []byte) {
	code, reason, wrong := parseClose(payload)
	if wrong != 0 {
		c.fail(wrong)
		return
	}
	c.farewell = &farewell{code, reason}
	if c.state == open {
		c.writeClose(code, "")
	}
	c.finish()
}

// parseClose reads a close frame's payload; wrong is the code that answers one
// that breaks the rules.
func parseClose(p []byte) (code int, reason string, wrong int) {
	if len(p) == 0 {
		return NoCode, "", 0
	}
	if len(p) == 1 {
		return 0, "", ProtocolError
	}
	code = int(binary.BigEndian.Uint16(p))
	if !mayTravel(code) {
		return 0, "", ProtocolError
	}
	if !utf8.Valid(p[2:]) {
		return 0, "", InvalidText
	}
	return code, string(p[2:]), 0
}

// mayTravel reports whether a code may stand in a close frame: those that RFC
// 6455 and its registry give a meaning on the wire, and those for applications.
func mayTravel(code int) bool {
	switch {
	case code == 1004 || code == NoCode || code == Abnormal:
		return false
	case code >= Normal && code <= 1014:
		return true
	}
	return code >= 3000 && code < 5000
}

// fail ends a connection whose peer has broken a rule (RFC 6455, 7.1.7).
func (c *Conn) fail(code int) {
	c.farewell = &farewell{code: code}
	if c.state == open {
		c.writeClose(code, "")
	}
	c.finish()
}

// writeClose writes a close frame.
func (c *Conn) writeClose(code int, reason string) error {
	if code == 0 || code == NoCode {
		return c.write(opClose, nil)
	}
	payload := binary.BigEndian.AppendUint16(make([]byte, 0, maxControl), uint16(code))
	return c.write(opClose, append(payload, cut(reason, maxControl-2)...))
}

// cut shortens s to at most n bytes, between two characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// finish ends the transport when what was written is sent.
func (c *Conn) finish() {
	c.state = over
	c.message = nil
	c.left()
	c.transport.Close()
}

// end ends the transport at once: it takes nothing any more.
func (c *Conn) end(err error) {
	c.state = over
	c.message = nil
	c.left()
	c.transport.Abort(err)
}

// left tells whoever keeps the time that it runs.
func (c *Conn) left() {
	if fn := c.leaving; fn != nil {
		c.leaving = nil
		fn()
	}
}

// End says that the transport has ended: with nil in order. OnClose is called.
// Any call after the first does nothing.
func (c *Conn) End(err error) {
	c.state = over
	c.message = nil
	if !c.opened {
		return
	}
	c.opened = false
	if c.farewell == nil {
		c.farewell = &farewell{code: Abnormal}
	}
	if fn := c.opts.OnClose; fn != nil {
		fn(c, c.farewell.code, c.farewell.reason)
	}
}
