package partition

// Stats is what a partition has done and holds. At every instant
// Sent = Handled + Queued + Discarded.
type Stats struct {
	Shards    int    // goroutines
	Keys      int    // keys that have a state
	Queued    int    // messages accepted and not handled yet, those being handled among them
	Sent      uint64 // messages accepted since New
	Handled   uint64 // messages whose Handle has ended, also in a panic
	Discarded uint64 // messages that Close has given up
	Panics    uint64 // callbacks that have panicked; OnPanic's own are not counted
	Evicted   uint64 // keys forgotten, for whatever reason but a panic of Handle
}

// Stats returns the counts. Its cost is one lock for each shard.
func (p *Partition[V, S]) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	total := p.retired
	shards := *p.table.Load()
	for _, s := range shards {
		total.add(s.stats())
	}
	total.Shards = len(shards)
	return total
}

func (s *shard[V, S]) stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	queued := s.n
	if s.busy {
		queued++
	}
	return Stats{Keys: int(s.live.Load()), Queued: queued, Sent: s.sent, Handled: s.handled,
		Discarded: s.discarded, Panics: s.panics.Load(), Evicted: s.evicted.Load()}
}

func (t *Stats) add(s Stats) {
	t.Keys += s.Keys
	t.Queued += s.Queued
	t.Sent += s.Sent
	t.Handled += s.Handled
	t.Discarded += s.Discarded
	t.Panics += s.Panics
	t.Evicted += s.Evicted
}
