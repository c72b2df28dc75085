package websocket

import "unicode/utf8"

// readFrame takes a frame whose payload is all here, or the head of one whose
// payload is not.
func (c *Conn) readFrame(data []byte) (n int) {
	h, n, size, code := parseHead(data)
	if code == 0 && n > 0 {
		code = c.admit(&h, size)
	}
	if code != 0 {
		c.fail(code)
		return 0
	}
	switch {
	case n == 0:
		return 0
	case uint64(len(data)-n) >= size:
		end := n + int(size)
		payload := data[n:end:end]
		h.unmask(payload)
		c.whole(&h, payload)
		return end
	case h.control():
		return 0 // it is short: let all of it come
	}
	c.frame, c.missing, c.inFrame = h, int(size), true
	c.begin(&h)
	return n
}

// admit says what is wrong with a frame at its place in the stream, or 0: a
// continuation must continue something, and nothing else may come between
// fragments but control frames (RFC 6455, 5.4). A message that would be too
// long is refused by its head.
func (c *Conn) admit(h *head, size uint64) (code int) {
	switch {
	case h.control():
		return 0
	case (h.opcode == opContinuation) != c.fragmented:
		return ProtocolError
	case size > uint64(c.opts.maxMessage()-len(c.message)):
		return TooBig
	}
	return 0
}

// whole acts on a frame that arrived in one piece. A message in one such frame,
// which is nearly every one, is given on where it lies: nothing is copied.
func (c *Conn) whole(h *head, payload []byte) {
	switch {
	case h.control():
		c.control(h.opcode, payload)
	case h.opcode != opContinuation && h.fin:
		c.text = h.opcode == opText
		if c.text && !utf8.Valid(payload) {
			c.fail(InvalidText)
			return
		}
		c.deliver(payload)
	default:
		c.begin(h)
		if c.gather(payload) {
			c.endFrame(h)
		}
	}
}

// begin notes what kind of message a first frame begins.
func (c *Conn) begin(h *head) {
	if h.opcode != opContinuation {
		c.text = h.opcode == opText
	}
}

// readPayload takes what has arrived of a payload.
func (c *Conn) readPayload(data []byte) (n int) {
	n = min(len(data), c.missing)
	piece := data[:n]
	c.frame.unmask(piece)
	c.missing -= n
	if !c.gather(piece) {
		return 0
	}
	if c.missing == 0 {
		c.inFrame = false
		c.endFrame(&c.frame)
	}
	return n
}

// gather keeps a piece of a message. Text is looked at as it comes: the first
// byte that cannot be part of valid UTF-8 ends the connection, not the last
// byte of the message. The buffer grows with what has arrived, never with what a
// head claims.
func (c *Conn) gather(piece []byte) bool {
	if c.text && !c.utf8.write(piece) {
		c.fail(InvalidText)
		return false
	}
	c.message = append(c.message, piece...)
	return true
}

// endFrame delivers the message if this was its last frame.
func (c *Conn) endFrame(h *head) {
	c.fragmented = !h.fin
	if c.fragmented {
		return
	}
	if c.text && !c.utf8.complete() {
		c.fail(InvalidText)
		return
	}
	message := c.message
	c.message = nil // an idle connection holds no buffer
	c.deliver(message)
}

// deliver calls OnMessage, but not behind our close frame: then the application
// has finished with this connection.
func (c *Conn) deliver(message []byte) {
	if fn := c.opts.OnMessage; fn != nil && c.state == open {
		fn(c, c.text, message)
	}
}
