package ordering

import "time"

// Step 3 (a consumer that is full) goes here: the one loop that moves the next
// number on, by delivering and, from step 4 on, by giving up.

// Resume says that the consumer has room again, at time now: what Deliver has
// refused is offered again, and then what follows it, until Deliver refuses or
// nothing is left that can be delivered. It does no harm when nothing waits.
func (b *Buffer[T]) Resume(now time.Duration) {
	// not implemented: step 3, a consumer that is full
}
