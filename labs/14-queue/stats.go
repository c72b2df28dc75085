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
	return Stats{} // not implemented: step 2, acknowledged means on the disk
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
	return GroupStats{} // not implemented: step 8, groups
}
