package ratelimit

import (
	"time"
)

// Bucket is a token bucket, and its whole state is the instant when it is full
// again: the generic cell rate algorithm (ITU-T I.371) in one word. The zero
// Bucket is full. It must not be copied after its first use, and must be used
// with one Limit and one origin of time.
type Bucket struct {
	// Yours to add: at most 16 bytes. What is the same for all buckets is in Limit.
}

// Take takes n tokens at the time now, and reports whether they were there:
// all or none. An n below 1 or above the burst is refused. A time earlier than
// one told before finds no more tokens than there were.
//
// Any goroutine. It takes no lock and allocates nothing; a refusal writes
// nothing.
func (b *Bucket) Take(l *Limit, now time.Duration, n int) bool {
	return false // not implemented: step 1, a bucket in one word
}
