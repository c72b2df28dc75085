package partition

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// Resize changes the number of shards while messages flow. Every key keeps its
// order and its state. It stops accepting, waits until everything accepted
// before is handled, moves the keys, and goes on: meanwhile Send waits and
// TrySend returns ErrFull. Where MaxKeys has become too small for the keys that
// meet on a shard, the ones used least recently are evicted.
//
// When ctx or the partition ends first, Resize returns ctx's error or ErrClosed
// and nothing has changed. It refuses a number below 1 or above MaxKeys. Calls
// at the same time take turns. Its cost is a sort of all keys.
func (p *Partition[V, S]) Resize(ctx context.Context, shards int) error {
	if shards < 1 {
		return fmt.Errorf("partition: resize to %d shards: there must be at least 1", shards)
	}
	if err := fits(p.opt.MaxKeys, shards); err != nil {
		return err
	}
	select {
	case <-p.closed:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	}
	gate := make(chan struct{})
	defer close(gate) // whoever waits looks up its shard again
	old := *p.table.Load()
	for _, s := range old {
		s.beginMove(gate)
	}
	if err := p.awaitDrained(ctx, old); err != nil {
		for _, s := range old {
			s.undoMove()
		}
		return err
	}
	p.replace(old, p.redistribute(old, shards))
	return nil
}

// beginMove has the goroutine drain and end, and keeps everybody out.
func (s *shard[V, S]) beginMove(gate chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.moved = gate
	s.wakeUp()
}

// undoMove lets the shard go on as if nothing had happened.
func (s *shard[V, S]) undoMove() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.moved = nil
	if s.left {
		s.start()
	}
}

// awaitMove waits until Resize has ended, if it has not already.
func (s *shard[V, S]) awaitMove(ctx context.Context, closed <-chan struct{}) error {
	s.mu.Lock()
	gate := s.moved
	s.mu.Unlock()
	if gate == nil {
		return nil
	}
	select {
	case <-gate:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-closed:
		return ErrClosed
	}
}

func (p *Partition[V, S]) awaitDrained(ctx context.Context, shards []*shard[V, S]) error {
	for _, s := range shards {
		select {
		case <-s.ended:
		case <-p.closed:
			return ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// redistribute moves the keys of old shards, whose goroutines have ended, to n
// new ones, in the order of their use.
func (p *Partition[V, S]) redistribute(old []*shard[V, S], n int) []*shard[V, S] {
	var all []*entry[S]
	for _, s := range old {
		for i := s.keys.oldest; i != none; i = s.keys.at(i).newer {
			all = append(all, s.keys.at(i))
		}
	}
	slices.SortStableFunc(all, func(a, b *entry[S]) int { return cmp.Compare(a.used, b.used) })
	shards := p.makeShards(n)
	for _, e := range all {
		shards[p.index(e.key, n)].keys.adopt(e)
	}
	return shards
}

// replace puts the new shards to work. The old ones' counts stay.
func (p *Partition[V, S]) replace(old, shards []*shard[V, S]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range old {
		p.retired.add(s.stats())
	}
	p.retired.Keys = 0 // they have moved
	for _, s := range shards {
		s.live.Store(int64(s.keys.len()))
		s.start()
	}
	p.table.Store(&shards)
}
