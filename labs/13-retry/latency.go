package retry

import (
	"errors"
	"time"
)

// Latencies knows the quantiles of the last latencies: when a hedge is due. It
// is exact, and small: for a hundred of them sorting is two short copies. Its
// methods may be called from any goroutine.
type Latencies struct {
	// Yours to add: the last n, in the order in which they came, and in order of size.
}

// NewLatencies returns a window for the last n latencies, of which there are
// none yet. n must be at least 1.
func NewLatencies(n int) (*Latencies, error) {
	return nil, errors.New("not implemented: step 6, hedges, and several endpoints")
}

// Observe adds a latency, in place of the oldest once there are n.
func (l *Latencies) Observe(d time.Duration) {
	// not implemented: step 6, hedges, and several endpoints
}

// Quantile returns the smallest latency that at least the fraction q of the
// window does not exceed: with q = 0.95 and n = 100 the 95th. ok is false until
// there are n: a quantile of three is a guess.
func (l *Latencies) Quantile(q float64) (d time.Duration, ok bool) {
	return 0, false // not implemented: step 6, hedges, and several endpoints
}
