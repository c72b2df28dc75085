package load

import (
	"fmt"
	"time"

	"github.com/asynclab/asynclab/harness/meter"
)

const snapshotEvery = 250 * time.Millisecond

// A Snapshot is the state of a running swarm, taken every 250 ms.
type Snapshot struct {
	Phase      string        `json:"phase"` // "connect", "warmup", "window", "drain"
	Elapsed    time.Duration `json:"elapsed"`
	Connected  int           `json:"connected"` // connections that had an echo, the lost ones too
	Retries    int           `json:"retries"`   // attempts to connect that had to be repeated
	Messages   int64         `json:"messages"`  // come back since the start, verified
	Bytes      int64         `json:"bytes"`     // of these messages
	PerSecond  float64       `json:"per_second"`
	P50        int64         `json:"p50_us"` // of the last interval, in µs
	P99        int64         `json:"p99_us"`
	P999       int64         `json:"p999_us"`
	WindowP50  int64         `json:"window_p50_us"` // of the window so far, in µs
	WindowP99  int64         `json:"window_p99_us"`
	WindowP999 int64         `json:"window_p999_us"`
	Faults     Faults        `json:"faults"`
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
	Retries   int           `json:"retries"`   // attempts to connect that had to be repeated
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

func (s *swarm) snapshot(at time.Duration) {
	since := (at - s.lastAt).Seconds()
	s.hooks.snapshot(Snapshot{Phase: string(s.phase), Elapsed: at, Connected: s.connected, Retries: s.retries, Faults: s.faults,
		Messages: s.messages, Bytes: s.messages * int64(s.table.size), PerSecond: float64(s.messages-s.lastN) / since,
		P50: s.recent.ValueAtQuantile(50), P99: s.recent.ValueAtQuantile(99), P999: s.recent.ValueAtQuantile(99.9),
		WindowP50: s.all.ValueAtQuantile(50), WindowP99: s.all.ValueAtQuantile(99), WindowP999: s.all.ValueAtQuantile(99.9)})
	s.recent.Reset()
	s.lastAt, s.lastN = at, s.messages
}

// result is what has been found so far, without what concerns a whole window.
func (s *swarm) result() Result {
	r := Result{Connected: s.connected, Retries: s.retries, Messages: s.measured, Faults: s.faults,
		P50: s.all.ValueAtQuantile(50), P99: s.all.ValueAtQuantile(99), P999: s.all.ValueAtQuantile(99.9), Max: s.all.Max()}
	r.Latency, _ = meter.EncodeHistogram(s.all) // fails for foreign encodings only
	return r
}
