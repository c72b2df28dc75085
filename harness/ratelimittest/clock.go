package ratelimittest

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

const (
	ms  = time.Millisecond
	sec = time.Second
)

// clock is a time that the rule sets, in nanoseconds.
type clock struct{ atomic.Int64 }

func (c *clock) now() time.Duration        { return time.Duration(c.Load()) }
func (c *clock) to(at time.Duration)       { c.Store(int64(at)) }
func (c *clock) after(pause time.Duration) { c.Add(int64(pause)) }

// limiter makes one that reads c.
func (c *clock) limiter(l lab, rate float64, burst int) (Limiter, error) {
	return l.New(Options{Rate: rate, Burst: burst, Now: c.now})
}

// count says how often ask says yes, asked n times.
func count(n int, ask func() bool) (yes int) {
	for range n {
		if ask() {
			yes++
		}
	}
	return yes
}

// want fails where got is another figure.
func want[T comparable](what string, expected, got T) error {
	if got != expected {
		return spec.Fail(fmt.Sprintf("%s: %v", what, expected), "it is %v", got)
	}
	return nil
}

// first is the first error.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
