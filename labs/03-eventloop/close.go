package eventloop

import (
	"errors"
)

// Close sends what is queued and then closes the connection; OnClose gets nil.
// Nothing is received any more. It returns at once and always nil; OnClose
// follows when the peer's kernel has acknowledged the last byte, or 5 s after
// it was handed to ours. A peer that takes nothing holds up what is queued for
// as long as it likes: bound that with AfterFunc and Abort. Any goroutine, any
// number of times.
func (c *Conn) Close() error {
	return errors.New("not implemented: step 4, close")
}

// Abort closes the connection without sending what is queued; OnClose gets err.
// It also cuts short a Close that is still sending. It returns at once. Any
// goroutine, any number of times: the first one's err counts.
func (c *Conn) Abort(err error) {
	// not implemented: step 4, close
}
