package workerpooltest

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing/synctest"

	"github.com/asynclab/asynclab/harness/spec"
)

var keyRules = []spec.Rule[lab]{
	{
		Name: "KeysKeepTheirOrder", Group: "keys", Points: 6, Section: step5,
		Why: "Two writes to the same account, file or connection must happen in the order in which they were asked for. Several workers take them from the queue in order, and still run them side by side.",
		Hints: [3]string{
			"Two tasks of one key are queued, and two workers are free.",
			"Only one task of a key may be queued or running. The others stand in the key's own line; the one that ends puts the next into the queue.",
			"accept: if busy { keys[k] = append(keys[k], f); held++; return }; finish: next of keys[k], or delete(keys, k)",
		},
		Check: keysOrder,
	},
	{
		Name: "KeysDoNotBlockOthers", Group: "keys", Points: 4, Section: step5,
		Why: "If a worker that has got a second task of a busy key waits for the first, ten tasks of one slow key stop the whole pool.",
		Hints: [3]string{
			"What does a worker do that finds the key of its task busy?",
			"It must not find such a task at all: those are not in the queue.",
			"The queue has at most one task of each key; the lines behind it belong to the key.",
		},
		Check: keysFree,
	},
	{
		Name: "KeysAreBounded", Group: "keys", Points: 3, Section: step5,
		Why: "One slow user's requests pile up behind his key while all workers are free. A line that does not count against Queue is a queue without a bound; a task that runs at once, because its submitter is a task, overtakes what stands in it.",
		Hints: [3]string{
			"A key is busy, and Queue tasks stand behind it. Where does the next one go?",
			"Nowhere: its Submit waits, whoever calls it. What stands behind keys counts. The empty key is a key like any other.",
			"room: queue.n + held < Queue; inside: !keyed && ctx.Value(poolKey{}) == p",
		},
		Check: keysBounded,
	},
	{
		Name: "KeysAreForgotten", Group: "keys", Points: 3, Section: step5,
		Why: "Keys are users, files, addresses: they come for as long as the server lives.",
		Hints: [3]string{
			"A key's last task has ended. What still knows the key?",
			"Nothing should. Look at the line when a task ends: empty means forget.",
			"if len(line) == 0 { delete(p.keys, key) }",
		},
		Check: keysForgotten,
	},
}

func keysOrder(r *spec.Run, l lab) error {
	p, err := open(r, l, Options{Workers: 8, Queue: 40})
	if err != nil {
		return err
	}
	const keys, each = 10, 500
	r.Step("10 goroutines submit 500 tasks each, each for its own key, to 8 workers; others submit without a key")
	var inside, last [keys]atomic.Int64
	var wrong atomic.Pointer[string]
	var work sync.WaitGroup
	for k := range keys {
		work.Go(func() {
			for i := range each {
				_, err := p.SubmitKeyed(r.Context(), fmt.Sprint("key", k), func(context.Context) error {
					if inside[k].Add(1) > 1 {
						text := fmt.Sprintf("two tasks of key %d ran at the same time", k)
						wrong.Store(&text)
					}
					if i%8 == 0 {
						runtime.Gosched()
					}
					if got := last[k].Swap(int64(i + 1)); got != int64(i) {
						text := fmt.Sprintf("task %d of key %d ran after task %d", i+1, k, got)
						wrong.Store(&text)
					}
					inside[k].Add(-1)
					return nil
				})
				if err != nil {
					return
				}
				p.TrySubmit(nothing)
			}
		})
	}
	work.Wait()
	if err := r.Until("all tasks to be done", func() bool { n := p.Stats(); return n.Waiting == 0 && n.Running == 0 }); err != nil {
		return err
	}
	if text := wrong.Load(); text != nil {
		return spec.Fail("tasks of a key one after the other, in the order of Submit", "%s", *text)
	}
	for k := range last {
		if n := last[k].Load(); n != each {
			return spec.Fail("all 500 tasks of each key to run", "the last of key %d was %d", k, n)
		}
	}
	return nil
}

func keysFree(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		g := newGate(r)
		p, err := open(r, l, Options{Workers: 2, Queue: 20})
		if err != nil {
			return err
		}
		r.Step("2 workers; 10 tasks of one key, the first of which waits; then one of another key, and one without")
		for range 10 {
			if _, err := p.SubmitKeyed(r.Context(), "slow", g.task); err != nil {
				return spec.Fail("SubmitKeyed to return nil", "it returned %s", l.name(err))
			}
		}
		var ran atomic.Int64
		count := func(context.Context) error { ran.Add(1); return nil }
		p.SubmitKeyed(r.Context(), "", count)
		p.Submit(r.Context(), count)
		synctest.Wait()
		if n := ran.Load(); n != 2 {
			return spec.Fail("the tasks of others to run", "%d of 2 did", n)
		}
		return holds(p, "then", Stats{Submitted: 12, Done: 2, Waiting: 9, Running: 1, Keys: 1})
	})
}

func keysBounded(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		g := newGate(r)
		p, err := open(r, l, Options{Workers: 3, Queue: 3})
		if err != nil {
			return err
		}
		r.Step(`3 workers, a queue of 3; 4 tasks with the key "", the first of which waits`)
		var inside, most atomic.Int64
		task := func(ctx context.Context) error {
			most.Store(max(most.Load(), inside.Add(1)))
			defer inside.Add(-1)
			return g.task(ctx)
		}
		talks := newGate(r)
		f, err := p.Submit(r.Context(), func(ctx context.Context) error {
			talks.task(ctx)
			_, err := p.SubmitKeyed(ctx, "", task)
			return err
		})
		if err != nil {
			return spec.Fail("Submit to return nil", "it returned %s", l.name(err))
		}
		synctest.Wait() // it runs
		for range 4 {
			if _, err := p.SubmitKeyed(r.Context(), "", task); err != nil {
				return spec.Fail("SubmitKeyed to return nil", "it returned %s", l.name(err))
			}
			synctest.Wait()
		}
		if err := holds(p, "then", Stats{Submitted: 5, Waiting: 3, Running: 2, Keys: 1}); err != nil {
			return err
		}
		r.Step("a fifth, and a sixth that is submitted by a task: both must wait for room")
		fifth := r.Go(func() error { _, err := p.SubmitKeyed(r.Context(), "", task); return err })
		close(talks)
		synctest.Wait()
		if err := holds(p, "with both waiting", Stats{Submitted: 5, Waiting: 3, Running: 2, Keys: 1, Blocked: 2}); err != nil {
			return err
		}
		close(g)
		synctest.Wait()
		if len(fifth) == 0 {
			return spec.Fail("both to get in when there is room", "the fifth still waits")
		}
		if err := <-fifth; err != nil {
			return spec.Fail("SubmitKeyed to return nil", "it returned %s", l.name(err))
		}
		if err := f.Wait(r.Context()); err != nil {
			return spec.Fail("SubmitKeyed from a task to return nil", "it returned %s", l.name(err))
		}
		synctest.Wait()
		if n := most.Load(); n != 1 {
			return spec.Fail("one task of a key at a time", "there were %d", n)
		}
		return holds(p, "at the end", Stats{Submitted: 7, Done: 7})
	})
}

func keysForgotten(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		p, err := open(r, l, Options{Workers: 2})
		if err != nil {
			return err
		}
		r.Step("1000 keys with two tasks each, of which some panic")
		for k := range 1000 {
			for i := range 2 {
				_, err := p.SubmitKeyed(r.Context(), fmt.Sprint(k), func(context.Context) error {
					if k%10 == 0 && i == 0 {
						panic("oh")
					}
					return nil
				})
				if err != nil {
					return spec.Fail("SubmitKeyed to return nil", "it returned %s", l.name(err))
				}
			}
		}
		synctest.Wait()
		return holds(p, "when all have ended", Stats{Submitted: 2000, Done: 2000, Panics: 100})
	})
}
