package backpressure

import (
	"testing"

	judge "github.com/asynclab/asynclab/harness/backpressuretest"
)

type subject = Channel[judge.Message]

func Test(t *testing.T)      { judge.Test(t, mine) }
func Benchmark(b *testing.B) { judge.Benchmark(b, mine) }

var mine = judge.Subject[Priority, Policy, Signal, *subject, *Credit, *Window]{
	Full: ErrFull, Shed: ErrShed, TooLarge: ErrTooLarge, Closed: ErrClosed, Overflow: ErrOverflow, Overrun: ErrOverrun,
	New:   func(o judge.Options[Policy, Signal]) (*subject, error) { return New(Options[judge.Message](o)) },
	Stats: func(c *subject) judge.Stats { return judge.Stats(c.Stats()) },
	NewBodies: func(n int) (judge.Bodies[Priority], error) {
		return New(Options[*judge.Body]{Capacity: n, Policy: DropLowest})
	},
	NewCredit: NewCredit, NewWindow: NewWindow}
