package backpressure

// Slow reports whether producers should hold back: SlowDown was raised, and
// Resume was not yet. It is for those who ask, as OnSignal is for those who are
// told.
func (c *Channel[T]) Slow() bool {
	return false // not implemented: step 5, watermarks
}
