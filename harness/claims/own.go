package claims

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"github.com/asynclab/asynclab/harness/spec"
)

// Taken is what one measurement found, by key.
type Taken map[string]spec.Sample

// An Own is a measurement of this package: both sides of a claim that no lab's
// judge measures. It runs in this process and ends with its context.
type Own struct {
	Name string
	Keys []string
	Take func(ctx context.Context, quick bool) (Taken, error)
}

// Owns are all of them. quick ones are for a look and a test, not for a verdict.
var Owns = []Own{
	{"a thread for each connection", []string{ownThreads}, threads},
	{"an acceptor that sleeps, and one that is woken", []string{ownSleeping, ownPolling}, accepts},
	{"an echo server with make, and with a pool", []string{ownMake, ownPool}, echoes},
	{"append to nil, and make with the capacity", []string{ownPrealloc}, preallocation},
	{"a limiter whose wait is rounded down", []string{ownSpinning}, spinning},
}

// cpu is the CPU time of all threads of this process.
func cpu() time.Duration {
	var t unix.Timespec
	unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t)
	return time.Duration(t.Nano())
}
