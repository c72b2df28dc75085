package meter

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
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
	require.GreaterOrEqual(t, d.CPU(), 55*time.Millisecond, "not in the steps of /proc")
	require.InDelta(t, d.CPU(), d.User+d.Sys, float64(30*time.Millisecond))
	require.GreaterOrEqual(t, d.Files, 1)
	require.Positive(t, after.RSS)
	require.Positive(t, after.Threads)
}

func TestSelfKnowsTheRuntimeToo(t *testing.T) {
	UserMemory() // what earlier tests have left is collected
	before, err := Self()
	require.NoError(t, err)
	stop := make(chan struct{})
	defer close(stop)
	for range 100 {
		go func() { <-stop }()
	}
	kept := make([]byte, 8<<20)
	after, err := Self()
	require.NoError(t, err)
	d := before.Until(after)
	require.InDelta(t, 100, d.Goroutines, 5)
	require.InDelta(t, 8<<20, after.UserSpace()-before.UserSpace(), 2<<20)
	require.Positive(t, d.Mallocs)
	require.Len(t, kept, 8<<20)
	other, err := Process(os.Getpid())
	require.NoError(t, err)
	require.Zero(t, other.UserSpace())
}

func TestAProcessThatIsNotThereIsAnError(t *testing.T) {
	_, err := Process(1 << 30)
	require.ErrorContains(t, err, "measure process")
}

// However little of the machine is left for this test.
func TestSpinsTellsWaitingFromSpinning(t *testing.T) {
	var share float64
	var spins bool
	rests := func() bool { share, spins = Spins(100 * time.Millisecond); return !spins }
	require.Eventually(t, rests, 20*time.Second, time.Millisecond, "%.2f", share)
	var stop atomic.Bool
	var turns atomic.Int64
	go func() {
		for !stop.Load() {
			turns.Add(1)
		}
	}()
	defer stop.Store(true)
	require.Eventually(t, func() bool { return turns.Load() > 0 }, 20*time.Second, time.Millisecond)
	share, waits := Rests(t.Context())
	require.False(t, waits)
	require.Greater(t, share, 0.4)
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

func TestQueuesNeedsIPv4(t *testing.T) {
	_, _, err := Queues(netip.MustParseAddrPort("[::1]:1"), netip.MustParseAddrPort("[::1]:2"))
	require.ErrorContains(t, err, "IPv4")
}

// counter counts this process's system calls, where that is allowed.
func counter(t *testing.T) *Syscalls {
	s, err := OpenSyscalls(os.Getpid())
	if errors.Is(err, ErrNotPermitted) {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

// counted returns the system calls that do makes.
func counted(t *testing.T, s *Syscalls, do func()) Counts {
	before, err := s.Read()
	require.NoError(t, err)
	do()
	after, err := s.Read()
	require.NoError(t, err)
	return after.Since(before)
}

func writes(t *testing.T, n int) {
	null, err := unix.Open(os.DevNull, unix.O_WRONLY, 0) // os.Open would call epoll_ctl
	require.NoError(t, err)
	defer unix.Close(null)
	for range n {
		unix.Write(null, []byte("x"))
	}
}

func TestSyscallsAreCounted(t *testing.T) {
	d := counted(t, counter(t), func() { writes(t, 1000) })
	require.InDelta(t, 1000, d["write"], 50)
	require.InDelta(t, 1000, d.Total(), 300)
	require.Zero(t, d["epoll_ctl"])
}

// A goroutine that ends while locked takes its thread with it, so the next one
// is sure to have started after the counter was opened.
func TestSyscallsOfLaterThreadsAreCounted(t *testing.T) {
	d := counted(t, counter(t), func() {
		for range 4 {
			done := make(chan struct{})
			go func() {
				defer close(done)
				runtime.LockOSThread()
				writes(t, 500)
			}()
			<-done
		}
	})
	require.InDelta(t, 2000, d["write"], 100)
}

func TestSyscallsOfOtherProcessesAreNotCounted(t *testing.T) {
	d := counted(t, counter(t), func() {
		require.NoError(t, exec.Command("dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=20000").Run())
	})
	require.Less(t, d["write"], uint64(2000), "a child's calls were counted")
}

func TestAnUnpermittedUserIsToldWhatToDo(t *testing.T) {
	require.ErrorContains(t, ErrNotPermitted, "sysctl kernel.perf_event_paranoid=-1")
}

func TestOthersAreWhoeverIsNotThisProcess(t *testing.T) {
	before, err := BusyNow()
	require.NoError(t, err)
	require.Positive(t, before.Machine)
	require.GreaterOrEqual(t, before.Machine, before.Ours)
	now := Busy{Machine: before.Machine + 3*time.Second, Ours: before.Ours + time.Second, when: before.when.Add(2 * time.Second)}
	require.InDelta(t, 0.5, before.Others(now, 2), 1e-9)
	require.Zero(t, before.Others(before, 2))
}
