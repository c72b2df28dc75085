package load

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/stretchr/testify/require"
)

// TestMain lets the test binary be its own swarm.
func TestMain(m *testing.M) {
	BecomeSwarm()
	os.Exit(m.Run())
}

// server echoes with a goroutine per connection; spoil may change what goes
// back, or hold it up.
func server(t testing.TB, spoil func(p []byte) []byte) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, 32<<10)
				for {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					if _, err := c.Write(spoil(buf[:n])); err != nil {
						return
					}
				}
			}()
		}
	}()
	return ln.Addr().String()
}

func honest(p []byte) []byte { return p }

func run(t *testing.T, c Config) Result {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := Run(ctx, c, Hooks{})
	require.NoError(t, err)
	return r
}

func TestClosedLoopCountsAndVerifies(t *testing.T) {
	addr := server(t, honest)
	for _, wire := range []Wire{Raw, Framed} {
		for _, depth := range []int{1, 16} {
			r := run(t, Config{Addr: addr, Conns: 50, Wire: wire, Depth: depth, Warmup: 20 * time.Millisecond, Window: 200 * time.Millisecond})
			require.NoError(t, r.Faults.Err())
			require.Equal(t, 50, r.Connected)
			require.Positive(t, r.Messages)
			h, err := meter.DecodeHistogram(r.Latency)
			require.NoError(t, err)
			require.Positive(t, h.TotalCount())
			require.LessOrEqual(t, r.P50, r.P99)
		}
	}
}

func TestOpenLoopKeepsItsRate(t *testing.T) {
	r := run(t, Config{Addr: server(t, honest), Conns: 20, Rate: 2000, Warmup: 20 * time.Millisecond, Window: time.Second})
	require.NoError(t, r.Faults.Err())
	require.InDelta(t, 2000, r.PerSecond, 200)
}

// A server that stalls once for 300 ms holds up every message that was due in
// that time: with 1,000 a second that is hundreds of late ones, not one.
func TestOpenLoopDoesNotForgiveAStall(t *testing.T) {
	began, stalled := time.Now(), false
	addr := server(t, func(p []byte) []byte {
		if !stalled && time.Since(began) > 500*time.Millisecond {
			stalled = true
			time.Sleep(300 * time.Millisecond)
		}
		return p
	})
	r := run(t, Config{Addr: addr, Conns: 1, Rate: 1000, Warmup: 10 * time.Millisecond, Window: 1500 * time.Millisecond})
	require.NoError(t, r.Faults.Err())
	h, err := meter.DecodeHistogram(r.Latency)
	require.NoError(t, err)
	late := int64(0)
	for _, bar := range h.Distribution() {
		if bar.From > 50_000 {
			late += bar.Count
		}
	}
	require.Greater(t, late, int64(150))
}

func TestWrongBytesAreSeen(t *testing.T) {
	for name, spoil := range map[string]func(p []byte) []byte{
		"one bit":             func(p []byte) []byte { p[len(p)/2] ^= 1; return p },
		"a byte missing":      func(p []byte) []byte { return p[1:] },
		"a byte more":         func(p []byte) []byte { return append(p, 7) },
		"two parts exchanged": func(p []byte) []byte { return append(append([]byte{}, p[len(p)/2:]...), p[:len(p)/2]...) },
	} {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		r, err := Run(ctx, Config{Addr: server(t, spoil), Conns: 4, Depth: 4, Warmup: 10 * time.Millisecond, Window: 50 * time.Millisecond}, Hooks{})
		cancel()
		if name == "a byte missing" && err != nil && r.Faults.Mismatches == 0 {
			continue // the message never gets whole: the connection is not counted as open
		}
		require.Positive(t, r.Faults.Mismatches+r.Faults.Refused, name)
		require.Contains(t, r.Faults.First, "a wrong byte", name)
	}
}

func TestAServerThatEndsIsReported(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		io.CopyN(c, c, 6400)
		c.Close()
	}()
	r, err := Run(context.Background(), Config{Addr: ln.Addr().String(), Window: time.Second, Warmup: time.Millisecond}, Hooks{})
	require.ErrorContains(t, err, "no connection is left")
	require.Equal(t, 1, r.Faults.Ended+r.Faults.Reset)
}

func TestNobodyThereIsAnError(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := ln.Addr().String()
	ln.Close()
	_, err = Run(context.Background(), Config{Addr: addr, Conns: 10}, Hooks{})
	require.ErrorContains(t, err, "connection refused")
}

func TestNonsenseIsRefused(t *testing.T) {
	for text, c := range map[string]Config{
		"no address":     {},
		"negative":       {Addr: "127.0.0.1:1", Conns: -1},
		"no wire":        {Addr: "127.0.0.1:1", Wire: "x"},
		"open files":     {Addr: "127.0.0.1:1", Conns: 100_000_000},
		"bytes in all":   {Addr: "127.0.0.1:1", Payload: 1 << 20, Depth: 16},
		"not a loopback": {Addr: "192.0.2.1:1"},
	} {
		_, err := Run(context.Background(), c, Hooks{})
		require.ErrorContains(t, err, text)
	}
}

func TestSpawnRunsElsewhereAndStopsAtTheHooks(t *testing.T) {
	addr := server(t, honest)
	var phases []string
	snapshots := 0
	r, err := Spawn(context.Background(), Config{Addr: addr, Conns: 100, Wire: Framed, Depth: 4, Core: 1, Warmup: 50 * time.Millisecond, Window: 600 * time.Millisecond}, Hooks{
		Connected: func() { phases = append(phases, "connected") },
		Window:    func() { phases = append(phases, "window") },
		Done:      func() { phases = append(phases, "done") },
		Snapshot:  func(Snapshot) { snapshots++ },
	})
	require.NoError(t, err)
	require.NoError(t, r.Faults.Err())
	require.Equal(t, []string{"connected", "window", "done"}, phases)
	require.Positive(t, snapshots)
	require.Equal(t, 100, r.Connected)
}

func TestSpawnEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	began := time.Now()
	_, err := Spawn(ctx, Config{Addr: server(t, honest), Window: time.Hour}, Hooks{Window: cancel})
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, time.Since(began), 30*time.Second)
}

func TestTwoThousandConnections(t *testing.T) {
	r := run(t, Config{Addr: server(t, honest), Conns: 2000})
	require.NoError(t, r.Faults.Err())
	require.Equal(t, 2000, r.Connected)
}

func TestFramesCarryTheirLength(t *testing.T) {
	c := Config{Addr: "127.0.0.1:1", Wire: Framed, Payload: 100}
	require.NoError(t, c.check())
	table := newTable(c)
	require.EqualValues(t, 100, binary.BigEndian.Uint32(table.at(table.from(3), 0, 4)))
	require.NotEqual(t, table.at(0, 0, 104), table.at(0, 104, 104), "messages differ")
}
