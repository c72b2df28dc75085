package load

import (
	"bytes"
	"context"
	"net"
	"testing"
	"time"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/stretchr/testify/require"
)

func connect(t *testing.T) *Peer {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	p, err := Connect(ctx, server(t, honest), false)
	require.NoError(t, err)
	t.Cleanup(func() { p.Close() })
	return p
}

func TestAHalfClosedPeerGetsItsAnswers(t *testing.T) {
	data := make([]byte, 1<<20)
	Pattern(3, 0, data)
	answer, err := connect(t).SendAndEnd(data)
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, answer))
}

func TestATricklerAndASipperGetThereInTheEnd(t *testing.T) {
	p := connect(t)
	data := make([]byte, 1000)
	Pattern(4, 0, data)
	require.NoError(t, p.Trickle(data))
	var got []byte
	require.NoError(t, p.Sip(10, func(read []byte) bool { got = append(got, read...); return len(got) < len(data) }))
	require.Equal(t, data, got)
}

func TestAFloodCountsWhatWasTaken(t *testing.T) {
	p := connect(t)
	go p.Sip(4096, func([]byte) bool { return true })
	sent, err := p.Flood(make([]byte, 1000), func(sent int64) bool { return sent < 50_000 })
	require.NoError(t, err)
	require.EqualValues(t, 50_000, sent)
}

// deaf is a server that accepts and never reads.
func deaf(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	return ln.Addr().String() // the kernel accepts by itself
}

func TestEveryCallFailsWhenTheContextEnds(t *testing.T) {
	data := make([]byte, 64<<20) // more than the kernel takes for a server that does not read
	for name, call := range map[string]func(p *Peer) error{
		"one at a time":         func(p *Peer) error { return p.Trickle(data) },
		"to end the connection": func(p *Peer) error { _, err := p.SendAndEnd(data); return err },
		"waited for 10 bytes":   func(p *Peer) error { return p.Sip(10, func([]byte) bool { return true }) },
		"to take more":          func(p *Peer) error { _, err := p.Flood(data, func(int64) bool { return true }); return err },
	} {
		ctx, cancel := context.WithCancel(context.Background())
		p, err := Connect(ctx, deaf(t), false)
		require.NoError(t, err)
		time.AfterFunc(20*time.Millisecond, cancel)
		err = call(p)
		require.ErrorContains(t, err, name)
		require.ErrorIs(t, err, context.Canceled)
		require.NoError(t, p.Reset())
	}
}

// A small peer that does not read stops a server after what the server's own
// send buffer holds, so the kernel shows unsent bytes.
func TestASmallPeerFillsUpAtOnce(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	p, err := Connect(ctx, ln.Addr().String(), true)
	require.NoError(t, err)
	defer p.Close()
	c, err := ln.Accept()
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Write(make([]byte, 64<<10))
	require.NoError(t, err)
	here, there := c.LocalAddr().(*net.TCPAddr).AddrPort(), c.RemoteAddr().(*net.TCPAddr).AddrPort()
	s, found, err := meter.Queues(here, there)
	require.NoError(t, err)
	require.True(t, found)
	require.Greater(t, s.Unsent, 32<<10, "the peer's kernel took it")
}
