package websocket

import "errors"

// Prepare appends a message to dst as one unmasked frame, and returns the
// extended slice, as append does: nil makes a new one, memory from a pool needs
// len(payload)+10 bytes of room. A message for many is encoded once and given to
// each by SendFrame; nobody may change it meanwhile.
func Prepare(dst []byte, text bool, payload []byte) []byte {
	return nil // step 9
}

// Send writes a message in one frame. It copies payload. That a text is valid
// UTF-8 is the caller's to know. An error is ErrClosed or the transport's: then
// nothing was written.
func (c *Conn) Send(text bool, payload []byte) error {
	return errors.New("not implemented: step 9")
}

// SendFrame writes a frame that Prepare has made, as it is. Otherwise as Send.
func (c *Conn) SendFrame(frame []byte) error {
	return errors.New("not implemented: step 9")
}

// Ping writes a ping of at most 125 bytes. The pong shows only in that bytes
// arrive.
func (c *Conn) Ping(payload []byte) error {
	return errors.New("not implemented: step 9")
}
