package workerpooltest

import (
	"context"
	"errors"
	"testing/synctest"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var endRules = []spec.Rule[lab]{
	{
		Name: "StopDrains", Group: "end", Points: 5, Section: step6,
		Why: "What was accepted is run, also what stands behind a key. A pool that forgets its queue at the end loses the last second of work with each restart.",
		Hints: [3]string{
			"When may a worker end?",
			"When the pool is stopping, the queue is empty, and nothing is held back behind a key: whoever runs that key's task will queue the next one.",
			"for queue.n == 0 { if stopping && held == 0 { return nil }; cond.Wait() }; finish: if stopping { cond.Broadcast() }",
		},
		Check: stopDrains,
	},
	{
		Name: "StopIsFinal", Group: "end", Points: 4, Section: step6,
		Why: "In the article's pool a Submit after Stop sends into a closed channel, and the process panics: at the end of each day, under load, sometimes.",
		Hints: [3]string{
			"What do Submit, TrySubmit and a second Stop do after Stop?",
			"ErrStopped, also for those that wait for room. A flag under the lock, no closed channel.",
			"put: if p.stopping { return nil, ErrStopped }; refuse: for all waiters: err = ErrStopped; close(ready)",
		},
		Check: stopFinal,
	},
	{
		Name: "StopNowGivesUp", Group: "end", Points: 5, Section: step6,
		Why: "The process has to end, and a task waits for a network that is gone. It is told by its context; those that have not begun never will, and whoever waits for them hears so.",
		Hints: [3]string{
			"Which tasks can you still prevent, and who has to hear of it?",
			"Those in the queue and behind keys: their futures have the result ErrStopped. For those that run there is the context.",
			"cancel(); all := queue and lines; unlock; for f in all { f.resolve(ErrStopped) }",
		},
		Check: stopNow,
	},
}

func stopDrains(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		g := newGate(r)
		p, err := open(r, l, Options{Workers: 2, Queue: 20})
		if err != nil {
			return err
		}
		r.Step("2 workers; 5 tasks of one key and 5 without, all of which wait; Stop, three times at once")
		for range 5 {
			p.SubmitKeyed(r.Context(), "k", g.task)
			p.Submit(r.Context(), g.task)
		}
		var stops []<-chan error
		for range 3 {
			stops = append(stops, r.Go(func() error { return p.Stop(r.Context()) }))
		}
		synctest.Wait()
		for _, s := range stops {
			if len(s) > 0 {
				return spec.Fail("Stop to wait for the tasks", "it returned %s", l.name(<-s))
			}
		}
		close(g)
		synctest.Wait()
		for _, s := range stops {
			if len(s) == 0 {
				return spec.Fail("every Stop to return when all tasks have ended", "one still waits")
			}
			if err := <-s; err != nil {
				return spec.Fail("Stop to return nil", "it returned %s", l.name(err))
			}
		}
		return holds(p, "after Stop", Stats{Submitted: 10, Done: 10})
	})
}

func stopFinal(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		g := newGate(r)
		p, err := open(r, l, Options{Workers: 1, Queue: 1})
		if err != nil {
			return err
		}
		inside, err := p.Submit(r.Context(), func(ctx context.Context) error {
			g.task(ctx)
			_, err := p.Submit(ctx, nothing)
			return err
		})
		if err != nil {
			return spec.Fail("Submit to return nil", "it returned %s", l.name(err))
		}
		synctest.Wait()
		if err := busy(p, g, 1); err != nil {
			return err
		}
		r.Step("one task runs, one waits, one Submit waits for room; Stop; Submit, SubmitKeyed, TrySubmit, and a Submit from the task")
		blocked := r.Go(func() error { _, err := p.Submit(r.Context(), nothing); return err })
		synctest.Wait()
		stop := r.Go(func() error { return p.Stop(r.Context()) })
		synctest.Wait()
		if len(blocked) == 0 {
			return spec.Fail("a Submit that waits for room to return ErrStopped", "it still waits")
		}
		if err := <-blocked; err != l.Stopped {
			return spec.Fail("a Submit that waits for room to return ErrStopped", "it returned %s", l.name(err))
		}
		for _, when := range []string{"while it stops", "after Stop"} {
			_, err1 := p.Submit(r.Context(), nothing)
			_, err2 := p.SubmitKeyed(r.Context(), "k", nothing)
			_, err3 := p.TrySubmit(nothing)
			if err1 != l.Stopped || err2 != l.Stopped || err3 != l.Stopped {
				return spec.Fail("ErrStopped from Submit, SubmitKeyed and TrySubmit "+when, "%s, %s, %s", l.name(err1), l.name(err2), l.name(err3))
			}
			if when == "while it stops" {
				close(g)
				synctest.Wait()
			}
		}
		if len(stop) == 0 {
			return spec.Fail("Stop to return", "it still waits")
		}
		if err := inside.Wait(r.Context()); err != l.Stopped {
			return spec.Fail("ErrStopped for a task that submits while the pool stops", "it got %s", l.name(err))
		}
		return <-stop
	})
}

func stopNow(r *spec.Run, l lab) error {
	for _, deaf := range []bool{false, true} {
		err := r.Bubble(func(r *spec.Run) error {
			g := newGate(r)
			p, err := open(r, l, Options{Workers: 1, Queue: 20})
			if err != nil {
				return err
			}
			task, what := g.task, "listens to its context"
			if deaf {
				task, what = func(context.Context) error { <-g; return nil }, "does not listen"
			}
			r.Step("one task runs, which %s; 3 wait behind its key, 2 with another key, 1 without; Stop with a deadline of a second", what)
			var all []Future
			for i := range 7 {
				var f Future
				switch {
				case i < 4:
					f, err = p.SubmitKeyed(r.Context(), "k", task)
				case i < 6:
					f, err = p.SubmitKeyed(r.Context(), "another", task)
				default:
					f, err = p.Submit(r.Context(), task)
				}
				if err != nil {
					return spec.Fail("Submit to return nil", "it returned %s", l.name(err))
				}
				all = append(all, f)
			}
			synctest.Wait()
			var told error
			var then Stats
			all[6].Then(nil, func(err error) { told, then = err, p.Stats() })
			short, cancel := context.WithTimeout(r.Context(), time.Second)
			defer cancel()
			began := time.Now()
			if err := p.Stop(short); err != context.DeadlineExceeded || time.Since(began) != time.Second {
				return spec.Fail("Stop to return context.DeadlineExceeded after a second", "it returned %s after %v", l.name(err), time.Since(began))
			}
			synctest.Wait()
			for i, f := range all[1:] {
				gone, cancel := context.WithCancel(r.Context())
				waited := r.Go(func() error { return f.Wait(gone) })
				synctest.Wait()
				cancel()
				if err := <-waited; err != l.Stopped {
					return spec.Fail("ErrStopped as the result of a task that never began", "task %d has: %s", i+2, l.name(err))
				}
			}
			if told != l.Stopped || then.Discarded != 6 {
				return spec.Fail("a callback to be told ErrStopped, when all 6 are counted as discarded", "it was told %s, when Stats was %+v", l.name(told), then)
			}
			if deaf {
				soon, cancel := context.WithTimeout(r.Context(), time.Second)
				defer cancel()
				if err := p.StopNow(soon); err != context.DeadlineExceeded {
					return spec.Fail("StopNow to wait for the task until its context ends", "it returned %s", l.name(err))
				}
				if err := holds(p, "while the task goes on", Stats{Submitted: 7, Discarded: 6, Running: 1, Keys: 1}); err != nil {
					return err
				}
				close(g)
			} else if n := p.Stats().Running; n != 0 {
				return spec.Fail("Stop's deadline to end the context of the task that runs", "it still runs")
			}
			if err := p.StopNow(r.Context()); err != nil {
				return spec.Fail("StopNow to return nil when the task has ended", "it returned %s", l.name(err))
			}
			err = all[0].Wait(r.Context())
			if !deaf && !errors.Is(err, context.Canceled) || deaf && err != nil {
				return spec.Fail("the running task's own result", "it is %s", l.name(err))
			}
			return holds(p, "at the end", Stats{Submitted: 7, Done: 1, Discarded: 6})
		})
		if err != nil {
			return err
		}
	}
	return nil
}
