package ratelimittest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

const step3 = "Step 3: change it while it runs"

var limiterRules = []spec.Rule[lab]{
	{
		Name: "TokensAndDelayLookOnly", Group: "limiter", Points: 2, Section: step2,
		Why: "Retry-After needs the time until a token is there, and a dashboard the tokens that are. Neither may cost one.",
		Hints: [3]string{
			"What does Delay(3) say when 1 token is there and 10 a second come?",
			"The instant at which the bucket would be full after taking n, less its depth, is the time when they are there.",
			"end, _ := limit.spend(full, t, n); return max(0, limit.due(end)-now)",
		},
		Check: looksOnly,
	},
}

func looksOnly(r *spec.Run, l lab) error {
	c := &clock{}
	lim, err := c.limiter(l, 10, 5)
	if err != nil {
		return err
	}
	lim.AllowN(4)
	r.Step("4 of 5 are taken, 10 a second come")
	for range 3 {
		if err := first(
			want("Tokens", 1.0, math.Round(lim.Tokens()*1e6)/1e6),
			want("Delay(1)", 0, lim.Delay(1)), want("Delay(3)", 200*ms, lim.Delay(3)), want("Delay(5)", 400*ms, lim.Delay(5))); err != nil {
			return err
		}
	}
	c.after(time.Hour)
	if err := first(want("Tokens after an hour", 5.0, lim.Tokens()), want("tokens that can be taken", 5, count(9, lim.Allow))); err != nil {
		return err
	}
	r.Step("50 ms after it was emptied")
	c.after(50 * ms)
	if err := want("Tokens", 0.5, math.Round(lim.Tokens()*1e6)/1e6); err != nil {
		return err
	}
	for _, rate := range []float64{3, 7, 333.3, 9e6} {
		if err := delayIsExact(r, l, rate); err != nil {
			return err
		}
	}
	return neverTherePatiently(r, l)
}

// neverTherePatiently asks a limiter for what it can never have.
func neverTherePatiently(r *spec.Run, l lab) error {
	c := &clock{}
	lim, err := c.limiter(l, 10, 5)
	if err != nil {
		return err
	}
	lim.AllowN(3)
	for _, n := range neverThere {
		r.Step("ask for %d of a burst of 5", n)
		if lim.AllowN(n) {
			return spec.Fail(fmt.Sprintf("%d tokens of a burst of 5 to be refused", n), "they were granted")
		}
		if d := lim.Delay(n); d != 720*time.Hour {
			return spec.Fail(fmt.Sprintf("Delay(%d) to be 30 days", n), "it is %v", d)
		}
	}
	return want("tokens left of 5 after 3 were taken", 2, count(10, lim.Allow))
}

// delayIsExact comes when Delay says, and a nanosecond before.
func delayIsExact(r *spec.Run, l lab, rate float64) error {
	r.Step("%g/s, a burst of 2: come back after Delay(1), and a nanosecond before", rate)
	c := &clock{}
	lim, err := c.limiter(l, rate, 2)
	if err != nil {
		return err
	}
	lim.AllowN(2)
	for range 10 {
		c.after(lim.Delay(1) - 1)
		if lim.Allow() {
			return spec.Fail("no token a nanosecond before Delay has passed", "there was one, at %g/s", rate)
		}
		c.after(1)
		if !lim.Allow() {
			return spec.Fail("a token when Delay has passed", "there was none, at %g/s", rate)
		}
	}
	return nil
}

var changeRules = []spec.Rule[lab]{
	{
		Name: "ChangeMintsNothing", Group: "change", Points: 4, Section: step3,
		Why: "Where the bucket keeps a time, another rate gives that time another worth: at a thousand times the rate, a second of the past becomes a thousand tokens that pass in one instant. What has passed counts at the rate it passed at.",
		Hints: [3]string{
			"How many tokens were there just before the change? How many just after it?",
			"Count the tokens at the old rate, up to now; then find the instant of fullness that means the same number at the new one.",
			"tokens := (depth - max(0, full-t)) / interval, with the old limit; full = t + (burst-tokens)*interval, with the new one.",
		},
		Check: changeMintsNothing,
	},
	{
		Name: "BurstCanChange", Group: "change", Points: 2, Section: step3,
		Why: "A larger bucket is not a fuller one. A smaller one runs over.",
		Hints: [3]string{
			"How many tokens are in a bucket of 5 that becomes one of 100?",
			"The tokens stay; the room is new. Where they do not fit, they are cut.",
			"tokens = min(tokens, float64(burst))",
		},
		Check: burstCanChange,
	},
	{
		Name: "ChangeWhileBusy", Group: "change", Points: 2, Section: step3,
		Why: "A change that reads the state, computes and writes it while others take tokens gives those tokens back: they took them from a state that is thrown away.",
		Hints: [3]string{
			"What if an Allow succeeds between your load of the old state and your store of the new one?",
			"The old state must end at one instant, after which nobody takes from it; state and limit must change together.",
			"Keep limit and bucket in one struct behind an atomic.Pointer. Swap the old bucket's word for a value that refuses everybody (sealed), convert what you got, store a new struct; who meets sealed looks again.",
		},
		Check: changeWhileBusy,
	},
}

func changeMintsNothing(r *spec.Run, l lab) error {
	c := &clock{}
	lim, err := c.limiter(l, 1, 1000)
	if err != nil {
		return err
	}
	lim.AllowN(1000)
	c.after(10 * sec)
	r.Step("10 s at 1/s, then 1000/s: 10 tokens")
	if err := first(lim.SetLimit(1000, 1000), want("tokens after 10 s at 1/s and a change to 1000/s", 10, count(2000, lim.Allow))); err != nil {
		return err
	}
	c.after(100 * ms)
	r.Step("100 ms at 1000/s, then 1/s: 100 tokens")
	if err := first(lim.SetLimit(1, 1000), want("tokens after 100 ms at 1000/s and a change to 1/s", 100, count(2000, lim.Allow))); err != nil {
		return err
	}
	r.Step("1000 changes in a second of 4/s, to and fro: 4 tokens")
	if err := lim.SetLimit(4, 1000); err != nil {
		return err
	}
	for i := range 1000 {
		if err := lim.SetLimit([]float64{4, 1e6}[i%2], 1000); err != nil {
			return err
		}
		if i%2 == 0 {
			c.after(2 * ms)
		}
	}
	lim.SetLimit(4, 1000)
	c.after(50 * ms) // what rounding may have taken
	if err := want("tokens after 1000 changes and a second at 4/s", 4, count(2000, lim.Allow)); err != nil {
		return err
	}
	return first(fractionsStay(r, l), refusedChangesNothing(r, l))
}

func refusedChangesNothing(r *spec.Run, l lab) error {
	c := &clock{}
	lim, err := c.limiter(l, 10, 10)
	if err != nil {
		return err
	}
	return first(refusesLimits(r, "SetLimit", lim.SetLimit),
		want("AllowN(10) after SetLimits that were refused", true, lim.AllowN(10)),
		want("the delay of the next one after SetLimits that were refused", 100*ms, lim.Delay(1)))
}

// fractionsStay changes the limit again and again, with half a token there.
func fractionsStay(r *spec.Run, l lab) error {
	c := &clock{}
	lim, err := c.limiter(l, 9_990_000, 10)
	if err != nil {
		return err
	}
	r.Step("half a token of 9,990,000/s is there; 20,000 changes of the rate, and the clock stands still")
	lim.AllowN(10)
	c.after(50)
	rnd := rand.New(rand.NewPCG(6, 1))
	for range 20_000 {
		if err := lim.SetLimit(5e6+rnd.Float64()*5e6, 10); err != nil {
			return err
		}
	}
	return want("tokens in no time", 0, count(10, lim.Allow))
}

func burstCanChange(r *spec.Run, l lab) error {
	c := &clock{}
	lim, err := c.limiter(l, 10, 5)
	if err != nil {
		return err
	}
	r.Step("a burst of 5 becomes 100, and 3")
	if err := first(lim.SetLimit(10, 100), want("tokens after a burst of 5 became 100", 5, count(200, lim.Allow))); err != nil {
		return err
	}
	c.after(20 * sec)
	if err := first(lim.SetLimit(10, 3), want("tokens after a full burst of 100 became 3", 3, count(200, lim.Allow))); err != nil {
		return err
	}
	c.after(sec)
	if err := want("tokens a second later", 3, count(200, lim.Allow)); err != nil {
		return err
	}
	r.Step("8 of a burst of 10, which becomes 5; and 3 of 10, which becomes 5")
	for there, stay := range map[int]int{8: 5, 3: 3} {
		if lim, err = c.limiter(l, 10, 10); err != nil {
			return err
		}
		lim.AllowN(10 - there)
		if err := first(lim.SetLimit(10, 5), want(fmt.Sprintf("tokens after a burst of 10 with %d became 5", there), stay, count(20, lim.Allow))); err != nil {
			return err
		}
	}
	r.Step("a burst of 2^43 + 1, of which half is there, becomes 1, at a hundred-thousandth of the rate")
	if lim, err = c.limiter(l, 1e7, 1<<43+1); err != nil {
		return err
	}
	lim.AllowN(1 << 42)
	return first(lim.SetLimit(16e9/(1<<30), 1), want("tokens that fit into it", 1, count(5, lim.Allow)))
}

func changeWhileBusy(r *spec.Run, l lab) error {
	for round := range 10 {
		if err := changeOnce(r, l, round); err != nil {
			return err
		}
	}
	return enoughForAll(r, l)
}

// enoughForAll takes tokens while the limit changes, of which there are enough.
func enoughForAll(r *spec.Run, l lab) error {
	c := &clock{}
	const each, burst = 20_000, 200_000
	lim, err := c.limiter(l, 1000, burst)
	if err != nil {
		return err
	}
	r.Step("4 goroutines take %d tokens each of %d, while the rate changes", each, burst)
	var refused atomic.Int64
	var takers sync.WaitGroup
	for range 4 {
		takers.Go(func() {
			for range each {
				if !lim.Allow() {
					refused.Add(1)
				}
			}
		})
	}
	gone := make(chan struct{})
	go func() { takers.Wait(); close(gone) }()
	for changes := 0; ; changes++ {
		select {
		case <-gone:
			return want("Allow refused in the middle of a change, with tokens there", 0, refused.Load())
		default:
		}
		if err := lim.SetLimit([]float64{500, 1000}[changes%2], burst); err != nil {
			return err
		}
	}
}

func changeOnce(r *spec.Run, l lab, round int) error {
	c := &clock{}
	const most = 20000
	lim, err := c.limiter(l, 1000, most)
	if err != nil {
		return err
	}
	r.Step("round %d: 4 goroutines take a token at a time until %d are gone, while the rate changes; the clock stands still", round+1, most)
	var passed atomic.Int64
	var takers sync.WaitGroup
	for range 4 {
		takers.Go(func() {
			for misses := 0; misses < 100; {
				if lim.Allow() {
					passed.Add(1)
					misses = 0
				} else {
					misses++
				}
			}
		})
	}
	gone := make(chan struct{})
	go func() { takers.Wait(); close(gone) }()
	changes := 0
	for open := true; open; changes++ {
		select {
		case <-gone:
			open = false
		default:
			if err := lim.SetLimit([]float64{10, 1000, 100000}[changes%3], most); err != nil {
				return err
			}
		}
	}
	// Each change may round a little off, and no change may add anything.
	if n := passed.Load(); n > most || n < most-most/100 {
		return spec.Fail(fmt.Sprintf("the %d tokens that were there to pass", most), "%d have passed (%d changes)", n, changes)
	}
	return nil
}
