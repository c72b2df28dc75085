package ratelimittest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

const step8 = "Step 8: limit what is there at a time"

var concurrencyRules = []spec.Rule[lab]{
	{
		Name: "InFlightIsBounded", Group: "concurrency", Points: 3, Section: step8,
		Why: "The one promise: never more than the limit at a time, whoever asks at the same moment; and what is given back can be taken again.",
		Hints: [3]string{
			"What lies between your comparison and your addition?",
			"A lock, or a compare-and-swap. Release gives back exactly one; without an Acquire it is a bug of the caller that must be heard.",
			"if c.inFlight >= c.limit { return false }; c.inFlight++, both with mu held.",
		},
		Check: inFlightBounded,
	},
	{
		Name: "QueueLowersTheLimit", Group: "concurrency", Points: 3, Section: step8,
		Why: "What a server cannot work on waits in it: latency grows, throughput does not. The ratio of the latency to the best one says how many wait.",
		Hints: [3]string{
			"A request alone takes 10 ms; with 20 at a time each takes 20 ms. How many of the 20 wait?",
			"limit * (1 - base/rtt). Below Low: one more. Above High: one less. In a window with a failure: a quarter less.",
			"Collect the window's fastest latency; when max(16, limit) have ended, decide, and begin a new window.",
		},
		Check: queueLowers,
	},
}

func inFlightBounded(r *spec.Run, l lab) error {
	for i, o := range []ConcurrencyOptions{{Max: 0}, {Max: 10, Start: 11}, {Min: 5, Max: 4}, {Min: 5, Start: 4, Max: 10}, {Min: -1, Max: 10}, {Max: 10, Low: 7, High: 6}, {Max: 10, Low: -1, High: 6}} {
		if _, err := l.Concurrency(o); err == nil {
			return spec.Fail(fmt.Sprintf("options %d to be refused: %+v", i+1, o), "NewConcurrency returned no error")
		}
	}
	c, err := l.Concurrency(ConcurrencyOptions{Min: 10, Start: 10, Max: 10})
	if err != nil {
		return err
	}
	r.Step("16 goroutines acquire and release a limit of 10, 2000 times each")
	var inside, most atomic.Int64
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 2000 {
				if !c.Acquire() {
					continue
				}
				n := inside.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				inside.Add(-1)
				c.Release(ms, true)
			}
		})
	}
	all.Wait()
	if most.Load() > 10 {
		return spec.Fail("at most 10 at a time", "there were %d", most.Load())
	}
	if err := first(want("in flight when all have ended", 0, c.InFlight()), want("that can be acquired", 10, count(100, c.Acquire))); err != nil {
		return err
	}
	r.Step("release 10, some of which have failed, and once more")
	for i := range 10 {
		c.Release(ms, i%2 == 0)
	}
	if err := want("in flight when all have been released", 0, c.InFlight()); err != nil {
		return err
	}
	panicked := func() (yes bool) {
		defer func() { yes = recover() != nil }()
		c.Release(ms, true)
		return false
	}()
	return want("that a Release without an Acquire panics", true, panicked)
}

// batch acquires what the limit allows, at most demand, and releases it with
// the latency of a server that can work on capacity of them at a time.
func batch(c Concurrency, base time.Duration, capacity, demand int, ok bool) {
	n := count(demand, c.Acquire)
	rtt := base * time.Duration(max(n, capacity)) / time.Duration(capacity)
	for range n {
		c.Release(rtt, ok)
	}
}

func queueLowers(r *spec.Run, l lab) error {
	c, err := l.Concurrency(ConcurrencyOptions{Min: 2, Start: 2, Max: 1000})
	if err != nil {
		return err
	}
	settle := func(when string, base time.Duration, capacity, low, high int) error {
		r.Step("%s: a server that works on %d at a time, %v each", when, capacity, base)
		for range 2000 {
			batch(c, base, capacity, 200, true)
		}
		n := c.Limit()
		for range 8 { // it may be halved just now, to measure base
			if n = c.Limit(); n >= low {
				break
			}
			batch(c, base, capacity, 200, true)
		}
		if n < low || n > high {
			return spec.Fail(fmt.Sprintf("%s: a limit between %d and %d", when, low, high), "it is %d", n)
		}
		return nil
	}
	// A base that is now and then measured with the queue in place lets the
	// limit climb by a queue each time, without end.
	if err := settle("first", 10*ms, 20, 20, 60); err != nil {
		return err
	}
	before := c.Limit()
	r.Step("a window in which one has failed")
	for range 40 {
		batch(c, 10*ms, 20, 200, false)
		if c.Limit() < before {
			break
		}
	}
	if now := c.Limit(); now != before*3/4 && now != before*3/4/2 { // it may be halved just now
		return spec.Fail(fmt.Sprintf("a window with failures to take a quarter off %d: %d", before, before*3/4), "the limit is %d", now)
	}
	r.Step("nobody comes but one at a time: the limit stays")
	idle, err := l.Concurrency(ConcurrencyOptions{Min: 2, Start: 20, Max: 1000})
	if err != nil {
		return err
	}
	if err := stays(idle, "limit after 5000 requests, one at a time", func() { batch(idle, 10*ms, 20, 1, true) }); err != nil {
		return err
	}
	r.Step("latencies of 0 are no measurement")
	fresh, err := l.Concurrency(ConcurrencyOptions{Min: 2, Start: 20, Max: 1000})
	if err != nil {
		return err
	}
	if err := stays(fresh, "limit after windows without a measurement", func() { batch(fresh, 0, 20, 50, true) }); err != nil {
		return err
	}
	for _, check := range []func(*spec.Run, lab) error{windowsAre16, limitIsBounded, baseIsFound, oddLatencies} {
		if err := check(r, l); err != nil {
			return err
		}
	}
	return nil
}

// windowsAre16 counts the requests before the first decision.
func windowsAre16(r *spec.Run, l lab) error {
	c, err := l.Concurrency(ConcurrencyOptions{Min: 2, Start: 2, Max: 1000})
	if err != nil {
		return err
	}
	r.Step("a limit of 2, and a server that is never busy: 15 requests are no window")
	for range 7 {
		batch(c, 10*ms, 1000, 2, true)
	}
	batch(c, 10*ms, 1000, 1, false)
	if err := want("limit after 15 requests, one of which has failed", 2, c.Limit()); err != nil {
		return err
	}
	r.Step("400 more: a decision for each window of 16, or more")
	for range 200 {
		batch(c, 10*ms, 1000, 2, true)
	}
	if n := c.Limit(); n > 2+400/16 {
		return spec.Fail("one more in a window of at least 16: at most 27 after 400 requests", "it is %d", n)
	}
	return nil
}

func limitIsBounded(r *spec.Run, l lab) error {
	c, err := l.Concurrency(ConcurrencyOptions{Min: 5, Start: 7, Max: 10})
	if err != nil {
		return err
	}
	r.Step("Min 5, Max 10: a server that is never busy, then one where all fail")
	most := 0
	for range 1000 {
		batch(c, 10*ms, 1000, 50, true)
		most = max(most, c.Limit())
	}
	if most != 10 {
		return spec.Fail("the limit to rise to 10, and not beyond", "the highest was %d", most)
	}
	least := most
	for range 1000 {
		batch(c, 10*ms, 1000, 50, false)
		least = min(least, c.Limit())
	}
	if least != 5 {
		return spec.Fail("the limit to fall to 5, and not below", "the lowest was %d", least)
	}
	return nil
}

// settles has up to demand requests at a time come to a server that can work on
// 20, and looks where the limit ends, outside of the windows in which it is
// halved.
func settles(r *spec.Run, c Concurrency, what string, base time.Duration, demand int) error {
	r.Step("%s: a server that works on 20 at a time, %v each", what, base)
	for range 2000 {
		batch(c, base, 20, demand, true)
	}
	n := 0
	for range 8 {
		n = max(n, c.Limit())
		batch(c, base, 20, demand, true)
	}
	if n < 20 || n > 60 {
		return spec.Fail(what+": a limit between 20 and 60", "it is %d", n)
	}
	return nil
}

// baseIsFound begins with a limit at which base is never seen, and changes base.
func baseIsFound(r *spec.Run, l lab) error {
	c, err := l.Concurrency(ConcurrencyOptions{Min: 2, Start: 300, Max: 1000})
	if err != nil {
		return err
	}
	if err := settles(r, c, "a limit that begins at 300", 10*ms, 400); err != nil {
		return err
	}
	if err := settles(r, c, "it becomes slower", 40*ms, 100); err != nil {
		return err
	}
	if err := settles(r, c, "it becomes faster", 5*ms, 100); err != nil {
		return err
	}
	r.Step("then nobody comes but one at a time")
	high := 0
	for range 8 {
		high = max(high, c.Limit())
		batch(c, 5*ms, 20, 100, true)
	}
	for range 5000 {
		batch(c, 5*ms, 20, 1, true)
		if n := c.Limit(); n > high+1 { // a window that had begun may count
			return spec.Fail(fmt.Sprintf("a limit that nobody reaches to stay at %d", high), "it rose to %d", n)
		}
	}
	return nil
}

// oddLatencies has requests fail at once, and clocks go back.
func oddLatencies(r *spec.Run, l lab) error {
	c, err := l.Concurrency(ConcurrencyOptions{Min: 2, Start: 2, Max: 1000})
	if err != nil {
		return err
	}
	if err := settles(r, c, "before some fail", 10*ms, 100); err != nil {
		return err
	}
	r.Step("60 requests fail within a microsecond, and one has a latency of -1 s; then all is well")
	for range 60 {
		batch(c, time.Microsecond, 20, 1, false)
	}
	batch(c, -sec, 20, 1, true)
	most := 0
	for range 90 {
		batch(c, 10*ms, 20, 100, true)
		most = max(most, c.Limit())
	}
	if most < 15 {
		return spec.Fail("a limit above 15 again: how soon a request fails says nothing about the server", "it is %d", most)
	}
	return nil
}

// stays does something 5000 times, and expects a limit of 20, or of 10 while base
// is measured: some windows in a hundred.
func stays(c Concurrency, what string, do func()) error {
	low := 0
	for range 5000 {
		do()
		switch n := c.Limit(); n {
		case 20:
		case 10:
			low++
		default:
			return want(what, 20, n)
		}
	}
	if low > 500 {
		return spec.Fail(what+" to be halved for two windows in a hundred at most", "it was 10 after %d of 5000", low)
	}
	return nil
}
