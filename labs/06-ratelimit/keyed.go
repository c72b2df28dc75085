package ratelimit

import (
	"errors"
	"time"
)

// KeyedOptions is the configuration of a [Keyed].
type KeyedOptions struct {
	// Rate and Burst are those of each key, as in Options.
	Rate  float64
	Burst int

	// MaxKeys bounds the keys that are remembered. While so many are, all new
	// ones share one bucket. 0 means 1<<20; NewKeyed refuses a negative value.
	MaxKeys int

	// Now tells the time. nil means the monotonic clock. Any goroutine calls it.
	Now func() time.Duration
}

// Keyed is a token bucket for each key: an address, a user. Make one with
// [NewKeyed]. Any goroutine may call its methods.
//
// A bucket that is full is as good as none, so a key is forgotten when its
// bucket is full again, and by the second fill time (Burst/Rate) after its last
// token at the latest, if anybody calls Allow then. That takes no look at each
// key: there are two maps, and the older is dropped as a whole.
type Keyed[K comparable] struct {
	// Yours to add: the limit, and what is remembered for each key.
}

// NewKeyed returns a Keyed that knows no key. What [NewLimit] refuses is an
// error that wraps [ErrRate]; a negative MaxKeys is one, too.
func NewKeyed[K comparable](o KeyedOptions) (*Keyed[K], error) {
	return nil, errors.New("not implemented: step 6, a bucket for each key")
}

// Allow takes one token from the bucket of key if it is there. It allocates
// nothing but room in a map for a new key.
func (k *Keyed[K]) Allow(key K) bool {
	return false // not implemented: step 6, a bucket for each key
}

// Delay is how long it takes until key has a token, if nobody takes it: 0 when
// it has. It takes none.
func (k *Keyed[K]) Delay(key K) time.Duration {
	return 0 // not implemented: step 6, a bucket for each key
}

// Len is how many keys are remembered: at most MaxKeys.
func (k *Keyed[K]) Len() int {
	return 0 // not implemented: step 6, a bucket for each key
}
