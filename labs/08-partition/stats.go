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
	return Stats{} // not implemented: step 1, one key, one shard
}
