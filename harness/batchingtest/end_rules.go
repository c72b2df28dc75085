package batchingtest

import (
	"context"
	"testing/synctest"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var endRules = []spec.Rule[lab]{
	{
		Name: "CloseWritesTheTail", Group: "end", Points: 4, Section: step6,
		Why: "The last few messages are always in a batch that is not full. A Close that forgets them loses the end of every stream.",
		Hints: [3]string{
			"What is in the batch when Close is called, and who writes it?",
			"The goroutine: it ends when Close has begun and the batch is empty. Close waits for it.",
			"w.closing = true; hurry(asked); <-w.ended. next: if closing && filling is empty, end",
		},
		Check: closeTail,
	},
	{
		Name: "CloseIsFinal", Group: "end", Points: 3, Section: step6,
		Why: "Two parts of a program both close it, a third still writes, a fourth waits for room. Nobody may hang, nothing may be accepted that is not written, and no goroutine may stay.",
		Hints: [3]string{
			"What do Write, Flush and a second Close do after Close?",
			"ErrClosed for writes, also for those that wait for room; every Close waits for the same goroutine.",
			"put: if w.closing { return ErrClosed }; Close: dismiss(ErrClosed)",
		},
		Check: closeFinal,
	},
	{
		Name: "CloseGivesUp", Group: "end", Points: 3, Section: step6,
		Why: "The sink hangs, and the program wants to end. When the deadline has passed, Close returns, and those whose messages were never handed over are told.",
		Hints: [3]string{
			"The sink hangs. What of all that was accepted can you still decide?",
			"What is in the batch that fills: it is lost, and its writers are told ErrClosed. What the sink has, it has.",
			"case <-ctx.Done(): left := w.fail(ErrClosed); left.tell(0, ErrClosed); return ctx.Err()",
		},
		Check: closeGivesUp,
	},
}

func closeTail(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		s := &sink{took: func(_, size int) (int, error) { return min(size, 7), nil }}
		w, err := open(r, l, s, Options{MaxDelay: time.Hour})
		if err != nil {
			return err
		}
		r.Step("3 messages, delay an hour, Close; the sink takes 7 bytes at a time")
		var told fates
		want := ""
		for i := range 3 {
			want += string(letters(i, 10))
			w.Write(r.Context(), letters(i, 10), told.done(l, i))
		}
		began := time.Now()
		if err := w.Close(r.Context()); err != nil {
			return spec.Fail("Close to return nil", "it returned %s", l.name(err))
		}
		if took := time.Since(began); took != 0 {
			return spec.Fail("Close not to wait for the delay", "it took %v", took)
		}
		if err := s.holds(want); err != nil {
			return err
		}
		if got := told.all(); got != "0 nil, 1 nil, 2 nil" {
			return spec.Fail("all three to be told nil before Close returns", "told were: %s", got)
		}
		return nil
	})
}

func closeFinal(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		s := &sink{gate: make(chan struct{})}
		w, err := open(r, l, s, Options{MaxBytes: 100, MaxPending: 100})
		if err != nil {
			return err
		}
		if err := say(r, l, w, letters(0, 100)); err != nil {
			return err
		}
		r.Step("the sink works on 100 bytes, one Write waits for room, three call Close")
		calls := []<-chan error{waiting(r, w, letters(1, 10), r.Context())}
		for range 3 {
			calls = append(calls, r.Go(func() error { return w.Close(r.Context()) }))
		}
		if err := has(calls, true, false, false, false); err != nil {
			return err
		}
		if err := <-calls[0]; err != l.Closed {
			return spec.Fail("a Write that waits for room to return ErrClosed", "it returned %s", l.name(err))
		}
		if err := w.TryWrite(letters(2, 1), nil); err != l.Closed {
			return spec.Fail("TryWrite after Close to return ErrClosed", "it returned %s", l.name(err))
		}
		s.gate <- struct{}{}
		if err := has(calls[1:], true, true, true); err != nil {
			return err
		}
		if err := w.Write(r.Context(), letters(2, 1), nil); err != l.Closed {
			return spec.Fail("Write after Close to return ErrClosed", "it returned %s", l.name(err))
		}
		if err := s.holds(string(letters(0, 100))); err != nil {
			return err
		}
		return flushInClose(r, l)
	})
}

// flushInClose has a Flush with little time come while a Close with much waits.
func flushInClose(r *spec.Run, l lab) error {
	s := &sink{gate: make(chan struct{})}
	w, err := open(r, l, s, Options{MaxBytes: 10})
	if err != nil {
		return err
	}
	r.Step("the sink works on one message, another one waits, and Close waits for both; Flush with a second to go")
	var told fates
	for i := range 2 {
		if err := w.Write(r.Context(), letters(i, 10), told.done(l, i)); err != nil {
			return spec.Fail("Write to return nil", "it returned %s", l.name(err))
		}
		synctest.Wait()
	}
	c := r.Go(func() error { return w.Close(r.Context()) })
	synctest.Wait()
	short, cancel := context.WithTimeout(r.Context(), time.Second)
	defer cancel()
	w.Flush(short)
	time.Sleep(time.Second)
	s.gate <- struct{}{}
	synctest.Wait()
	if _, calls := s.got(); len(calls) != 2 {
		return spec.Fail("Close to have the second message written, whatever Flush did", "the sink was called %d times; told were: %q", len(calls), told.all())
	}
	s.gate <- struct{}{}
	if err := <-c; err != nil {
		return spec.Fail("Close to return nil", "it returned %s", l.name(err))
	}
	return s.holds(string(letters(0, 10)) + string(letters(1, 10)))
}

func closeGivesUp(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		s := &sink{gate: make(chan struct{})}
		w, err := open(r, l, s, Options{MaxBytes: 10})
		if err != nil {
			return err
		}
		var told fates
		w.Write(r.Context(), letters(0, 10), told.done(l, 0))
		synctest.Wait()
		w.Write(r.Context(), letters(1, 10), told.done(l, 1))
		flush := r.Go(func() error { return w.Flush(r.Context()) })
		synctest.Wait()
		r.Step("the sink hangs with the first of two messages; a Flush waits; Close with a second to go")
		short, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := w.Close(short); err != context.DeadlineExceeded || time.Since(began) != time.Second {
			return spec.Fail("Close to return context.DeadlineExceeded after a second", "it returned %s after %v", l.name(err), time.Since(began))
		}
		if got := told.all(); got != "1 ErrClosed" {
			return spec.Fail("the second message's writer to be told ErrClosed by then", "told were: %q", got)
		}
		synctest.Wait()
		if len(flush) == 0 {
			return spec.Fail("Flush of what is lost to return ErrClosed", "it still waits")
		}
		if err := <-flush; err != l.Closed {
			return spec.Fail("Flush of what is lost to return ErrClosed", "it returned %s", l.name(err))
		}
		r.Step("the sink comes back")
		s.gate <- struct{}{}
		synctest.Wait()
		if got := told.all(); got != "1 ErrClosed, 0 nil" {
			return spec.Fail("the first message's writer to be told nil: it was written", "told were: %q", got)
		}
		if _, calls := s.got(); len(calls) != 1 {
			return spec.Fail("the sink not to be given what is lost", "it was called %d times", len(calls))
		}
		if got := w.Stats(); got.Messages != 2 || got.Lost != 1 || got.Bytes != 10 || got.Pending != 0 {
			return spec.Fail("one of two messages lost, 10 bytes taken, none pending", "Stats says %+v", got)
		}
		return s.holds(string(letters(0, 10)))
	})
}
