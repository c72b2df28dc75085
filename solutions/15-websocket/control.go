package websocket

// control acts on a control frame. It may come between the fragments of a
// message, and leaves that alone.
func (c *Conn) control(opcode byte, payload []byte) {
	switch opcode {
	case opPing:
		if c.state == open { // behind our close frame nothing may be sent
			c.write(opPong, payload)
		}
	case opPong: // a sign of life; that it arrived is all there is to it
	case opClose:
		c.peerCloses(payload)
	}
}
