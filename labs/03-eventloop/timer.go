package eventloop

import (
	"time"
)

// AfterFunc runs fn on the loop's goroutine after d, never earlier, and later by
// up to a millisecond and whatever the loop is busy with. stop reports whether
// it prevented the call. Call both on the loop's goroutine (inside a callback or
// a Post) only. A timer does not hold up a Shutdown: what has not fired when Run
// ends never does. A panic in fn ends Run.
func (l *Loop) AfterFunc(d time.Duration, fn func()) (stop func() bool) {
	return func() bool { return false } // not implemented: step 6, timers
}
