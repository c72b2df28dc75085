package ratelimit

import (
	"sync"
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
	limit   Limit // immutable
	maxKeys int   // immutable
	clock   clock // immutable

	mu     sync.Mutex
	young  map[K]int64 // guarded by mu: when full again; keys that took a token since turned
	old    map[K]int64 // guarded by mu: keys that took their last token before turned, all full by turned+depth
	turned int64       // guarded by mu: when young became old
	crowd  int64       // guarded by mu: the bucket of the keys that are too many
}

// NewKeyed returns a Keyed that knows no key. What [NewLimit] refuses is an
// error that wraps [ErrRate]; a negative MaxKeys is one, too.
func NewKeyed[K comparable](o KeyedOptions) (*Keyed[K], error) {
	limit, err := NewLimit(o.Rate, o.Burst)
	if err != nil {
		return nil, err
	}
	if o.MaxKeys < 0 {
		return nil, errNegative
	}
	if o.MaxKeys == 0 {
		o.MaxKeys = 1 << 20
	}
	k := &Keyed[K]{limit: limit, maxKeys: o.MaxKeys, clock: newClock(o.Now)}
	k.turned = k.clock.instant()
	k.young = map[K]int64{}
	return k, nil
}

// Allow takes one token from the bucket of key if it is there. It allocates
// nothing but room in a map for a new key.
func (k *Keyed[K]) Allow(key K) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.clock.instant()
	k.turn(t)
	full, known := k.find(key)
	if !known && len(k.young)+len(k.old) >= k.maxKeys {
		next, ok := k.limit.spend(k.crowd, t, 1)
		if ok {
			k.crowd = next
		}
		return ok
	}
	next, ok := k.limit.spend(full, t, 1)
	if ok {
		delete(k.old, key)
		k.young[key] = next
	}
	return ok
}

// Delay is how long it takes until key has a token, if nobody takes it: 0 when
// it has. It takes none.
func (k *Keyed[K]) Delay(key K) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	full, known := k.find(key)
	if !known && len(k.young)+len(k.old) >= k.maxKeys {
		full = k.crowd
	}
	t := k.clock.instant()
	end, _ := k.limit.spend(full, t, 1)
	return max(0, k.limit.due(end)-time.Duration(t/unit))
}

// Len is how many keys are remembered: at most MaxKeys.
func (k *Keyed[K]) Len() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.turn(k.clock.instant())
	return len(k.young) + len(k.old)
}

// find returns the state of key's bucket; 0 is full. mu is held.
func (k *Keyed[K]) find(key K) (full int64, known bool) {
	if full, known = k.young[key]; !known {
		full, known = k.old[key]
	}
	return full, known
}

// turn forgets, once in a fill time, the keys that took no token in the last
// one: their buckets are full. mu is held.
func (k *Keyed[K]) turn(t int64) {
	idle := t - k.turned
	if idle < k.limit.depth {
		return
	}
	k.old, k.young = k.young, map[K]int64{} // new maps: one that was large keeps its memory
	k.turned = t - idle%k.limit.depth       // not t: a late turn must not make the next one late
	if idle >= 2*k.limit.depth {
		k.old = nil
	}
}
