package capstone

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	websocket "github.com/asynclab/asynclab/solutions/15-websocket"
)

// counts are a shard's counters: written by its loop, read by anybody. Each
// shard has its own, so that loops do not fight for a cache line.
type counts struct {
	accepted, messages, deliveries      atomic.Int64
	bytesIn, bytesOut                   atomic.Int64
	dropOldest, dropNewest              atomic.Int64 // messages that a slow client has missed
	dropDisconnect                      atomic.Int64 // messages that a slow client had waiting when it was closed
	dropRate                            atomic.Int64 // messages above a client's publish rate
	zombies, badHandshakes, lateGoodbye atomic.Int64
	closed                              [ends]atomic.Int64
	queued                              atomic.Int64 // bytes in outboxes
	lag                                 atomic.Int64 // ns the last tick has waited
	_                                   [64]byte
}

// How a WebSocket ended.
const (
	endNormal   = iota // with a close frame, without complaint
	endProtocol        // it broke a rule
	endSlow            // 1008: it was too slow
	endAbnormal        // without a close frame
	ends
)

func endOf(code int) int {
	switch code {
	case websocket.ProtocolError, websocket.InvalidText, websocket.TooBig:
		return endProtocol
	case websocket.Policy:
		return endSlow
	case websocket.Abnormal:
		return endAbnormal
	}
	return endNormal
}

// countEnd counts a connection that was ended by a clock, or never got through
// its handshake.
func (sh *shard) countEnd(c *client, err error) {
	switch {
	case errors.Is(err, errZombie):
		sh.counts.zombies.Add(1)
	case errors.Is(err, errFarewell):
		sh.counts.lateGoodbye.Add(1)
	}
	if !c.joined {
		sh.counts.badHandshakes.Add(1)
	}
}

// recorder is a latency histogram in microseconds, from 1 µs to 1 minute with
// three digits, that one goroutine writes and another empties now and then.
type recorder struct {
	mu   sync.Mutex
	hist *hdrhistogram.Histogram // guarded by mu; made with the first record
}

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, 60_000_000, 3) }

func (r *recorder) record(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hist == nil {
		r.hist = newHistogram()
	}
	r.hist.RecordValue(min(max(1, d.Microseconds()), 60_000_000))
}

// empty adds what was recorded to into, and forgets it.
func (r *recorder) empty(into *hdrhistogram.Histogram) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hist != nil {
		into.Merge(r.hist)
		r.hist.Reset()
	}
}
