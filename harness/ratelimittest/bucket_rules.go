package ratelimittest

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

const step1, step2 = "Step 1: a bucket in one word", "Step 2: a limiter that reads the clock"

var bucketRules = []spec.Rule[lab]{
	{
		Name: "BurstThenRate", Group: "bucket", Points: 3, Section: step1,
		Why: "A bucket is full in the beginning: burst requests pass at once, and then one for each token that has flowed in, neither a nanosecond early nor late.",
		Hints: [3]string{
			"How many tokens does a new bucket hold, and when is the next one whole?",
			"Keep the instant when the bucket is full again. n tokens are there if moving it by n intervals leaves it at most burst intervals ahead of now.",
			"next := max(full, t) + l.interval*int64(n); ok := next-t <= l.depth",
		},
		Check: burstThenRate,
	},
	{
		Name: "HoldsTheRate", Group: "bucket", Points: 4, Section: step1,
		Why: "A limit that is off by a percent is off by a percent for ever. Over any stretch of time what passes is at most rate x time + burst, and over ten minutes of more demand than that, not 0.1% less.",
		Hints: [3]string{
			"What becomes of half a token?",
			"At 3 tokens a second one takes 333,333,333.3 ns; at ten million 100 ns. Which unit holds both to 0.1%?",
			"Keep instants in sixteenths of a nanosecond, round the interval once, and add it up as an integer.",
		},
		Check: holdsTheRate,
	},
	{
		Name: "IdleEarnsOneBurst", Group: "bucket", Points: 2, Section: step1,
		Why: "An idle night must not be paid out in the morning: what does not fit into the bucket runs over.",
		Hints: [3]string{
			"What is the most that a bucket can hold after a night?",
			"A bucket that was full at some time in the past is full now, and no fuller.",
			"Start from max(full, now), not from full.",
		},
		Check: idleEarnsOneBurst,
	},
	{
		Name: "ClockBackMintsNothing", Group: "bucket", Points: 3, Section: step1,
		Why: "Two goroutines read the clock in one order and take their tokens in the other, so time goes back a little all day. If a step back and forth again counts as time that has passed, tokens come from nowhere.",
		Hints: [3]string{
			"A take at 10 s, one at 5 s, one at 10 s: how much time has passed?",
			"If you keep when you last looked, it must never become smaller.",
			"With the instant of fullness there is nothing to do: it only ever moves ahead, whoever comes with which time.",
		},
		Check: clockBack,
	},
	{
		Name: "CountsAreChecked", Group: "bucket", Points: 2, Section: step1,
		Why: "AllowN(-5) that adds five tokens is a gift to whoever controls n. More than the burst can never be there: to wait for it is to wait for ever.",
		Hints: [3]string{
			"Which n can be granted at all?",
			"n below 1 and n above the burst are refused before anything is computed; later, Wait and Reserve say ErrCount.",
			"if n < 1 || n > l.burst { return false }",
		},
		Check: countsAreChecked,
	},
	{
		Name: "OptionsAreChecked", Group: "bucket", Points: 2, Section: step1,
		Why: "A rate of 0 divides by zero, a burst below 1 never grants, and NaN passes every comparison that asks for what is wrong. New is the place to say so.",
		Hints: [3]string{
			"What does `rate <= 0` say when rate is NaN?",
			"Say what is right and negate it: NaN fails every comparison.",
			"if !(rate > 0 && rate <= MaxRate && burst >= 1 && float64(burst)/rate <= MaxFill.Seconds()) { return ErrRate }",
		},
		Check: optionsAreChecked,
	},
	{
		Name: "RefusalsCostNothing", Group: "bucket", Points: 2, Section: step1,
		Why: "A client that is refused and asks again and again must get its token all the same when it is there, not dig itself deeper with each question.",
		Hints: [3]string{
			"What is written when the answer is no?",
			"Nothing must be: compute the new state, look, and store it only when the answer is yes.",
			"if !ok { return false } before the CompareAndSwap.",
		},
		Check: refusalsCostNothing,
	},
	{
		Name: "ManyAtOnce", Group: "bucket", Points: 3, Section: step2,
		Why: "Between a load and a store another goroutine takes the same token. With eight of them, what passes must still be what was there, to the token.",
		Hints: [3]string{
			"What happens when two goroutines load the same state?",
			"Only one of them may store what it computed; the other must look again.",
			"for { full := b.full.Load(); ...; if b.full.CompareAndSwap(full, next) { return true } }",
		},
		Check: manyAtOnce,
	},
}

func burstThenRate(r *spec.Run, l lab) error {
	for _, c := range []struct {
		rate  float64
		burst int
		gap   time.Duration // exact
	}{{10, 5, 100 * ms}, {1000, 1, ms}, {0.5, 3, 2 * sec}, {1e7, 100, 100}} {
		take, err := l.Bucket(c.rate, c.burst)
		if err != nil {
			return err
		}
		r.Step("a bucket of %d at %g/s: %d takes at once, then one every %v", c.burst, c.rate, c.burst, c.gap)
		now := sec
		who := fmt.Sprintf("rate %g, burst %d: ", c.rate, c.burst)
		if err := want(who+"tokens at once", c.burst, count(2*c.burst+10, func() bool { return take(now, 1) })); err != nil {
			return err
		}
		for i := range 3 {
			if take(now+c.gap-1, 1) {
				return spec.Fail(who+"no token before its time", "number %d came a nanosecond early", i+1)
			}
			now += c.gap
			if !take(now, 1) {
				return spec.Fail(who+"a token in time", "number %d was not there after %v", i+1, c.gap)
			}
		}
		now += time.Duration(c.burst) * c.gap
		if !take(now, c.burst) || take(now, 1) {
			return spec.Fail(who+"a full bucket after burst/rate, and no more", "all or nothing does not hold for AllowN(burst)")
		}
	}
	return nil
}

func holdsTheRate(r *spec.Run, l lab) error {
	for _, c := range []struct {
		rate  float64
		burst int
		tick  time.Duration
		long  time.Duration
	}{
		{3, 5, 7 * ms, 600 * sec},
		{333.3, 10, 997 * time.Microsecond, 600 * sec},
		{1, 1, 13 * ms, 600 * sec},
		{7e6, 1000, 100, 30 * ms},
		{1e7, 3, 37, 10 * ms},
		{9_993_816, 100, 100, 50 * ms}, // 100.06 ns
	} {
		take, err := l.Bucket(c.rate, c.burst)
		if err != nil {
			return err
		}
		r.Step("%v at %g/s with a burst of %d, asked every %v", c.long, c.rate, c.burst, c.tick)
		passed := 0
		for now := time.Duration(0); now <= c.long; now += c.tick {
			if take(now, 1) {
				passed++
			}
			most := c.rate*now.Seconds()*1.0004 + float64(c.burst)
			if float64(passed) > most+1e-6 {
				return spec.Fail(fmt.Sprintf("at most rate x time + burst, %.1f after %v", most, now), "%d have passed", passed)
			}
		}
		least := (c.rate*c.long.Seconds() + float64(c.burst)) * 0.999
		if float64(passed) < math.Floor(least)-1 {
			return spec.Fail(fmt.Sprintf("at least %.0f in %v at %g/s: rate x time + burst to 0.1%%", least, c.long, c.rate), "%d passed", passed)
		}
	}
	return nil
}

func idleEarnsOneBurst(r *spec.Run, l lab) error {
	take, err := l.Bucket(100, 10)
	if err != nil {
		return err
	}
	r.Step("take all, be idle for 8 hours, take all; and once more")
	for now := time.Duration(0); now <= 48*time.Hour; now += 8 * time.Hour {
		if err := want(fmt.Sprintf("tokens after idle hours, at %v", now), 10, count(1000, func() bool { return take(now, 1) })); err != nil {
			return err
		}
	}
	return nil
}

func clockBack(r *spec.Run, l lab) error {
	take, err := l.Bucket(10, 10)
	if err != nil {
		return err
	}
	passed := 0
	r.Step("empty the bucket at 100 s, then let the clock go back by 50 s and forth again, 20 times")
	for range 20 {
		passed += count(30, func() bool { return take(100*sec, 1) })
		passed += count(30, func() bool { return take(50*sec, 1) })
	}
	if passed > 10 {
		return spec.Fail("10 tokens: no time has passed", "%d have passed", passed)
	}
	r.Step("then let it go on")
	return want("tokens a second after it was forward again", 10, count(30, func() bool { return take(101*sec, 1) }))
}

// neverThere are counts that no bucket of 5 ever has.
var neverThere = []int{0, -1, -1000, 6, math.MaxInt, math.MinInt}

func countsAreChecked(r *spec.Run, l lab) error {
	take, err := l.Bucket(10, 5)
	if err != nil {
		return err
	}
	take(sec, 3)
	for _, n := range neverThere {
		r.Step("ask for %d of a burst of 5", n)
		if take(sec, n) {
			return spec.Fail(fmt.Sprintf("%d tokens of a burst of 5 to be refused", n), "they were granted")
		}
	}
	return want("tokens left of 5 after 3 were taken", 2, count(10, func() bool { return take(sec, 1) }))
}

// badLimits are what no limit can be, in New and wherever else one is told.
var badLimits = []Options{
	{Rate: 0, Burst: 1}, {Rate: -1, Burst: 1}, {Rate: math.NaN(), Burst: 1}, {Rate: math.Inf(1), Burst: 1}, {Rate: math.Inf(-1), Burst: 1},
	{Rate: 1.1e7, Burst: 1}, {Rate: 1, Burst: 0}, {Rate: 1, Burst: -1}, {Rate: 1, Burst: 40 * 86400}, {Rate: 1e-300, Burst: 1}, {Rate: 1, Burst: math.MaxInt},
}

// refusesLimits tells them to who, which must refuse each.
func refusesLimits(r *spec.Run, who string, tell func(rate float64, burst int) error) error {
	for _, o := range badLimits {
		r.Step("%s: rate %g, burst %d", who, o.Rate, o.Burst)
		if tell(o.Rate, o.Burst) == nil {
			return spec.Fail(fmt.Sprintf("rate %g, burst %d to be refused", o.Rate, o.Burst), "%s returned no error", who)
		}
	}
	return nil
}

func optionsAreChecked(r *spec.Run, l lab) error {
	return first(
		refusesLimits(r, "New", func(rate float64, burst int) error {
			_, err := l.New(Options{Rate: rate, Burst: burst})
			return err
		}),
		refusesLimits(r, "NewLimit", func(rate float64, burst int) error {
			_, err := l.Bucket(rate, burst)
			return err
		}))
}

func refusalsCostNothing(r *spec.Run, l lab) error {
	take, err := l.Bucket(1, 2)
	if err != nil {
		return err
	}
	take(0, 2)
	r.Step("ask 1000 times in the first second, for 1 and for 2")
	for i := range 1000 {
		if at := time.Duration(i) * ms; take(at, 1+i%2) {
			return spec.Fail("no token before a second has passed", "one came after %v", at)
		}
	}
	return want("a token after a second", true, take(sec, 1))
}

func manyAtOnce(r *spec.Run, l lab) error {
	c := &clock{}
	lim, err := c.limiter(l, 1000, 5000)
	if err != nil {
		return err
	}
	r.Step("8 goroutines ask, each 4000 times, while the clock goes on by 2 s")
	var passed, asked atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 4000 {
				if asked.Add(1)%16 == 0 {
					c.after(ms)
				}
				if lim.Allow() {
					passed.Add(1)
				}
			}
		})
	}
	all.Wait()
	passed.Add(int64(count(10000, lim.Allow)))
	return want("tokens in 2 s at 1000/s, with a burst of 5000", int64(7000), passed.Load())
}
