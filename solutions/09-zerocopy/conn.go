package zerocopy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// A conn answers the requests of one connection, one after the other.
type conn struct {
	s   *Server
	tcp *net.TCPConn

	limit *io.LimitedReader // what of the connection a request's head may take
	in    *bufio.Reader     // of limit; holds what has come early of the next request

	mu       sync.Mutex
	draining bool // no request is waited for any more
}

func newConn(s *Server, c *net.TCPConn) *conn {
	limit := &io.LimitedReader{R: c}
	return &conn{s: s, tcp: c, limit: limit, in: bufio.NewReader(limit)}
}

// serve reads a request and answers it until one side wants no more.
func (c *conn) serve() {
	for c.arm() {
		req, err := c.read()
		if err != nil {
			c.refuse(err)
			return
		}
		keep, err := c.answer(req)
		if err != nil {
			// The status is sent, perhaps part of the body: all that is left to
			// say is that this is not the end of it.
			reset(c.tcp)
			c.s.opt.OnError(fmt.Errorf("%s %s for %s: %w", req.Method, req.URL, c.tcp.RemoteAddr(), err))
			return
		}
		if !keep {
			c.linger()
			return
		}
	}
}

// arm gives the peer HeadTimeout from now for a whole request. It reports
// false when the server drains and no request has begun.
func (c *conn) arm() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining {
		return false
	}
	c.tcp.SetReadDeadline(time.Now().Add(c.s.opt.HeadTimeout))
	return true
}

// drain ends waiting for a request; an answer that has begun goes on.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	c.tcp.SetReadDeadline(time.Unix(1, 0))
}

func (c *conn) abort() { reset(c.tcp) }

// errHead says that a request's head is longer than MaxHead.
var errHead = errors.New("request head too long")

// read returns the next request. io.EOF and a deadline before its first byte
// are the regular ends of a connection.
func (c *conn) read() (*http.Request, error) {
	c.limit.N = int64(max(c.s.opt.MaxHead-c.in.Buffered(), 0))
	if _, err := c.in.Peek(1); err != nil {
		return nil, io.EOF
	}
	req, err := http.ReadRequest(c.in)
	switch {
	case err == nil:
		return req, nil
	case c.limit.N == 0:
		return nil, errHead
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, os.ErrDeadlineExceeded
	}
	return nil, fmt.Errorf("malformed request: %w", err)
}

// refuse answers what cannot be read as a request, and nothing to a peer that
// has asked for nothing.
func (c *conn) refuse(err error) {
	status := http.StatusBadRequest
	switch {
	case errors.Is(err, io.EOF):
		return
	case errors.Is(err, errHead):
		status = http.StatusRequestHeaderFieldsTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		status = http.StatusRequestTimeout
	}
	r := newReply(status)
	r.text(http.StatusText(status))
	if c.send(r, false) == nil {
		c.linger()
	}
}

// linger lets the peer read the last answer. To close a socket that holds
// bytes nobody has read is a reset, and a reset takes the answer along: so the
// end is said first, and what still comes is read, for a moment.
func (c *conn) linger() {
	c.tcp.CloseWrite()
	c.mu.Lock()
	if !c.draining {
		c.tcp.SetReadDeadline(time.Now().Add(time.Second))
	}
	c.mu.Unlock()
	io.CopyN(io.Discard, c.tcp, 256<<10)
}
