package partitiontest

import (
	"container/list"
	"context"
	"errors"
	"slices"
	"time"
)

// run is a shard's goroutine.
func (v *variant) run(s *vshard, ended chan struct{}) {
	defer close(ended)
	if v.fault == "a panic ends the shard" {
		defer func() { recover() }()
	}
	v.trim(s)
	for v.turnOf(s) {
	}
}

// trim evicts keys that Resize has brought here, and for which there is no room.
func (v *variant) trim(s *vshard) {
	for {
		v.mu.Lock()
		over, e := v.abandoned || s.max == 0 || len(s.keys) <= s.max, s.order.Front()
		v.mu.Unlock()
		if over || v.fault == "Resize leaves too many keys" || v.fault == "no bound on keys" {
			return
		}
		v.forget(s, e.Value.(*vkey))
	}
}

// turnOf does one thing: a message, some evictions, or a sleep. It reports false
// at the end.
func (v *variant) turnOf(s *vshard) bool {
	v.mu.Lock()
	if s.busy {
		s.busy = false
		v.n.Handled++
	}
	switch {
	case v.abandoned:
		v.mu.Unlock()
		return false
	case s.queue.Len() > 0 && !(v.fault == "Close forgets the queue" && v.closing):
		msg := v.pop(s)
		s.busy = v.fault != "counts what is handled at once"
		if !s.busy {
			v.n.Handled++
		}
		v.mu.Unlock()
		v.evictIdle(s, v.idleAt(msg), true)
		v.makeRoom(s, msg)
		if !v.discarded(s) {
			v.handle(s, msg)
		}
		return true
	case v.closing:
		v.mu.Unlock()
		if v.fault != "Close evicts nothing" {
			v.evictAll(s)
		}
		return false
	case s.stop:
		s.left = true
		v.mu.Unlock()
		return false
	}
	v.mu.Unlock()
	if !v.evictIdle(s, time.Now(), false) {
		return true // there may be more, and a message may have come
	}
	v.sleep(s)
	return true
}

// idleAt is the time by which it is decided who is idle, before msg.
func (v *variant) idleAt(msg vmessage) time.Time {
	if v.fault == "the clock decides who is idle" {
		return time.Now()
	}
	return msg.at
}

// pop takes the oldest message and lets the first waiter in. mu is held.
func (v *variant) pop(s *vshard) vmessage {
	e := s.queue.Front()
	if v.fault == "the newest first" {
		e = s.queue.Back()
	}
	msg := s.queue.Remove(e).(vmessage)
	if w := s.waiters.Front(); w != nil && v.fault != "nobody lets a waiter in" {
		first := s.waiters.Remove(w).(*vwaiter)
		if v.fault == "room for whoever comes by" {
			first.done <- errMoving // to look again
			return msg
		}
		if v.fault != "who waits grows old" {
			first.at = time.Now()
		}
		v.push(s, first.vmessage)
		first.done <- nil
	}
	return msg
}

func (v *variant) sleep(s *vshard) {
	v.mu.Lock()
	var alarm <-chan time.Time
	if oldest := s.order.Front(); v.o.IdleAfter > 0 && oldest != nil && v.fault != "only messages make it look" && v.fault != "never evicts" {
		timer := time.NewTimer(time.Until(oldest.Value.(*vkey).used.Add(v.o.IdleAfter)))
		defer timer.Stop()
		alarm = timer.C
	}
	v.mu.Unlock()
	select {
	case <-s.wake:
	case <-alarm:
	}
}

func (v *variant) handle(s *vshard, msg vmessage) {
	k := v.key(s, msg)
	state := &k.state
	switch v.fault {
	case "one state for all":
		state = &s.order.Front().Value.(*vkey).state
	case "a copy of the state":
		copied := k.state
		state = &copied
	case "holds the lock while it calls":
		v.mu.Lock()
		defer v.mu.Unlock()
	case "one handler at a time":
		v.big.Lock()
		defer v.big.Unlock()
	case "a goroutine for each handler":
		go v.o.Handle(msg.key, state, msg.m)
		return
	case "handles each message twice":
		v.o.Handle(msg.key, state, msg.m)
	}
	if v.fault == "a panic ends the shard" || v.fault == "a panic ends the process" {
		v.o.Handle(msg.key, state, msg.m)
		return
	}
	if !v.call(msg.key, func() { v.o.Handle(msg.key, state, msg.m) }) {
		switch v.fault {
		case "a panic leaves the state":
			return
		case "a panic is tried again":
			v.call(msg.key, func() { v.o.Handle(msg.key, state, msg.m) })
		case "a panic evicts the key":
			v.forget(s, k)
			return
		}
		if v.fault == "a panic counts as an eviction" {
			v.mu.Lock()
			v.n.Evicted++
			v.mu.Unlock()
		}
		v.drop(s, k)
	}
}

// discarded reports whether Close has given up meanwhile: the message that is
// next is discarded, too.
func (v *variant) discarded(s *vshard) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.abandoned || v.fault == "evictions see no Close by force" {
		return false
	}
	if s.busy {
		s.busy = false
		v.n.Discarded++
	}
	return true
}

// makeRoom evicts what has to go for the key of msg.
func (v *variant) makeRoom(s *vshard, msg vmessage) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for s.keys[msg.key] == nil && s.max > 0 && len(s.keys) >= s.max && v.fault != "no bound on keys" {
		oldest := s.order.Front().Value.(*vkey)
		if v.fault == "the newest key goes" {
			oldest = s.order.Back().Value.(*vkey)
		}
		v.mu.Unlock()
		v.forget(s, oldest)
		v.mu.Lock()
	}
}

// key is the entry of msg's key, the newest from now on.
func (v *variant) key(s *vshard, msg vmessage) *vkey {
	v.mu.Lock()
	e, known := s.keys[msg.key]
	if !known {
		e = s.order.PushBack(&vkey{key: msg.key})
		s.keys[msg.key] = e
		s.most = max(s.most, len(s.keys))
		v.n.Keys++
	}
	k := e.Value.(*vkey)
	if v.fault != "the first use counts" || !known {
		k.used = msg.at
		if v.fault == "used when it is handled" {
			k.used = time.Now()
		}
		s.order.MoveToBack(e)
	}
	v.mu.Unlock()
	return k
}

// call runs a callback, whose panic ends here.
func (v *variant) call(key string, f func()) (ok bool) { return v.callQuietly(key, false, f) }

// callQuietly is call; quiet, for a fault, tells nobody.
func (v *variant) callQuietly(key string, quiet bool, f func()) (ok bool) {
	defer func() {
		if ok {
			return
		}
		what := recover()
		v.mu.Lock()
		v.n.Panics++
		v.mu.Unlock()
		if v.o.OnPanic == nil || quiet || v.fault == "nobody hears of a panic" {
			return
		}
		if v.fault != "a panic of OnPanic ends the shard" {
			defer func() { recover() }()
		}
		v.o.OnPanic(key, what)
	}()
	f()
	return true
}

// evictIdle reports false when there may be more to evict.
func (v *variant) evictIdle(s *vshard, at time.Time, between bool) bool {
	if v.o.IdleAfter == 0 || v.fault == "never evicts" || v.fault == "a sweeper of its own" || between && v.fault == "a busy shard never looks" {
		return true
	}
	most := 64
	if v.fault == "65 evictions" {
		most = 65
	}
	if v.fault == "evicts all at once" {
		most = 1 << 30
	}
	for range most {
		v.mu.Lock()
		e, over := s.order.Front(), v.abandoned && v.fault != "evictions see no Close by force"
		v.mu.Unlock()
		if e == nil || over {
			return true
		}
		k := e.Value.(*vkey)
		idle := v.o.IdleAfter
		if v.fault == "evicts early" {
			idle /= 2
		}
		if k.used.Add(idle).After(at) {
			return true
		}
		v.forget(s, k)
	}
	return false
}

// forget shows a key to OnEvict, and drops it.
func (v *variant) forget(s *vshard, k *vkey) {
	if v.o.OnEvict != nil && v.fault != "OnEvict is not called" {
		if v.fault == "OnEvict's panic ends the shard" {
			v.o.OnEvict(k.key, &k.state)
		} else {
			v.callQuietly(k.key, v.fault == "nobody hears of OnEvict's panic", func() { v.o.OnEvict(k.key, &k.state) })
		}
	}
	v.drop(s, k)
	v.mu.Lock()
	v.n.Evicted++
	v.mu.Unlock()
}

func (v *variant) drop(s *vshard, k *vkey) {
	v.mu.Lock()
	defer v.mu.Unlock()
	e, known := s.keys[k.key]
	if !known || e.Value.(*vkey) != k {
		return
	}
	delete(s.keys, k.key)
	if v.fault != "the list keeps what the map forgets" {
		s.order.Remove(e)
	}
	v.n.Keys--
	if s.most >= 2048 && len(s.keys) < s.most/4 && v.fault != "the map keeps its size" {
		small := make(map[string]*list.Element, len(s.keys))
		for key, e := range s.keys {
			small[key] = e
		}
		s.keys, s.most = small, len(small)
	}
	if v.fault == "remembers all keys that ever were" {
		graveyard = append(graveyard, k)
	}
	if v.fault == "the map keeps its size" {
		graveyard = append(graveyard, &vkey{key: k.key})
	}
}

// graveyard is for faults that keep memory.
var graveyard []*vkey

func (v *variant) evictAll(s *vshard) {
	for {
		v.mu.Lock()
		e, over := s.order.Front(), v.abandoned
		v.mu.Unlock()
		if e == nil || over && v.fault != "goes on after a Close by force" {
			return
		}
		v.forget(s, e.Value.(*vkey))
	}
}

// sweep is for the fault "a sweeper of its own".
func (v *variant) sweep() {
	for {
		select {
		case <-v.closed:
			return
		case <-time.After(max(v.o.IdleAfter/4, 100*time.Microsecond)):
		}
		v.mu.Lock()
		shards := slices.Clone(v.shards)
		v.mu.Unlock()
		for _, s := range shards {
			for {
				v.mu.Lock()
				e := s.order.Front()
				idle := e != nil && time.Since(e.Value.(*vkey).used) >= v.o.IdleAfter
				v.mu.Unlock()
				if !idle {
					break
				}
				v.forget(s, e.Value.(*vkey))
			}
		}
	}
}

func (v *variant) Close(ctx context.Context) error {
	v.mu.Lock()
	if !v.closing {
		v.closing = true
		close(v.closed)
		for _, s := range v.shards {
			for w := s.waiters.Front(); w != nil && v.fault != "Close leaves who waits"; w = s.waiters.Front() {
				s.waiters.Remove(w).(*vwaiter).done <- errClosed
			}
			s.ring()
		}
	} else if v.fault == "the second Close panics" {
		v.mu.Unlock()
		close(v.closed)
	} else if v.fault == "the second Close does not wait" {
		v.mu.Unlock()
		return nil
	}
	v.mu.Unlock()
	if v.fault == "Close does not wait" {
		return nil
	}
	for _, ended := range v.ends() {
		if v.fault == "Close has no deadline" {
			<-ended
			continue
		}
		select {
		case <-ended:
		case <-ctx.Done():
			v.abandon()
			return ctx.Err()
		}
	}
	return nil
}

// ends are the ends of the shards there are when Resize has given up.
func (v *variant) ends() (all []chan struct{}) {
	v.turn.Lock()
	defer v.turn.Unlock()
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range v.shards {
		all = append(all, s.ended)
	}
	return all
}

func (v *variant) abandon() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.fault == "goes on after a Close by force" {
		return
	}
	v.abandoned = true
	shards := v.shards
	if v.fault == "a Close by force discards one queue" {
		shards = shards[:1]
	}
	for _, s := range shards {
		if v.fault != "discarded messages are not counted" {
			v.n.Discarded += uint64(s.queue.Len())
		}
		s.queue.Init()
	}
}

func (v *variant) Resize(ctx context.Context, n int) error {
	if n < 1 || v.o.MaxKeys > 0 && n > v.o.MaxKeys && v.fault != "resizes beyond the bound" {
		if v.fault == "resizes to nothing" {
			return nil
		}
		return errors.New("bad number of shards")
	}
	if v.fault != "Resizes run into each other" {
		v.turn.Lock()
		defer v.turn.Unlock()
	}
	v.mu.Lock()
	if v.closing {
		v.mu.Unlock()
		return errClosed
	}
	if v.fault == "resizes without a pause" {
		defer v.mu.Unlock()
		v.shards = append(v.shards, v.make(n)...)[len(v.shards):]
		for _, s := range v.shards {
			v.start(s)
		}
		return nil
	}
	v.moving = make(chan struct{})
	defer func() {
		v.mu.Lock()
		close(v.moving)
		v.moving = nil
		v.mu.Unlock()
	}()
	old := v.shards
	for _, s := range old {
		s.stop = true
		s.ring()
	}
	v.mu.Unlock()
	if err := v.drained(ctx, old); err != nil {
		v.mu.Lock()
		defer v.mu.Unlock()
		for _, s := range old {
			s.stop = false
			if s.left && v.fault != "a Resize that gives up leaves shards behind" {
				v.start(s)
			}
		}
		return err
	}
	v.move(old, n)
	return nil
}

func (v *variant) drained(ctx context.Context, shards []*vshard) error {
	for _, s := range shards {
		if v.fault == "Resize hears of no Close" {
			select {
			case <-s.ended:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if v.fault == "Resize waits for ever" {
			<-s.ended
			continue
		}
		select {
		case <-s.ended:
		case <-v.closed:
			return errClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// move gives the keys of old shards, whose goroutines have ended, to n new ones.
func (v *variant) move(old []*vshard, n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var all []*vkey
	for _, s := range old {
		for e := s.order.Front(); e != nil; e = e.Next() {
			all = append(all, e.Value.(*vkey))
		}
	}
	if v.fault != "Resize mixes up the order of use" {
		slices.SortStableFunc(all, func(a, b *vkey) int { return a.used.Compare(b.used) })
	}
	v.shards = v.make(n)
	for _, k := range all {
		if v.fault == "Resize forgets the keys" {
			v.n.Keys--
			continue
		}
		if v.fault == "Resize makes keys young" {
			k.used = time.Now().Add(time.Hour)
		}
		if v.fault == "Resize is use" {
			k.used = time.Now()
		}
		if v.fault == "Resize makes keys old" {
			k.used = time.Time{}
		}
		s := v.shards[v.index(k.key, n)]
		s.keys[k.key] = s.order.PushBack(k)
	}
	for _, s := range v.shards {
		v.start(s)
	}
}

func (v *variant) Stats() Stats {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := v.n
	n.Shards = len(v.shards)
	for _, s := range v.shards {
		n.Queued += s.queue.Len()
		if s.busy && v.fault != "what is in Handle is not counted" {
			n.Queued++
		}
	}
	return n
}
