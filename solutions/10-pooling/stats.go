package pooling

import "sync/atomic"

// Stats is what a pool has done and holds. While nobody calls Get or Release,
// Hits + Misses + Oversize = Returned + InUse.
type Stats struct {
	Hits     uint64 // Gets that found a buffer
	Misses   uint64 // Gets that had to make one
	Oversize uint64 // Gets above MaxSize
	Returned uint64 // buffers given back
	Dropped  uint64 // of these, left to the garbage collector: by the bound, by Trim, oversize
	InUse    int    // lent at this moment
	Idle     int    // bytes that wait to be lent
}

// counts are the counters of what is rare. Hits and what was stored are counted
// by the stacks, whose locks are held anyway: a counter that all cores write for
// every message costs more than the message.
type counts struct {
	misses, oversize, gone, dropped atomic.Uint64 // gone: given back and not stored
	trimmed                         atomic.Uint64 // taken by Trim, and so counted as hits
}

// Stats returns the counts. Its cost is a lock for each stack.
func (p *Pool) Stats() Stats {
	s := Stats{
		Hits:     -p.counts.trimmed.Load(),
		Misses:   p.counts.misses.Load(),
		Oversize: p.counts.oversize.Load(),
		Returned: p.counts.gone.Load(),
		Dropped:  p.counts.dropped.Load(),
		Idle:     int(p.idle.Load()),
	}
	for c := range p.classes {
		for i := range p.classes[c].stacks {
			hits, returned := p.classes[c].stacks[i].counts()
			s.Hits += hits
			s.Returned += returned
		}
	}
	s.InUse = int(s.Hits + s.Misses + s.Oversize - s.Returned)
	return s
}

func (s *stack) counts() (hits, returned uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hits, s.returned
}
