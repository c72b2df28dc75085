package ratelimit

import (
	"context"
	"errors"
)

// Wait takes n tokens, and returns nil when they are there: at once, or after
// exactly the time that it takes them to flow in. Those who wait go in the order
// in which they came. It sleeps without a look at the clock.
//
// When ctx ends first, Wait returns ctx.Err() at once. When the deadline of ctx
// is known to be too early it does not wait at all, and returns [ErrTooLong].
// In both cases the tokens are not lost: those who wait behind move up. For an
// n below 1 or above the burst it returns [ErrCount].
func (l *Limiter) Wait(ctx context.Context, n int) error {
	return errors.New("not implemented: step 4, wait, in order")
}
