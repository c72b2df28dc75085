package backpressure

// Stats is what a channel has done and holds. At every instant
// Sent = Received + Queued + Shed + Rejected + Canceled + Evicted + Discarded.
type Stats struct {
	Queued    int // messages accepted and neither received nor dropped
	Bytes     int // the sum of their sizes
	Senders   int // Sends that wait for room; they are not in Sent yet
	Receivers int // Receives that wait for a message

	Sent      uint64 // messages that Send and TrySend have decided on, but for those after Close
	Received  uint64 // messages that a receiver has got
	Shed      uint64 // refused: ErrShed
	Rejected  uint64 // refused: ErrFull and ErrTooLarge
	Canceled  uint64 // refused: ctx has ended while Send waited
	Evicted   uint64 // dropped from the queue to make room for others
	Discarded uint64 // dropped from the queue by Discard

	SlowDowns uint64 // signals raised
	Resumes   uint64 // signals raised: as many as SlowDowns, or one less
}

// Stats returns the counts as they are at one instant.
func (c *Channel[T]) Stats() Stats {
	return Stats{} // not implemented: step 1, and complete in step 6, the books
}

// Len is the number of messages that are queued.
func (c *Channel[T]) Len() int {
	return 0 // not implemented: step 1, a queue with three levels
}
