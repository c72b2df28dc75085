package batchingtest

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var failRules = []spec.Rule[lab]{
	{
		Name: "ErrorsReachTheirWriters", Group: "failing", Points: 5, Section: step4,
		Why: "Write returned nil long before the sink broke. Who lost data must hear of it, and who did not must not: in the article's writer the error of a flush by timer is thrown away, and everything looks well.",
		Hints: [3]string{
			"The sink took 25 of 40 bytes and returned an error. Which of the four writers of 10 bytes lost something?",
			"Each message knows where it ends. Up to what was taken: nil; behind it: the error. Those that wait in the next batch lost theirs, too.",
			"for _, m := range b.messages { if m.end <= written { m.done(nil) } else { m.done(err) } }",
		},
		Check: errorsReach,
	},
	{
		Name: "BrokenStaysBroken", Group: "failing", Points: 4, Section: step4,
		Why: "After an error nobody knows what has arrived. To try the same bytes again doubles what was taken; to go on with the next ones leaves a hole. A stream that has broken ends.",
		Hints: [3]string{
			"What does your goroutine do after the error? And the next Write?",
			"Keep the error. The sink is not called again; Write, TryWrite and Flush return it.",
			"w.err = err; put: if w.err != nil { return w.err }; next: if w.err != nil, end",
		},
		Check: staysBroken,
	},
	{
		Name: "EveryDoneOnce", Group: "failing", Points: 4, Section: step4,
		Why: "done is where a buffer is given back, a request answered, a counter lowered. Twice or never is worse than no callback at all. And it will call the writer: a lock that is held then is a deadlock.",
		Hints: [3]string{
			"What if done calls Stats, or TryWrite?",
			"Call it when the lock is gone, in the order of the messages, once for each message that was accepted and never for one that was refused.",
			"finish: lock; pending -= b.bytes; unlock; b.tell(written, err)",
		},
		Check: doneOnce,
	},
	{
		Name: "NoProgressEnds", Group: "failing", Points: 2, Section: step4,
		Why: "A sink that takes nothing and says nothing would be called for ever, by a goroutine at full speed.",
		Hints: [3]string{
			"n is 0 and err is nil. What do you do?",
			"io.ErrNoProgress is made for that.",
			"if n == 0 { return written, io.ErrNoProgress }",
		},
		Check: noProgress,
	},
}

func errorsReach(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		s := &sink{gate: make(chan struct{}), took: func(n, size int) (int, error) {
			switch n {
			case 0:
				return 30, nil // the whole first batch
			case 1:
				return 15, nil // a part
			}
			return 10, errSink // and a part of the rest
		}}
		var told fates
		w, err := open(r, l, s, Options{MaxBytes: 30, MaxDelay: time.Hour})
		if err != nil {
			return err
		}
		r.Step("9 messages of 10 bytes, MaxBytes 30; the sink takes 30, then 15, then 10 and fails, when a tenth message waits")
		for i := range 9 {
			if i == 3 {
				synctest.Wait() // the first batch is with the sink
			}
			if err := w.Write(r.Context(), letters(i, 10), told.done(l, i)); err != nil {
				return spec.Fail("Write to return nil", "it returned %s", l.name(err))
			}
		}
		for i := range 3 {
			if i == 2 {
				w.Write(r.Context(), letters(9, 10), told.done(l, 9)) // waits behind the one that fails
			}
			s.gate <- struct{}{}
			synctest.Wait()
		}
		const want = "0 nil, 1 nil, 2 nil, 3 nil, 4 nil, 5 the sink is broken, 6 the sink is broken, 7 the sink is broken, 8 the sink is broken, 9 the sink is broken"
		if got := told.all(); got != want {
			return spec.Fail("done of each message, in order: "+want, "%s", got)
		}
		if got := w.Stats(); got.Lost != 5 || got.Bytes != 55 || got.Pending != 0 {
			return spec.Fail("5 messages lost, 55 bytes taken, none pending", "Stats says %+v", got)
		}
		return errorsReachWaiters(r, l)
	})
}

// errorsReachWaiters has the sink fail between two messages, with nothing in the
// batch that fills; who waits for what the sink had hears of it.
func errorsReachWaiters(r *spec.Run, l lab) error {
	s := &sink{gate: make(chan struct{}), took: func(int, int) (int, error) { return 20, errSink }}
	w, err := open(r, l, s, Options{MaxBytes: 40, MaxPending: 40, MaxDelay: time.Hour})
	if err != nil {
		return err
	}
	r.Step("4 messages of 10 bytes are with the sink; a Flush waits for them, and a Write for room; the sink takes 20 bytes and fails")
	var told fates
	for i := range 4 {
		if err := w.Write(r.Context(), letters(i, 10), told.done(l, i)); err != nil {
			return spec.Fail("Write to return nil", "it returned %s", l.name(err))
		}
	}
	synctest.Wait()
	flush := r.Go(func() error { return w.Flush(r.Context()) })
	synctest.Wait()
	write := waiting(r, w, letters(4, 10), r.Context())
	s.gate <- struct{}{}
	synctest.Wait()
	const want = "0 nil, 1 nil, 2 the sink is broken, 3 the sink is broken"
	if got := told.all(); got != want {
		return spec.Fail("done of each message, in order: "+want, "%s", got)
	}
	for what, c := range map[string]<-chan error{"Flush of what was lost": flush, "a Write that waits for room": write} {
		if len(c) == 0 {
			return spec.Fail(what+" to return the sink's error", "it still waits")
		}
		if err := <-c; err != errSink {
			return spec.Fail(what+" to return the sink's error", "it returned %s", l.name(err))
		}
	}
	return nil
}

func staysBroken(r *spec.Run, l lab) error {
	for _, delay := range []time.Duration{0, 10 * ms} {
		err := r.Bubble(func(r *spec.Run) error {
			s := &sink{took: func(int, int) (int, error) { return 3, errSink }}
			w, err := open(r, l, s, Options{MaxDelay: delay})
			if err != nil {
				return err
			}
			r.Step("MaxDelay %v; the sink takes 3 of 10 bytes and fails", delay)
			var told fates
			w.Write(r.Context(), letters(0, 10), told.done(l, 0))
			time.Sleep(time.Second)
			for what, f := range map[string]func() error{
				"Write": func() error { return w.Write(r.Context(), letters(1, 10), told.done(l, 1)) }, "TryWrite": func() error { return w.TryWrite(letters(2, 10), nil) },
				"Flush": func() error { return w.Flush(r.Context()) },
			} {
				if err := f(); !errors.Is(err, errSink) {
					return spec.Fail(what+" to return the sink's error", "it returned %s", l.name(err))
				}
			}
			time.Sleep(time.Second)
			if _, calls := s.got(); len(calls) != 1 {
				return spec.Fail("a sink that has failed not to be called again", "it was called %d times", len(calls))
			}
			if got := told.all(); got != "0 the sink is broken" {
				return spec.Fail("done of the message that was accepted, and of no other", "told were: %s", got)
			}
			if err := w.Close(r.Context()); !errors.Is(err, errSink) {
				return spec.Fail("Close to return the sink's error", "it returned %s", l.name(err))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func doneOnce(r *spec.Run, l lab) error {
	var calls atomic.Int64
	s := &sink{took: func(_, size int) (int, error) {
		if calls.Add(1) > 300 {
			return 0, errSink
		}
		return size, nil
	}}
	w, err := open(r, l, s, Options{MaxBytes: 500, MaxPending: 1000})
	if err != nil {
		return err
	}
	r.Step("6 goroutines write until the sink fails; done calls Stats and TryWrite")
	var accepted, refused, good, bad atomic.Int64
	var work sync.WaitGroup
	for range 6 {
		work.Go(func() {
			for range 100_000 {
				count := func(err error) {
					w.Stats()
					if err == nil {
						good.Add(1)
						return
					}
					bad.Add(1)
					w.TryWrite([]byte("x"), nil)
				}
				short, cancel := context.WithCancel(r.Context())
				go cancel()
				err := w.Write(short, letters(1, 100), count)
				cancel()
				switch {
				case err == nil:
					accepted.Add(1)
				case errors.Is(err, errSink):
					return
				default:
					refused.Add(1)
				}
			}
		})
	}
	work.Wait()
	err = r.Until("a done for each message that was accepted", func() bool { return good.Load()+bad.Load() >= accepted.Load() })
	if err == nil && good.Load()+bad.Load() == accepted.Load() && bad.Load() > 0 {
		return nil
	}
	return spec.Fail("a done for each message that was accepted, and for no other", "%d accepted and %d refused; %d were told nil and %d an error", accepted.Load(), refused.Load(), good.Load(), bad.Load())
}

func noProgress(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		var calls atomic.Int64
		s := &sink{took: func(int, int) (int, error) {
			if calls.Add(1) > 100 {
				return 0, errSink
			}
			return 0, nil
		}}
		w, err := open(r, l, s, Options{})
		if err != nil {
			return err
		}
		r.Step("the sink takes nothing, without an error")
		var told fates
		w.Write(r.Context(), letters(0, 10), told.done(l, 0))
		synctest.Wait()
		if got := told.all(); got != "0 "+io.ErrNoProgress.Error() || calls.Load() > 1 {
			return spec.Fail("io.ErrNoProgress for the message", "after %d calls: %s", calls.Load(), strings.TrimSpace(got))
		}
		return nil
	})
}
