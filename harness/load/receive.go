package load

import "bytes"

// receive reads once from a connection and looks at what came. more says that
// there may be more to read.
func (s *swarm) receive(c *conn) (more bool, err error) {
	n, err := c.readOnce(s.buf)
	if n == 0 || err != nil {
		return false, err
	}
	got := s.buf[:n]
	more = n == len(s.buf)
	if c.shake != nil {
		rest, over, err := c.shake.receive(got)
		if err != nil || !over {
			return more, err
		}
		c.shake = nil
		s.shaken(c)
		got = bytes.Clone(rest)
	}
	switch {
	case c.seat != nil:
		return more, s.roomFrames(c, got)
	case s.cfg.Wire == WebSocket:
		return more, c.echoFrames(s.table, got)
	}
	return more, c.compare(s.table, got)
}

// shaken goes on with a connection whose handshake is over: a member of a room
// is connected, an echo client has its first message sent.
func (s *swarm) shaken(c *conn) {
	if c.seat != nil {
		c.open = true
		s.connected++
	}
}

// echoFrames compares what came back with what must, as bytes: it looks for
// frames only where the two differ, because the server may have sent a ping.
func (c *conn) echoFrames(t *table, got []byte) error {
	if len(c.part) > 0 { // the beginning of a control frame
		got = append(c.part, got...)
		c.part = nil
	}
	for len(got) > 0 {
		until := t.back.size - int(c.received%int64(t.back.size)) // bytes to the next boundary of messages
		if until == t.back.size && got[0]&0xf >= opClose {
			op, payload, n, err := frame(got)
			if err == nil && n > 0 {
				err = c.control(op, payload)
			}
			if err != nil {
				return err
			}
			if n == 0 {
				c.part = bytes.Clone(got)
				return nil
			}
			got = got[n:]
			continue
		}
		piece := got[:c.dataUntil(t, got, until)]
		if err := c.compare(t, piece); err != nil {
			return err
		}
		got = got[len(piece):]
	}
	return nil
}

// dataUntil is how many bytes of got are data for sure: up to the first
// boundary of messages at which a control frame begins.
func (c *conn) dataUntil(t *table, got []byte, boundary int) int {
	for boundary < len(got) && got[boundary]&0xf < opClose {
		boundary += t.back.size
	}
	return min(boundary, len(got))
}
