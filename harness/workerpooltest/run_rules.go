package workerpooltest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

const (
	step1 = "Step 1: workers and a queue"
	step2 = "Step 2: results"
	step3 = "Step 3: a bound"
	step4 = "Step 4: what tasks do wrong"
	step5 = "Step 5: keys"
	step6 = "Step 6: the end"
)

var errTask = errors.New("the task's own error")

var runRules = []spec.Rule[lab]{
	{
		Name: "EachTaskRunsOnce", Group: "running", Points: 5, Section: step1,
		Why: "Submit returned a future: that was a promise to run the task, once. A lost one is waited for for ever, one that runs twice pays a bill twice.",
		Hints: [3]string{
			"Two workers look at the queue at the same moment, and a third task comes.",
			"Take under a lock. A worker that finds nothing sleeps until it is told, and the look and the falling asleep are one step.",
			"next: mu.Lock(); for queue.n == 0 { cond.Wait() }; f := queue.pop(). accept: queue.push(f); cond.Signal()",
		},
		Check: eachOnce,
	},
	{
		Name: "WorkersAreFew", Group: "running", Points: 5, Section: step1,
		Why: "The number of workers is what the database behind them can bear. A goroutine for each task is no pool, and a pool that runs one at a time is no help.",
		Hints: [3]string{
			"How many of your goroutines can be in a task at the same moment?",
			"New starts Workers goroutines; nothing else starts any.",
			"for range o.Workers { go p.worker() }",
		},
		Check: workersFew,
	},
	{
		Name: "FuturesTellTheResult", Group: "results", Points: 5, Section: step2,
		Why: "Who submits wants to know what came of it: now, later, from several places, or not at all. None of them may lose it, and none may hold up the worker.",
		Hints: [3]string{
			"Wait is called before, while and after the task ends. What differs?",
			"A flag and an error under a lock, and a channel that is closed at the end for those who wait.",
			"resolve: done, err = true, e; if end != nil { close(end) }; Wait: if done { return err }; select { <-end; <-ctx.Done() }",
		},
		Check: futuresTell,
	},
	{
		Name: "CallbacksComeHome", Group: "results", Points: 5, Section: step2,
		Why: "An event loop's state belongs to its goroutine. A callback on a worker's goroutine is a data race with every connection of that loop, and the rule which goroutine it is must not depend on who was quicker.",
		Hints: [3]string{
			"On which goroutine does done run when the task has ended before Then is called?",
			"Always where post runs it. Only with a nil post does it run on whoever is there.",
			"call: if post == nil { done(err) } else { post(func() { done(err) }) }",
		},
		Check: callbacksHome,
	},
	{
		Name: "PanicIsAnError", Group: "misbehaving", Points: 5, Section: step4,
		Why: "One request with a nil pointer must not end the process with a hundred thousand connections. It is that task's result, with the stack, for its submitter to log.",
		Hints: [3]string{
			"Where does a panic of the task end, and who hears of it?",
			"A deferred recover around each task, which makes an error of it.",
			"defer func() { if v := recover(); v != nil { err = &PanicError{v, string(debug.Stack())} }; finish(f, err) }()",
		},
		Check: panicIsError,
	},
	{
		Name: "GoexitCostsNoWorker", Group: "misbehaving", Points: 3, Section: step4,
		Why: "runtime.Goexit, which t.FailNow and some libraries call, ends the goroutine without a panic. In the article's pool that is one worker fewer, for ever and without a word.",
		Hints: [3]string{
			"The task ends, nothing was returned and nothing recovered. What has happened?",
			"Deferred calls still run. The task's end is told there, and the worker's own defer starts another one.",
			"err := errGoexit before the task; worker: defer func() { if !stopped { go p.worker() } }()",
		},
		Check: goexit,
	},
	{
		Name: "TasksMaySubmit", Group: "misbehaving", Points: 4, Section: step4,
		Why: "A task that splits its work submits more. When all workers wait in Submit for room that only they could make, the pool stands still for ever.",
		Hints: [3]string{
			"Every worker is in Submit, and the queue is full. Who makes room?",
			"Nobody. So a task must not wait there: let it do the work itself. It is known by its context.",
			"ctx.Value(poolKey{}) == p, and no room: run the task here, and return its future",
		},
		Check: tasksSubmit,
	},
}

func eachOnce(r *spec.Run, l lab) error {
	p, err := open(r, l, Options{Workers: 4, Queue: 50})
	if err != nil {
		return err
	}
	const submitters, each = 6, 3000
	r.Step("%d goroutines submit %d tasks each to 4 workers", submitters, each)
	var runs [submitters * each]atomic.Int32
	var work sync.WaitGroup
	var failed atomic.Pointer[error]
	for g := range submitters {
		work.Go(func() {
			for i := range each {
				if _, err := p.Submit(r.Context(), func(context.Context) error { runs[g*each+i].Add(1); return nil }); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	work.Wait()
	if err := failed.Load(); err != nil {
		return spec.Fail("Submit to return nil", "it returned %s", l.name(*err))
	}
	if err := r.Until("all tasks to be done", func() bool { return p.Stats().Done >= submitters*each }); err != nil {
		return err
	}
	for i := range runs {
		if n := runs[i].Load(); n != 1 {
			return spec.Fail("each task to run once", "task %d ran %d times", i, n)
		}
	}
	return holds(p, "at the end", Stats{Submitted: submitters * each, Done: submitters * each})
}

func workersFew(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		g := newGate(r)
		before := runtime.NumGoroutine()
		p, err := open(r, l, Options{Workers: 5, Queue: 100})
		if err != nil {
			return err
		}
		r.Step("100 tasks that wait, for 5 workers")
		var inside, most atomic.Int64
		for range 100 {
			if _, err := p.TrySubmit(func(ctx context.Context) error {
				most.Store(max(most.Load(), inside.Add(1)))
				defer inside.Add(-1)
				return g.task(ctx)
			}); err != nil {
				return spec.Fail("TrySubmit of 100 tasks to return nil", "it returned %s", l.name(err))
			}
		}
		synctest.Wait()
		if n := inside.Load(); n != 5 {
			return spec.Fail("5 tasks to run at the same time", "%d do", n)
		}
		if n := runtime.NumGoroutine() - before; n > 8 {
			return spec.Fail("about as many goroutines as workers", "100 tasks brought %d", n)
		}
		if err := holds(p, "with 5 running", Stats{Submitted: 100, Waiting: 95, Running: 5}); err != nil {
			return err
		}
		close(g)
		synctest.Wait()
		if n := most.Load(); n != 5 {
			return spec.Fail("never more than 5 tasks at a time", "there were %d", n)
		}
		return holds(p, "at the end", Stats{Submitted: 100, Done: 100})
	})
}

func futuresTell(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		g := newGate(r)
		p, err := open(r, l, Options{Workers: 1})
		if err != nil {
			return err
		}
		own, leave := context.WithCancel(r.Context())
		defer leave()
		f, err := p.Submit(own, func(ctx context.Context) error {
			if g.task(ctx) != nil {
				return ctx.Err()
			}
			return errTask
		})
		if err != nil {
			return spec.Fail("Submit to return nil", "it returned %s", l.name(err))
		}
		leave() // Submit has returned: its context has no more to say
		r.Step("a task that takes an hour, whose Submit's context has ended: one Wait with a deadline of a minute, two without")
		short, cancel := context.WithTimeout(r.Context(), time.Minute)
		defer cancel()
		if err := f.Wait(short); err != context.DeadlineExceeded {
			return spec.Fail("Wait to return its context's error", "it returned %s", l.name(err))
		}
		waits := []<-chan error{r.Go(func() error { return f.Wait(r.Context()) }), r.Go(func() error { return f.Wait(r.Context()) })}
		time.Sleep(time.Hour)
		for _, w := range waits {
			if len(w) > 0 {
				return spec.Fail("Wait to wait for the task", "it returned %s", l.name(<-w))
			}
		}
		close(g)
		synctest.Wait()
		waits = append(waits, r.Go(func() error { return f.Wait(r.Context()) }))
		synctest.Wait()
		for _, w := range waits {
			if len(w) == 0 {
				return spec.Fail("Wait to return when the task has ended", "it still waits")
			}
			if err := <-w; err != errTask {
				return spec.Fail("Wait to return the task's own error", "it returned %s", l.name(err))
			}
		}
		r.Step("Wait 30 times with a context that has ended, for the task that has ended, too")
		for range 30 {
			if err := f.Wait(own); err != errTask {
				return spec.Fail("a result that is there to be returned, even when Wait's context has ended", "Wait returned %s", l.name(err))
			}
		}
		return nil
	})
}

// home is a place to post to, as a loop is.
type home struct {
	mu   sync.Mutex
	todo []func()
}

func (h *home) post(f func()) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.todo = append(h.todo, f)
	return nil
}

// turn runs what was posted, on the caller's goroutine.
func (h *home) turn() {
	h.mu.Lock()
	todo := h.todo
	h.todo = nil
	h.mu.Unlock()
	for _, f := range todo {
		f()
	}
}

func callbacksHome(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		g := newGate(r)
		p, err := open(r, l, Options{Workers: 2})
		if err != nil {
			return err
		}
		var h home
		var got []string // without a lock: it belongs to this goroutine
		tell := func(who string) func(error) {
			return func(err error) { got = append(got, fmt.Sprint(who, " ", l.name(err))) }
		}
		f, err := p.Submit(r.Context(), func(ctx context.Context) error { g.task(ctx); return errTask })
		if err != nil {
			return spec.Fail("Submit to return nil", "it returned %s", l.name(err))
		}
		r.Step("Then twice before the task ends, once after; all with a post that keeps what it is given")
		f.Then(h.post, tell("first"))
		f.Then(h.post, tell("second"))
		close(g)
		synctest.Wait()
		f.Then(h.post, tell("third"))
		synctest.Wait()
		if len(got) > 0 {
			return spec.Fail("no callback but where post runs it", "%v ran before", got)
		}
		h.turn()
		want := []string{"first the task's own error", "second the task's own error", "third the task's own error"}
		if !slices.Equal(got, want) {
			return spec.Fail(fmt.Sprintf("the callbacks %v", want), "there were %v", got)
		}
		r.Step("100 times no post, and the task has ended")
		var here atomic.Int64
		for i := range int64(100) {
			f.Then(nil, func(error) { here.Add(1) })
			if here.Load() != i+1 {
				return spec.Fail("Then without a post to run the callback on its caller's goroutine", "it had not run when Then returned")
			}
		}
		r.Step("post that returns an error: its place is gone")
		f.Then(func(func()) error { return errTask }, tell("nobody"))
		h.turn()
		if len(got) != 3 {
			return spec.Fail("no callback where post has returned an error", "%v", got)
		}
		return nil
	})
}

func panicIsError(r *spec.Run, l lab) error {
	p, err := open(r, l, Options{Workers: 1})
	if err != nil {
		return err
	}
	r.Step("a task panics; then one that does not")
	f, err := p.Submit(r.Context(), explode)
	if err != nil {
		return spec.Fail("Submit to return nil", "it returned %s", l.name(err))
	}
	err = r.Call("the future of a task that has panicked to have its result", func() error { return f.Wait(r.Context()) })
	value, stack, ok := l.Panic(err)
	if !ok || value != "boom" || !strings.Contains(stack, "workerpooltest.explode") {
		return spec.Fail(`a PanicError with the value "boom" and the stack of the task`, "it is %v (value %v, stack %.40q)", err, value, stack)
	}
	f, err = p.Submit(r.Context(), nothing)
	if err != nil {
		return spec.Fail("Submit to return nil", "it returned %s", l.name(err))
	}
	if err := r.Call("the next task to run", func() error { return f.Wait(r.Context()) }); err != nil {
		return spec.Fail("the next task's result to be nil", "it is %s", l.name(err))
	}
	return holds(p, "at the end", Stats{Submitted: 2, Done: 2, Panics: 1})
}

func explode(context.Context) error { panic("boom") }

func goexit(r *spec.Run, l lab) error {
	p, err := open(r, l, Options{Workers: 2})
	if err != nil {
		return err
	}
	r.Step("10 tasks call runtime.Goexit, one after the other; 2 workers")
	for i := range 10 {
		f, err := p.Submit(r.Context(), func(context.Context) error { runtime.Goexit(); return nil })
		if err != nil {
			return spec.Fail("Submit to return nil", "it returned %s", l.name(err))
		}
		err = r.Call("the future of a task that has called Goexit to have its result", func() error { return f.Wait(r.Context()) })
		if err == nil {
			return spec.Fail("an error for a task that has called Goexit", "task %d has nil", i)
		}
	}
	r.Step("2 tasks that wait: both must run")
	g := newGate(r)
	for range 2 {
		if _, err := p.Submit(r.Context(), g.task); err != nil {
			return spec.Fail("Submit to return nil", "it returned %s", l.name(err))
		}
	}
	return r.Until("2 tasks to run: all workers are there", func() bool { return p.Stats().Running == 2 })
}

func tasksSubmit(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		p, err := open(r, l, Options{Workers: 2, Queue: 2})
		if err != nil {
			return err
		}
		r.Step("2 workers, a queue of 2; 4 tasks that submit 20 each, and wait for them")
		var n atomic.Int64
		var all []Future
		for range 4 {
			f, err := p.Submit(r.Context(), func(ctx context.Context) error {
				for range 20 {
					if _, err := p.Submit(ctx, func(context.Context) error { n.Add(1); return nil }); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return spec.Fail("Submit to return nil", "it returned %s", l.name(err))
			}
			all = append(all, f)
		}
		for _, f := range all {
			if err := f.Wait(r.Context()); err != nil {
				return spec.Fail("tasks that submit tasks to succeed", "one returned %s", l.name(err))
			}
		}
		synctest.Wait()
		if n.Load() != 80 {
			return spec.Fail("all 80 tasks of tasks to run", "%d did", n.Load())
		}
		return holds(p, "at the end", Stats{Submitted: 84, Done: 84})
	})
}
