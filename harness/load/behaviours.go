package load

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"
)

// A Peer is one client that misbehaves on purpose. Its calls block, and fail
// when its context ends.
type Peer struct {
	*net.TCPConn
	stop func() bool
}

// Connect opens a Peer to addr. small gives it the smallest receive buffer the
// kernel allows, so that a server soon notices when the peer does not read; what
// it does read then comes slowly, some kilobytes a second.
// When ctx ends, every call on the peer fails.
func Connect(ctx context.Context, addr string, small bool) (*Peer, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	tcp := c.(*net.TCPConn)
	if small {
		tcp.SetReadBuffer(1)
	}
	return &Peer{tcp, context.AfterFunc(ctx, func() { tcp.SetDeadline(time.Unix(1, 0)) })}, nil
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
			return fmt.Errorf("trickle, after %d of %d bytes: %w", i, len(data), err)
		}
	}
	return nil
}

// SendAndEnd writes data, ends the writing side, and reads to the end of the
// other one: a half-closed connection must still get its answers.
func (p *Peer) SendAndEnd(data []byte) (answer []byte, err error) {
	sent := make(chan error, 1)
	go func() {
		_, err := p.Write(data)
		if err == nil {
			err = p.CloseWrite()
		}
		sent <- err
	}()
	if answer, err = io.ReadAll(p); err != nil {
		return answer, fmt.Errorf("read to the end, after %d bytes: %w", len(answer), err)
	}
	return answer, <-sent
}

// Sip reads n bytes at a time, and calls between after each: a reader as slow
// as the caller likes. It stops when between returns false, or at the end.
func (p *Peer) Sip(n int, between func(read []byte) bool) error {
	buf := make([]byte, n)
	for {
		got, err := io.ReadFull(p, buf)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			between(buf[:got])
			return nil
		}
		if err != nil {
			return err
		}
		if !between(buf) {
			return nil
		}
	}
}

// Flood writes the same data again and again, until more returns false. It
// returns how many bytes the kernel took.
func (p *Peer) Flood(data []byte, more func(sent int64) bool) (sent int64, err error) {
	for more(sent) {
		n, err := p.Write(data)
		sent += int64(n)
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}
