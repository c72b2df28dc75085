package meter

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestADeltaSeesWhatWasUsed(t *testing.T) {
	before, err := Self()
	require.NoError(t, err)
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer null.Close()
	for range 1000 {
		null.Write([]byte("x"))
	}
	for spun := cpuTime(); cpuTime()-spun < 60*time.Millisecond; {
	}
	after, err := Self()
	require.NoError(t, err)
	d := before.Until(after)
	require.GreaterOrEqual(t, d.WriteCalls, int64(1000))
	require.GreaterOrEqual(t, d.CPU(), 40*time.Millisecond)
	require.GreaterOrEqual(t, d.Files, 1)
	require.Positive(t, after.RSS)
	require.Positive(t, after.Threads)
}

func TestAProcessThatIsNotThereIsAnError(t *testing.T) {
	_, err := Process(1 << 30)
	require.ErrorContains(t, err, "measure process")
}

func TestIdleCoresTellsWaitingFromSpinning(t *testing.T) {
	require.Less(t, IdleCores(200*time.Millisecond), 0.5)
	var stop atomic.Bool
	go func() {
		for !stop.Load() {
		}
	}()
	defer stop.Store(true)
	require.Greater(t, IdleCores(500*time.Millisecond), 0.1)
}

func TestUserMemorySeesWhatLives(t *testing.T) {
	before := UserMemory()
	kept := make([]byte, 8<<20)
	after := UserMemory()
	require.InDelta(t, 8<<20, after-before, 1<<20)
	require.Len(t, kept, 8<<20)
}

func TestHistogramSurvivesTheWire(t *testing.T) {
	h := NewHistogram()
	for i := int64(1); i < 100_000; i++ {
		require.NoError(t, h.RecordValue(i))
	}
	text, err := EncodeHistogram(h)
	require.NoError(t, err)
	back, err := DecodeHistogram(text)
	require.NoError(t, err)
	require.Equal(t, h.ValueAtQuantile(99), back.ValueAtQuantile(99))
	require.Equal(t, h.TotalCount(), back.TotalCount())
	_, err = DecodeHistogram("nonsense")
	require.Error(t, err)
}

func TestQueuesShowsWhatNobodyHasRead(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	defer client.Close()
	server, err := ln.Accept()
	require.NoError(t, err)
	defer server.Close()
	client.Write(make([]byte, 1234))
	here, there := addr(server.LocalAddr()), addr(server.RemoteAddr())
	require.Eventually(t, func() bool {
		s, found, err := Queues(here, there)
		return err == nil && found && s.Received == 1234
	}, 10*time.Second, time.Millisecond)
	_, found, err := Queues(here, netip.MustParseAddrPort("127.0.0.1:1"))
	require.NoError(t, err)
	require.False(t, found)
}

func addr(a net.Addr) netip.AddrPort { return a.(*net.TCPAddr).AddrPort() }

func TestSyscallsAreCounted(t *testing.T) {
	s, err := OpenSyscalls(os.Getpid())
	if errors.Is(err, ErrNotPermitted) {
		t.Skip(err)
	}
	require.NoError(t, err)
	defer s.Close()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer null.Close()
	before, err := s.Read()
	require.NoError(t, err)
	for range 1000 {
		unix.Write(int(null.Fd()), []byte("x"))
	}
	after, err := s.Read()
	require.NoError(t, err)
	d := after.Since(before)
	require.InDelta(t, 1000, d["write"], 50)
	require.InDelta(t, 1000, d.Total(), 300)
	require.Zero(t, d["epoll_ctl"])
}
