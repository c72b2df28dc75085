package reactor

import (
	"net"

	eventloop "github.com/asynclab/asynclab/solutions/03-eventloop"
)

// Conn is one connection of a Reactor. It belongs to one loop from its first
// callback to its last: whatever is read or written, is so on that loop's
// goroutine.
type Conn struct {
	conn *eventloop.Conn // immutable
	loop *loop           // immutable

	// Loop goroutine only.
	value   any
	timeout timer // of SetTimeout
	idle    *idle // nil without IdleTimeout
	gone    bool  // OnClose was called, or is about to be
}

// owned is the Conn that belongs to a connection of the loop below.
func owned(c *eventloop.Conn) *Conn { return c.Value().(*Conn) }

// The loop's callbacks. They run on the loop's goroutine, and so do the
// reactor's, which they call: nothing is handed to another one.

func (l *loop) onOpen(ec *eventloop.Conn) {
	c := &Conn{conn: ec, loop: l}
	ec.SetValue(c)
	l.open.Add(1)
	l.watchIdle(c)
	if fn := l.reactor.opts.OnOpen; fn != nil {
		fn(c)
	}
}

func (l *loop) onMessage(ec *eventloop.Conn, msg []byte) {
	c := owned(ec)
	l.hear(c)
	l.reactor.opts.OnMessage(c, msg)
}

func (l *loop) onData(ec *eventloop.Conn, data []byte) (consumed int) {
	c := owned(ec)
	l.hear(c)
	return l.reactor.opts.OnData(c, data)
}

func (l *loop) onDrain(ec *eventloop.Conn) {
	if fn := l.reactor.opts.OnDrain; fn != nil {
		fn(owned(ec))
	}
}

func (l *loop) onClose(ec *eventloop.Conn, err error) {
	c := owned(ec)
	l.open.Add(-1)
	l.closed.Add(1)
	l.forget(c) // a timer must not fire for a connection that has gone
	if fn := l.reactor.opts.OnClose; fn != nil {
		fn(c, err)
	}
}

// Send queues msg as one frame, as in lab 03. Any goroutine: sends to another
// loop's connections are queued there, and one wake-up is for all of them.
func (c *Conn) Send(msg []byte) error { return c.conn.Send(msg) }

// Write queues p without a length in front. Otherwise as Send.
func (c *Conn) Write(p []byte) (int, error) { return c.conn.Write(p) }

// WriteNow is Write without the wait for the end of the turn and without a copy,
// as in lab 03. Its loop's goroutine only.
func (c *Conn) WriteNow(p []byte) (int, error) { return c.conn.WriteNow(p) }

// Close sends what is queued and then closes, as in lab 03. Any goroutine.
func (c *Conn) Close() error { return c.conn.Close() }

// Abort closes without sending what is queued; OnClose gets err. Any goroutine.
func (c *Conn) Abort(err error) { c.conn.Abort(err) }

// RemoteAddr is the peer's address. Any goroutine.
func (c *Conn) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }

// Queued is the number of bytes that wait to be sent. Any goroutine.
func (c *Conn) Queued() int { return c.conn.Queued() }

// Loop is the number of the loop that c belongs to, from 0. Any goroutine.
func (c *Conn) Loop() int { return c.loop.index }

// SetValue keeps v with the connection, for Value to return. Its loop's
// goroutine only.
func (c *Conn) SetValue(v any) { c.value = v }

// Value is what SetValue was given last, nil at first. Its loop's goroutine
// only; OnClose may still use it.
func (c *Conn) Value() any { return c.value }
