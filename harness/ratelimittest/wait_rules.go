package ratelimittest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

const step4, step5 = "Step 4: wait, in order", "Step 5: leave the queue, and reserve"

var waitRules = []spec.Rule[lab]{
	{
		Name: "WaitSleepsExactly", Group: "wait", Points: 4, Section: step4,
		Why: "Who waits must sleep until its token is there: woken later, the rate is not reached; woken too early, it asks again and again, and burns a core to wait.",
		Hints: [3]string{
			"At which nanosecond is the token whole? Who wakes the caller then?",
			"The time is known when Wait is called. Integer division of a duration by a rate rounds to whole seconds: that is how one spins.",
			"Take the tokens at once (the bucket goes into debt), and sleep until due(end): limit.due(end) = (end - depth + unit - 1) / unit.",
		},
		Check: waitSleeps,
	},
	{
		Name: "WaitingBurnsNothing", Group: "wait", Points: 3, Section: step4,
		Why: "A thousand who wait must cost the work of a thousand wake-ups, not each wake-up the work of a thousand.",
		Hints: [3]string{
			"How often is the clock read while a thousand goroutines wait?",
			"A condition that is broadcast wakes all of them for one token, and all but one go back to sleep.",
			"One timer for the first in the queue; when it fires, close the channel of each whose time has come, and set it for the next.",
		},
		Check: waitingBurnsNothing,
	},
	{
		Name: "WaitIsFair", Group: "wait", Points: 4, Section: step4,
		Why: "Where the small ones pass the large one, the large one starves; where Allow takes the token that somebody waits for, everybody does.",
		Hints: [3]string{
			"Who gets the next token: the one who came first, or the one who asks at the right moment?",
			"Tokens that are waited for are taken: a bucket in debt has none for Allow.",
			"In Wait: end := owe(n), with no look at whether they are there, append to the queue; release goes through it from its head.",
		},
		Check: waitIsFair,
	},
	{
		Name: "WaitHearsItsContext", Group: "wait", Points: 2, Section: step5,
		Why: "A request whose client has gone must not wait any further; one whose deadline comes before its token should not even begin.",
		Hints: [3]string{
			"What ends a Wait besides its token?",
			"Select on the waiter's channel and ctx.Done(). The deadline can be compared before: ctx.Deadline().",
			"if deadline, ok := ctx.Deadline(); ok && delay > time.Until(deadline) { give the tokens back; return ErrTooLong }",
		},
		Check: waitHears,
	},
	{
		Name: "LeaverMakesRoom", Group: "wait", Points: 2, Section: step5,
		Why: "Tokens of somebody who has left must go to those behind, or a limiter whose clients time out passes less than its rate, just when there is too much to do.",
		Hints: [3]string{
			"Five wait, the second gives up: when does the third go?",
			"All behind the leaver go one cost earlier, and the bucket owes that much less.",
			"cost := interval*n; bucket.full.Add(-cost); for _, w := range queue[place:] { w.end -= cost }; and the timer, if the leaver was the first.",
		},
		Check: leaverMakesRoom,
	},
	{
		Name: "ChangeReachesWaiters", Group: "wait", Points: 2, Section: step5,
		Why: "A limit is raised because somebody waits too long. It should help those who wait now.",
		Hints: [3]string{
			"Whose sleep was computed at the old rate?",
			"Each waiter's end is an instant like the bucket's fullness: the same conversion holds for it.",
			"In SetLimit: for _, w := range l.queue { w.end = translate(old, next, w.end, t) }; l.arm()",
		},
		Check: changeReaches,
	},
}

// looker is the bubble's clock, and counts who looks at it. In a bubble time
// stands still for one who looks all the time, so after most looks a year has
// passed: then there are tokens for everybody, and the rule can end.
type looker struct {
	start time.Time
	looks atomic.Int64
	most  int64
}

func newLooker(most int64) *looker { return &looker{start: time.Now(), most: most} }

func (c *looker) now() time.Duration {
	if c.looks.Add(1) > c.most {
		return time.Since(c.start) + 365*24*time.Hour
	}
	return time.Since(c.start)
}

// restful fails where somebody has looked too often.
func (c *looker) restful() error {
	if n := c.looks.Load(); n > c.most {
		return spec.Fail("Wait to sleep until its time", "it has read the clock more than %d times: it spins", c.most)
	}
	return nil
}

// line is some callers of Wait and when each came through.
type line struct {
	r    *spec.Run
	lim  Limiter
	done []<-chan error
	at   []time.Duration
	who  chan int
	zero time.Time
}

func newLine(r *spec.Run, lim Limiter) *line {
	return &line{r: r, lim: lim, who: make(chan int, 5000), zero: time.Now()}
}

// join has one more wait for n tokens, and returns when it does.
func (q *line) join(ctx context.Context, n int) {
	i := len(q.done)
	q.at = append(q.at, 0)
	q.done = append(q.done, q.r.Go(func() error {
		err := q.lim.Wait(ctx, n)
		q.at[i] = time.Since(q.zero)
		q.who <- i
		return err
	}))
	synctest.Wait()
}

// end waits for all and returns the errors in the order of joining.
func (q *line) end() (errs []error) {
	for _, d := range q.done {
		errs = append(errs, <-d)
	}
	return errs
}

// order is in which order they came through.
func (q *line) order() (all []int) {
	close(q.who)
	for i := range q.who {
		all = append(all, i)
	}
	return all
}

// times compares when they came through with when they should.
func (q *line) times(what string, expected []time.Duration) error {
	if errs := errors.Join(q.end()...); errs != nil {
		return errs
	}
	if !slices.Equal(q.at, expected) {
		return spec.Fail(fmt.Sprintf("%s to go at %v", what, expected), "they went at %v", q.at)
	}
	return nil
}

func waitSleeps(r *spec.Run, l lab) error {
	for _, c := range []struct {
		rate float64
		gap  time.Duration
	}{{10, 100 * ms}, {0.25, 4 * sec}, {1000, ms}, {1e6, time.Microsecond}} {
		r.Step("10 calls of Wait at %g/s with a burst of 2, one after the other", c.rate)
		err := r.Bubble(func(r *spec.Run) error {
			clock := newLooker(1000)
			lim, err := l.New(Options{Rate: c.rate, Burst: 2, Now: clock.now})
			if err != nil {
				return err
			}
			lim.AllowN(2)
			for i := range 10 {
				err := r.Call("Wait to return", func() error { return lim.Wait(r.Context(), 1) })
				if err := first(err, clock.restful()); err != nil {
					return err
				}
				if at, right := time.Since(clock.start), time.Duration(i+1)*c.gap; at != right {
					return spec.Fail(fmt.Sprintf("Wait %d at %g/s to return after %v", i+1, c.rate, right), "it returned after %v", at)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return waitChecksCounts(r, l)
}

// waitChecksCounts waits for what will never be there.
func waitChecksCounts(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		began := time.Now()
		lim, err := l.New(Options{Rate: 10, Burst: 5})
		if err != nil {
			return err
		}
		for _, n := range neverThere {
			r.Step("wait for %d of a burst of 5", n)
			if err := lim.Wait(r.Context(), n); err != l.Count || time.Since(began) > 0 {
				return spec.Fail(fmt.Sprintf("Wait for %d to return ErrCount at once", n), "it returned %s after %v", l.name(err), time.Since(began))
			}
		}
		return want("tokens after Waits that were refused", 5, count(10, lim.Allow))
	})
}

func waitingBurnsNothing(r *spec.Run, l lab) error {
	r.Step("1000 goroutines wait for one token each, at 100/s")
	return r.Bubble(func(r *spec.Run) error {
		clock := newLooker(20000)
		lim, err := l.New(Options{Rate: 100, Burst: 1, Now: clock.now})
		if err != nil {
			return err
		}
		lim.Allow()
		q := newLine(r, lim)
		for range 1000 {
			q.join(r.Context(), 1)
		}
		if err := first(errors.Join(q.end()...), clock.restful()); err != nil {
			return err
		}
		if took := time.Since(clock.start); took != 10*sec {
			return spec.Fail("1000 tokens at 100/s to take 10 s", "they took %v", took)
		}
		if n := clock.looks.Load(); n > 10000 {
			return spec.Fail("at most 10 looks at the clock for each of 1000 who wait", "there were %d", n)
		}
		return nil
	})
}

func waitIsFair(r *spec.Run, l lab) error {
	r.Step("with 10/s and an empty bucket of 5, 5 wait: for 5, 1, 3, 1 and 2 tokens; and somebody asks Allow every 10 ms")
	return r.Bubble(func(r *spec.Run) error {
		lim, err := l.New(Options{Rate: 10, Burst: 5})
		if err != nil {
			return err
		}
		lim.AllowN(5)
		q := newLine(r, lim)
		for _, n := range []int{5, 1, 3, 1, 2} {
			q.join(r.Context(), n)
		}
		for range 119 {
			time.Sleep(10 * ms)
			synctest.Wait()
			if lim.Allow() {
				return spec.Fail("Allow to be refused while others wait", "it took a token after %v", time.Since(q.zero))
			}
		}
		if err := q.times("those who wait for 5, 1, 3, 1 and 2", []time.Duration{500 * ms, 600 * ms, 900 * ms, sec, 1200 * ms}); err != nil {
			return err
		}
		if o := q.order(); !slices.IsSorted(o) {
			return spec.Fail("those who wait to go in the order of coming", "they went in the order %v", o)
		}
		time.Sleep(100 * ms)
		return want("Allow when nobody waits any more", true, lim.Allow())
	})
}

func waitHears(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		lim, err := l.New(Options{Rate: 1, Burst: 1})
		if err != nil {
			return err
		}
		r.Step("an ended context, with a token there")
		gone, cancel := context.WithCancel(r.Context())
		cancel()
		if err := lim.Wait(gone, 1); err != context.Canceled {
			return spec.Fail("Wait with an ended context to return context.Canceled", "it returned %s", l.name(err))
		}
		if err := want("the token after a Wait that was refused", true, lim.Allow()); err != nil {
			return err
		}

		r.Step("a deadline in 500 ms, the token in 1 s")
		soon, cancel := context.WithTimeout(r.Context(), 500*ms)
		defer cancel()
		begin := time.Now()
		if err := lim.Wait(soon, 1); !errors.Is(err, l.TooLong) || time.Since(begin) != 0 {
			return spec.Fail("Wait to return ErrTooLong at once", "it returned %s after %v", l.name(err), time.Since(begin))
		}

		r.Step("a context that ends while it waits")
		ctx, cancel := context.WithCancel(r.Context())
		waiting := r.Go(func() error { return lim.Wait(ctx, 1) })
		time.Sleep(300 * ms)
		cancel()
		synctest.Wait()
		select {
		case err := <-waiting:
			if err != context.Canceled {
				return spec.Fail("Wait to return context.Canceled", "it returned %s", l.name(err))
			}
		default:
			return spec.Fail("Wait to return when its context ends", "it still waits")
		}
		time.Sleep(700*ms - 1)
		if lim.Allow() {
			return spec.Fail("no token before 1 s", "there was one: those who left gave back more than they took")
		}
		time.Sleep(time.Nanosecond)
		return want("the token after 1 s, because nobody has taken it", true, lim.Allow())
	})
}

func leaverMakesRoom(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		lim, err := l.New(Options{Rate: 10, Burst: 3})
		if err != nil {
			return err
		}
		lim.AllowN(3)
		r.Step("at 10/s four wait, for 1, 2, 1 and 1; after 50 ms the second leaves, after 150 ms the third")
		q := newLine(r, lim)
		second, leave2 := context.WithCancel(r.Context())
		third, leave3 := context.WithCancel(r.Context())
		defer leave2()
		defer leave3()
		q.join(r.Context(), 1)
		q.join(second, 2)
		q.join(third, 1)
		q.join(r.Context(), 1)
		time.Sleep(50 * ms)
		leave2()
		time.Sleep(100 * ms)
		leave3()
		errs := q.end()
		if errs[0] != nil || errs[1] != context.Canceled || errs[2] != context.Canceled || errs[3] != nil {
			return spec.Fail("the first and the last to get their token, the others context.Canceled", "they got %v", errs)
		}
		expected := []time.Duration{100 * ms, 50 * ms, 150 * ms, 200 * ms}
		if !slices.Equal(q.at, expected) {
			return spec.Fail(fmt.Sprintf("them to return at %v", expected), "they returned at %v", q.at)
		}
		if lim.Allow() {
			return spec.Fail("no token at 200 ms", "there was one")
		}
		time.Sleep(100 * ms)
		if err := want("tokens at 300 ms", 1, count(3, lim.Allow)); err != nil {
			return err
		}
		return first(nobodyPassesAPromise(r, l), turnMeetsCancel(r, l))
	})
}

// nobodyPassesAPromise has the first of a line leave, with a reservation in it.
func nobodyPassesAPromise(r *spec.Run, l lab) error {
	lim, err := l.New(Options{Rate: 1, Burst: 1})
	if err != nil {
		return err
	}
	lim.Allow()
	r.Step("at 1/s one waits, one has reserved, one waits behind it; the first leaves after 500 ms")
	q := newLine(r, lim)
	ctx, leave := context.WithCancel(r.Context())
	defer leave()
	q.join(ctx, 1)
	told, _, err := lim.Reserve(1)
	if err := first(err, want("the reservation's delay", 2*sec, told)); err != nil {
		return err
	}
	q.join(r.Context(), 1)
	time.Sleep(500 * ms)
	leave()
	q.end()
	if q.at[1] != 3*sec {
		return spec.Fail("who waits behind a reservation for 2 s to go at 3 s", "it went at %v", q.at[1])
	}
	return want("tokens at 3 s", false, lim.Allow())
}

// turnMeetsCancel ends a context when the token has come and nobody has noticed:
// it is taken or given back, not both and not neither.
func turnMeetsCancel(r *spec.Run, l lab) error {
	c := &clock{}
	lim, err := c.limiter(l, 1, 1)
	if err != nil {
		return err
	}
	lim.Allow()
	r.Step("one waits; its token comes and its context ends, before its timer rings")
	ctx, cancel := context.WithCancel(r.Context())
	waited := r.Go(func() error { return lim.Wait(ctx, 1) })
	synctest.Wait()
	c.after(sec)
	cancel()
	err = <-waited
	if there := lim.Allow(); there == (err == nil) {
		return spec.Fail("the token to be taken if Wait has returned nil, and to be there if not", "Wait returned %s, and Allow %v", l.name(err), there)
	}
	return nil
}

func changeReaches(r *spec.Run, l lab) error {
	c := &clock{}
	lim, err := c.limiter(l, 10, 5)
	if err != nil {
		return err
	}
	r.Step("at 10/s an empty bucket, and 5 are reserved; then 20/s")
	lim.AllowN(5)
	_, _, err = lim.Reserve(5)
	if err := first(err, lim.SetLimit(20, 5), want("Tokens, with 5 that are owed, after a change", -5.0, math.Round(lim.Tokens()*1e6)/1e6)); err != nil {
		return err
	}
	return r.Bubble(func(r *spec.Run) error {
		lim, err := l.New(Options{Rate: 1, Burst: 1})
		if err != nil {
			return err
		}
		lim.Allow()
		r.Step("5 wait at 1/s; after 500 ms it becomes 10/s, and when two have gone 2/s")
		q := newLine(r, lim)
		for range 5 {
			q.join(r.Context(), 1)
		}
		time.Sleep(500 * ms)
		if err := lim.SetLimit(10, 1); err != nil { // half a token is there
			return err
		}
		time.Sleep(150 * ms) // two have gone, at 550 and 650 ms
		synctest.Wait()
		if err := lim.SetLimit(2, 1); err != nil {
			return err
		}
		rounded := time.Microsecond
		if err := errors.Join(q.end()...); err != nil {
			return err
		}
		for i, right := range []time.Duration{550 * ms, 650 * ms, 1150 * ms, 1650 * ms, 2150 * ms} {
			if off := q.at[i] - right; off < -rounded || off > rounded {
				return spec.Fail(fmt.Sprintf("number %d to go at %v", i+1, right), "they went at %v", q.at)
			}
		}
		return nil
	})
}

var reserveRules = []spec.Rule[lab]{
	{
		Name: "ReserveTellsWhen", Group: "reserve", Points: 2, Section: step5,
		Why: "An event loop cannot wait. It asks when, sets its own timer, and what it has reserved is its own.",
		Hints: [3]string{
			"What differs from Wait, but for who sleeps?",
			"Take the tokens as Wait does, and return the delay. More than MaxFill ahead is ErrTooLong.",
			"end := owe(n); delay := max(0, due(end)-now); if delay > MaxFill { give back; return ErrTooLong }",
		},
		Check: reserveTells,
	},
	{
		Name: "CancelMintsNothing", Group: "reserve", Points: 2, Section: step5,
		Why: "To give back what stands in front of others, without moving them, lets a newcomer go at the same instant as the last of them. To give back twice, or what was used, is to print money.",
		Hints: [3]string{
			"One reserves, another behind it; the first cancels: who may go when?",
			"Those behind were told their time. So give back only what nothing was taken behind: then the bucket stands where this reservation left it.",
			"if !done && now < due(end) && barrier == end && full.CompareAndSwap(end, end-cost) { done = true }",
		},
		Check: cancelMints,
	},
}

func reserveTells(r *spec.Run, l lab) error {
	c := &clock{}
	lim, err := c.limiter(l, 10, 5)
	if err != nil {
		return err
	}
	for _, k := range []struct {
		n  int
		in time.Duration
	}{{5, 0}, {1, 100 * ms}, {5, 600 * ms}, {2, 800 * ms}} {
		r.Step("reserve %d", k.n)
		d, cancel, err := lim.Reserve(k.n)
		if err != nil || cancel == nil {
			return spec.Fail("a delay and a cancel", "Reserve(%d) returned the error %s", k.n, l.name(err))
		}
		if d != k.in {
			return spec.Fail(fmt.Sprintf("Reserve(%d) to return %v", k.n, k.in), "it returned %v", d)
		}
	}
	c.after(850 * ms)
	r.Step("850 ms later, everything has been used but half a token")
	if lim.Allow() {
		return spec.Fail("no token at 850 ms", "there was one")
	}
	c.after(50 * ms)
	if err := want("tokens at 900 ms", 1, count(5, lim.Allow)); err != nil {
		return err
	}
	if err := first(owedIsTold(r, l), reserveChecksCounts(r, l)); err != nil {
		return err
	}
	slow, err := c.limiter(l, 1.0/86400, 20)
	if err != nil {
		return err
	}
	r.Step("one token a day: reserve 20 three times; the third would be 40 days from now")
	_, _, err1 := slow.Reserve(20)
	_, _, err2 := slow.Reserve(20)
	_, _, err3 := slow.Reserve(20)
	if err1 != nil || err2 != nil || !errors.Is(err3, l.TooLong) {
		return spec.Fail("the third to return ErrTooLong", "they returned %s, %s, %s", l.name(err1), l.name(err2), l.name(err3))
	}
	d, _, err := slow.Reserve(1)
	if off := d - 21*24*time.Hour; err != nil || off < -sec || off > sec {
		return spec.Fail("a reservation that was refused to take nothing: the next one in 21 days", "it is in %v (%s)", d, l.name(err))
	}
	return nothingIsKept(r, l)
}

// owedIsTold looks at a bucket in debt.
func owedIsTold(r *spec.Run, l lab) error {
	c := &clock{}
	lim, err := c.limiter(l, 10, 5)
	if err != nil {
		return err
	}
	lim.AllowN(5)
	c.after(50 * ms)
	r.Step("half a token is there, and two are reserved")
	d, _, err := lim.Reserve(2)
	return first(err, want("the reservation's delay", 150*ms, d),
		want("Delay(1) behind it", 250*ms, lim.Delay(1)),
		want("Tokens, with two that are owed", -1.5, math.Round(lim.Tokens()*1e6)/1e6))
}

// reserveChecksCounts reserves what will never be there.
func reserveChecksCounts(r *spec.Run, l lab) error {
	c := &clock{}
	lim, err := c.limiter(l, 10, 5)
	if err != nil {
		return err
	}
	for _, n := range neverThere {
		r.Step("reserve %d of a burst of 5", n)
		_, cancel, err := lim.Reserve(n)
		if err != l.Count || cancel == nil {
			return spec.Fail(fmt.Sprintf("Reserve of %d to return ErrCount, and a cancel that is not nil", n), "it returned %s; cancel is nil: %v", l.name(err), cancel == nil)
		}
		cancel()
	}
	return want("tokens after reservations that were refused", 5, count(10, lim.Allow))
}

// nothingIsKept looks at the memory that those leave behind who have come and
// gone.
func nothingIsKept(r *spec.Run, l lab) error {
	const many = 50_000
	c := &clock{}
	lim, err := c.limiter(l, 1000, 1)
	if err != nil {
		return err
	}
	lim.Allow()
	r.Step("%d reservations, one each millisecond", many)
	before := heap()
	for range many {
		if d, _, err := lim.Reserve(1); err != nil || d != ms {
			return spec.Fail("Reserve to return 1ms", "it returned %v, %s", d, l.name(err))
		}
		c.after(ms)
	}
	kept := heap() - before
	runtime.KeepAlive(lim)
	if kept > many*8 {
		return spec.Fail("nothing to be left of reservations whose time has come", "%d KB are", kept>>10)
	}
	return r.Bubble(func(r *spec.Run) error {
		const many = 20_000
		lim, err := l.New(Options{Rate: 1000, Burst: 1})
		if err != nil {
			return err
		}
		r.Step("%d calls of Wait, one after the other", many)
		before := heap()
		for range many {
			if err := lim.Wait(r.Context(), 1); err != nil {
				return err
			}
		}
		kept := heap() - before
		runtime.KeepAlive(lim)
		if kept > many*8 {
			return spec.Fail("nothing to be left of those who have waited", "%d KB are", kept>>10)
		}
		return nil
	})
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func cancelMints(r *spec.Run, l lab) error {
	c := &clock{}
	lim, err := c.limiter(l, 10, 5)
	if err != nil {
		return err
	}
	delay := func() time.Duration {
		d, _, err := lim.Reserve(1)
		if err != nil {
			return -1
		}
		return d
	}
	lim.AllowN(5)
	r.Step("reserve at 100 ms and cancel: the next one is at 100 ms again; cancel the first again: the next one is at 200 ms")
	_, cancel, err := lim.Reserve(1)
	if err != nil {
		return err
	}
	cancel()
	if err := want("delay after a cancel", 100*ms, delay()); err != nil {
		return err
	}
	cancel()
	if err := want("delay after a cancel that was called twice", 200*ms, delay()); err != nil {
		return err
	}
	r.Step("reserve at 300 ms, and behind it at 400 ms; cancel the one at 300 ms: the next one is at 500 ms")
	_, cancel, _ = lim.Reserve(1)
	if err := want("delay of the one behind", 400*ms, delay()); err != nil {
		return err
	}
	cancel()
	if err := want("delay after a cancel in the middle", 500*ms, delay()); err != nil {
		return err
	}
	r.Step("reserve at 600 ms, be there, and cancel: it was used")
	_, cancel, _ = lim.Reserve(1)
	c.after(600 * ms)
	cancel()
	if lim.Allow() {
		return spec.Fail("no token at 600 ms: all were used", "there was one, from a reservation whose time had come")
	}
	r.Step("one that was there at once is used, too")
	c.after(sec)
	_, cancel, _ = lim.Reserve(5)
	cancel()
	return first(want("tokens after all were taken, and cancelled late", 0, count(5, lim.Allow)), cancelAfterAChange(r, l))
}

func cancelAfterAChange(r *spec.Run, l lab) error {
	c := &clock{}
	lim, err := c.limiter(l, 10, 5)
	if err != nil {
		return err
	}
	r.Step("at 10/s an empty bucket, and 5 are reserved; then 20/s; then cancel")
	lim.AllowN(5)
	_, cancel, err := lim.Reserve(5)
	if err := first(err, lim.SetLimit(20, 5)); err != nil {
		return err
	}
	cancel()
	return want("Tokens after a cancel that comes after a change", -5.0, math.Round(lim.Tokens()*1e6)/1e6)
}
