package load

import (
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// conn is one connection of a swarm. Only the swarm's loop touches it.
type conn struct {
	fd       int
	id       int
	start    int   // the message that its stream begins with
	sent     int64 // bytes the kernel has taken
	due      int64 // bytes that should have been sent: due-sent is owed
	received int64 // bytes come back
	up       bool  // the handshake is over
	open     bool  // its first echo is back
	cut      bool  // the kernel has taken a part of a message

	// sentAt[i%len] is when message i was sent, or should have been, for the
	// messages in flight: first <= i < next.
	sentAt      []time.Duration
	first, next int64

	shake *shake // WebSocket: the opening handshake, until it is over
	part  []byte // WebSocket: the beginning of a frame whose end is not here yet
	seat  *seat  // its place in a room; nil without rooms

	tries     int           // this one included
	notBefore time.Duration // when to try again
}

// put notes that one more message is to be sent, as of the time when.
func (c *conn) put(when time.Duration, size int) {
	if c.next-c.first == int64(len(c.sentAt)) {
		c.grow()
	}
	c.sentAt[c.next%int64(len(c.sentAt))] = when
	c.next++
	c.due += int64(size)
}

func (c *conn) grow() {
	bigger := make([]time.Duration, max(1, 2*len(c.sentAt)))
	for i := c.first; i < c.next; i++ {
		bigger[i%int64(len(bigger))] = c.sentAt[i%int64(len(c.sentAt))]
	}
	c.sentAt = bigger
}

// take returns when the oldest message in flight was sent, and forgets it.
func (c *conn) take() time.Duration {
	when := c.sentAt[c.first%int64(len(c.sentAt))]
	c.first++
	return when
}

// flush writes what is owed, as far as the kernel takes it.
func (c *conn) flush(t *table) error {
	if c.shake != nil {
		return c.shake.send(c.fd)
	}
	for c.sent < c.due {
		n := int(min(c.due-c.sent, int64(t.out.period)))
		n, err := ignoringEINTR(unix.Write, c.fd, t.out.at(c.start, c.sent, n))
		if err == unix.EAGAIN {
			return nil
		}
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		c.sent += int64(n)
		c.cut = c.sent%int64(t.out.size) != 0
	}
	return nil
}

// midMessage reports whether the kernel has taken a part of a message.
func (c *conn) midMessage() bool { return c.cut || c.seat != nil && len(c.seat.out) > 0 }

// errMismatch marks a wrong byte.
var errMismatch = errors.New("a wrong byte")

// readOnce reads once. 0 bytes without an error mean that there is nothing;
// io.EOF, that the server has ended the connection.
func (c *conn) readOnce(buf []byte) (n int, err error) {
	n, err = ignoringEINTR(unix.Read, c.fd, buf)
	switch {
	case err == unix.EAGAIN:
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("read: %w", err)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// compare holds what came back against what must.
func (c *conn) compare(t *table, got []byte) error {
	if max := t.mayBeBack(c.sent); c.received+int64(len(got)) > max {
		return fmt.Errorf("%w: %d bytes came back, %d can", errMismatch, c.received+int64(len(got)), max)
	}
	for len(got) > 0 {
		piece := got[:min(len(got), t.back.period)]
		want := t.back.at(c.start, c.received, len(piece))
		if i := Difference(piece, want); i >= 0 {
			return fmt.Errorf("%w: byte %d of connection %d is %#02x, must be %#02x", errMismatch, c.received+int64(i), c.id, piece[i], want[i])
		}
		c.received += int64(len(piece))
		got = got[len(piece):]
	}
	return nil
}

// ignoringEINTR repeats a call that a signal interrupted.
func ignoringEINTR(call func(int, []byte) (int, error), fd int, p []byte) (int, error) {
	for {
		n, err := call(fd, p)
		if err != unix.EINTR {
			return n, err
		}
	}
}
