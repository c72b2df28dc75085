package ordering

import "time"

// Step 4 (gaps) and step 5 (asking again) go here: what time does.

// Advance says that it is now. It gives up what was waited for long enough, and
// asks for what has been missing for long enough. Nothing happens before its
// time, and everything by the first Advance after it, but for one thing: what
// has expired behind a message that Deliver has no room for is given up when
// delivery comes to it. In a callback Advance only tells the time.
//
// It costs a comparison when Deadline has not come, and otherwise a walk over
// the gaps.
func (b *Buffer[T]) Advance(now time.Duration) {
	// not implemented: step 4, gaps
}

// Deadline is the time when Advance has something to do, and ok is false when
// there is none: nothing is missing, or only Resume can help. A Push, Advance,
// Resume or Close may change it.
//
// It is never late. It may be early, when what it stood for has come after all:
// then Advance does nothing but find the next one, which is later.
func (b *Buffer[T]) Deadline() (at time.Duration, ok bool) {
	return 0, false // not implemented: step 4, gaps
}
