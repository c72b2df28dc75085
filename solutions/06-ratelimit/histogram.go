package ratelimit

import (
	"math"
	"math/bits"
	"time"
)

// longestLatency is where the histogram ends.
const longestLatency = time.Hour

// histogram counts latencies in 16 bins for each power of two, so that a bin is
// at most 1/16 wide, and its middle at most 1/32 wrong. The zero histogram is
// empty.
type histogram struct {
	count int
	bins  [40 * 16]uint32 // an hour is below 2^42 ns; the first 16 bins hold 0 to 15 ns
}

func (h *histogram) add(d time.Duration) {
	h.count++
	h.bins[bin(uint64(min(max(0, d), longestLatency)))]++
}

// bin is where v is counted: its highest bit says which 16 bins, the next four
// bits which of them.
func bin(v uint64) int {
	if v < 16 {
		return int(v)
	}
	shift := bits.Len64(v) - 5
	return 16*shift + int(v>>shift) // v>>shift is 16 to 31
}

// middle is the latency in the middle of bin i.
func middle(i int) time.Duration {
	if i < 32 {
		return time.Duration(i)
	}
	shift := i/16 - 1
	return time.Duration((16+i%16)<<shift + 1<<(shift-1))
}

// quantile is the latency that a part q of all does not exceed.
func (h *histogram) quantile(q float64) time.Duration {
	left := int(math.Ceil(q * float64(h.count)))
	for i, n := range h.bins {
		if left -= int(n); left <= 0 {
			return middle(i)
		}
	}
	return longestLatency
}
