package ratelimit

import "time"

// clock tells the time since an origin: the caller's, or the moment when it was
// made.
type clock struct {
	start time.Time            // immutable
	tell  func() time.Duration // immutable; nil is the monotonic clock
}

func newClock(tell func() time.Duration) clock { return clock{time.Now(), tell} }

func (c *clock) now() time.Duration {
	if c.tell != nil {
		return c.tell()
	}
	return time.Since(c.start) // reads the monotonic clock alone: half of time.Now
}

// instant is now in units.
func (c *clock) instant() int64 { return int64(c.now()) * unit }
