package queue

// Stats is what a log has done since it was opened, and holds.
type Stats struct {
	Records  uint64 // acknowledged
	Batches  uint64 // that they came in: an fsync each
	Pending  int    // bytes of records accepted and not yet on the disk
	Segments int    // files
	Bytes    int64  // in them
}

// Stats returns the counts.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.Segments = len(l.segments)
	for _, g := range l.segments {
		s.Bytes += g.size
	}
	return s
}

// GroupStats is what a group has done since it was opened, and holds.
type GroupStats struct {
	Committed   int64  // every offset below is done
	InFlight    int    // records delivered and not done
	Delivered   uint64 // by Receive
	Redelivered uint64 // of them, not for the first time
	Acked       uint64 // records
	Dead        uint64 // records that became dead letters
	Skipped     uint64 // records that Retain has removed before they were delivered
}

// Stats returns the counts.
func (g *Group) Stats() GroupStats {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.stats
	s.Committed, s.InFlight = g.committed, len(g.leases)
	return s
}
