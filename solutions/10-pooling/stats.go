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

// counts are the counters of a pool. Each is on a cache line of its own: several
// cores write them for every message.
type counts struct {
	hits, misses, oversize, returned, dropped counter
}

type counter struct {
	atomic.Uint64
	_ [56]byte
}

// Stats returns the counts.
func (p *Pool) Stats() Stats {
	s := Stats{
		Returned: p.counts.returned.Load(), // first: so InUse is not below 0
		Hits:     p.counts.hits.Load(),
		Misses:   p.counts.misses.Load(),
		Oversize: p.counts.oversize.Load(),
		Dropped:  p.counts.dropped.Load(),
		Idle:     int(p.idle.Load()),
	}
	s.InUse = int(s.Hits + s.Misses + s.Oversize - s.Returned)
	return s
}
