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
	return Stats{} // not implemented: step 1, gather, and write what came together
}
