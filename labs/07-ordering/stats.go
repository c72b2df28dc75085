package ordering

// Stats is what a buffer has done and holds. At every instant, in callbacks
// too, Received = Delivered + Pending + Old + Duplicates + Refused, and
// Delivered + Lost is how far Next has come from First.
type Stats struct {
	Pending    int    // messages taken and not delivered, the one being offered among them
	Received   uint64 // messages that Push has decided on, but for those after Close
	Delivered  uint64 // messages that Deliver has taken
	Old        uint64 // not taken: the number was delivered or given up before
	Duplicates uint64 // not taken: a message with this number waits
	Refused    uint64 // not taken: beyond the window
	Lost       uint64 // numbers given up
	Requested  uint64 // numbers asked for, each time anew
}

// Stats returns the counts.
func (b *Buffer[T]) Stats() Stats {
	return Stats{} // not implemented: step 1, in order
}
