package reactor

import (
	"errors"
	"net"
)

// Conn is one connection of a Reactor. It belongs to one loop from its first
// callback to its last: whatever is read or written, is so on that loop's
// goroutine.
type Conn struct {
	// Yours to add: the connection of lab 03 that it stands on, its loop, and
	// what belongs to that loop's goroutine.
}

// Send queues msg as one frame, as in lab 03. Any goroutine: sends to another
// loop's connections are queued there, and one wake-up is for all of them.
func (c *Conn) Send(msg []byte) error {
	return errors.New("not implemented: step 3")
}

// Write queues p without a length in front. Otherwise as Send.
func (c *Conn) Write(p []byte) (int, error) {
	return 0, errors.New("not implemented: step 3")
}

// WriteNow is Write without the wait for the end of the turn and without a copy,
// as in lab 03. Its loop's goroutine only.
func (c *Conn) WriteNow(p []byte) (int, error) {
	return 0, errors.New("not implemented: step 3")
}

// Close sends what is queued and then closes, as in lab 03. Any goroutine.
func (c *Conn) Close() error {
	return errors.New("not implemented: step 3")
}

// Abort closes without sending what is queued; OnClose gets err. Any goroutine.
func (c *Conn) Abort(err error) {
	// step 3
}

// RemoteAddr is the peer's address. Any goroutine.
func (c *Conn) RemoteAddr() net.Addr {
	return nil // step 3
}

// Queued is the number of bytes that wait to be sent. Any goroutine.
func (c *Conn) Queued() int {
	return 0 // step 3
}

// Loop is the number of the loop that c belongs to, from 0. Any goroutine.
func (c *Conn) Loop() int {
	return 0 // step 3
}

// SetValue keeps v with the connection, for Value to return. Its loop's
// goroutine only.
func (c *Conn) SetValue(v any) {
	// step 3
}

// Value is what SetValue was given last, nil at first. Its loop's goroutine
// only; OnClose may still use it.
func (c *Conn) Value() any {
	return nil // step 3
}
