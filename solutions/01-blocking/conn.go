package blocking

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// bufferSize is what one connection reads at a time, in bytes. Every
// connection holds one for life: this and the goroutine's stack are the price
// of the model, idle or not.
const bufferSize = 4096

// conn is one connection, served by one goroutine.
type conn struct {
	net.Conn
	opt Options // immutable

	mu       sync.Mutex // guards draining, and orders setting the read deadline
	draining bool       // the read deadline is in the past, and stays there
}

// echo writes back what it reads until the peer ends its side, the connection
// breaks, a timeout passes, or the server drains. The caller closes it.
//
// It reads again only when everything read before is written. That is all the
// backpressure the model needs: a peer that does not take its bytes is not
// read, its window closes, and it stops sending.
func (c *conn) echo() {
	buf := make([]byte, bufferSize) // this connection's alone
	for {
		c.armRead()
		n, err := c.Read(buf)
		if n > 0 && c.writeAll(buf[:n]) != nil {
			return
		}
		if err != nil {
			return // io.EOF, a timeout, a reset, or draining: nothing is owed
		}
	}
}

// writeAll writes all of p. The timeout starts anew whenever the peer has taken
// something: a slow reader is no stalled one.
func (c *conn) writeAll(p []byte) error {
	for {
		c.armWrite()
		n, err := c.Write(p)
		p = p[n:] // what was taken must not be sent again
		stalled := n == 0
		if len(p) == 0 {
			return nil
		}
		if stalled || !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
}

// armRead gives the peer IdleTimeout from now to send something, unless the
// server drains: without the lock, this could undo drain's deadline.
func (c *conn) armRead() {
	if c.opt.IdleTimeout == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.draining {
		c.SetReadDeadline(time.Now().Add(c.opt.IdleTimeout))
	}
}

// armWrite gives the peer WriteTimeout from now to take something.
func (c *conn) armWrite() {
	if c.opt.WriteTimeout > 0 {
		c.SetWriteDeadline(time.Now().Add(c.opt.WriteTimeout))
	}
}

// drain ends reading: a blocked Read returns at once, later ones do too. What
// has been read is still written. Any goroutine.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	c.SetReadDeadline(time.Unix(1, 0)) // any time in the past
}
