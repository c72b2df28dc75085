package batchingtest

import (
	"context"
	"fmt"
	"testing/synctest"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

const ms = time.Millisecond

var whenRules = []spec.Rule[lab]{
	{
		Name: "FullBatchGoes", Group: "when", Points: 3, Section: step3,
		Why: "When there is enough, waiting longer only makes messages older: the system call is as cheap per byte as it will be.",
		Hints: [3]string{
			"MaxBytes is 1000. Which message is the one that has the batch written?",
			"The one with which it has MaxBytes or more. Not before, if there is a delay to wait for.",
			"add: if filling.bytes >= MaxBytes { hurry(bySize) }",
		},
		Check: fullGoes,
	},
	{
		Name: "DelayIsKept", Group: "when", Points: 5, Section: step3,
		Why: "The delay is what you have promised for a message that comes alone. It counts from the first message of a batch: a timer that each message sets anew never rings while messages trickle.",
		Hints: [3]string{
			"A message comes every 900 µs, and the delay is 1 ms. When is the first one written?",
			"Set the timer when a message comes into an empty batch, and not again. When that batch has gone for another reason, its timer must not touch the next one.",
			"if len(filling.messages) == 0 { serial := w.serial; time.AfterFunc(MaxDelay, func() { if w.serial == serial { hurry(byDelay) } }) }",
		},
		Check: delayKept,
	},
	{
		Name: "IdleWritesAtOnce", Group: "when", Points: 4, Section: step3,
		Why: "With no delay a single message leaves at once; under load, what comes while the sink works is the next batch. So batches grow as they are needed, and nobody waits for a timer: this is what most servers want.",
		Hints: [3]string{
			"MaxDelay is 0, the sink is busy, and 100 messages come. How many calls of the sink do they need?",
			"One: the goroutine takes the whole batch when it comes back.",
			"add: if MaxDelay == 0 { hurry(whenIdle) }; the goroutine swaps the batches and writes without the lock",
		},
		Check: idleWrites,
	},
	{
		Name: "FlushWaitsForAll", Group: "when", Points: 4, Section: step3,
		Why: "Before a server answers `done', what it has written must be out. Flush is the promise that it is: all that came before, including what is being written at this moment.",
		Hints: [3]string{
			"What was accepted before Flush can be in two places. Which?",
			"In the batch that is being written, and in the one that fills. A mark behind the last message is told when both are out.",
			"filling.ask(func(err error) { done <- err }); hurry(asked); wait for done or ctx",
		},
		Check: flushWaits,
	},
	{
		Name: "LockIsFree", Group: "when", Points: 5, Section: step1,
		Why: "In the article's writer the lock is held over the system call: while one peer's socket is full, everybody who writes to it stands still, the event loop too.",
		Hints: [3]string{
			"The sink hangs. Which of your methods still return?",
			"All but those that wait for it: swap two batches under the lock, and write without it.",
			"lock; b, filling, spare = filling, spare, nil; unlock; sink.Writev(...); lock; spare = b; unlock",
		},
		Check: lockFree,
	},
}

// say writes a message, which must be accepted.
func say(r *spec.Run, l lab, w judged, p []byte) error {
	if err := w.TryWrite(p, nil); err != nil {
		return spec.Fail(fmt.Sprintf("TryWrite of %d bytes to return nil", len(p)), "it returned %s", l.name(err))
	}
	return nil
}

// writes holds which calls the sink has seen, of how many bytes and when.
func (s *sink) writes(want ...string) error {
	synctest.Wait()
	_, calls := s.got()
	var got []string
	for _, c := range calls {
		got = append(got, fmt.Sprintf("%d at %v", c.size, c.at))
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		return spec.Fail(fmt.Sprintf("the sink to be called with %v", want), "it was called with %v", got)
	}
	return s.orderly()
}

func fullGoes(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		s := &sink{}
		w, err := open(r, l, s, Options{MaxBytes: 1000, MaxDelay: time.Hour})
		if err != nil {
			return err
		}
		r.Step("MaxBytes 1000, MaxDelay an hour: 9 messages of 100, then one more")
		for i := range 9 {
			if err := say(r, l, w, letters(i, 100)); err != nil {
				return err
			}
		}
		if err := s.writes(); err != nil {
			return err
		}
		if err := say(r, l, w, letters(9, 100)); err != nil {
			return err
		}
		if err := s.writes("1000 at 0s"); err != nil {
			return err
		}
		r.Step("one of 2500")
		if err := say(r, l, w, letters(10, 2500)); err != nil {
			return err
		}
		if err := s.writes("1000 at 0s", "2500 at 0s"); err != nil {
			return err
		}
		if got := w.Stats(); got.BySize != 2 || got.Messages != 11 || got.Writes != 2 || got.Bytes != 3500 || got.Pending != 0 {
			return spec.Fail("Stats to tell of 11 messages, 3500 bytes, 2 batches by size", "it is %+v", got)
		}
		return fullOfOwned(r, l)
	})
}

// fullOfOwned fills a batch with messages that are not copied, and asks for it
// when it is full already.
func fullOfOwned(r *spec.Run, l lab) error {
	s := &sink{gate: make(chan struct{})}
	w, err := open(r, l, s, Options{MaxBytes: 5000, MaxDelay: time.Hour})
	if err != nil {
		return err
	}
	r.Step("MaxBytes 5000: WriteOwned of 2500, twice; the sink works on it; twice again, and Flush")
	for i := range 4 {
		if err := w.WriteOwned(r.Context(), letters(i, 2500), nil); err != nil {
			return spec.Fail("WriteOwned to return nil", "it returned %s", l.name(err))
		}
		synctest.Wait()
	}
	f := r.Go(func() error { return w.Flush(r.Context()) })
	if err := s.writes("5000 at 0s"); err != nil {
		return err
	}
	s.gate <- struct{}{}
	s.gate <- struct{}{}
	if err := <-f; err != nil {
		return spec.Fail("Flush to return nil", "it returned %s", l.name(err))
	}
	if got := w.Stats(); got.BySize != 2 || got.Asked != 0 {
		return spec.Fail("the first reason to count: 2 batches by size, none because Flush asked", "Stats says %+v", got)
	}
	return nil
}

func delayKept(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		s := &sink{}
		w, err := open(r, l, s, Options{MaxBytes: 1000, MaxDelay: 10 * ms})
		if err != nil {
			return err
		}
		r.Step("MaxDelay 10 ms: a message of 10 bytes every 4 ms, for 30 ms")
		for i := range 8 {
			if err := say(r, l, w, letters(i, 10)); err != nil {
				return err
			}
			time.Sleep(4 * ms)
		}
		// 0, 4, 8 go at 10; 12, 16, 20 at 22; 24, 28 at 34.
		time.Sleep(20 * ms)
		if err := s.writes("30 at 10ms", "30 at 22ms", "20 at 34ms"); err != nil {
			return err
		}
		r.Step("at 52 ms 5 messages, at 57 ms 1000 bytes more, which fill the batch; at 60 ms one message")
		if err := say(r, l, w, letters(0, 50)); err != nil {
			return err
		}
		time.Sleep(5 * ms)
		if err := say(r, l, w, letters(1, 1000)); err != nil {
			return err
		}
		time.Sleep(3 * ms)
		if err := say(r, l, w, letters(2, 7)); err != nil {
			return err
		}
		time.Sleep(20 * ms)
		if err := s.writes("30 at 10ms", "30 at 22ms", "20 at 34ms", "1050 at 57ms", "7 at 70ms"); err != nil {
			return err
		}
		if got := w.Stats(); got.ByDelay != 4 || got.BySize != 1 {
			return spec.Fail("4 batches by delay and one by size", "Stats says %+v", got)
		}
		return nil
	})
}

func idleWrites(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		s := &sink{gate: make(chan struct{})}
		w, err := open(r, l, s, Options{})
		if err != nil {
			return err
		}
		r.Step("no delay: one message, and while the sink works on it 100 more of 10 bytes")
		if err := say(r, l, w, letters(0, 10)); err != nil {
			return err
		}
		if err := s.writes("10 at 0s"); err != nil {
			return err
		}
		for i := range 100 {
			if err := say(r, l, w, letters(i, 10)); err != nil {
				return err
			}
		}
		time.Sleep(time.Second)
		if err := s.writes("10 at 0s"); err != nil {
			return err
		}
		s.gate <- struct{}{}
		if err := s.writes("10 at 0s", "1000 at 1s"); err != nil {
			return err
		}
		s.gate <- struct{}{}
		synctest.Wait()
		r.Step("a message a second later")
		time.Sleep(time.Second)
		if err := say(r, l, w, letters(1, 5)); err != nil {
			return err
		}
		if err := s.writes("10 at 0s", "1000 at 1s", "5 at 2s"); err != nil {
			return err
		}
		if got := w.Stats(); got.WhenIdle != 3 {
			return spec.Fail("3 batches because the sink was idle", "Stats says %+v", got)
		}
		return nil
	})
}

func flushWaits(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		s := &sink{gate: make(chan struct{})}
		w, err := open(r, l, s, Options{MaxBytes: 1000, MaxDelay: time.Hour})
		if err != nil {
			return err
		}
		ended := func(what string, c <-chan error, want bool) error {
			synctest.Wait()
			select {
			case err := <-c:
				if !want || err != nil {
					return spec.Fail(what, "it returned %s", l.name(err))
				}
			default:
				if want {
					return spec.Fail(what, "it still waits")
				}
			}
			return nil
		}
		r.Step("Flush of nothing")
		if err := ended("Flush to return nil: there is nothing", r.Go(func() error { return w.Flush(r.Context()) }), true); err != nil {
			return err
		}
		r.Step("1000 bytes, which the sink works on; 10 bytes; Flush")
		if err := say(r, l, w, letters(0, 1000)); err != nil {
			return err
		}
		synctest.Wait()
		early := r.Go(func() error { return w.Flush(r.Context()) })
		if err := ended("Flush to wait for what the sink works on", early, false); err != nil {
			return err
		}
		if err := say(r, l, w, letters(1, 10)); err != nil {
			return err
		}
		f := r.Go(func() error { return w.Flush(r.Context()) })
		if err := ended("Flush to wait for the sink", f, false); err != nil {
			return err
		}
		s.gate <- struct{}{}
		if err := ended("Flush to wait for the second batch, too", f, false); err != nil {
			return err
		}
		if err := s.writes("1000 at 0s", "10 at 0s"); err != nil {
			return err
		}
		s.gate <- struct{}{}
		if err := ended("Flush to return nil when all is written", f, true); err != nil {
			return err
		}
		r.Step("Flush with a context that ends after a second, while the sink hangs")
		if err := say(r, l, w, letters(2, 10)); err != nil {
			return err
		}
		short, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		if err := w.Flush(short); err != context.DeadlineExceeded {
			return spec.Fail("Flush to return its context's error", "it returned %s", l.name(err))
		}
		return s.orderly()
	})
}

// lockFree does not run in a bubble: there, one who waits for a lock would stop
// time.
func lockFree(r *spec.Run, l lab) error {
	s := &sink{gate: make(chan struct{})}
	w, err := open(r, l, s, Options{})
	if err != nil {
		return err
	}
	if err := say(r, l, w, letters(0, 10)); err != nil {
		return err
	}
	if err := r.Until("the sink to be called", func() bool { _, calls := s.got(); return len(calls) == 1 }); err != nil {
		return err
	}
	r.Step("the sink hangs; TryWrite, Write, WriteOwned, Stats")
	want, pending := 30, 0
	err = r.Call("TryWrite, Write and Stats to return while the sink hangs: is a lock held?", func() error {
		w.TryWrite(letters(1, 10), nil)
		w.Write(context.Background(), letters(2, 10), nil)
		if w.WriteOwned(context.Background(), letters(3, 5000), nil) == nil { // it comes in a later step
			want += 5000
		}
		pending = w.Stats().Pending
		return nil
	})
	if err != nil {
		return err
	}
	if pending != want {
		return spec.Fail(fmt.Sprintf("%d bytes to be pending", want), "Stats says %d", pending)
	}
	return nil
}
