package partition

import (
	"context"
	"slices"
)

// message is one accepted message in its shard's queue.
type message[V any] struct {
	key string
	v   V
	at  int64 // when it was accepted, see shard.now; 0 where nothing depends on it
}

// waiter is a Send that waits for room. Who makes room moves the message in and
// closes done, so that nobody can overtake it.
type waiter[V any] struct {
	key  string
	v    V
	done chan struct{}
	err  error // set before done is closed
}

// verdict is what became of a message that was put.
type verdict int

const (
	accepted verdict = iota
	full             // no room
	mustWait         // no room, and the message waits for it
	moving           // Resize is at work: the key may get another shard
	closing
)

// put appends a message. Where there is no room it leaves a waiter, if asked to
// wait. Any goroutine.
func (s *shard[V, S]) put(key string, v V, wait bool) (*waiter[V], verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing:
		return nil, closing
	case s.moved != nil:
		return nil, moving
	case s.n < len(s.ring) && len(s.waiters) == 0:
		s.push(key, v)
		return nil, accepted
	case !wait:
		return nil, full
	}
	w := &waiter[V]{key: key, v: v, done: make(chan struct{})}
	s.waiters = append(s.waiters, w)
	return w, mustWait
}

// push appends to the ring, which has room. The time is read under the lock, so
// that it never runs backwards along the queue. s.mu is held.
func (s *shard[V, S]) push(key string, v V) {
	m := &s.ring[s.wrap(s.head+s.n)]
	m.key, m.v = key, v
	if s.opt.IdleAfter > 0 || s.opt.MaxKeys > 0 {
		m.at = s.now()
	}
	s.n++
	s.sent++
	s.wakeUp()
}

// pop takes the oldest message and lets the first waiter in. s.mu is held.
func (s *shard[V, S]) pop() message[V] {
	m := s.ring[s.head]
	s.ring[s.head] = message[V]{} // the garbage collector's now
	s.head = s.wrap(s.head + 1)
	s.n--
	if len(s.waiters) > 0 {
		w := s.waiters[0]
		s.waiters[0] = nil
		s.waiters = s.waiters[1:]
		s.push(w.key, w.v)
		close(w.done)
	}
	return m
}

// wrap brings an index back into the ring, without the cost of a division.
func (s *shard[V, S]) wrap(i int) int {
	if i >= len(s.ring) {
		return i - len(s.ring)
	}
	return i
}

// await waits until w's message is accepted or refused, or ctx ends.
func (s *shard[V, S]) await(ctx context.Context, w *waiter[V]) error {
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
	}
	if s.withdraw(w) {
		return ctx.Err()
	}
	<-w.done // closed already: room came first
	return w.err
}

// withdraw takes w out of the line. It reports false when w has left it already.
func (s *shard[V, S]) withdraw(w *waiter[V]) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.waiters, w)
	if i < 0 {
		return false
	}
	s.waiters = slices.Delete(s.waiters, i, i+1)
	return true
}

// refuseWaiters sends everybody in the line home. s.mu is held.
func (s *shard[V, S]) refuseWaiters() {
	for _, w := range s.waiters {
		w.err = ErrClosed
		close(w.done)
	}
	s.waiters = nil
}
