package eventloop

import (
	"errors"
)

// Send queues msg as one frame: all of it or, with an error, nothing. It copies
// msg, never blocks, and may be called from any goroutine; frames leave in the
// order of the calls. What a callback sends is written together when it
// returns: one system call for a burst of replies. After Close, Abort or the
// peer's end it returns net.ErrClosed; if more than MaxQueued bytes would be
// queued, ErrQueueFull.
func (c *Conn) Send(msg []byte) error {
	return errors.New("not implemented: step 3, send")
}

// Write queues p as it is, without a length in front: all of it or, with an
// error, nothing. Otherwise as Send.
func (c *Conn) Write(p []byte) (int, error) {
	return 0, errors.New("not implemented: step 3, send")
}

// WriteNow is Write without the wait for the end of the turn: it writes at once
// and copies nothing, unless older bytes are queued or the kernel does not take
// all. It is for who sends the same bytes to thousands of connections: they then
// need no thousand buffers. One system call each time, so put together first
// what belongs together. The loop's goroutine only.
func (c *Conn) WriteNow(p []byte) (int, error) {
	return 0, errors.New("not implemented: step 3, send")
}
