package load

import (
	"bytes"
	"context"
	"testing"
	"time"

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

func TestEveryCallFailsWhenTheContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	p, err := Connect(ctx, server(t, honest), false)
	require.NoError(t, err)
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err = p.Read(make([]byte, 1))
	require.Error(t, err)
	require.NoError(t, p.Reset())
}
