package reactortest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
)

// client is a peer of the reactor: an ordinary blocking connection of package net.
type client struct {
	*net.TCPConn
	r *spec.Run
}

// dial connects to the reactor. The connection is closed when the check ends, and
// its reads and writes fail at the check's deadline.
func dial(r *spec.Run, addr string) (*client, error) {
	c, err := new(net.Dialer).DialContext(r.Context(), "tcp", addr)
	if err != nil {
		return nil, spec.Fail("a connection to the reactor's listener", "%v", err)
	}
	r.Cleanup(func() { c.Close() })
	if deadline, ok := r.Context().Deadline(); ok {
		c.SetDeadline(deadline)
	}
	return &client{c.(*net.TCPConn), r}, nil
}

// send writes the payloads as frames, with one write.
func (c *client) send(payloads ...[]byte) error {
	var p []byte
	for _, payload := range payloads {
		p = appendFrame(p, payload)
	}
	return c.raw(p)
}

// raw writes p as it is.
func (c *client) raw(p []byte) error {
	if _, err := c.Write(p); err != nil {
		return spec.Fail(fmt.Sprintf("the reactor to take %d bytes", len(p)), "the client's write failed: %v", err)
	}
	return nil
}

// expect reads the payloads' frames, and compares.
func (c *client) expect(payloads ...[]byte) error {
	for i, want := range payloads {
		got, err := c.receive()
		if err != nil {
			return spec.Fail(fmt.Sprintf("frame %d of %d, of %d bytes", i+1, len(payloads), len(want)), "%v", err)
		}
		if !bytes.Equal(got, want) {
			return spec.Fail(fmt.Sprintf("frame %d of %d to be %s", i+1, len(payloads), show(want)), "it is %s", show(got))
		}
	}
	return nil
}

// receive reads one frame.
func (c *client) receive() ([]byte, error) {
	var header [4]byte
	if n, err := io.ReadFull(c, header[:]); err != nil {
		return nil, fmt.Errorf("after %d bytes of its length: %w", n, err)
	}
	size := binary.BigEndian.Uint32(header[:])
	if size > 64<<20 {
		return nil, fmt.Errorf("the next 4 bytes claim a frame of %d bytes: the stream is out of step", size)
	}
	p := make([]byte, size)
	if n, err := io.ReadFull(c, p); err != nil {
		return nil, fmt.Errorf("after %d of %d bytes of its payload: %w", n, size, err)
	}
	return p, nil
}

// expectBytes reads len(want) bytes, and compares.
func (c *client) expectBytes(want []byte) error {
	got := make([]byte, len(want))
	n, err := io.ReadFull(c, got)
	for i := range n {
		if got[i] != want[i] {
			return spec.Fail(fmt.Sprintf("the %d bytes that were sent", len(want)), "byte %d is %#02x, and %#02x was sent", i, got[i], want[i])
		}
	}
	if err != nil {
		return spec.Fail(fmt.Sprintf("the %d bytes that were sent", len(want)), "after %d bytes: %v", n, err)
	}
	return nil
}

// expectEnd reads the end of the stream: in order, and with nothing before it.
func (c *client) expectEnd() error {
	rest, err := io.ReadAll(io.LimitReader(c, 1<<20))
	if errors.Is(err, syscall.ECONNRESET) {
		return spec.Fail("the reactor to end the connection in order", "it was reset: unread or unsent bytes were thrown away")
	}
	if err != nil {
		return spec.Fail("the reactor to end the connection", "%v", err)
	}
	if len(rest) > 0 {
		return spec.Fail("the end of the connection and nothing before it", "%d more bytes came", len(rest))
	}
	return nil
}

// reset closes the connection so that the peer gets RST.
func (c *client) reset() {
	c.SetLinger(0)
	c.Close()
}

// delivered waits until everything written is in the loop's receive queue, read
// from it or not.
func (c *client) delivered() error {
	return c.r.Until("the kernel to pass on what the client has written", func() bool {
		own, found, err := meter.Queues(c.addr(c.LocalAddr()), c.addr(c.RemoteAddr()))
		return err == nil && found && own.Unsent == 0
	})
}

func (*client) addr(a net.Addr) netip.AddrPort { return a.(*net.TCPAddr).AddrPort() }

// appendFrame appends payload with its length in front.
func appendFrame(p, payload []byte) []byte {
	return append(binary.BigEndian.AppendUint32(p, uint32(len(payload))), payload...)
}

// pattern returns n bytes that differ from id to id and do not repeat, so that a
// byte in the wrong place shows.
func pattern(id, n int) []byte {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], uint64(id))
	p := make([]byte, n)
	rand.NewChaCha8(seed).Read(p)
	return p
}

// show describes a payload: in full when short.
func show(p []byte) string {
	if len(p) <= 24 {
		return fmt.Sprintf("%q", p)
	}
	return fmt.Sprintf("%d bytes that begin with %x", len(p), p[:8])
}
