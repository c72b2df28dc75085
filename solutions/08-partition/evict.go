package partition

import "time"

// evict forgets keys that are idle at the time at. It reports false when there
// may be more: it stops after maxEvictions, to look for messages.
//
// at is when the message that comes next was accepted, or, when none is queued,
// now. All messages accepted before at are handled, for a queue keeps its
// order. So a key whose last message is IdleAfter older than at had none for
// that long, however slow the shard is; what waits in the queue does not make
// its key idle.
func (s *shard[V, S]) evict(at int64) (done bool) {
	idle := int64(s.opt.IdleAfter)
	if idle == 0 {
		return true
	}
	for range maxEvictions {
		oldest := s.keys.oldest
		if oldest == none || s.keys.at(oldest).used+idle > at {
			return true
		}
		s.evictKey(oldest)
		if s.isAbandoned() {
			return false
		}
	}
	return false
}

// evictKey shows the state to OnEvict and forgets it.
func (s *shard[V, S]) evictKey(i int32) {
	if s.opt.OnEvict != nil {
		e := s.keys.at(i)
		s.call(e.key, func() { s.opt.OnEvict(e.key, &e.state) })
	}
	s.evicted.Add(1)
	s.keys.remove(i)
	s.keys.compact()
	s.live.Store(int64(s.keys.len()))
}

// evictAll forgets every key, unless Close's deadline passes meanwhile.
func (s *shard[V, S]) evictAll() {
	for s.keys.oldest != none && !s.isAbandoned() {
		s.evictKey(s.keys.oldest)
	}
}

func (s *shard[V, S]) isAbandoned() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.abandoned
}

// fit makes the keys that Resize has moved here fit the bound.
func (s *shard[V, S]) fit() {
	for s.keys.max > 0 && s.keys.len() > s.keys.max && !s.isAbandoned() {
		s.evictKey(s.keys.oldest)
	}
}

// setAlarm has sleep end when the oldest key becomes idle. An alarm that is set
// already may ring too early, never too late: keys only become younger.
func (s *shard[V, S]) setAlarm() {
	if s.opt.IdleAfter == 0 || s.armed || s.keys.oldest == none {
		return
	}
	s.alarm.Reset(s.untilIdle())
	s.armed = true
}

func (s *shard[V, S]) untilIdle() time.Duration {
	return time.Duration(s.keys.at(s.keys.oldest).used - s.now() + int64(s.opt.IdleAfter))
}
