package retrytest

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

// The handout's sections.
const (
	step1  = "Step 1: how long, and how often"
	step2  = "Step 2: a breaker"
	step3  = "Step 3: calls in flight"
	step4  = "Step 4: an end for every call"
	step5  = "Step 5: trying again"
	step6  = "Step 6: hedges, and several endpoints"
	step7  = "Step 7: connections come and go"
	step8  = "Step 8: the server"
	step9  = "Step 9: keys"
	step10 = "Step 10: sessions"
	all11  = "Step 11: all of it, through a bad network"
)

var backoffRules = []spec.Rule[lab]{
	{
		Name: "JitterIsFull", Group: "backoff", Points: 1, Section: step1,
		Why: "A server that stumbles fails a thousand clients in the same instant. Without jitter they all come back in the same instant; with half of it they still come in a wave.",
		Hints: [3]string{
			"How short may a wait be?",
			"From 0 to the ceiling, uniformly; the ceiling doubles with each retry.",
			"time.Duration(random() * float64(min(limit, base << n)))",
		},
		Check: jitterFull,
	},
	{
		Name: "BackoffIsCapped", Group: "backoff", Points: 1, Section: step1,
		Why: "A client that has failed for an hour must notice within seconds that the server is back. And 1 s << 40 is a negative number: a loop that shifts without looking begins to hammer after an hour.",
		Hints: [3]string{
			"What is time.Second << 40?",
			"Double step by step, and stop at the cap before it is passed.",
			"for ; n > 0 && d < limit; n-- { if d > limit/2 { return limit }; d *= 2 }; return min(d, limit)",
		},
		Check: backoffCapped,
	},
	{
		Name: "BudgetBoundsRetries", Group: "backoff", Points: 2, Section: step1,
		Why: "Three retries turn an overload into a fourfold one, just when the server can bear it least. A budget makes it 1.1-fold, whatever each caller would like.",
		Hints: [3]string{
			"What does a first attempt earn, and what does a retry cost?",
			"A fraction of a token, and a whole one. Count in integers, and change the number with one compare-and-swap.",
			"Spend: for { have := load(); if have < token { return false }; if cas(have, have-token) { return true } }",
		},
		Check: budgetBounds,
	},
	{
		Name: "IdleEarnsNoStorm", Group: "backoff", Points: 1, Section: step1,
		Why: "A day of good weather must not pay for a storm of a hundred thousand retries in the evening.",
		Hints: [3]string{
			"How many tokens may there be at most?",
			"As many as at the beginning: the reserve.",
			"next := min(have+earn, full)",
		},
		Check: idleEarns,
	},
}

func jitterFull(r *spec.Run, l lab) error {
	r.Step("base 100 ms, cap 10 s; the random number is 0, 0.5 and nearly 1")
	for n := -1; n < 6; n++ {
		ceiling := 100 * time.Millisecond << max(n, 0)
		for _, c := range []struct {
			random   float64
			from, to time.Duration
		}{{0, 0, 0}, {0.5, ceiling/2 - 1, ceiling/2 + 1}, {0.999999, ceiling - ceiling/10000, ceiling}} {
			got := l.Backoff(100*time.Millisecond, 10*time.Second, constant(c.random)).Delay(n)
			if got < c.from || got > c.to {
				return spec.Fail(fmt.Sprintf("Delay(%d) with the random number %v from %v to %v", n, c.random, c.from, c.to), "it is %v", got)
			}
		}
	}
	r.Step("10,000 delays with a random source of its own")
	b := l.Backoff(time.Second, time.Minute, nil)
	var sum, low, high time.Duration
	low = time.Hour
	for range 10_000 {
		d := b.Delay(0)
		sum, low, high = sum+d, min(low, d), max(high, d)
	}
	if mean := sum / 10_000; low > 50*time.Millisecond || high < 950*time.Millisecond || mean < 450*time.Millisecond || mean > 550*time.Millisecond {
		return spec.Fail("delays from 0 to 1 s, 500 ms on average", "they go from %v to %v, %v on average", low, high, mean)
	}
	return nil
}

func backoffCapped(r *spec.Run, l lab) error {
	b := l.Backoff(time.Second, 30*time.Second, constant(0.5))
	r.Step("base 1 s, cap 30 s, retries 5 to a million, half of the ceiling")
	for _, n := range []int{5, 6, 30, 31, 32, 33, 34, 35, 40, 54, 62, 63, 64, 65, 100, 1000, 1_000_000, math.MaxInt} {
		if got := b.Delay(n); got != 15*time.Second {
			return spec.Fail(fmt.Sprintf("Delay(%d) to be 15s", n), "it is %v", got)
		}
	}
	if got := l.Backoff(time.Minute, time.Second, constant(0.5)).Delay(0); got != 500*time.Millisecond {
		return spec.Fail("half of the cap where the base is above it", "it is %v", got)
	}
	huge := l.Backoff(time.Second, math.MaxInt64, constant(0.5))
	for n, last := 0, time.Duration(0); n < 100; n++ {
		got := huge.Delay(n)
		if got < last {
			return spec.Fail("delays that never fall, with the largest cap there is", "Delay(%d) is %v, the one before %v", n, got, last)
		}
		last = got
	}
	return nil
}

// spends counts how many tokens there are.
func spends(b Budget, most int) (n int) {
	for n < most && b.Spend() {
		n++
	}
	return n
}

func budgetBounds(r *spec.Run, l lab) error {
	b, err := l.Budget(0.1, 10)
	if err != nil {
		return err
	}
	r.Step("ratio 0.1, reserve 10: retries are asked for without end")
	if got := spends(b, 100); got != 10 {
		return spec.Fail("10 retries from a fresh budget", "there were %d", got)
	}
	for range 9 {
		b.Earn()
	}
	if b.Spend() {
		return spec.Fail("no retry after 9 more first attempts", "there was one")
	}
	b.Earn()
	b.Earn()
	if !b.Spend() || b.Spend() {
		return spec.Fail("one retry after 11 more first attempts", "there was none, or two")
	}
	const firsts = 100_000
	spent := 0
	for i := range firsts {
		b.Earn()
		spent += spends(b, 100)
		if most := (i+1)/10 + 1; spent > most || spent < most-2 {
			return spec.Fail(fmt.Sprintf("about %d retries for %d first attempts", most, i+1), "there were %d", spent)
		}
	}
	r.Step("8 goroutines, each with 20,000 first attempts and a retry wanted for each")
	if b, err = l.Budget(0.1, 10); err != nil {
		return err
	}
	var total atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20_000 {
				b.Earn()
				if b.Spend() {
					total.Add(1)
				}
			}
		})
	}
	all.Wait()
	if n := total.Load() + int64(spends(b, 100)); n > 16_010 || n < 15_990 {
		return spec.Fail("16,000 retries and up to 10 more for 160,000 first attempts", "there were %d", n)
	}
	none, err := l.Budget(0, 3)
	if err != nil {
		return err
	}
	for range 1000 {
		none.Earn()
	}
	return must("the number of retries with ratio 0 and reserve 3", 3, spends(none, 100))
}

func idleEarns(r *spec.Run, l lab) error {
	b, err := l.Budget(0.1, 10)
	if err != nil {
		return err
	}
	r.Step("a million first attempts without a retry; then retries without end")
	for range 1_000_000 {
		b.Earn()
	}
	return must("the number of retries after that", 10, spends(b, 1000))
}
