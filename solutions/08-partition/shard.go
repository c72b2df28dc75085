package partition

import (
	"sync"
	"sync/atomic"
	"time"
)

// maxEvictions bounds the keys that are evicted between two waiting messages: a
// million keys that become idle in one second must not hold up the others.
const maxEvictions = 64

// shard is one goroutine, the queue in front of it, and the keys behind it.
type shard[V, S any] struct {
	// The ring holds n messages from head on. While there are waiters it is
	// full. sent = handled + discarded + n + (1 while busy).

	opt   *Options[V, S] // immutable
	began time.Time      // immutable: the zero of now

	keys  *keys[S]    // shard's goroutine only; Resize's when that has ended
	alarm *time.Timer // shard's goroutine only: when the oldest key becomes idle
	armed bool        // shard's goroutine only: alarm is set

	wake chan struct{} // holds a token when the goroutine has something to look at

	mu        sync.Mutex // guards the following
	ring      []message[V]
	head, n   int
	waiters   []*waiter[V] // Sends that wait for room, the first one first
	asleep    bool         // the goroutine waits for wake
	busy      bool         // a message is being handled
	sent      uint64
	handled   uint64
	discarded uint64
	closing   bool          // nothing is accepted any more; the goroutine drains and ends
	abandoned bool          // closing's deadline has passed: no further callback
	moved     chan struct{} // not nil while Resize is at work; closed at its end
	left      bool          // the goroutine has ended, or is about to: it looks at nothing any more
	ended     chan struct{} // closed when the goroutine has ended

	live    atomic.Int64 // keys.len, for Stats
	panics  atomic.Uint64
	evicted atomic.Uint64
}

func newShard[V, S any](o *Options[V, S], began time.Time, maxKeys int) *shard[V, S] {
	s := &shard[V, S]{opt: o, began: began, keys: newKeys[S](), wake: make(chan struct{}, 1), ring: make([]message[V], o.Queue)}
	s.keys.max = maxKeys
	s.alarm = time.NewTimer(time.Hour)
	s.alarm.Stop()
	return s
}

// start gives the shard its goroutine. s.mu is held, or nobody knows s yet.
func (s *shard[V, S]) start() {
	s.left, s.ended = false, make(chan struct{})
	go s.run(s.ended)
}

// now is the time in nanoseconds since the partition began, by the clock that
// never jumps.
func (s *shard[V, S]) now() int64 { return int64(time.Since(s.began)) }

// run handles messages until the shard is closing, or moving, and empty.
func (s *shard[V, S]) run(ended chan struct{}) {
	defer close(ended)
	s.fit()
	for {
		m, next := s.next()
		switch next {
		case handle:
			s.handle(m)
		case rest:
			if s.evict(s.now()) {
				s.sleep()
			}
		case leave:
			return
		case farewell:
			s.evictAll()
			return
		}
	}
}

// step is what the goroutine does next.
type step int

const (
	handle   step = iota
	rest          // nothing is queued
	leave         // end, and keep the keys
	farewell      // end, and evict all keys
)

// next notes that the last message is handled and takes the next one.
func (s *shard[V, S]) next() (m message[V], do step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy {
		s.busy = false
		s.handled++
	}
	switch {
	case s.abandoned:
		s.left = true
		return m, leave
	case s.n > 0:
		s.busy = true
		return s.pop(), handle
	case s.closing:
		return m, farewell
	case s.moved != nil:
		s.left = true
		return m, leave
	}
	return m, rest
}

// handle makes room, and calls Handle with the key's state.
func (s *shard[V, S]) handle(m message[V]) {
	before := s.evicted.Load()
	s.evict(m.at)
	i, known := s.keys.find(m.key)
	if !known && s.keys.full() {
		s.evictKey(s.keys.oldest)
	}
	if s.evicted.Load() != before && s.discard() {
		return
	}
	if !known {
		i = s.keys.add(m.key)
		s.live.Store(int64(s.keys.len()))
	}
	s.keys.touch(i, m.at)
	if !s.call(m.key, func() { s.opt.Handle(m.key, &s.keys.at(i).state, m.v) }) {
		s.keys.remove(i) // half changed, perhaps
		s.live.Store(int64(s.keys.len()))
	}
}

// discard gives up the message that was taken last, if Close's deadline has
// passed while OnEvict was at work.
func (s *shard[V, S]) discard() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.abandoned {
		s.busy = false
		s.discarded++
	}
	return s.abandoned
}

// call runs a callback. A panic ends here: it reports false. The stack is
// printed by nobody; OnPanic can, with debug.Stack.
func (s *shard[V, S]) call(key string, f func()) (ok bool) {
	defer func() {
		if ok {
			return
		}
		v := recover()
		s.panics.Add(1)
		if s.opt.OnPanic != nil {
			defer func() { recover() }() // OnPanic's own panic ends here, too
			s.opt.OnPanic(key, v)
		}
	}()
	f()
	return true
}

// sleep waits for a message, for Close or Resize, or for a key to become idle.
func (s *shard[V, S]) sleep() {
	s.mu.Lock()
	if s.n > 0 || s.closing || s.moved != nil {
		s.mu.Unlock()
		return
	}
	s.asleep = true
	s.mu.Unlock()
	s.setAlarm()
	select {
	case <-s.wake:
	case <-s.alarm.C:
		s.armed = false
		s.awake()
	}
}

// awake takes back what sleep has said. A token that was sent meanwhile stays,
// and costs one look for nothing.
func (s *shard[V, S]) awake() {
	s.mu.Lock()
	s.asleep = false
	s.mu.Unlock()
}

// wakeUp makes the goroutine look. s.mu is held.
func (s *shard[V, S]) wakeUp() {
	if s.asleep {
		s.asleep = false
		select {
		case s.wake <- struct{}{}:
		default: // a token that nobody has taken yet does it
		}
	}
}
