package load

import (
	"fmt"
	"time"
)

// A Snapshot is the state of a running swarm, taken every 250 ms.
type Snapshot struct {
	Phase     string        `json:"phase"` // "connect", "warmup", "window", "drain"
	Elapsed   time.Duration `json:"elapsed"`
	Connected int           `json:"connected"`
	Messages  int64         `json:"messages"` // come back since the start, verified
	PerSecond float64       `json:"per_second"`
	P50       int64         `json:"p50_us"` // of the last interval, in µs
	P99       int64         `json:"p99_us"`
	P999      int64         `json:"p999_us"`
	Faults    Faults        `json:"faults"`
}

// Faults counts what must not happen.
type Faults struct {
	Refused    int    `json:"refused,omitempty"`    // connections that could not be opened
	Mismatches int    `json:"mismatches,omitempty"` // connections on which a wrong byte came back
	Ended      int    `json:"ended,omitempty"`      // connections the server ended
	Reset      int    `json:"reset,omitempty"`      // connections that broke
	Lost       int64  `json:"lost,omitempty"`       // messages that had not come back at the end
	First      string `json:"first,omitempty"`      // the first of them, in words
}

// Err returns nil when nothing went wrong, and otherwise says what did.
func (f Faults) Err() error {
	if f == (Faults{}) {
		return nil
	}
	return fmt.Errorf("the load met faults: %d connections refused, %d with wrong bytes, %d ended, %d reset, %d messages lost; the first: %s",
		f.Refused, f.Mismatches, f.Ended, f.Reset, f.Lost, f.First)
}

// A Result is what the swarm found in its window.
type Result struct {
	Connected int           `json:"connected"` // each with a verified echo
	Messages  int64         `json:"messages"`  // come back within the window, verified
	Window    time.Duration `json:"window"`    // its real length
	PerSecond float64       `json:"per_second"`
	CPU       time.Duration `json:"cpu"`     // what the swarm's own thread spent in the window
	Latency   string        `json:"latency"` // HDR histogram in µs, encoded by meter.EncodeHistogram
	P50       int64         `json:"p50_us"`
	P99       int64         `json:"p99_us"`
	P999      int64         `json:"p999_us"`
	Max       int64         `json:"max_us"`
	Faults    Faults        `json:"faults"`
}

// Hooks are called by a running swarm. The swarm stands still in Connected,
// Window and Done until they return, so a caller can take its measurements
// there. All may be nil.
type Hooks struct {
	Connected func()         // every connection is open, and has had one echo
	Window    func()         // the measured window begins
	Done      func()         // it has ended
	Snapshot  func(Snapshot) // every 250 ms
}

func (h Hooks) connected() {
	if h.Connected != nil {
		h.Connected()
	}
}

func (h Hooks) window() {
	if h.Window != nil {
		h.Window()
	}
}

func (h Hooks) done() {
	if h.Done != nil {
		h.Done()
	}
}

func (h Hooks) snapshot(s Snapshot) {
	if h.Snapshot != nil {
		h.Snapshot(s)
	}
}
