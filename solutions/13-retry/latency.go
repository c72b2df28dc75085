package retry

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
)

// Latencies knows the quantiles of the last latencies: when a hedge is due. It
// is exact, and small: for a hundred of them sorting is two short copies. Its
// methods may be called from any goroutine.
type Latencies struct {
	mu     sync.Mutex      // guards the following
	recent []time.Duration // in order of arrival, a ring once it is full
	next   int             // the oldest in the ring
	sorted []time.Duration // the same ones
}

// NewLatencies returns a window for the last n latencies, of which there are
// none yet. n must be at least 1.
func NewLatencies(n int) (*Latencies, error) {
	if n < 1 {
		return nil, fmt.Errorf("retry: a window of %d latencies: take at least 1", n)
	}
	return &Latencies{recent: make([]time.Duration, 0, n), sorted: make([]time.Duration, 0, n)}, nil
}

// Observe adds a latency, in place of the oldest once there are n.
func (l *Latencies) Observe(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.recent) < cap(l.recent) {
		l.recent = append(l.recent, d)
	} else {
		at, _ := slices.BinarySearch(l.sorted, l.recent[l.next])
		l.sorted = slices.Delete(l.sorted, at, at+1)
		l.recent[l.next] = d
		l.next = (l.next + 1) % len(l.recent)
	}
	at, _ := slices.BinarySearch(l.sorted, d)
	l.sorted = slices.Insert(l.sorted, at, d)
}

// Quantile returns the smallest latency that at least the fraction q of the
// window does not exceed: with q = 0.95 and n = 100 the 95th. ok is false until
// there are n: a quantile of three is a guess.
func (l *Latencies) Quantile(q float64) (d time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.sorted)
	if n < cap(l.sorted) {
		return 0, false
	}
	// 0.95 * 100 is 94.99999999999999 or 95.00000000000001, as it pleases the
	// last bit: the small number decides for the integer.
	rank := int(math.Ceil(q*float64(n) - 1e-9))
	return l.sorted[min(max(rank, 1), n)-1], true
}
