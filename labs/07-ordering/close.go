package ordering

// Close ends the stream: Push takes nothing any more, and what is missing is
// given up, since nothing can bring it. What waits is delivered in order; what
// Deliver has no room for stays until Resume, also after Close. Stats.Pending is
// 0 when nothing is left. A second Close does nothing more.
//
// A sender that begins again at its first number begins another stream: close
// this Buffer and make one for the new stream.
func (b *Buffer[T]) Close() {
	// not implemented: step 7, the end
}
