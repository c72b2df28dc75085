package capstone

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// SlowPolicy says what happens when a client's queue is full: it takes less
// than its room sends.
type SlowPolicy string

// The policies. None of them makes the room wait.
const (
	DropOldest SlowPolicy = "drop-oldest" // the queue loses its first message: the client misses old news
	DropNewest SlowPolicy = "drop-newest" // the new message is not queued: the client falls behind
	Disconnect SlowPolicy = "disconnect"  // the client is closed with 1008: it can come back and ask what it missed
)

// Config is everything that can be set. DefaultConfig has sane values; cmd
// makes flags and environment variables of the fields.
type Config struct {
	Listen string // address of the WebSocket listener
	Admin  string // address of metrics, dashboard and profiles; "" for none

	MaxConns        int     // connections at a time
	ConnRate        float64 // new connections a second; 0 is no limit
	ConnsPerAddress int     // connections at a time from one IP address; 0 is no limit

	MaxMessage   int        // bytes of payload in a message
	QueueBytes   int        // bytes that may wait for one client
	Slow         SlowPolicy // what happens above that
	PublishRate  float64    // messages a second from one client; 0 is no limit
	PublishBurst int        // messages at once above that rate

	GapTimeout time.Duration // how long the number of a message may be missing

	History      string   // folder of the kept rooms; "" for none
	HistoryRooms []string // the rooms that are kept
	HistoryBytes int      // of each kept room on the disk, about; 0 is no limit

	Heartbeat        time.Duration // a ping after so much silence
	Zombie           time.Duration // a client is removed after so much silence
	HandshakeTimeout time.Duration // until the request is whole
	CloseTimeout     time.Duration // from our last word to the end of the connection

	Origins []string // allowed values of Origin; none means any
	Loops   int      // event loops; 0 chooses
	Tables  string   // a descriptor table for each loop: "auto", "on", "off"
}

// DefaultConfig is what the server runs with when nothing is set.
func DefaultConfig() Config {
	return Config{
		Listen: "127.0.0.1:9090", Admin: "127.0.0.1:9091",
		MaxConns:   100_000,
		MaxMessage: 64 << 10, QueueBytes: 256 << 10, Slow: DropOldest, PublishBurst: 100,
		GapTimeout: 2 * time.Second,
		Heartbeat:  30 * time.Second, Zombie: 60 * time.Second,
		HandshakeTimeout: 10 * time.Second, CloseTimeout: 5 * time.Second,
		Tables: "auto",
	}
}

// check refuses what makes no sense: each error names the field as cmd's flag is
// called.
func (c *Config) check() error {
	switch {
	case c.MaxConns < 1:
		return fmt.Errorf("max-conns is %d: give at least 1", c.MaxConns)
	case c.ConnRate < 0, c.PublishRate < 0:
		return errors.New("conn-rate and publish-rate must not be negative: 0 is no limit")
	case c.ConnsPerAddress < 0:
		return errors.New("conns-per-address must not be negative: 0 is no limit")
	case c.MaxMessage < 1 || c.MaxMessage > 64<<20:
		return fmt.Errorf("max-message is %d: give between 1 byte and 64 MiB", c.MaxMessage)
	case c.QueueBytes < c.MaxMessage+frameHead:
		return fmt.Errorf("queue-bytes is %d: a message of max-message (%d) would never fit: give at least %d", c.QueueBytes, c.MaxMessage, c.MaxMessage+frameHead)
	case c.Slow != DropOldest && c.Slow != DropNewest && c.Slow != Disconnect:
		return fmt.Errorf("slow is %q: give %s, %s or %s", c.Slow, DropOldest, DropNewest, Disconnect)
	case c.PublishRate > 0 && c.PublishBurst < 1:
		return errors.New("publish-burst must be at least 1 with a publish-rate: nothing could ever be published")
	case c.GapTimeout <= 0 || c.GapTimeout > 24*time.Hour:
		return fmt.Errorf("gap-timeout is %v: give more than 0 and at most 24h, or one message that is lost holds up its sender's others for ever", c.GapTimeout)
	case (c.History == "") != (len(c.HistoryRooms) == 0):
		return fmt.Errorf("history is %q and history-rooms is %q: set both, or neither", c.History, strings.Join(c.HistoryRooms, ","))
	case slices.ContainsFunc(c.HistoryRooms, func(name string) bool { return !roomName(name) || strings.HasPrefix(name, ".") }):
		return fmt.Errorf("history-rooms is %q: names have 1 to 64 letters, digits, dots, dashes and underscores, and begin with no dot", strings.Join(c.HistoryRooms, ","))
	case c.HistoryBytes < 0:
		return errors.New("history-bytes must not be negative: 0 is no limit")
	case c.History != "" && c.QueueBytes < 2*(c.MaxMessage+frameHead+numberSize):
		return fmt.Errorf("queue-bytes is %d: a piece of history needs at least %d, twice a message of max-message (%d) with its number", c.QueueBytes, 2*(c.MaxMessage+frameHead+numberSize), c.MaxMessage)
	case c.Heartbeat <= 0 || c.Zombie <= c.Heartbeat:
		return fmt.Errorf("heartbeat is %v and zombie is %v: a client needs at least one ping (heartbeat > 0) before it is given up (zombie > heartbeat)", c.Heartbeat, c.Zombie)
	case c.HandshakeTimeout <= 0 || c.CloseTimeout <= 0:
		return errors.New("handshake-timeout and close-timeout must be positive: without them a silent client stays for ever")
	case c.Loops < 0:
		return fmt.Errorf("loops is %d: give a number, or 0 to let the server choose", c.Loops)
	case c.Tables != "auto" && c.Tables != "on" && c.Tables != "off":
		return fmt.Errorf("tables is %q: give auto, on or off", c.Tables)
	}
	return nil
}

// spareFiles are the descriptors of a process that are not clients.
const spareFiles = 256

// plan decides how many loops there are, and whether each needs a descriptor
// table of its own: only if one table cannot hold MaxConns.
func (c *Config) plan(cores int) (loops int, tables bool, err error) {
	limit, err := openFiles()
	if err != nil {
		return 0, false, err
	}
	room := limit - spareFiles
	if room < 1 {
		return 0, false, fmt.Errorf("the limit of open files is %d: raise it to at least %d (ulimit -n)", limit, 2*spareFiles)
	}
	loops = c.Loops
	if loops == 0 {
		loops = cores
	}
	tables = c.Tables == "on" || c.Tables == "auto" && c.MaxConns > room
	if tables {
		// The kernel spreads connections by a hash, so tables fill unevenly.
		need := (c.MaxConns + room*9/10 - 1) / max(1, room*9/10)
		if c.Loops == 0 {
			loops = max(loops, need)
		}
		room *= loops
	}
	if c.MaxConns > room {
		return 0, false, fmt.Errorf("max-conns is %d, and the limit of open files allows %d: raise it (ulimit -n), lower max-conns, or set tables to auto and loops to 0", c.MaxConns, room)
	}
	return loops, tables, nil
}

// openFiles raises the soft limit of open files to the hard one, and returns it.
func openFiles() (int, error) {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return 0, fmt.Errorf("read the limit of open files: %w", err)
	}
	if lim.Cur < lim.Max {
		lim.Cur = lim.Max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
			return 0, fmt.Errorf("raise the limit of open files: %w", err)
		}
	}
	return int(min(lim.Max, 1<<30)), nil
}
