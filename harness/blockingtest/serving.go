package blockingtest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

// serving is one server under a check.
type serving struct {
	Server
	r     *spec.Run
	ended <-chan error // gets what Serve returned
}

// serve makes a server and lets it serve ln. When the check ends the server is
// shut down by force and ln is closed, which ends a server that cannot be shut
// down yet: a rule that is not about Shutdown does not ask for it.
func serve(r *spec.Run, new New, o Options, ln net.Listener) (*serving, error) {
	s, err := new(o)
	if err != nil {
		return nil, err
	}
	ended := r.Go(func() error { return s.Serve(ln) })
	r.Cleanup(func() {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		go s.Shutdown(now)
		ln.Close()
	})
	return &serving{Server: s, r: r, ended: ended}, nil
}

// serveTCP is serve on a free port of the loopback interface.
func serveTCP(r *spec.Run, new New, o Options) (*serving, string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	s, err := serve(r, new, o, ln)
	if err != nil {
		ln.Close()
		return nil, "", err
	}
	return s, ln.Addr().String(), nil
}

// dialTCP connects to the server and closes the connection when the check ends.
// Its reads and writes fail at the check's deadline.
func dialTCP(r *spec.Run, addr string) (*net.TCPConn, error) {
	r.Step("connect to %s", addr)
	c, err := new(net.Dialer).DialContext(r.Context(), "tcp", addr)
	if err != nil {
		return nil, spec.Fail("a connection", "%v", err)
	}
	r.Cleanup(func() { c.Close() })
	if deadline, ok := r.Context().Deadline(); ok {
		c.SetDeadline(deadline)
	}
	return c.(*net.TCPConn), nil
}

// shutdown calls Shutdown with time to spare and waits for Serve, too.
func (s *serving) shutdown(within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	s.r.Step("Shutdown, with %v to do it in", within)
	if err := s.r.Call("Shutdown to return", func() error { return s.Shutdown(ctx) }); err != nil {
		return spec.Fail("Shutdown to return nil: nothing was left to wait for", "it returned %q", err)
	}
	err, late := spec.Wait(s.r, "Serve to return after Shutdown", s.ended)
	if late != nil {
		return late
	}
	if err != nil {
		return spec.Fail("Serve to return nil after Shutdown", "it returned %q", err)
	}
	return nil
}

// pattern returns n bytes that differ from connection to connection and do not
// repeat, so that a byte in the wrong place shows.
func pattern(id, n int) []byte {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], uint64(id))
	p := make([]byte, n)
	rand.NewChaCha8(seed).Read(p)
	return p
}

// expect reads len(want) bytes from c and compares.
func expect(c io.Reader, want []byte) error {
	got := make([]byte, len(want))
	n, err := io.ReadFull(c, got)
	what := fmt.Sprintf("the %d bytes that were sent", len(want))
	if i := firstDifference(got[:n], want); i >= 0 {
		return spec.Fail(what, "byte %d of the answer is %#02x, but %#02x was sent", i, got[i], want[i])
	}
	if err != nil {
		return spec.Fail(what, "after %d bytes: %v", n, err)
	}
	return nil
}

// expectEnd reads the end of the stream: in order, and with nothing before it.
func expectEnd(c io.Reader) error {
	rest, err := io.ReadAll(io.LimitReader(c, 1<<20))
	if err != nil {
		return spec.Fail("the server to end the connection in order", "%v", err)
	}
	if len(rest) > 0 {
		return spec.Fail("nothing after the echo", "%d bytes more came, the first %#02x", len(rest), rest[0])
	}
	return nil
}

func firstDifference(got, want []byte) int {
	if bytes.Equal(got, want[:len(got)]) {
		return -1
	}
	for i := range got {
		if got[i] != want[i] {
			return i
		}
	}
	return -1
}
