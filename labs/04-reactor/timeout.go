package reactor

import (
	"time"
)

// SetTimeout has OnTimeout called after d, once; never early, late by up to
// 200 ms. It takes the place of one that is pending; 0 only cancels. Its loop's
// goroutine only. O(1); nothing is allocated but at the first call.
func (c *Conn) SetTimeout(d time.Duration) {
	// step 6
}
