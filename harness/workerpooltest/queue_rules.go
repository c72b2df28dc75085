package workerpooltest

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing/synctest"

	"github.com/asynclab/asynclab/harness/spec"
)

var queueRules = []spec.Rule[lab]{
	{
		Name: "QueueIsBounded", Group: "queue", Points: 5, Section: step3,
		Why: "Work that comes faster than it is done must be refused while that is cheap: a queue without a bound makes every answer late, then ends the process.",
		Hints: [3]string{
			"How many tasks may wait, beside those that run?",
			"Queue. TrySubmit says ErrFull then, and never blocks: a loop calls it.",
			"if queue.n + held >= Queue { return ErrFull }",
		},
		Check: queueBounded,
	},
	{
		Name: "SubmittersTakeTurns", Group: "queue", Points: 4, Section: step3,
		Why: "Room belongs to the one who has waited longest; one who gives up must not have its task run all the same.",
		Hints: [3]string{
			"A worker takes a task, and two wait for room. A TrySubmit comes by at that moment.",
			"Who takes a task from the queue puts the first waiter's task in, under the same lock.",
			"next: f := queue.pop(); admit(). put: if len(waiters) == 0 && room { accept }",
		},
		Check: takeTurns,
	},
	{
		Name: "GivingUpIsClean", Group: "queue", Points: 3, Section: step3,
		Why: "A context ends at the very moment at which a worker makes room. If Submit returns an error then and the task runs all the same, its caller submits it again: it has run twice.",
		Hints: [3]string{
			"Two things have happened when Submit wakes up. Which of them came first?",
			"Ask under the lock: who is not in the line any more was let in. Then the answer is that of the one who let it in, whatever the context says.",
			"case <-ctx.Done(): if p.withdraw(w) { return nil, ctx.Err() }; <-w.ready",
		},
		Check: giveUp,
	},
	{
		Name: "NonsenseIsRefused", Group: "queue", Points: 2, Section: step1,
		Why: "Zero workers run nothing; the article's pool takes any number.",
		Hints: [3]string{
			"What does New do with Workers: -1?",
			"An error for negative numbers, a default for 0.",
			"if o.Workers < 0 || o.Queue < 0 { return nil, errors.New(...) }",
		},
		Check: nonsense,
	},
}

// busy fills the workers and the queue.
func busy(p judged, g gate, n int) error {
	for i := range n {
		if _, err := p.TrySubmit(g.task); err != nil {
			return spec.Fail(fmt.Sprintf("TrySubmit of task %d to return nil", i+1), "it returned %v", err)
		}
		synctest.Wait()
	}
	return nil
}

func queueBounded(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		g := newGate(r)
		p, err := open(r, l, Options{Workers: 2, Queue: 3})
		if err != nil {
			return err
		}
		r.Step("2 workers, a queue of 3, tasks that wait")
		if err := busy(p, g, 5); err != nil {
			return err
		}
		if _, err := p.TrySubmit(nothing); err != l.Full {
			return spec.Fail("TrySubmit to return ErrFull", "it returned %s", l.name(err))
		}
		if err := holds(p, "with a full queue", Stats{Submitted: 5, Waiting: 3, Running: 2}); err != nil {
			return err
		}
		g <- struct{}{}
		synctest.Wait()
		if _, err := p.TrySubmit(nothing); err != nil {
			return spec.Fail("TrySubmit to return nil when a task has ended", "it returned %s", l.name(err))
		}
		_, err = p.TrySubmit(nothing)
		if err != l.Full {
			return spec.Fail("TrySubmit to return ErrFull again", "it returned %s", l.name(err))
		}
		return nil
	})
}

func takeTurns(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		g := newGate(r)
		p, err := open(r, l, Options{Workers: 1, Queue: 1})
		if err != nil {
			return err
		}
		if err := busy(p, g, 2); err != nil {
			return err
		}
		r.Step("1 worker, a queue of 1, both taken; three Submits wait, and the second gives up")
		var order []int // one worker: one at a time
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		var calls []<-chan error
		for i := range 3 {
			with := r.Context()
			if i == 1 {
				with = ctx
			}
			calls = append(calls, r.Go(func() error {
				_, err := p.Submit(with, func(ctx context.Context) error { order = append(order, i); return g.task(ctx) })
				return err
			}))
			synctest.Wait()
		}
		if n := p.Stats().Blocked; n != 3 {
			return spec.Fail("3 Submits to wait", "Stats says %d", n)
		}
		cancel()
		synctest.Wait()
		if len(calls[1]) == 0 {
			return spec.Fail("Submit to return when its context ends", "it still waits")
		}
		if err := <-calls[1]; err != context.Canceled {
			return spec.Fail("Submit to return context.Canceled", "it returned %s", l.name(err))
		}
		g <- struct{}{}
		synctest.Wait()
		if len(calls[0]) != 1 || len(calls[2]) != 0 {
			return spec.Fail("the first Submit to be let in, and the third to wait", "returned have: first %v, third %v", len(calls[0]) == 1, len(calls[2]) == 1)
		}
		if _, err := p.TrySubmit(nothing); err != l.Full {
			return spec.Fail("TrySubmit not to pass one who waits: ErrFull", "it returned %s", l.name(err))
		}
		close(g)
		synctest.Wait()
		if fmt.Sprint(order) != "[0 2]" {
			return spec.Fail("tasks 0 and 2 to run, in this order", "%v did", order)
		}
		return nil
	})
}

func giveUp(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		p, err := open(r, l, Options{Workers: 1, Queue: 1})
		if err != nil {
			return err
		}
		const rounds, submits = 300, 8
		r.Step("%d times: a full pool, %d Submits that wait; at one moment there is room and their context ends", rounds, submits)
		for round := range rounds {
			g := make(gate)
			if err := busy(p, g, 2); err != nil {
				return err
			}
			ctx, cancel := context.WithCancel(r.Context())
			var ran [submits]atomic.Bool
			var calls [submits]<-chan error
			for i := range calls {
				calls[i] = r.Go(func() error {
					_, err := p.Submit(ctx, func(context.Context) error { ran[i].Store(true); return nil })
					return err
				})
			}
			synctest.Wait()
			go cancel()
			for range round % 8 { // the two moments pass each other
				runtime.Gosched()
			}
			close(g)
			synctest.Wait()
			for i, c := range calls {
				if len(c) == 0 {
					return spec.Fail("every Submit to return", "one still waits")
				}
				if err := <-c; (err == nil) != ran[i].Load() {
					return spec.Fail("an error to mean that the task will not run, and nil that it will", "Submit returned %s, and the task ran: %v", l.name(err), ran[i].Load())
				}
			}
		}
		return nil
	})
}

func nonsense(r *spec.Run, l lab) error {
	for _, o := range []Options{{Workers: -1}, {Queue: -1}} {
		if _, err := l.New(o); err == nil {
			return spec.Fail(fmt.Sprintf("New to refuse %+v", o), "it returned no error")
		}
	}
	p, err := open(r, l, Options{})
	if err != nil {
		return err
	}
	if _, err := p.Submit(r.Context(), nothing); err != nil {
		return spec.Fail("Submit to a pool of defaults to return nil", "it returned %s", l.name(err))
	}
	return r.Until("its task to run", func() bool { return p.Stats().Done == 1 })
}
