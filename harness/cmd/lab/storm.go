//go:build !light

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/asynclab/asynclab/harness/load"
	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/report"
)

// A storm is the worst day of a server, in three minutes: while a room goes
// on, other clients are killed, reset, half open, and talk garbage. And then a
// hundred of them do not read.
type storm struct {
	server *server
	out    io.Writer
}

const (
	stormRoom     = 1000 // members that behave, and check every message
	stormKilled   = 4000
	stormResets   = 20_000
	stormHalfOpen = 1000
	stormGarbage  = 1000

	slowRoom   = 5000
	slowSilent = 100
)

func stormCommand() *cobra.Command {
	side := "solutions"
	cmd := &cobra.Command{
		Use:   "storm",
		Short: "the finished server on its worst day: kills, resets, half-open handshakes, garbage, while a room goes on",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := findClone()
			if err != nil {
				return err
			}
			s, err := c.startDemo(cmd.Context(), demoOptions{side: side, conns: 30_000}, cmd.OutOrStdout())
			if err != nil {
				return err
			}
			defer s.close()
			return (&storm{s, cmd.OutOrStdout()}).run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&side, "side", side, "labs (yours) or solutions (the reference)")
	return cmd
}

func (m *storm) run(ctx context.Context) error {
	quiet, cancel := context.WithCancel(ctx)
	defer cancel()
	up := make(chan struct{})
	over := make(chan error, 1)
	var room load.Result
	go func() {
		var err error
		room, err = load.Spawn(quiet, load.Config{Addr: m.server.addr, Wire: load.WebSocket, Conns: stormRoom, Rooms: 1, Rate: 50, Window: 100 * time.Second},
			load.Hooks{Window: func() { close(up) }})
		over <- err
	}()
	select {
	case <-up:
	case err := <-over:
		return fmt.Errorf("the room that behaves: %w", err)
	}
	before, err := m.settled(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(m.out, "a room of %d goes on: 50 messages a second, every delivery is checked\n", stormRoom)
	fmt.Fprintf(m.out, "  %-58s %12s %10s\n", "", "connections", "RSS")
	m.line("before", before)
	for _, act := range []struct {
		name string
		do   func(context.Context) error
	}{
		{fmt.Sprintf("%d clients, killed (SIGKILL) in the middle of their load", stormKilled), m.kill},
		{fmt.Sprintf("%d connections, each reset behind one echo", stormResets), m.resets},
		{fmt.Sprintf("%d handshakes that never become whole", stormHalfOpen), m.halfOpen},
		{fmt.Sprintf("garbage on %d connections", stormGarbage), m.garbage},
	} {
		if err := act.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", act.name, err)
		}
		after, err := m.settled(ctx)
		if err != nil {
			return fmt.Errorf("after %s: %w", act.name, err)
		}
		m.line(act.name, after)
	}
	fmt.Fprintln(m.out, "the room is heard to its end")
	if err := errors.Join(<-over, room.Faults.Err()); err != nil {
		return fmt.Errorf("the room: %w", err)
	}
	if room.Gaps > 0 {
		return fmt.Errorf("the room: %d messages were missing", room.Gaps)
	}
	fmt.Fprintf(m.out, "%s deliveries, none missing, doubled or out of order; latency p99 %s, p99.9 %s\n",
		report.Number(float64(room.Deliveries)), millis(room.P99), millis(room.P999))
	return m.slowReaders(ctx)
}

// slowReaders broadcasts to a large room with and without members that never
// read, in turns, and compares what the others see.
func (m *storm) slowReaders(ctx context.Context) error {
	fmt.Fprintf(m.out, "\na room of %d, 20 messages of 1 KB a second; in turns with %d members that never read\n", slowRoom, slowSilent)
	for range 3 {
		for _, silent := range []int{0, slowSilent} {
			var begin, end meter.Sample
			var failed error
			sample := func(into *meter.Sample) func() {
				return func() {
					var err error
					*into, err = meter.Process(m.server.pid())
					failed = errors.Join(failed, err)
				}
			}
			r, err := load.Spawn(ctx, load.Config{Addr: m.server.addr, Wire: load.WebSocket, Conns: slowRoom, Rooms: 1, Silent: silent, Payload: 1 << 10, Rate: 20, Window: 10 * time.Second},
				load.Hooks{Connected: sample(&begin), Done: sample(&end)})
			if err := errors.Join(err, failed, r.Faults.Err()); err != nil {
				return fmt.Errorf("%d members of which %d never read: %w", slowRoom, silent, err)
			}
			if r.Gaps > 0 {
				return fmt.Errorf("%d members of which %d never read: the others miss %d messages", slowRoom, silent, r.Gaps)
			}
			fmt.Fprintf(m.out, "  %3d never read: p50 %s, p99 %s, p99.9 %s for the others, none missing; RSS %s, at the end %s\n", silent,
				millis(r.P50), millis(r.P99), millis(r.P999), megabytes(begin.RSS), megabytes(end.RSS))
		}
	}
	return nil
}

func (m *storm) line(name string, s meter.Sample) {
	fmt.Fprintf(m.out, "  %-58s %12d %10s\n", name, stormRoom, megabytes(s.RSS))
}

// settled waits until the server has only the room's connections, and measures
// it.
func (m *storm) settled(ctx context.Context) (meter.Sample, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		var stats struct{ Connections int }
		text, err := get(ctx, m.server.admin, "/api/stats")
		if err == nil {
			err = json.Unmarshal(text, &stats)
		}
		if err != nil {
			return meter.Sample{}, fmt.Errorf("ask the server for its connections: %w", err)
		}
		if n := stats.Connections - stormRoom; n >= 0 && n <= viewers {
			return meter.Process(m.server.pid())
		}
		select {
		case <-time.After(250 * time.Millisecond):
		case <-ctx.Done():
			return meter.Sample{}, fmt.Errorf("the server still has %d connections, and %d are there", stats.Connections, stormRoom)
		}
	}
}

// kill ends a swarm's process in the middle of its load.
func (m *storm) kill(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	_, err := load.Spawn(ctx, load.Config{Addr: m.server.addr, Wire: load.WebSocket, Conns: stormKilled, Depth: 4, Window: time.Minute},
		load.Hooks{Snapshot: func(s load.Snapshot) {
			if s.Phase == "window" && s.Messages > 5*stormKilled {
				cancel() // which kills the process
			}
		}})
	if ctx.Err() == nil {
		return fmt.Errorf("the swarm was to be killed, and ended by itself: %w", err)
	}
	return nil
}

// resets opens connections and breaks them: that is how a swarm ends.
func (m *storm) resets(ctx context.Context) error {
	for range stormResets / 5000 {
		r, err := load.Spawn(ctx, load.Config{Addr: m.server.addr, Wire: load.WebSocket, Conns: 5000}, load.Hooks{})
		if err := errors.Join(err, r.Faults.Err()); err != nil {
			return err
		}
	}
	return nil
}

// halfOpen sends each server connection a piece of a request, a byte more now
// and then, until the server has had enough.
func (m *storm) halfOpen(ctx context.Context) error {
	const request = "GET /echo HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
	var all []net.Conn
	defer func() {
		for _, c := range all {
			c.Close()
		}
	}()
	for range stormHalfOpen {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", m.server.addr)
		if err != nil {
			return err
		}
		c.Write([]byte(request[:10]))
		all = append(all, c)
	}
	for at := 10; len(all) > 0 && at < 10+30; at++ {
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
		open := all[:0]
		for _, c := range all {
			c.SetReadDeadline(time.Now().Add(time.Millisecond))
			var b [1]byte
			_, err := c.Read(b[:])
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				c.Write([]byte{request[at%len(request)]})
				open = append(open, c)
			} else {
				c.Close() // the server has ended it
			}
		}
		all = open
	}
	if len(all) > 0 {
		return fmt.Errorf("%d of %d are still there after 30 s", len(all), stormHalfOpen)
	}
	return nil
}

// garbage writes random bytes, before a handshake and behind one.
func (m *storm) garbage(ctx context.Context) error {
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range stormGarbage {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", m.server.addr)
		if err != nil {
			return err
		}
		if i%2 == 0 {
			fmt.Fprintf(c, "GET /room/storm HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
		}
		junk := make([]byte, 100+rng.IntN(4000))
		for k := range junk {
			junk[k] = byte(rng.Uint32())
		}
		c.Write(junk)
		c.Close()
	}
	return nil
}
