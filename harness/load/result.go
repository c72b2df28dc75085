package load

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/asynclab/asynclab/harness/meter"
)

const snapshotEvery = 250 * time.Millisecond

// A Snapshot is the state of a running swarm, taken every 250 ms.
type Snapshot struct {
	Phase     string        `json:"phase"` // "connect", "warmup", "window", "drain"
	Elapsed   time.Duration `json:"elapsed"`
	Connected int           `json:"connected"` // connections that had an echo, the lost ones too
	Retries   int           `json:"retries"`   // attempts to connect that had to be repeated
	Messages  int64         `json:"messages"`  // come back since the start, verified
	Bytes     int64         `json:"bytes"`     // of these messages
	PerSecond float64       `json:"per_second"`

	Deliveries          int64   `json:"deliveries,omitempty"` // rooms: messages received by members since the start
	DeliveriesPerSecond float64 `json:"deliveries_per_second,omitempty"`

	P50        int64  `json:"p50_us"` // of the last interval, in µs
	P99        int64  `json:"p99_us"`
	P999       int64  `json:"p999_us"`
	WindowP50  int64  `json:"window_p50_us"` // of the window so far, in µs
	WindowP99  int64  `json:"window_p99_us"`
	WindowP999 int64  `json:"window_p999_us"`
	Faults     Faults `json:"faults"`
}

// add adds another group's figures.
func (s *Snapshot) add(o Snapshot) {
	s.Connected += o.Connected
	s.Retries += o.Retries
	s.Messages += o.Messages
	s.Bytes += o.Bytes
	s.Deliveries += o.Deliveries
	s.Faults.add(o.Faults)
}

// Faults counts what must not happen.
type Faults struct {
	Refused    int    `json:"refused,omitempty"`    // connections that could not be opened
	Mismatches int    `json:"mismatches,omitempty"` // connections on which a wrong byte came back
	Ended      int    `json:"ended,omitempty"`      // connections the server ended
	Reset      int    `json:"reset,omitempty"`      // connections that broke
	Lost       int64  `json:"lost,omitempty"`       // messages that had not come back at the end
	Doubled    int64  `json:"doubled,omitempty"`    // rooms: messages that a member got twice
	Disordered int64  `json:"disordered,omitempty"` // rooms: messages that came behind a later one of the same publisher
	First      string `json:"first,omitempty"`      // the first of them, in words
}

func (f *Faults) add(o Faults) {
	f.Refused += o.Refused
	f.Mismatches += o.Mismatches
	f.Ended += o.Ended
	f.Reset += o.Reset
	f.Lost += o.Lost
	f.Doubled += o.Doubled
	f.Disordered += o.Disordered
	if f.First == "" {
		f.First = o.First
	}
}

// Err returns nil when nothing went wrong, and otherwise says what did.
func (f Faults) Err() error {
	if f == (Faults{}) {
		return nil
	}
	return fmt.Errorf("the load met faults: %d connections refused, %d with wrong bytes, %d ended, %d reset, %d messages lost, %d doubled, %d out of order; the first: %s",
		f.Refused, f.Mismatches, f.Ended, f.Reset, f.Lost, f.Doubled, f.Disordered, f.First)
}

// A Result is what the swarm found in its window.
type Result struct {
	Connected int           `json:"connected"` // each with a verified echo
	Retries   int           `json:"retries"`   // attempts to connect that had to be repeated
	Messages  int64         `json:"messages"`  // come back within the window, verified
	Window    time.Duration `json:"window"`    // its real length
	PerSecond float64       `json:"per_second"`
	CPU       time.Duration `json:"cpu"` // what the swarm's own threads spent in the window

	// Rooms.
	Deliveries          int64   `json:"deliveries,omitempty"` // messages received by members within the window
	DeliveriesPerSecond float64 `json:"deliveries_per_second,omitempty"`
	Gaps                int64   `json:"gaps,omitempty"`         // messages that a member never got: the server must have counted them as dropped
	SilentEnded         int64   `json:"silent_ended,omitempty"` // silent members that the server has closed

	Latency string `json:"latency"` // HDR histogram in µs, encoded by meter.EncodeHistogram
	P50     int64  `json:"p50_us"`
	P99     int64  `json:"p99_us"`
	P999    int64  `json:"p999_us"`
	Max     int64  `json:"max_us"`
	Faults  Faults `json:"faults"`
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

// add adds another group's figures, but for the histogram.
func (r *Result) add(o Result) {
	r.Connected += o.Connected
	r.Retries += o.Retries
	r.Messages += o.Messages
	r.Deliveries += o.Deliveries
	r.Gaps += o.Gaps
	r.SilentEnded += o.SilentEnded
	r.CPU += o.CPU
	r.Window = max(r.Window, o.Window)
	r.Faults.add(o.Faults)
}

// finish works out what follows from the sums, and from the window's histogram.
func (r *Result) finish(all *hdrhistogram.Histogram) {
	if seconds := r.Window.Seconds(); seconds > 0 {
		r.PerSecond, r.DeliveriesPerSecond = float64(r.Messages)/seconds, float64(r.Deliveries)/seconds
	}
	r.P50, r.P99, r.P999 = quantiles(all)
	r.Max = all.Max()
	r.Latency, _ = meter.EncodeHistogram(all) // fails for foreign encodings only
}

func (s *swarm) snapshot(at time.Duration) {
	s.crew.snapshot(s.group, Snapshot{Phase: string(s.phase), Elapsed: at, Connected: s.connected, Retries: s.retries, Faults: s.found(),
		Messages: s.messages + s.rooms.published, Bytes: s.messages * int64(s.table.back.size), Deliveries: s.rooms.deliveries}, s.recent)
	s.recent.Reset()
	s.lastAt = at
}

// found is the faults so far.
func (s *swarm) found() Faults {
	f := s.faults
	f.Doubled, f.Disordered = s.rooms.doubled, s.rooms.disordered
	return f
}

// result is what has been found so far, without what concerns a whole window.
func (s *swarm) result() Result {
	r := Result{Connected: s.connected, Retries: s.retries, Messages: s.measured + s.rooms.measuredPub, Faults: s.found(),
		Deliveries: s.rooms.measured, Gaps: s.rooms.gaps, SilentEnded: s.rooms.silentEnded}
	r.finish(s.all)
	return r
}
