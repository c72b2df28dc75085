package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Peer is one client that misbehaves on purpose, or, left alone, one that is
// silent. Its calls block, and fail when its context ends; their errors say how
// far they got. Only Read-like and Write-like calls may run at the same time.
type Peer struct {
	*net.TCPConn
	ctx  context.Context
	stop func() bool
}

// Connect opens a Peer to addr. small gives it the smallest receive buffer the
// kernel allows, from the handshake on, so that a server soon notices when the
// peer does not read; what it does read then comes slowly, some kilobytes a
// second. When ctx ends, every call on the peer fails.
func Connect(ctx context.Context, addr string, small bool) (*Peer, error) {
	var d net.Dialer
	if small {
		d.Control = smallBuffer
	}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	tcp := c.(*net.TCPConn)
	return &Peer{tcp, ctx, context.AfterFunc(ctx, func() { tcp.SetDeadline(time.Unix(1, 0)) })}, nil
}

// smallBuffer must come before connect: the window that the handshake offers
// cannot be taken back (tcp(7)). The kernel rounds 1 up to its minimum.
func smallBuffer(_, _ string, raw syscall.RawConn) (err error) {
	control := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 1) })
	return errors.Join(control, err)
}

// Close ends the connection in order.
func (p *Peer) Close() error {
	p.stop()
	return p.TCPConn.Close()
}

// Reset breaks the connection: the server's kernel gets a RST, its program
// ECONNRESET.
func (p *Peer) Reset() error {
	p.stop()
	p.SetLinger(0)
	return p.TCPConn.Close()
}

// Trickle writes every byte of data by itself, and without Nagle's delay, so
// that the server may see each one alone.
func (p *Peer) Trickle(data []byte) error {
	for i := range data {
		if _, err := p.Write(data[i : i+1]); err != nil {
			return p.failed(err, "wrote %d of %d bytes, one at a time", i, len(data))
		}
	}
	return nil
}

// SendAndEnd writes data, ends the writing side, and reads to the end of the
// other one: a half-closed connection must still get its answers.
func (p *Peer) SendAndEnd(data []byte) (answer []byte, err error) {
	sent := make(chan error, 1)
	go func() {
		n, err := p.Write(data)
		if err != nil {
			sent <- p.failed(err, "wrote %d of %d bytes", n, len(data))
			return
		}
		sent <- p.CloseWrite()
	}()
	if answer, err = io.ReadAll(p); err != nil {
		err = p.failed(err, "waited for the server to end the connection, with %d bytes read and %d to be sent", len(answer), len(data))
	}
	return answer, errors.Join(err, <-sent) // the writer ends with ctx, or by the server's end
}

// Sip reads n bytes at a time, and calls between after each: a reader as slow
// as the caller likes. It stops when between returns false, or at the end, where
// the last bytes may be fewer or none. read is valid until between returns.
func (p *Peer) Sip(n int, between func(read []byte) bool) error {
	buf, total := make([]byte, n), 0
	for {
		got, err := io.ReadFull(p, buf)
		total += got
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			between(buf[:got])
			return nil
		}
		if err != nil {
			return p.failed(err, "waited for %d bytes, after %d", n-got, total)
		}
		if !between(buf) {
			return nil
		}
	}
}

// Flood writes the same data again and again, until more returns false; it is
// asked before each write, with the bytes the kernel has taken so far. Flood
// returns their number. Another goroutine may read meanwhile, or nobody.
func (p *Peer) Flood(data []byte, more func(sent int64) bool) (sent int64, err error) {
	for more(sent) {
		n, err := p.Write(data)
		sent += int64(n)
		if err != nil {
			return sent, p.failed(err, "waited for the server to take more than %d bytes", sent)
		}
	}
	return sent, nil
}

// failed says what the peer was doing when err came. The end of the context
// shows as a timeout of the connection: its reason is the better word.
func (p *Peer) failed(err error, doing string, args ...any) error {
	if p.ctx.Err() != nil {
		err = context.Cause(p.ctx)
	}
	return fmt.Errorf("%s: %w", fmt.Sprintf(doing, args...), err)
}
