package chaos

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func frame(payload string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(payload))), payload...)
}

// through starts a proxy to a listener, and returns a connection's two ends.
func through(t *testing.T, f Faults) (p *Proxy, client, server net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	p, err = New(l.Addr().String(), 7, f)
	require.NoError(t, err)
	t.Cleanup(func() { p.Close() })
	client, err = net.Dial("tcp", p.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { client.Close() })
	server, err = l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { server.Close() })
	return p, client, server
}

func TestAGoodNetworkCarriesAll(t *testing.T) {
	_, client, server := through(t, Faults{})
	for _, ends := range [][2]net.Conn{{client, server}, {server, client}} {
		want := append(frame("hello"), frame("")...)
		_, err := ends[0].Write(want)
		require.NoError(t, err)
		got := make([]byte, len(want))
		_, err = io.ReadFull(ends[1], got)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

// A cut comes after some bytes of a frame, closes both ends, and is counted.
func TestCutsInsideAFrame(t *testing.T) {
	p, client, server := through(t, Faults{Cut: 50})
	go func() {
		for {
			if _, err := client.Write(frame("0123456789")); err != nil {
				return
			}
		}
	}()
	got, _ := io.ReadAll(server)
	require.LessOrEqual(t, len(got), 50)
	cuts, _, _ := p.Counts()
	require.EqualValues(t, 1, cuts)
}

// Silence delivers nothing more, and leaves both ends open.
func TestSilenceLeavesItOpen(t *testing.T) {
	p, client, server := through(t, Faults{Silence: 20})
	for range 5 {
		_, err := client.Write(frame("0123456789"))
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { _, silences, _ := p.Counts(); return silences == 1 }, 30*time.Second, time.Millisecond)
	server.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	got, err := io.ReadAll(server)
	require.LessOrEqual(t, len(got), 20)
	require.ErrorContains(t, err, "timeout", "an open connection has nothing to say; a closed one has an end")
}

func TestDuplicatesComeBehindEachOtherUntilHealed(t *testing.T) {
	p, client, server := through(t, Faults{Duplicate: func(payload []byte) bool { return payload[0] == 'd' }})
	client.Write(append(frame("once"), frame("double")...))
	want := append(append(frame("once"), frame("double")...), frame("double")...)
	got := make([]byte, len(want))
	_, err := io.ReadFull(server, got)
	require.NoError(t, err)
	require.Equal(t, want, got)
	p.Heal()
	client.Write(append(frame("double"), frame("last")...))
	got = make([]byte, len(frame("double"))+len(frame("last")))
	_, err = io.ReadFull(server, got)
	require.NoError(t, err)
	require.Equal(t, append(frame("double"), frame("last")...), got)
}
