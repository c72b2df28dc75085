package ratelimittest

import (
	"fmt"
	"math"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

const step7 = "Step 7: a rate that finds itself"

var adaptiveRules = []spec.Rule[lab]{
	{
		Name: "RateFollowsLatency", Group: "adaptive", Points: 3, Section: step7,
		Why: "One step up after each good window, one cut after each bad one: that is what converges. The limiter must hold the rate that it says.",
		Hints: [3]string{
			"Who decides, and when, without a goroutine?",
			"The first Observe after the end of the window decides on what came before it, and then counts in the new window.",
			"rate = max(Min, rate*Decrease) if quantile > Target, else min(Max, rate+Increase); then limiter.SetLimit(rate, burst).",
		},
		Check: rateFollows,
	},
	{
		Name: "StaysInBounds", Group: "adaptive", Points: 2, Section: step7,
		Why: "Ten minutes without trouble must not end in a rate that no trouble can bring down again; a bad hour must not end in one that never recovers.",
		Hints: [3]string{
			"Where is the rate after an hour of good windows?",
			"A floor that is above zero and a ceiling, at every step.",
			"max(o.Min, ...) and min(o.Max, ...)",
		},
		Check: staysInBounds,
	},
	{
		Name: "OneSampleDoesNotDecide", Group: "adaptive", Points: 2, Section: step7,
		Why: "One slow request in a thousand is a garbage collection. A rate that follows it follows noise; so does one that decides on three samples.",
		Hints: [3]string{
			"Which number says how a window was?",
			"A quantile over all samples of the window: 0.9 ignores one in ten. With fewer than MinSamples the window goes on.",
			"Count latencies in bins of a histogram, 16 for each power of two; walk until q*count are passed.",
		},
		Check: oneSample,
	},
	{
		Name: "BalanceDoesNotDrift", Group: "adaptive", Points: 2, Section: step7,
		Why: "x 1.1 and x 0.9 is x 0.99: half good and half bad windows lead to zero, and their rate depends on where it began. Adding and multiplying leads to one rate from everywhere.",
		Hints: [3]string{
			"What do two limiters do that begin at 10 and at 1000, and see the same?",
			"Increase adds, Decrease multiplies: each cut takes a part of the difference between them, and each step up leaves it.",
			"rate + o.Increase, not rate * (1 + something).",
		},
		Check: noDrift,
	},
	{
		Name: "OddSamplesAreSafe", Group: "adaptive", Points: 2, Section: step7,
		Why: "A clock that was set gives a negative latency; a request that was forgotten one of a year. A division by one of them is infinite, and from there no arithmetic leads back.",
		Hints: [3]string{
			"What is Target / latency when latency is 0?",
			"Compare instead of dividing, and bound each sample before it is counted.",
			"latency = min(max(0, latency), time.Hour)",
		},
		Check: oddSamples,
	},
}

// windows feeds n windows of 100 samples each, and one more sample that closes
// the last one.
func windows(c *clock, a Adaptive, n int, latency func(window, i int) time.Duration) {
	for w := range n {
		for i := range 100 {
			c.after(10 * ms)
			a.Observe(latency(w, i))
		}
	}
	c.after(10 * ms)
	a.Observe(latency(n-1, 0))
}

func flat(d time.Duration) func(int, int) time.Duration {
	return func(int, int) time.Duration { return d }
}

func near(what string, expected, got float64) error {
	if math.Abs(got-expected) > 1e-6*expected {
		return spec.Fail(fmt.Sprintf("%s %.4f/s", what, expected), "it is %.4f/s", got)
	}
	return nil
}

func rateFollows(r *spec.Run, l lab) error {
	c := &clock{}
	a, err := l.Adaptive(AdaptiveOptions{Min: 10, Max: 1000, Start: 100, Burst: 10, Target: 10 * ms, Increase: 20, Decrease: 0.5, Now: c.now})
	if err != nil {
		return err
	}
	tell := func(n int, d time.Duration) {
		r.Step("%d samples of %v, and a second", n, d)
		for range n {
			a.Observe(d)
		}
		c.after(sec)
	}
	tell(50, ms)
	if err := near("before the first sample of the next window the rate to be", 100, a.Rate()); err != nil {
		return err
	}
	tell(50, ms) // its first sample closes the window before
	if err := near("after one good window the rate to be", 120, a.Rate()); err != nil {
		return err
	}
	tell(50, 12*ms)
	if err := near("after two good windows the rate to be", 140, a.Rate()); err != nil {
		return err
	}
	c.after(10 * sec) // many windows without samples are no decisions
	tell(50, 11*ms)
	if err := near("after a bad window, and ten seconds of silence, the rate to be", 70, a.Rate()); err != nil {
		return err
	}
	tell(50, ms)
	if err := near("after a second bad window the rate to be", 35, a.Rate()); err != nil {
		return err
	}
	count(10, a.Allow)
	passed := 0
	for range 2000 {
		c.after(5 * ms)
		if a.Allow() {
			passed++
		}
	}
	if passed < 348 || passed > 352 {
		return spec.Fail("about 350 requests in 10 s at the rate 35/s", "%d passed", passed)
	}
	return nil
}

func staysInBounds(r *spec.Run, l lab) error {
	c := &clock{}
	a, err := l.Adaptive(AdaptiveOptions{Min: 10, Max: 1000, Start: 100, Burst: 1, Target: 10 * ms, Now: c.now})
	if err != nil {
		return err
	}
	r.Step("10 minutes at 1 ms, 10 minutes at 20 ms, 3 minutes at 1 ms; target 10 ms")
	windows(c, a, 600, flat(ms))
	if err := near("after ten good minutes the rate to be", 1000, a.Rate()); err != nil {
		return err
	}
	windows(c, a, 600, flat(20*ms))
	if err := near("after ten bad minutes the rate to be", 10, a.Rate()); err != nil {
		return err
	}
	windows(c, a, 180, flat(ms))
	if err := near("after three good minutes the rate to be", 1000, a.Rate()); err != nil {
		return err
	}
	windows(c, a, 3, flat(20*ms))
	if rate := a.Rate(); rate >= 1000*0.8*0.8+1 {
		return spec.Fail("three bad windows to bring it below 641/s", "it is %.0f/s", rate)
	}
	return nil
}

func oneSample(r *spec.Run, l lab) error {
	c := &clock{}
	a, err := l.Adaptive(AdaptiveOptions{Min: 10, Max: 1000, Start: 500, Burst: 1, Target: 10 * ms, Increase: 1, Now: c.now})
	if err != nil {
		return err
	}
	r.Step("windows of 99 samples of 1 ms and one of a second, wherever it stands")
	for at := range 100 {
		before := a.Rate()
		windows(c, a, 1, func(_, i int) time.Duration {
			if i == at {
				return sec
			}
			return ms
		})
		if a.Rate() < before {
			return spec.Fail("one slow sample of 100 not to lower the rate", "it fell from %.0f to %.0f/s; the slow one was number %d", before, a.Rate(), at)
		}
	}
	r.Step("windows of which 20 of 100 are slow")
	before := a.Rate()
	windows(c, a, 3, func(_, i int) time.Duration {
		if i%5 == 0 {
			return sec
		}
		return ms
	})
	if a.Rate() >= before {
		return spec.Fail("20 slow samples of 100 to lower the rate: the 90th percentile is a second", "it went from %.0f to %.0f/s", before, a.Rate())
	}
	r.Step("5 samples a second, and 20 are needed")
	few, err := l.Adaptive(AdaptiveOptions{Min: 10, Max: 1000, Start: 500, Burst: 1, Target: 10 * ms, Increase: 1, Now: c.now})
	if err != nil {
		return err
	}
	for range 40 {
		c.after(200 * ms)
		few.Observe(ms)
	}
	if err := near("after 40 samples, one of which comes after 20, the rate to be", 501, few.Rate()); err != nil {
		return err
	}
	r.Step("a window of 20 samples, which is enough")
	exact, err := l.Adaptive(AdaptiveOptions{Min: 10, Max: 1000, Start: 500, Burst: 1, Target: 10 * ms, Increase: 1, Now: c.now})
	if err != nil {
		return err
	}
	for range 20 {
		exact.Observe(ms)
	}
	c.after(sec)
	exact.Observe(ms)
	return near("at the first sample after that window the rate to be", 501, exact.Rate())
}

func noDrift(r *spec.Run, l lab) error {
	c := &clock{}
	r.Step("two limiters that begin at 10 and at 1000/s see an hour of windows at 8 and 12 ms in turn; target 10 ms")
	var rates []float64
	for _, start := range []float64{10, 1000} {
		a, err := l.Adaptive(AdaptiveOptions{Min: 1, Max: 1000, Start: start, Burst: 1, Target: 10 * ms, Increase: 50, Decrease: 0.8, Now: c.now})
		if err != nil {
			return err
		}
		windows(c, a, 3600, func(w, _ int) time.Duration { return []time.Duration{8 * ms, 12 * ms}[w%2] })
		rates = append(rates, a.Rate())
	}
	// The fixed point of (r+50)*0.8 is 200, and 250 before the cut.
	for i, rate := range rates {
		if rate < 195 || rate > 255 {
			return spec.Fail("the rate to settle between 200 and 250/s, wherever it began", "number %d is at %.4g/s after an hour", i+1, rate)
		}
	}
	return nil
}

func oddSamples(r *spec.Run, l lab) error {
	c := &clock{}
	r.Step("options that are not numbers, or out of order")
	good := AdaptiveOptions{Min: 10, Max: 1000, Start: 100, Burst: 1, Target: 10 * ms, Now: c.now}
	for i, spoil := range []func(o *AdaptiveOptions){
		func(o *AdaptiveOptions) { o.Min = math.NaN() }, func(o *AdaptiveOptions) { o.Max = math.NaN() }, func(o *AdaptiveOptions) { o.Start = math.NaN() },
		func(o *AdaptiveOptions) { o.Min = 0 }, func(o *AdaptiveOptions) { o.Max = 5 }, func(o *AdaptiveOptions) { o.Max = math.Inf(1) },
		func(o *AdaptiveOptions) { o.Start = 2000 }, func(o *AdaptiveOptions) { o.Target = 0 }, func(o *AdaptiveOptions) { o.Decrease = 1 },
		func(o *AdaptiveOptions) { o.Decrease = math.NaN() }, func(o *AdaptiveOptions) { o.Increase = -1 }, func(o *AdaptiveOptions) { o.Increase = math.NaN() },
		func(o *AdaptiveOptions) { o.Quantile = 1.5 }, func(o *AdaptiveOptions) { o.Quantile = math.NaN() }, func(o *AdaptiveOptions) { o.Burst = 0 },
		func(o *AdaptiveOptions) { o.Window = -1 }, func(o *AdaptiveOptions) { o.MinSamples = -1 },
		func(o *AdaptiveOptions) { o.Burst = 30_000_000 }, // 35 days at Min
	} {
		o := good
		spoil(&o)
		if _, err := l.Adaptive(o); err == nil {
			o.Now = nil
			return spec.Fail(fmt.Sprintf("options %d to be refused: %+v", i+1, o), "NewAdaptive returned no error")
		}
	}
	r.Step("samples of 0, of -1 h, and of 292 years")
	for _, k := range []struct {
		odd time.Duration
		end float64
	}{{0, 1000}, {-time.Hour, 1000}, {math.MinInt64, 1000}, {math.MaxInt64, 10}} {
		a, err := l.Adaptive(good)
		if err != nil {
			return err
		}
		windows(c, a, 120, flat(k.odd))
		if err := near(fmt.Sprintf("after two minutes of samples of %v the rate to be", k.odd), k.end, a.Rate()); err != nil {
			return err
		}
		c.after(time.Minute)
		if !a.Allow() {
			return spec.Fail("a token a minute later", "there was none, at %g/s", a.Rate())
		}
	}
	return nil
}
