package backpressure

// Close ends the sending: Sends that wait, and all that come later, return
// ErrClosed, and these are not counted. What is queued can still be received;
// a receiver that finds nothing returns ErrClosed. A second Close does nothing.
func (c *Channel[T]) Close() {
	// not implemented: step 7, the end
}
