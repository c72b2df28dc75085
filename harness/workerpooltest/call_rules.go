package workerpooltest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

// callRules judge what the pool calls, and what calls the pool from inside.
var callRules = []spec.Rule[lab]{
	{
		Name: "CallbacksMayCallBack", Group: "results", Points: 4, Section: step2,
		Why: "A callback looks at the counts, submits the next task, asks its future for more. A lock that is held around it, or a Then that passes an earlier one, is found on a bad day only; a task that waits behind another one's callback is found never.",
		Hints: [3]string{
			"Which of your locks are held while done runs? And what does a Then find that comes just then?",
			"None may be. First the counts, then those who wait, then the callbacks in turn; a Then that comes before the last of them goes behind it.",
			"for len(f.then) > 0 { now := f.then; f.then = nil; unlock; call each; lock }; told = true; Then: if !told { f.then = append(f.then, c); return }",
		},
		Check: callBack,
	},
	{
		Name: "CallerRunsIsTheLastResort", Group: "misbehaving", Points: 4, Section: step4,
		Why: "Whoever runs a task in the middle of another one must have a reason: there was no room, and it would wait for itself. Where there is room it goes to the queue; a task of another pool can wait; and a panic is still the result of the task that panicked.",
		Hints: [3]string{
			"Who may run a task on his own goroutine, when, and who recovers?",
			"A task of this pool, with its context or one derived from it, when there is no room. It runs as on a worker, in the same function.",
			"inside := ctx.Value(poolKey{}) == p; if inside and no room: count it, p.run(f). Count a panic where you recover, not by the type of the result",
		},
		Check: callerRuns,
	},
}

func callBack(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		p, err := open(r, l, Options{Workers: 2})
		if err != nil {
			return err
		}
		r.Step("a callback without a post: it waits for its own future, looks at Stats, submits, and calls Then; another one stands behind it")
		g := newGate(r)
		f, err := p.Submit(r.Context(), func(ctx context.Context) error { g.task(ctx); return errTask })
		if err != nil {
			return spec.Fail("Submit to return nil", "it returned %s", l.name(err))
		}
		var order []string
		var waited, submitted error
		var counts Stats
		f.Then(nil, func(error) {
			counts = p.Stats()
			waited = f.Wait(r.Context())
			_, submitted = p.TrySubmit(nothing)
			f.Then(nil, func(error) { order = append(order, "third") })
			order = append(order, "first")
		})
		f.Then(nil, func(error) { order = append(order, "second") })
		close(g)
		synctest.Wait()
		switch {
		case counts != Stats{Submitted: 1, Done: 1}:
			return spec.Fail("a task to be counted as done before its callbacks", "Stats was %+v", counts)
		case waited != errTask:
			return spec.Fail("Wait in a callback to return the result", "it returned %s", l.name(waited))
		case submitted != nil:
			return spec.Fail("a callback to be able to submit", "TrySubmit returned %s", l.name(submitted))
		case fmt.Sprint(order) != "[first second third]":
			return spec.Fail("callbacks in the order of Then: [first second third]", "they ran as %v", order)
		}
		return besideCallback(r, l, p)
	})
}

// besideCallback holds a worker in a callback, while another one has become free.
func besideCallback(r *spec.Run, l lab, p judged) error {
	r.Step("2 workers: one is held in a callback, the other one's task ends; a task waits")
	first, second, callback := newGate(r), newGate(r), newGate(r)
	f, err := p.TrySubmit(first.task)
	if err != nil {
		return spec.Fail("TrySubmit to return nil", "it returned %s", l.name(err))
	}
	f.Then(nil, func(error) { callback.task(r.Context()) })
	synctest.Wait()
	p.TrySubmit(second.task)
	synctest.Wait()
	var ran atomic.Bool
	p.TrySubmit(func(context.Context) error { ran.Store(true); return nil })
	close(first)
	synctest.Wait()
	close(second)
	synctest.Wait()
	if !ran.Load() {
		return spec.Fail("the task that waits to run on the free worker", "it waits behind a callback; Stats is %+v", p.Stats())
	}
	return nil
}

func callerRuns(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		p, err := open(r, l, Options{Workers: 1, Queue: 1})
		if err != nil {
			return err
		}
		for _, check := range []func(*spec.Run, lab, judged) error{withRoom, withoutRoom, fromAnotherPool} {
			if err := check(r, l, p); err != nil {
				return err
			}
		}
		return nil
	})
}

func withRoom(r *spec.Run, l lab, p judged) error {
	r.Step("1 worker, a queue of 1; a task submits one, for which there is room")
	var order []string
	if _, err := p.Submit(r.Context(), func(ctx context.Context) error {
		_, err := p.Submit(ctx, func(context.Context) error { order = append(order, "inner"); return nil })
		order = append(order, "outer")
		return err
	}); err != nil {
		return spec.Fail("Submit to return nil", "it returned %s", l.name(err))
	}
	synctest.Wait()
	if fmt.Sprint(order) != "[outer inner]" {
		return spec.Fail("the task for which there is room to wait for a worker: [outer inner]", "they ended as %v", order)
	}
	return nil
}

func withoutRoom(r *spec.Run, l lab, p judged) error {
	r.Step("a task submits two; the second one has no room, a context with a deadline, and panics; the task returns the second one's result as its own")
	f, err := p.Submit(r.Context(), func(ctx context.Context) error {
		if _, err := p.Submit(ctx, nothing); err != nil {
			return err
		}
		derived, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		inner, err := p.Submit(derived, explode)
		if err != nil {
			return err
		}
		return inner.Wait(derived)
	})
	if err != nil {
		return spec.Fail("Submit to return nil", "it returned %s", l.name(err))
	}
	err = f.Wait(r.Context())
	if value, _, ok := l.Panic(err); !ok || value != "boom" {
		return spec.Fail("the inner task's panic as its future's result", "the outer task got %s", l.name(err))
	}
	synctest.Wait()
	return holds(p, "when one has panicked, and one has returned that as its error", Stats{Submitted: 5, Done: 5, Panics: 1})
}

func fromAnotherPool(r *spec.Run, l lab, p judged) error {
	r.Step("a task of one pool submits to another one, which is full")
	full, err := open(r, l, Options{Workers: 1, Queue: 1})
	if err != nil {
		return err
	}
	g := newGate(r)
	if err := busy(full, g, 2); err != nil {
		return err
	}
	f, err := p.Submit(r.Context(), func(ctx context.Context) error {
		_, err := full.Submit(ctx, nothing)
		return err
	})
	if err != nil {
		return spec.Fail("Submit to return nil", "it returned %s", l.name(err))
	}
	synctest.Wait()
	if err := holds(full, "of the pool that is full", Stats{Submitted: 2, Waiting: 1, Running: 1, Blocked: 1}); err != nil {
		return err
	}
	close(g)
	if err := f.Wait(r.Context()); err != nil {
		return spec.Fail("Submit to another pool to return nil when there is room", "it returned %s", l.name(err))
	}
	return nil
}
