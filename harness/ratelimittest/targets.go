package ratelimittest

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
	"golang.org/x/time/rate"
)

var targets = []spec.Target[lab]{
	{
		Name: "alone", Title: "Allow, one goroutine, against golang.org/x/time/rate", Points: 4, Section: "Targets",
		Why:  "Most requests are allowed, and nobody else asks at the moment: a look at the clock, a few comparisons and one atomic instruction.",
		Unit: "x-time-rate", Goal: spec.AtLeast, Bound: 2,
		Hints: [3]string{
			"What does your Allow do beside reading the clock?",
			"No lock, no defer, no floating point: one instant in an integer is the whole state.",
			"next := max(full, now) + n*interval; if next-now > depth { return false }; return b.full.CompareAndSwap(full, next)",
		},
		Measure: alone,
	},
	{
		Name: "contended", Title: "Allow, 8 goroutines on all cores, against golang.org/x/time/rate", Points: 5, Section: "Targets",
		Why:  "A limiter that everybody passes is a place where everybody meets. Behind a lock they queue up, and sleep, at the very moment of the flood that it is there for.",
		Unit: "x-time-rate", Goal: spec.AtLeast, Bound: 3,
		Hints: [3]string{
			"What happens to seven goroutines while the eighth holds your lock?",
			"A compare-and-swap that fails is tried again at once; a refusal need not write at all.",
			"Load, compute, CompareAndSwap in a loop; return false before the CompareAndSwap. The lock is for Wait and SetLimit.",
		},
		Measure: contended,
	},
	{
		Name: "allocations", Title: "allocations in a million calls of Allow and Wait that need not wait", Points: 4, Section: "Targets",
		Why:  "A limiter is asked once for each request. What it allocates is garbage at the rate of the requests.",
		Unit: "allocations/Mcall", Goal: spec.AtMost, Bound: 10,
		Hints: [3]string{
			"Which of your values outlives the call?",
			"A waiter with its channel is for those who wait. Try AllowN first.",
			"Wait: if l.AllowN(n) { return nil } before anything else is made.",
		},
		Measure: allocations,
	},
	{
		Name: "waiting", Title: "CPU time of 20 who wait for a second, of a core", Points: 4, Section: "Targets",
		Why:  "The article's limiter rounds the time to sleep down to nothing and asks two million times a second: whoever waits takes a whole core from those who work.",
		Unit: "%-of-a-core", Goal: spec.AtMost, Bound: 1,
		Hints: [3]string{
			"Who wakes up while nobody may go, and why?",
			"When a token will come is known to the nanosecond. One timer for the first in the line is enough.",
			"time.AfterFunc(due(first) - now, release); release wakes those who are due and sets the timer for the next one.",
		},
		Measure: waiting,
	},
	{
		Name: "bucket", Title: "memory of one bucket", Points: 2, Section: "Targets",
		Why:  "A server with a limit for each client has 100,000 of them, and most are full: what is the same for all is not kept in each.",
		Unit: "bytes", Goal: spec.AtMost, Bound: 16,
		Hints: [3]string{
			"Which fields of your bucket are the same in all buckets?",
			"Rate and burst belong to the limit. A count of tokens and the time when it was right can be one number: the instant when the bucket is full again.",
			"type Bucket struct { full atomic.Int64 }, and Take is given the Limit.",
		},
		Measure: func(_ *spec.Run, l lab) (spec.Sample, error) {
			return spec.Sample{Value: float64(l.BucketSize)}, nil
		},
	},
}

const (
	rounds = 7
	calls  = 1_000_000
	plenty = 1e7 // tokens a second: nobody is refused at first
)

// against measures yours and x/time/rate by turns, and takes the median of how
// many times as fast yours is.
func against(l lab, cost func(allow func() bool) (float64, error)) (spec.Sample, error) {
	var ratios, mine, base []float64
	for range rounds {
		ours, err := l.New(Options{Rate: plenty, Burst: calls})
		if err != nil {
			return spec.Sample{}, err
		}
		theirs := rate.NewLimiter(plenty, calls)
		a, err := cost(ours.Allow)
		if err != nil {
			return spec.Sample{}, err
		}
		b, err := cost(theirs.Allow)
		if err != nil {
			return spec.Sample{}, err
		}
		ratios, mine, base = append(ratios, b/a), append(mine, a), append(base, b)
	}
	return spec.Sample{Value: median(ratios), Also: map[string]float64{"ns/call": median(mine), "x/time/rate ns/call": median(base)}}, nil
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// alone is CPU time: one goroutine never waits for another.
func alone(_ *spec.Run, l lab) (spec.Sample, error) {
	return against(l, func(allow func() bool) (float64, error) {
		before, err := meter.Self()
		if err != nil {
			return 0, err
		}
		for range calls {
			allow()
		}
		after, err := meter.Self()
		return float64(before.Until(after).CPU()) / calls, err
	})
}

// contended is wall time: that is what goroutines lose when they wait for each
// other.
func contended(_ *spec.Run, l lab) (spec.Sample, error) {
	cores, undo, err := meter.AllCores()
	if err != nil {
		return spec.Sample{}, err
	}
	defer undo()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
	return against(l, func(allow func() bool) (float64, error) {
		const goroutines = 8
		var all sync.WaitGroup
		began := time.Now()
		for range goroutines {
			all.Go(func() {
				for range calls / goroutines {
					allow()
				}
			})
		}
		all.Wait()
		return float64(time.Since(began)) / calls, nil
	})
}

func allocations(r *spec.Run, l lab) (spec.Sample, error) {
	limiter, err := l.New(Options{Rate: plenty, Burst: 2 * calls})
	if err != nil {
		return spec.Sample{}, err
	}
	limiter.Allow()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	ctx := r.Context()
	for range calls / 2 {
		limiter.Allow()
		if err := limiter.Wait(ctx, 1); err != nil {
			return spec.Sample{}, spec.Fail("Wait to return nil: the tokens are there", "it returned %v", err)
		}
	}
	runtime.ReadMemStats(&after)
	return spec.Sample{Value: float64(after.Mallocs-before.Mallocs) / calls * 1e6}, nil
}

// waiting has 20 goroutines wait for a token each, 20 of which come in a second.
func waiting(r *spec.Run, l lab) (spec.Sample, error) {
	limiter, err := l.New(Options{Rate: 20, Burst: 1})
	if err != nil {
		return spec.Sample{}, err
	}
	runtime.GC()
	before, err := meter.Self()
	if err != nil {
		return spec.Sample{}, err
	}
	began := time.Now()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { limiter.Wait(ctx, 1) })
	}
	all.Wait()
	took := time.Since(began)
	after, err := meter.Self()
	return spec.Sample{Value: 100 * float64(before.Until(after).CPU()) / float64(took), Also: map[string]float64{"ms": float64(took.Milliseconds())}}, err
}
