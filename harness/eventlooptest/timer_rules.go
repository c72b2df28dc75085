package eventlooptest

import (
	"errors"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
)

const timerSection = "Step 6: timers"

var timerRules = []spec.Rule[New]{
	{
		Name: "TimersAreNeverEarly", Group: "timers", Points: 2, Section: timerSection,
		Why: "A timeout that fires early ends a connection that was in time. epoll_wait counts in milliseconds: round up, and look at the clock, not at what woke you. Timers fire in the order of their times, and wake a loop that has nothing else to do.",
		Hints: [3]string{
			"epoll_wait has returned. Which timers are due, and how do you know?",
			"A heap by time; the earliest one decides epoll_wait's timeout, rounded up to a millisecond; fire those whose time is not after now.",
			"timeout := int((time.Until(timers[0].when) + time.Millisecond - 1) / time.Millisecond), at least 0; -1 with no timer.",
		},
		Check: timersAreNeverEarly,
	},
	{
		Name: "StopPreventsTheCall", Group: "timers", Points: 1, Section: timerSection,
		Why: "A reply that came in time stops its timeout. stop's answer must be the truth: true, and the function will not run; false, and it has run or was stopped before.",
		Hints: [3]string{
			"Two timers are due in the same turn, and the first one's function stops the second. Does the second fire?",
			"Take one timer out of the heap at a time, right before you call it. stop removes, and reports whether it was still in.",
			"Keep the timer's index in the heap, -1 when it is out: stop = func() bool { if t.index < 0 { return false }; heap.Remove(&h, t.index); return true }.",
		},
		Check: stopPreventsTheCall,
	},
}

func timersAreNeverEarly(r *spec.Run, new New) error {
	s, err := serve(r, new, newDiary(r).options())
	if err != nil {
		return err
	}
	const n = 300
	type firing struct {
		asked         time.Duration
		early         time.Duration
		first, latest time.Time // between these it was due
	}
	var order []firing // loop goroutine only, until all is done
	var fired atomic.Int64
	r.Step("%d timers of 0 to 60 ms on an idle loop, in no order", n)
	err = s.onLoop(func() {
		for i := range n {
			d := time.Duration(i*37%n) * 200 * time.Microsecond
			due, latest := time.Now().Add(d), time.Time{}
			s.AfterFunc(d, func() {
				order = append(order, firing{d, time.Until(due), due, latest})
				fired.Add(1)
			})
			latest = time.Now().Add(d) // a busy machine may have stopped us in between
		}
	})
	if err != nil {
		return err
	}
	if err := r.Until("all timers to fire, with nothing else to wake the loop", func() bool { return fired.Load() == n }); err != nil {
		return spec.Fail("all timers to fire, with nothing else to wake the loop", "%d of %d did", fired.Load(), n)
	}
	var got []firing
	if err := s.onLoop(func() { got = slices.Clone(order) }); err != nil {
		return err
	}
	for i, f := range got {
		if f.early > 0 {
			return spec.Fail("a timer never to fire early", "one of %v fired %v early", f.asked, f.early)
		}
		if i > 0 && f.latest.Before(got[i-1].first.Add(-10*time.Millisecond)) {
			return spec.Fail("timers in the order of their times", "one of %v fired after one of %v, due %v before it", f.asked, got[i-1].asked, got[i-1].first.Sub(f.latest))
		}
	}
	r.Step("equal and negative times, and a timer set by a timer")
	ran := make(chan int, 10)
	err = s.onLoop(func() {
		s.AfterFunc(-time.Second, func() { ran <- 1 })
		s.AfterFunc(5*time.Millisecond, func() { s.AfterFunc(0, func() { ran <- 2 }) })
	})
	if err != nil {
		return err
	}
	for range 2 {
		if _, err := spec.Wait(r, "a timer in the past, and one set by another, to fire", ran); err != nil {
			return err
		}
	}
	return timersSleep(r, s)
}

// timersSleep counts, where the kernel lets it, how often the loop looks until a
// timer is due. Who rounds down looks all the time in the last millisecond.
func timersSleep(r *spec.Run, s *serving) error {
	const rounds, most = 50, 20
	calls, err := meter.OpenSyscalls(os.Getpid())
	if err != nil {
		r.Step("not counted: %v", err)
		return nil
	}
	defer calls.Close()
	r.Step("%d timers of 1.9 ms, one after the other, and a count of epoll_wait", rounds)
	before, err := calls.Read()
	if err != nil {
		return err
	}
	done := make(chan struct{})
	left := rounds
	var again func()
	again = func() {
		if left--; left == 0 {
			close(done)
			return
		}
		s.AfterFunc(1900*time.Microsecond, again)
	}
	if err := s.onLoop(again); err != nil {
		return err
	}
	if _, err := spec.Wait(r, "a timer that sets itself again to have fired 50 times", done); err != nil {
		return err
	}
	after, err := calls.Read()
	if err != nil {
		return err
	}
	since := after.Since(before)
	if n := since["epoll_wait"] + since["epoll_pwait"]; n > rounds*most {
		return spec.Fail("a loop that sleeps until a timer is due", "%d calls of epoll_wait for %d timers", n, rounds)
	}
	return nil
}

func stopPreventsTheCall(r *spec.Run, new New) error {
	s, err := serve(r, new, newDiary(r).options())
	if err != nil {
		return err
	}
	r.Step("stop right away, stop twice, stop after firing, stop from a timer that is due at the same time")
	var wrong error // loop goroutine only, until all is done
	note := func(what string, ok bool) {
		if !ok {
			wrong = errors.Join(wrong, errors.New(what))
		}
	}
	done := make(chan struct{})
	err = s.onLoop(func() {
		stop := s.AfterFunc(time.Millisecond, func() { note("a timer fired whose stop had returned true", false) })
		note("the first stop returned false", stop())
		note("a second stop returned true", !stop())

		var stopOther func() bool
		s.AfterFunc(5*time.Millisecond, func() {
			note("stop returned false for a timer that had not fired", stopOther())
		})
		stopOther = s.AfterFunc(5*time.Millisecond, func() { note("a timer fired that another had stopped", false) })
		time.Sleep(6 * time.Millisecond) // both are due when the loop comes to them

		var stopSelf func() bool
		stopSelf = s.AfterFunc(10*time.Millisecond, func() {
			note("stop returned true inside the timer's own function", !stopSelf())
		})
		s.AfterFunc(30*time.Millisecond, func() {
			note("stop returned true after the timer had fired", !stopSelf())
			close(done)
		})
	})
	if err != nil {
		return err
	}
	if _, err := spec.Wait(r, "the last of some timers to fire", done); err != nil {
		return err
	}
	var found error
	if err := s.onLoop(func() { found = wrong }); err != nil {
		return err
	}
	if found != nil {
		return spec.Fail("stop to prevent the call, and to report whether it did", "%v", found)
	}
	return panicEndsRun(r, new, "given to AfterFunc", func(l Loop, fn func()) error {
		return l.Post(func() { l.AfterFunc(time.Millisecond, fn) })
	})
}
