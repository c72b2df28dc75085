// Package load is the other side of the wire: a swarm of clients on one epoll
// loop, and single clients that misbehave.
//
// The swarm opens tens of thousands of connections from one process, sends in a
// closed loop (a fixed number of messages in flight on each connection) or in
// an open one (a fixed rate, whatever comes back), and compares every byte that
// returns with the byte that must. It runs in the caller's process ([Run]) or
// in one of its own ([Spawn]), so that a server's CPU time is the server's.
package load

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Wire is what a message looks like to the server. Both are echoed the same: a
// byte comes back as it was sent.
type Wire string

const (
	Raw    Wire = "raw"    // the payload alone
	Framed Wire = "framed" // a 4-byte big-endian length in front
)

// Config says what the swarm does. The zero value of a field means its default.
type Config struct {
	Addr    string        // of the server: "127.0.0.1:9000"
	Conns   int           // connections; 1 by default
	Wire    Wire          // Raw by default
	Payload int           // bytes of payload in a message; 64 by default
	Depth   int           // closed loop: messages in flight on each connection; 1 by default
	Rate    float64       // open loop: messages a second on all connections together; 0 means closed loop
	Warmup  time.Duration // load before the window; 300 ms by default
	Window  time.Duration // measured load; 0 means none: connect, hold while Connected runs, echo once more, leave
	Burst   int           // connections being opened at a time; 256 by default
	Core    int           // in Spawn: pin the swarm to this core, counted from 1; 0 means no
}

func (c *Config) check() error {
	defaults(&c.Conns, 1)
	defaults(&c.Payload, 64)
	defaults(&c.Depth, 1)
	defaults(&c.Burst, 256)
	if c.Wire == "" {
		c.Wire = Raw
	}
	if c.Warmup == 0 {
		c.Warmup = 300 * time.Millisecond
	}
	switch {
	case c.Addr == "":
		return errors.New("load: no address to connect to")
	case c.Conns < 0 || c.Payload < 0 || c.Depth < 0 || c.Burst < 0 || c.Rate < 0 || c.Warmup < 0 || c.Window < 0:
		return fmt.Errorf("load: negative figure in %+v", *c)
	case c.Depth*c.size() > tableBytes:
		return fmt.Errorf("load: %d messages of %d bytes in flight: at most %d bytes in all", c.Depth, c.size(), tableBytes)
	case c.Wire != Raw && c.Wire != Framed:
		return fmt.Errorf("load: no wire %q: there are %q and %q", c.Wire, Raw, Framed)
	}
	return roomFor(c.Conns)
}

func defaults(n *int, to int) {
	if *n == 0 {
		*n = to
	}
}

// size is the length of a message on the wire, in bytes.
func (c *Config) size() int {
	if c.Wire == Framed {
		return 4 + c.Payload
	}
	return c.Payload
}

// spareFiles is what a process needs beside its connections.
const spareFiles = 64

// roomFor raises the soft limit of open files to the hard one, and says what to
// do when that is not enough.
func roomFor(conns int) error {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return fmt.Errorf("load: open-file limit: %w", err)
	}
	if lim.Cur < lim.Max {
		lim.Cur = lim.Max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
			return fmt.Errorf("load: raise the open-file limit to %d: %w", lim.Max, err)
		}
	}
	if uint64(conns)+spareFiles > lim.Max {
		return fmt.Errorf("load: %d connections need %d open files, and the hard limit is %d: ask for fewer connections, or raise the limit (ulimit -Hn, as root)",
			conns, conns+spareFiles, lim.Max)
	}
	return nil
}
