package batching

// Stats is what a writer has done and holds.
type Stats struct {
	Messages uint64 // accepted
	Bytes    uint64 // the sink has taken
	Lost     uint64 // messages accepted, and not written as a whole: their writers were told
	Writes   uint64 // calls of the sink

	BySize, ByDelay, WhenIdle, Asked uint64 // batches, by the first reason for which they were due

	Pending int // bytes accepted, and neither written yet nor lost
	Waiting int // Writes that wait for room
}

// Stats returns the counts.
func (w *Writer) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.stats
	s.Pending, s.Waiting = w.pending, len(w.waiters)
	return s
}

// count notes why a batch is written.
func (s *Stats) count(why reason) {
	switch why {
	case bySize:
		s.BySize++
	case byDelay:
		s.ByDelay++
	case whenIdle:
		s.WhenIdle++
	case asked:
		s.Asked++
	}
}
