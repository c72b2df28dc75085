package ratelimit

import (
	"sync/atomic"
	"time"
)

// Bucket is a token bucket, and its whole state is the instant when it is full
// again: the generic cell rate algorithm (ITU-T I.371) in one word. The zero
// Bucket is full. It must not be copied after its first use, and must be used
// with one Limit and one origin of time.
type Bucket struct {
	full atomic.Int64 // in units; in the past when the bucket is full
}

// Take takes n tokens at the time now, and reports whether they were there:
// all or none. An n below 1 or above the burst is refused. A time earlier than
// one told before finds no more tokens than there were.
//
// Any goroutine. It takes no lock and allocates nothing; a refusal writes
// nothing.
func (b *Bucket) Take(l *Limit, now time.Duration, n int) bool {
	if !l.fits(n) {
		return false
	}
	t := int64(now) * unit
	for {
		full := b.full.Load()
		next, ok := l.spend(full, t, n)
		if !ok {
			return false
		}
		if b.full.CompareAndSwap(full, next) {
			return true
		}
	}
}

// owe takes n tokens whether they are there or not, and returns the instant
// when the bucket will be full then.
func (b *Bucket) owe(l *Limit, t int64, n int) (end int64) {
	for {
		full := b.full.Load()
		next, _ := l.spend(full, t, n)
		if b.full.CompareAndSwap(full, next) {
			return next
		}
	}
}
