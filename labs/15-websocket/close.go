package websocket

import (
	"errors"
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

// Close writes a close frame, if none was written, and waits for the peer's
// before it ends the transport. Code 0 writes one without a code. A reason has at
// most 123 bytes; what is longer is cut. Before the handshake is done it ends the
// transport. Nothing is delivered any more. An error is the transport's, which
// has not taken the close frame: then it is ended without one.
func (c *Conn) Close(code int, reason string) error {
	return errors.New("not implemented: step 8")
}

// End says that the transport has ended: with nil in order. OnClose is called.
// Any call after the first does nothing.
func (c *Conn) End(err error) {
	// step 8
}
