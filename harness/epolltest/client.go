package epolltest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/asynclab/asynclab/harness/spec"
	"golang.org/x/sys/unix"
)

// client is the harness's end of one connection to a server under a check. Its
// reads and writes fail at the check's deadline.
type client struct {
	*net.TCPConn
	s *serving
}

// dial connects; the connection is closed when the check ends.
func (s *serving) dial() (*client, error) { return s.dialWith(0) }

// dialWith bounds the client's receive buffer, in bytes, so that the kernel
// takes less off the server's hands. 0 leaves it to the kernel.
func (s *serving) dialWith(receive int) (*client, error) {
	d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		if receive > 0 {
			raw.Control(func(fd uintptr) {
				err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, receive)
			})
		}
		return err
	}}
	c, err := d.DialContext(s.r.Context(), "tcp", s.addr)
	if err != nil {
		return nil, s.explain(spec.Fail("a connection to "+s.addr, "%v", err))
	}
	s.r.Cleanup(func() { c.Close() })
	if deadline, ok := s.r.Context().Deadline(); ok {
		c.SetDeadline(deadline)
	}
	return &client{c.(*net.TCPConn), s}, nil
}

// dialMany connects n clients, each of which has had one echo.
func (s *serving) dialMany(n int) ([]*client, error) {
	var all []*client
	for range n {
		c, err := s.dial()
		if err != nil {
			return nil, err
		}
		if err := c.pingPong(); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// reset ends the connection with a RST.
func (c *client) reset() {
	c.SetLinger(0)
	c.Close()
}

// send writes p on a goroutine of its own, for p may not fit the kernel's
// buffers, and counts every byte that the kernel has taken.
func (c *client) send(p []byte) (taken *atomic.Int64, done <-chan error) {
	taken = new(atomic.Int64)
	return taken, c.s.r.Go(func() error {
		for int(taken.Load()) < len(p) {
			if err := c.write(p, taken); err != nil {
				return c.s.explain(spec.Fail("the server to take what is sent", "after %d bytes: %v", taken.Load(), plain(err)))
			}
		}
		return nil
	})
}

// write is one write(2) of what is left of p, when there is room. Unlike
// [net.TCPConn.Write] it tells of each piece the kernel takes.
func (c *client) write(p []byte, taken *atomic.Int64) error {
	conn, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Write(func(fd uintptr) (done bool) {
		rest := p[taken.Load():]
		n, err := unix.Write(int(fd), rest[:min(len(rest), 64<<10)])
		if err == unix.EAGAIN {
			return false // wait for room
		}
		if err == nil {
			taken.Add(int64(n))
		} else if err != unix.EINTR {
			failed = err
		}
		return true
	})
	return errors.Join(failed, err)
}

// pingPong expects one short echo.
func (c *client) pingPong() error {
	ping := []byte("ping")
	if _, err := c.Write(ping); err != nil {
		return c.s.explain(spec.Fail("the server to take 4 bytes", "%v", plain(err)))
	}
	return c.expect(ping)
}

// echo sends p while it reads the answer, and compares.
func (c *client) echo(p []byte) error {
	_, sent := c.send(p)
	if err := c.expect(p); err != nil {
		return err
	}
	return <-sent
}

// expect reads len(want) bytes and compares.
func (c *client) expect(want []byte) error {
	what := fmt.Sprintf("the %d bytes that were sent, in order", len(want))
	got := make([]byte, min(len(want), 64<<10))
	for done := 0; done < len(want); {
		n, err := c.Read(got[:min(len(got), len(want)-done)])
		if i := firstDifference(got[:n], want[done:done+n]); i >= 0 {
			return spec.Fail(what, "byte %d of the answer is %#02x, but %#02x was sent", done+i, got[i], want[done+i])
		}
		done += n
		if err != nil {
			return c.s.explain(spec.Fail(what, "after %d bytes: %v", done, plain(err)))
		}
	}
	return nil
}

// expectEnd reads the end of the stream: in order, and with nothing before it.
func (c *client) expectEnd() error {
	rest, err := io.ReadAll(io.LimitReader(c, 1<<20))
	if err != nil {
		return c.s.explain(spec.Fail("the server to end the connection in order", "%v", plain(err)))
	}
	if len(rest) > 0 {
		return spec.Fail("nothing after the echo", "%d bytes more came, the first %#02x", len(rest), rest[0])
	}
	return nil
}

// plain puts the three errors that tell something into words.
func plain(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errors.New("nothing more came until the deadline")
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return errors.New("the server cut the connection off (reset)")
	case errors.Is(err, io.EOF):
		return errors.New("the server ended the connection (EOF)")
	}
	return err
}

// pattern returns n bytes that differ from id to id and do not repeat, so that
// a byte in the wrong place shows.
func pattern(id, n int) []byte {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], uint64(id))
	p := make([]byte, n)
	rand.NewChaCha8(seed).Read(p)
	return p
}

func firstDifference(got, want []byte) int {
	if bytes.Equal(got, want) {
		return -1
	}
	for i := range got {
		if got[i] != want[i] {
			return i
		}
	}
	return -1
}

// standsStill waits until count gives the same figure for a number of looks in
// a row, up to 20 ms apart. On a machine so loaded that something pauses longer, the
// check sees less than it could; it never blames a right server.
func standsStill(r *spec.Run, what string, looks int, count func() int64) (int64, error) {
	last, same := int64(-1), 0
	err := r.Until(what, func() bool {
		now := count()
		if now != last {
			last, same = now, 0
		}
		same++
		return same > looks
	})
	return last, err
}
