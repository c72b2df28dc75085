package backpressure

// Discard drops every message that is queued, lets waiting senders in as far as
// there is room then, and returns how many it has dropped. It gives the queue's
// memory back.
func (c *Channel[T]) Discard() int {
	return 0 // not implemented: step 2, a bound
}

// Making room goes here: what may be pushed out for a message, whether that would
// be enough, and the pushing (step 2).
