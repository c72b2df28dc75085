package partitiontest

import (
	"container/list"
	"context"
	"errors"
	"hash/fnv"
	"hash/maphash"
	"runtime"
	"sync"
	"time"
)

// fault is one way in which a variant is wrong. It is a word for the reader;
// the code says what each does.
type fault string

var (
	errFull   = errors.New("full")
	errClosed = errors.New("closed")
)

// variant is a right partition in another style than the solution's: one lock
// for everything but the callbacks, lists from the standard library for queues
// and for the order of use, one condition for each waiting Send, and a timer that
// wakes the shard. With a fault it is a mutant.
type variant struct {
	o     Options
	fault fault
	seed  maphash.Seed

	mu        sync.Mutex // guards the following, and all shards
	shards    []*vshard
	n         Stats
	moving    chan struct{} // not nil while Resize works; closed at its end
	closing   bool
	abandoned bool
	closed    chan struct{}
	turn      sync.Mutex // for Resize: one after the other
	big       sync.Mutex // for faults: held where nothing should be
}

type vshard struct {
	queue   *list.List // of vmessage
	waiters *list.List // of *vwaiter
	keys    map[string]*list.Element
	order   *list.List // of *vkey, the one used longest ago first
	max     int
	most    int // keys since the map was made
	busy    bool
	wake    chan struct{}
	ended   chan struct{}
	stop    bool // end when the queue is empty: Resize
	left    bool // the goroutine has decided to end
}

type vmessage struct {
	key string
	m   Message
	at  time.Time
}

type vkey struct {
	key   string
	used  time.Time
	state State
}

type vwaiter struct {
	vmessage
	done chan error
}

func variantLab(f fault) lab {
	return lab{Full: errFull, Closed: errClosed, New: func(o Options) (judged, error) { return newVariant(o, f) }}
}

func newVariant(o Options, f fault) (judged, error) {
	if f != "checks nothing" && (o.Handle == nil || o.Shards < 0 || o.Queue < 0 || o.IdleAfter < 0 || o.MaxKeys < 0) {
		return nil, errors.New("bad options")
	}
	if o.Handle == nil {
		o.Handle = func(string, *State, Message) {}
	}
	if o.Shards <= 0 {
		o.Shards = runtime.GOMAXPROCS(0)
		if f == "0 shards are one too many" {
			o.Shards++
		}
	}
	if o.Queue <= 0 {
		o.Queue = 1024
	}
	if o.MaxKeys > 0 && o.MaxKeys < o.Shards && f != "a bound below the shards" {
		return nil, errors.New("bad bound")
	}
	if f == "one queue for all" {
		o.Shards = 1
	}
	v := &variant{o: o, fault: f, seed: maphash.MakeSeed(), closed: make(chan struct{})}
	v.shards = v.make(o.Shards)
	for _, s := range v.shards {
		v.start(s)
	}
	if f == "a sweeper of its own" && o.IdleAfter > 0 {
		go v.sweep()
	}
	return v, nil
}

func (v *variant) make(n int) []*vshard {
	var all []*vshard
	for range n {
		s := &vshard{queue: list.New(), waiters: list.New(), keys: map[string]*list.Element{}, order: list.New(), wake: make(chan struct{}, 1)}
		if v.o.MaxKeys > 0 {
			s.max = max(1, v.o.MaxKeys/n)
			if v.fault == "the whole bound for each shard" {
				s.max = v.o.MaxKeys
			}
		}
		all = append(all, s)
	}
	return all
}

func (v *variant) start(s *vshard) {
	s.ended, s.stop, s.left = make(chan struct{}), false, false
	go v.run(s, s.ended)
	if v.fault == "two goroutines for a shard" {
		go v.run(s, make(chan struct{}))
	}
}

func (s *vshard) ring() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (v *variant) Shard(key string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.index(key, len(v.shards))
}

func (v *variant) index(key string, n int) int {
	switch v.fault {
	case "hashes the first byte":
		if key == "" {
			return 0
		}
		return int(key[0]) % n
	case "hashes the length":
		return len(key) % n
	case "sums the bytes":
		sum := 0
		for i := range len(key) {
			sum += int(key[i])
		}
		return sum % n
	case "no seed":
		h := fnv.New64a()
		h.Write([]byte(key))
		return int(h.Sum64() % uint64(n))
	case "Resize uses no more shards":
		return int(maphash.String(v.seed, key)%uint64(v.o.Shards)) % n
	case "a negative remainder":
		return int(int64(maphash.String(v.seed, key))) % n
	case "one too many shards":
		return int(maphash.String(v.seed, key) % uint64(n+1))
	case "the empty key has no bytes":
		_ = key[0]
	}
	return int(maphash.String(v.seed, key) % uint64(n))
}

func (v *variant) Send(ctx context.Context, key string, m Message) error {
	switch v.fault {
	case "a goroutine for each message":
		go v.send(ctx, key, m)
		runtime.Gosched()
		return nil
	case "waits with a lock that all need":
		v.big.Lock()
		defer v.big.Unlock()
	}
	return v.send(ctx, key, m)
}

func (v *variant) send(ctx context.Context, key string, m Message) error {
	for {
		w, err := v.put(key, m, true)
		switch {
		case err == errMoving:
			if err := v.awaitMove(ctx); err != nil {
				return err
			}
			continue
		case w == nil:
			return err
		}
		if v.fault == "Send ignores its context" {
			return <-w.done
		}
		select {
		case err := <-w.done:
			if err == errMoving {
				continue // for the fault "room for whoever comes by"
			}
			return err
		case <-ctx.Done():
			return v.giveUp(ctx, key, w)
		}
	}
}

// giveUp takes w out of the line, if it is still there.
func (v *variant) giveUp(ctx context.Context, key string, w *vwaiter) error {
	if v.fault == "who gives up is handled all the same" {
		return ctx.Err()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range v.shards {
		for e := s.waiters.Front(); e != nil; e = e.Next() {
			if e.Value == w {
				s.waiters.Remove(e)
				if v.fault == "who gives up takes the next one along" && s.waiters.Len() > 0 {
					s.waiters.Remove(s.waiters.Front())
				}
				return ctx.Err()
			}
		}
	}
	err := <-w.done
	switch {
	case v.fault == "gives up although it was accepted":
		return ctx.Err()
	case v.fault == "sent home, it says nil":
		return nil
	}
	return err
}

var errMoving = errors.New("moving")

func (v *variant) TrySend(key string, m Message) error {
	_, err := v.put(key, m, false)
	if err == errMoving && v.fault == "TrySend waits for Resize" {
		v.awaitMove(context.Background())
		return v.TrySend(key, m)
	}
	if err == errMoving {
		return errFull
	}
	return err
}

func (v *variant) awaitMove(ctx context.Context) error {
	v.mu.Lock()
	moved := v.moving
	v.mu.Unlock()
	if moved == nil {
		return nil
	}
	if v.fault == "Send waits for Resize, whatever its context says" {
		ctx = context.Background()
	}
	select {
	case <-moved:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-v.closed:
		return errClosed
	}
}

func (v *variant) put(key string, m Message, wait bool) (*vwaiter, error) {
	if v.fault == "looks before it locks" {
		v.mu.Lock()
		closing := v.closing
		v.mu.Unlock()
		if closing {
			return nil, errClosed
		}
		runtime.Gosched()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.shards[v.index(key, len(v.shards))]
	msg := vmessage{key, m, time.Now()}
	room := s.queue.Len() < v.o.Queue
	switch v.fault {
	case "one more fits":
		room = s.queue.Len() <= v.o.Queue
	case "no bound":
		room = true
	case "one place for all shards":
		total := 0
		for _, o := range v.shards {
			total += o.queue.Len()
		}
		room = total < v.o.Queue
	}
	switch {
	case v.closing && v.fault == "accepts after Close":
		v.n.Sent++
		return nil, nil
	case v.closing && v.fault != "looks before it locks":
		return nil, errClosed
	case v.moving != nil && v.fault != "accepts while it moves":
		return nil, errMoving
	case room && (s.waiters.Len() == 0 || v.fault == "room for whoever comes by"):
		v.push(s, msg)
		return nil, nil
	case !wait:
		if v.fault == "another error when full" {
			return nil, errors.New("no")
		}
		return nil, errFull
	}
	if v.fault == "Send drops what does not fit" {
		return nil, nil
	}
	w := &vwaiter{msg, make(chan error, 1)}
	if v.fault == "the last to wait goes first" {
		s.waiters.PushFront(w)
	} else {
		s.waiters.PushBack(w)
	}
	return w, nil
}

func (v *variant) push(s *vshard, msg vmessage) {
	v.n.Sent++
	s.queue.PushBack(msg)
	s.ring()
}
