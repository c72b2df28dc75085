package websocket

import (
	"fmt"
	"slices"
	"sync"
)

// scratch holds frames while they are put together. A frame must reach the
// transport in one piece: if its head were taken and its payload refused, the
// stream would be broken.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

const keptScratch = 64 << 10 // a larger one is left to the garbage collector

// Prepare appends a message to dst as one unmasked frame, and returns the
// extended slice, as append does: nil makes a new one, memory from a pool needs
// len(payload)+10 bytes of room. A message for many is encoded once and given to
// each by SendFrame; nobody may change it meanwhile.
func Prepare(dst []byte, text bool, payload []byte) []byte {
	return append(appendHead(slices.Grow(dst, len(payload)+10), dataOpcode(text), len(payload)), payload...)
}

func dataOpcode(text bool) byte {
	if text {
		return opText
	}
	return opBinary
}

// Send writes a message in one frame. It copies payload. That a text is valid
// UTF-8 is the caller's to know. An error is ErrClosed or the transport's: then
// nothing was written.
func (c *Conn) Send(text bool, payload []byte) error {
	if c.state != open {
		return ErrClosed
	}
	return c.write(dataOpcode(text), payload)
}

// SendFrame writes a frame that Prepare has made, as it is. Otherwise as Send.
func (c *Conn) SendFrame(frame []byte) error {
	if c.state != open {
		return ErrClosed
	}
	_, err := c.transport.Write(frame)
	return err
}

// Ping writes a ping of at most 125 bytes. The pong shows only in that bytes
// arrive.
func (c *Conn) Ping(payload []byte) error {
	switch {
	case c.state != open:
		return ErrClosed
	case len(payload) > maxControl:
		return fmt.Errorf("websocket: a ping of %d bytes: a control frame has at most %d", len(payload), maxControl)
	}
	return c.write(opPing, payload)
}

// write puts a frame together and writes it.
func (c *Conn) write(opcode byte, payload []byte) error {
	buf := scratch.Get().(*[]byte)
	frame := appendHead((*buf)[:0], opcode, len(payload))
	frame = append(frame, payload...)
	_, err := c.transport.Write(frame)
	if cap(frame) <= keptScratch {
		*buf = frame
		scratch.Put(buf)
	}
	return err
}
