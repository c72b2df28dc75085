package eventloop

import (
	"errors"
	"net"
)

// Conn is one connection of a Loop. Its methods may be called from any
// goroutine, also after it has closed.
//
// An idle Conn costs its fields and 8 bytes in the loop's table, about 170
// bytes in all: it holds no buffer.
type Conn struct {
	// Yours to add: what belongs to the loop's goroutine, and apart from it,
	// under a lock, what other goroutines touch.
}

// Adopt hands a connected stream socket to the loop, which makes it
// non-blocking and owns fd from here on, also when it returns an error. OnOpen
// follows on the loop's goroutine. Any goroutine; before Run too.
func (l *Loop) Adopt(fd int) error {
	return errors.New("not implemented: step 5, adopt")
}

// RemoteAddr is the peer's address: a *net.TCPAddr, or a *net.UnixAddr without
// a name. Any goroutine.
func (c *Conn) RemoteAddr() net.Addr {
	return nil
}

// Queued is the number of bytes that wait to be sent, lengths included. Any
// goroutine.
func (c *Conn) Queued() int {
	return 0 // step 3
}

// SetValue keeps v with the connection, for Value to return: whatever a
// protocol needs to know of it. The loop's goroutine only.
func (c *Conn) SetValue(v any) { /* step 4 */ }

// Value is what SetValue was given last, nil at first. The loop's goroutine
// only; OnClose may still use it.
func (c *Conn) Value() any {
	return nil // step 4
}
