package pooling

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

// Stats returns the counts. Its cost is a lock for each stack.
func (p *Pool) Stats() Stats {
	return Stats{} // not implemented: step 1, sizes, and a stack for each
}
