package reactortest

import (
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

const wheelSection = "Step 1: the wheel"

var wheelRules = []spec.Rule[Subject]{
	{
		Name: "WheelKeepsTime", Group: "wheel", Points: 3, Section: wheelSection,
		Why: "A timer that is early closes a connection that had time left, and one that is lost keeps a dead connection for ever. Whatever is started and stopped in whatever order, each fires in the tick that its time is rounded up to.",
		Hints: [3]string{
			"Two timers are in one slot, one for this turn and one for the next. How do you tell them apart?",
			"Compute the tick: the clock plus d, divided by the tick, rounded up. Its slot is that modulo the number of slots; keep the tick itself with the timer.",
			"due := (clock + d + tick - 1) / tick; slots[due % len(slots)]. Advance: for passed < now/tick { passed++; call those of slots[passed % len(slots)] whose due == passed }.",
		},
		Check: wheelKeepsTime,
	},
	{
		Name: "WheelCountsTurns", Group: "wheel", Points: 2, Section: wheelSection,
		Why: "A delay of exactly one turn comes back to the slot that the clock is in. Off by one there, it fires at once or a whole turn late, and no shorter delay ever shows it.",
		Hints: [3]string{
			"The wheel has 8 slots and the clock is in tick 5. Which slot gets a timer of 8 ticks, and when is that slot looked at next?",
			"A counter of turns left is easy to get wrong by one. The absolute tick cannot be: compare it for equality.",
			"Keep due in the timer and test t.due == tick when the slot is called; leave the others where they are.",
		},
		Check: wheelCountsTurns,
	},
	{
		Name: "WheelKeepsOrder", Group: "wheel", Points: 1, Section: wheelSection,
		Why: "After a pause (a busy loop, a machine that slept) Advance has many ticks to make up for. It calls them one after the other, oldest first: the heartbeat that was due before the timeout is sent before it.",
		Hints: [3]string{
			"Advance jumps by three turns. In which order do you visit the slots, and what is in each?",
			"Do not empty each slot once for all turns together: go tick by tick, and take only what belongs to that tick.",
			"for w.passed < last { w.passed++; w.call(w.passed) }; when Len is 0 jump to last at once.",
		},
		Check: wheelKeepsOrder,
	},
	{
		Name: "WheelStopTellsTheTruth", Group: "wheel", Points: 2, Section: wheelSection,
		Why: "Who stops a timer goes on to free what it points to. stop returns true when the call will not come, and false when it has come, or is prevented already; also for one that is due in the very tick that is being called.",
		Hints: [3]string{
			"Two timers are due in one tick, and the first one's call stops the second. Where is the second at that moment?",
			"Take a timer out before you call it, and keep those still to be called in a list from which stop can take them, too.",
			"Doubly linked lists: move the tick's timers to a list of its own, then repeat: take the first out, call it. stop unlinks from whatever list it is in, and is false when it is in none.",
		},
		Check: wheelStopTellsTheTruth,
	},
	{
		Name: "WheelCallsMayMakeTimers", Group: "wheel", Points: 2, Section: wheelSection,
		Why: "A heartbeat starts itself again in its own call. It counts from the clock as Advance has set it, and waits for a later Advance; a timer of 0 that makes another of 0 must not keep Advance for ever.",
		Hints: [3]string{
			"What does `now` mean inside a call, when Advance has jumped by an hour and is at the third tick of it?",
			"Set the clock first, to where Advance was told, then call. What is made counts from there, and is due in a tick behind it.",
			"due = max(due, clock/tick + 1).",
		},
		Check: wheelCallsMayMakeTimers,
	},
	{
		Name: "WheelHoldsAMillion", Group: "wheel", Points: 2, Section: wheelSection,
		Why: "A hundred thousand connections have a timer or two each, and most are stopped before they fire. Starting and stopping one must not look at the others, and none of them may cost a goroutine.",
		Hints: [3]string{
			"Which of your operations walks over other timers?",
			"Insertion at an end of the slot's list, removal by pointers to both neighbours. No search, no sorting, no shifting of a slice.",
			"type timer struct { next, prev *timer; due int64; fn func() }, a ring with the slot as its head; allocate the timer once, and nothing else.",
		},
		Check: wheelHoldsAMillion,
	},
}

// shape is a wheel to be tried; a number of slots need not be a power of two.
type shape struct {
	tick  time.Duration
	slots int
}

var shapes = []shape{{10 * time.Millisecond, 8}, {time.Millisecond, 7}, {50 * time.Millisecond, 64}, {3 * time.Microsecond, 512}}

func wheelKeepsTime(r *spec.Run, s Subject) error {
	for seed := range uint64(60) {
		sh := shapes[seed%uint64(len(shapes))]
		r.Step("a wheel of %d slots of %v: 2,000 starts, stops and Advances at random, number %d", sh.slots, sh.tick, seed+1)
		if err := randomly(newModel(s, sh.tick, sh.slots), sh, rand.New(rand.NewPCG(seed, 4))); err != nil {
			return err
		}
	}
	return belowZeroAndForEver(r, s)
}

// belowZeroAndForEver tries what arithmetic with delays may end in.
func belowZeroAndForEver(r *spec.Run, s Subject) error {
	const tick = 10 * time.Millisecond
	r.Step("a delay below 0 is one of 0; the longest there is does not come back as a short one")
	m := newModel(s, tick, 8)
	if err := m.advance(100*tick + 1); err != nil {
		return err
	}
	m.after(-30*tick, nil)
	forEver := 0
	stop := m.AfterFunc(math.MaxInt64, func() { forEver++ })
	m.others = 1
	for range 20 {
		if err := m.advance(m.clock + tick); err != nil {
			return err
		}
	}
	if err := m.advance(24 * time.Hour); err != nil {
		return err
	}
	if forEver > 0 || !stop() {
		return spec.Fail("a timer of 292 years to be pending after a day", "it was called %d times", forEver)
	}
	return nil
}

// randomly plays with a wheel, and compares each Advance with the model.
func randomly(m *model, sh shape, rnd *rand.Rand) error {
	turn := sh.tick * time.Duration(sh.slots)
	var all []*modelTimer
	for range 2000 {
		switch rnd.IntN(10) {
		default:
			d := time.Duration(rnd.Int64N(int64(turn) * 5 / 2))
			if rnd.IntN(4) == 0 {
				d = d / sh.tick * sh.tick
			}
			all = append(all, m.after(d, nil))
		case 0:
			all = append(all, m.after(0, nil))
		case 1, 2, 3:
			if len(all) > 0 {
				all[rnd.IntN(len(all))].halt()
			}
		case 4, 5:
			step := time.Duration(rnd.Int64N(int64(3 * sh.tick)))
			if rnd.IntN(20) == 0 {
				step = time.Duration(rnd.Int64N(int64(2 * turn)))
			}
			if err := m.advance(m.clock + step); err != nil {
				return err
			}
		case 6:
			if err := m.advance(m.clock/sh.tick*sh.tick + sh.tick); err != nil {
				return err
			}
		}
	}
	return m.advance(m.clock + 4*turn)
}

func wheelCountsTurns(r *spec.Run, s Subject) error {
	for _, sh := range shapes {
		turn := sh.tick * time.Duration(sh.slots)
		r.Step("a wheel of %d slots of %v: delays around whole turns, from each slot on", sh.slots, sh.tick)
		for slot := range min(sh.slots, 20) {
			m := newModel(s, sh.tick, sh.slots)
			if err := m.advance(time.Duration(slot) * sh.tick); err != nil {
				return err
			}
			for _, turns := range []int{1, 2, 3, 10} {
				for _, more := range []time.Duration{-sh.tick, -1, 0, 1, sh.tick} {
					m.after(time.Duration(turns)*turn+more, nil)
				}
			}
			for m.Len() > 0 && m.clock < 12*turn {
				if err := m.advance(m.clock + sh.tick); err != nil {
					return err
				}
			}
			if err := m.advance(13 * turn); err != nil {
				return err
			}
		}
	}
	return nil
}

func wheelKeepsOrder(r *spec.Run, s Subject) error {
	for _, sh := range shapes {
		turn := sh.tick * time.Duration(sh.slots)
		r.Step("a wheel of %d slots of %v: 300 timers, then Advance by five turns", sh.slots, sh.tick)
		m := newModel(s, sh.tick, sh.slots)
		rnd := rand.New(rand.NewPCG(7, 7))
		for round := range 5 {
			for range 300 {
				m.after(time.Duration(rnd.Int64N(int64(5*turn))), nil)
			}
			if err := m.advance(time.Duration(round+1)*5*turn + sh.tick/2); err != nil {
				return err
			}
		}
		r.Step("the clock does not go back")
		m.after(turn, nil)
		if err := m.advance(turn / 2); err != nil {
			return err
		}
		m.after(2*sh.tick, nil)
		for range 4 {
			if err := m.advance(m.clock + sh.tick); err != nil {
				return err
			}
		}
		if err := m.advance(m.clock + 2*turn); err != nil {
			return err
		}
	}
	r.Step("an hour ahead at once, with one timer in it, and with none")
	m := newModel(s, 10*time.Millisecond, 64)
	m.after(30*time.Minute, nil)
	if err := m.advance(time.Hour); err != nil {
		return err
	}
	m.after(time.Second, nil)
	return m.advance(2 * time.Hour)
}

func wheelStopTellsTheTruth(r *spec.Run, s Subject) error {
	const tick = 10 * time.Millisecond
	m := newModel(s, tick, 8)
	r.Step("stop before, stop again, stop after the call")
	early, fires := m.after(tick, nil), m.after(tick, nil)
	early.halt()
	early.halt()
	if err := m.advance(tick); err != nil {
		return err
	}
	fires.halt()
	early.halt()

	r.Step("a call stops itself, its neighbours of the same tick, and one of a later turn")
	var group [5]*modelTimer
	turnLater := m.after(9*tick, nil)
	for i := range group {
		group[i] = m.after(tick, func() {
			group[i].halt()
			group[(i+2)%len(group)].halt()
			turnLater.halt()
		})
	}
	if err := m.advance(2 * tick); err != nil {
		return err
	}
	r.Step("a call stops what is due in a later tick of the same Advance")
	victim := m.after(3*tick, nil)
	m.after(2*tick, func() { victim.halt() })
	if err := m.advance(10 * tick); err != nil {
		return err
	}
	return m.advance(40 * tick)
}

func wheelCallsMayMakeTimers(r *spec.Run, s Subject) error {
	const tick = 10 * time.Millisecond
	for _, d := range []time.Duration{0, 1, tick, 3 * tick, 8 * tick, 20 * tick} {
		r.Step("a timer of %v that starts itself again in its call", d)
		m := newModel(s, tick, 8)
		left := 50
		var again func()
		again = func() {
			if left--; left > 0 {
				m.after(d, again)
			}
		}
		m.after(d, again)
		for m.Len() > 0 && left > -10 {
			if err := m.advance(m.clock + max(d, tick)/2 + tick/2); err != nil {
				return err
			}
		}
		if left != 0 {
			return spec.Fail("a timer that starts itself again 50 times to be called 50 times", "it was called %d times", 50-left)
		}
	}
	r.Step("Advance by an hour: what is made inside counts from the hour's end")
	m := newModel(s, tick, 8)
	for i := range 10 {
		m.after(time.Duration(i)*tick, func() {
			m.after(0, nil)
			m.after(3*tick, nil)
			m.after(8*tick, nil)
		})
	}
	if err := m.advance(time.Hour + tick/2); err != nil {
		return err
	}
	for range 20 {
		if err := m.advance(m.clock + tick/2); err != nil {
			return err
		}
	}
	return nil
}

// wheelHoldsAMillion compares no times: with work that grows with the number of
// timers this does not end before the deadline, by far.
func wheelHoldsAMillion(r *spec.Run, s Subject) error {
	const tick, slots, n = 10 * time.Millisecond, 1024, 1_000_000
	if err := needsNoGoroutine(r, s.Wheel(tick, slots)); err != nil {
		return err
	}
	w := s.Wheel(tick, slots)
	fired := 0
	stops := make([]func() bool, 0, n)
	r.Step("a million timers, half of them in one slot")
	err := r.Call("a million timers to be started", func() error {
		for i := range n {
			d := time.Minute
			if i%2 == 1 {
				d = time.Duration(1+i*7919%(10*slots)) * tick
			}
			stops = append(stops, w.AfterFunc(d, func() { fired++ }))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if got := w.Len(); got != n {
		return spec.Fail("Len to be 1,000,000", "it is %d", got)
	}
	r.Step("with them in place, what does one more allocate?")
	per := testing.AllocsPerRun(1000, func() { w.AfterFunc(time.Minute, func() { fired++ })() })
	if per > 4 {
		return spec.Fail("at most 4 allocations for a timer (itself, its stop)", "%.1f, beside a million others", per)
	}
	r.Step("most are stopped, in another order, and the others fire")
	err = r.Call("900,000 timers to be stopped, and the others to fire", func() error {
		const stride = 700_001 // prime to n: each once
		for i := range n / 10 * 9 {
			if !stops[i*stride%n]() {
				return spec.Fail("stop to return true for a timer that is pending", "it returned false")
			}
		}
		for now := time.Duration(0); w.Len() > 0 && now < 10*time.Minute; now += 500 * tick {
			w.Advance(now)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if fired != n/10 {
		return spec.Fail("100,000 timers to fire: those not stopped", "%d did", fired)
	}
	return nil
}

func needsNoGoroutine(r *spec.Run, w Wheel) error {
	const n = 20_000
	before := runtime.NumGoroutine()
	r.Step("%d timers, and a look at the number of goroutines", n)
	for range n {
		w.AfterFunc(time.Minute, func() {})
	}
	if more := runtime.NumGoroutine() - before; more > 100 {
		return spec.Fail("timers without goroutines", "%d pending timers have %d", n, more)
	}
	return nil
}
