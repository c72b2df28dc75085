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

// Wire is what a message looks like to the server.
type Wire string

const (
	Raw    Wire = "raw"    // the payload alone
	Framed Wire = "framed" // a 4-byte big-endian length in front

	// WebSocket is RFC 6455: an opening handshake, then binary messages, masked
	// on the way out.
	WebSocket Wire = "websocket"
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
	Groups  int           // threads that share the connections, each with a descriptor table of its own; 0 means as few as the limit of open files allows

	Path string // WebSocket: what to ask for; "/echo" by default

	// Rooms above 0 has the swarm broadcast instead of echo: the connections
	// are spread over so many rooms, "/room/swarm-0" and so on, and Publishers
	// of each room's members send what all of its members must receive. Depth
	// is then the messages in flight of each publisher (one is done when every
	// member has it), and Rate the messages that all publishers send in a
	// second.
	Rooms      int
	Publishers int // in each room; 1 by default
	Silent     int // of each room's members, so many never read after they have joined
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
	defaults(&c.Publishers, 1)
	if c.Path == "" {
		c.Path = "/echo"
	}
	if c.Groups == 0 {
		c.Groups = 1
		if limit, err := openFiles(); err == nil {
			c.Groups = min(maxGroups, max(1, (c.Conns+limit-spareFiles-1)/max(1, limit-spareFiles)))
		}
	}
	switch {
	case c.Addr == "":
		return errors.New("load: no address to connect to")
	case c.Conns < 0 || c.Payload < 0 || c.Depth < 0 || c.Burst < 0 || c.Rate < 0 || c.Warmup < 0 || c.Window < 0 || c.Groups < 0 || c.Rooms < 0 || c.Publishers < 0 || c.Silent < 0:
		return fmt.Errorf("load: negative figure in %+v", *c)
	case c.Depth*c.size() > tableBytes:
		return fmt.Errorf("load: %d messages of %d bytes in flight: at most %d bytes in all", c.Depth, c.size(), tableBytes)
	case c.Wire != Raw && c.Wire != Framed && c.Wire != WebSocket:
		return fmt.Errorf("load: no wire %q: there are %q, %q and %q", c.Wire, Raw, Framed, WebSocket)
	case c.Rooms > 0 && c.Wire != WebSocket:
		return fmt.Errorf("load: rooms are for the wire %q", WebSocket)
	case c.Rooms > 0 && c.Payload < roomHeader:
		return fmt.Errorf("load: a payload of %d bytes has no room for the %d of a message's header", c.Payload, roomHeader)
	case c.Rooms > 0 && c.Conns/c.Rooms < c.Publishers+c.Silent:
		return fmt.Errorf("load: %d connections in %d rooms are too few for %d publishers and %d silent ones in each", c.Conns, c.Rooms, c.Publishers, c.Silent)
	}
	return roomFor((c.Conns + c.Groups - 1) / c.Groups)
}

func defaults(n *int, to int) {
	if *n == 0 {
		*n = to
	}
}

// size is the length of a message on its way out, in bytes.
func (c *Config) size() int {
	switch c.Wire {
	case Framed:
		return 4 + c.Payload
	case WebSocket:
		return len(appendFrameHead(nil, true, c.Payload)) + c.Payload
	}
	return c.Payload
}

// sizeBack is the length of a message that comes back.
func (c *Config) sizeBack() int {
	if c.Wire == WebSocket {
		return len(appendFrameHead(nil, false, c.Payload)) + c.Payload
	}
	return c.size()
}

// maxGroups is as many as make sense: a million connections with 20,000 open
// files.
const maxGroups = 64

// spareFiles is what a process needs beside its connections.
const spareFiles = 64

// openFiles raises the soft limit of open files to the hard one, and returns it.
func openFiles() (int, error) {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return 0, fmt.Errorf("load: open-file limit: %w", err)
	}
	if lim.Cur < lim.Max {
		lim.Cur = lim.Max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
			return 0, fmt.Errorf("load: raise the open-file limit to %d: %w", lim.Max, err)
		}
	}
	return int(min(lim.Max, 1<<30)), nil
}

// roomFor says what to do when one descriptor table cannot hold so many
// connections.
func roomFor(conns int) error {
	limit, err := openFiles()
	if err == nil && conns+spareFiles > limit {
		err = fmt.Errorf("load: %d connections need %d open files, and the hard limit is %d: ask for fewer connections or more groups, or raise the limit (ulimit -Hn, as root)",
			conns, conns+spareFiles, limit)
	}
	return err
}
