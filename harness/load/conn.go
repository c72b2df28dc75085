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
	start    int   // where its stream begins in the table
	sent     int64 // bytes the kernel has taken
	due      int64 // bytes that should have been sent: due-sent is owed
	received int64 // bytes come back
	up       bool  // the handshake is over
	open     bool  // its first echo is back

	// sentAt[i%len] is when message i was sent, or should have been, for the
	// messages in flight: first <= i < next.
	sentAt      []time.Duration
	first, next int64

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
	for c.sent < c.due {
		n := int(min(c.due-c.sent, int64(t.period)))
		n, err := ignoringEINTR(unix.Write, c.fd, t.at(c.start, c.sent, n))
		if err == unix.EAGAIN {
			return nil
		}
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		c.sent += int64(n)
	}
	return nil
}

// errMismatch marks a wrong byte.
var errMismatch = errors.New("a wrong byte")

// receive reads once and compares. It reports whether there may be more, and
// io.EOF when the server has ended the connection.
func (c *conn) receive(t *table, buf []byte) (more bool, err error) {
	n, err := ignoringEINTR(unix.Read, c.fd, buf)
	switch {
	case err == unix.EAGAIN:
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read: %w", err)
	case n == 0:
		return false, io.EOF
	}
	if c.received+int64(n) > c.sent {
		return false, fmt.Errorf("%w: %d bytes came back, %d were sent", errMismatch, c.received+int64(n), c.sent)
	}
	for got := buf[:n]; len(got) > 0; {
		piece := got[:min(len(got), t.period)]
		want := t.at(c.start, c.received, len(piece))
		if i := Difference(piece, want); i >= 0 {
			return false, fmt.Errorf("%w: byte %d of connection %d is %#02x, must be %#02x", errMismatch, c.received+int64(i), c.id, piece[i], want[i])
		}
		c.received += int64(len(piece))
		got = got[len(piece):]
	}
	return n == len(buf), nil
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
