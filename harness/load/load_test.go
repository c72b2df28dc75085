package load

import (
	"context"
	"encoding/binary"
	"io"
	"math"
	"net"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/stretchr/testify/require"
)

// server echoes with a goroutine per connection; spoil may change what goes
// back, or hold it up.
func server(t testing.TB, spoil func(p []byte) []byte) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	go echo(ln, spoil)
	return ln.Addr().String()
}

func echo(ln net.Listener, spoil func(p []byte) []byte) {
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
	require.LessOrEqual(t, float64(r.Messages), 2000*r.Window.Seconds()+100, "what the warm-up left, too")
	require.Greater(t, r.Messages, int64(100), "a busy machine delays them")
}

func TestThePaceDoesNotDrift(t *testing.T) {
	p := newPace(3000, time.Second)
	for range 3_000_000 {
		p.take()
	}
	require.InDelta(t, 1001*time.Second, p.next(), float64(time.Microsecond))
}

// A server that stalls once for 300 ms holds up every message that was due in
// that time: with 1,000 a second that is hundreds of late ones, not one.
func TestOpenLoopDoesNotForgiveAStall(t *testing.T) {
	count := 0 // one connection: one goroutine
	addr := server(t, func(p []byte) []byte {
		if count += len(p) / 64; count > 500 {
			count = math.MinInt
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

// A fault from the first byte on, and one that comes after many good messages.
func TestWrongBytesAreSeen(t *testing.T) {
	for name, spoil := range map[string]func(p []byte) []byte{
		"one bit":       func(p []byte) []byte { p[len(p)/2] ^= 1; return p },
		"a byte lost":   func(p []byte) []byte { return p[1:] },
		"a byte more":   func(p []byte) []byte { return append(p, 7) },
		"halves change": func(p []byte) []byte { return slices.Concat(p[len(p)/2:], p[:len(p)/2]) },
		"two messages change": func(p []byte) []byte {
			if len(p) < 128 {
				return p
			}
			return slices.Concat(p[64:128], p[:64], p[128:])
		},
		"a message lost": func(p []byte) []byte {
			if len(p) < 128 {
				return p
			}
			return p[64:]
		},
	} {
		for _, good := range []int64{0, 10} {
			var seen atomic.Int64
			addr := server(t, func(p []byte) []byte {
				if seen.Add(1) <= good {
					return p
				}
				return spoil(p)
			})
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			r, err := Run(ctx, Config{Addr: addr, Conns: 4, Depth: 4, Warmup: 10 * time.Millisecond, Window: 50 * time.Millisecond}, Hooks{})
			cancel()
			require.Positive(t, r.Faults.Mismatches, "%s after %d: %v", name, good, err)
			require.Contains(t, r.Faults.First, "a wrong byte", name)
			require.Zero(t, r.Faults.Refused)
		}
	}
}

// What a server swallows at the end of a message shows as missing: nothing wrong
// comes back, but something does not.
func TestAMessageThatNeverComesBackIsLost(t *testing.T) {
	var seen atomic.Int64
	addr := server(t, func(p []byte) []byte {
		if seen.Add(1) > 2 { // the first echo, the next, and no more
			return nil
		}
		return p
	})
	s := group(t, checked(t, Config{Addr: addr, Window: 20 * time.Millisecond, Warmup: 10 * time.Millisecond}), Hooks{})
	s.drainFor = 50 * time.Millisecond
	r, err := s.work(context.Background())
	require.NoError(t, err)
	require.EqualValues(t, 1, r.Faults.Lost)
	require.ErrorContains(t, r.Faults.Err(), "did not come back")
}

// group is the only group of a load.
func group(t *testing.T, c Config, h Hooks) *swarm {
	cr, err := newCrew(c, h)
	require.NoError(t, err)
	t.Cleanup(func() { cr.close() })
	return cr.swarms[0]
}

func checked(t *testing.T, c Config) Config {
	require.NoError(t, c.check())
	return c
}

// A rate that no machine reaches must still come to an end, with answers read.
func TestAnImpossibleRateEnds(t *testing.T) {
	s := group(t, checked(t, Config{Addr: server(t, honest), Conns: 10, Payload: 8, Rate: 1e9, Warmup: time.Millisecond, Window: 100 * time.Millisecond}), Hooks{})
	r, err := s.work(context.Background())
	require.NoError(t, err)
	require.NoError(t, r.Faults.Err())
	require.Greater(t, s.messages, int64(1000))
}

func TestNoAllocationPerMessage(t *testing.T) {
	var before, after runtime.MemStats
	r, err := Run(context.Background(), Config{Addr: server(t, honest), Conns: 10, Depth: 16, Window: 300 * time.Millisecond}, Hooks{
		Window: func() { runtime.ReadMemStats(&before) },
		Done:   func() { runtime.ReadMemStats(&after) },
	})
	require.NoError(t, err)
	require.Less(t, after.Mallocs-before.Mallocs, 100+uint64(r.Messages)/20, "for %d messages", r.Messages)
}

// Nobody listens at first: the swarm tries again.
func TestAServerThatComesLateIsFound(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := ln.Addr().String()
	ln.Close()
	s := group(t, checked(t, Config{Addr: addr, Conns: 5}), Hooks{})
	require.NoError(t, s.openPoll())
	defer s.close()
	c := &conn{}
	s.conns = append(s.conns, c)
	s.open(c)
	for s.retries == 0 {
		require.NoError(t, s.turn(context.Background(), patience))
	}
	late, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	defer late.Close()
	go echo(late, honest)
	require.NoError(t, s.connect(context.Background()))
	require.Equal(t, 5, s.connected)
	require.NoError(t, s.faults.Err())
	require.Positive(t, s.result().Retries)
}

func TestAHeldConnectionThatIsGoneIsReported(t *testing.T) {
	var held atomic.Bool
	addr := server(t, func(p []byte) []byte {
		if held.Load() {
			return nil
		}
		return p
	})
	s := group(t, checked(t, Config{Addr: addr, Conns: 3}), Hooks{Connected: func() { held.Store(true) }})
	s.drainFor = 50 * time.Millisecond
	r, err := s.work(context.Background())
	require.NoError(t, err)
	require.EqualValues(t, 3, r.Faults.Lost)
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

func TestTwoThousandConnections(t *testing.T) {
	r := run(t, Config{Addr: server(t, honest), Conns: 2000})
	require.NoError(t, r.Faults.Err())
	require.Equal(t, 2000, r.Connected)
}

func TestFramesCarryTheirLength(t *testing.T) {
	c := Config{Addr: "127.0.0.1:1", Wire: Framed, Payload: 100}
	require.NoError(t, c.check())
	table := newTable(c)
	require.EqualValues(t, 100, binary.BigEndian.Uint32(table.out.at(table.first(3), 0, 4)))
	require.NotEqual(t, table.out.at(0, 0, 104), table.out.at(0, 104, 104), "messages differ")
}
