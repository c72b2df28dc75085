package batchingtest

import (
	"context"
	"fmt"
	"testing/synctest"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var boundRules = []spec.Rule[lab]{
	{
		Name: "MemoryIsBounded", Group: "bound", Points: 4, Section: step5,
		Why: "A peer that does not read is normal. A writer that gathers for it without a bound turns its laziness into your memory.",
		Hints: [3]string{
			"Which bytes do you have to count: those of the batch that fills, or also those that are with the sink?",
			"Both: accepted and not yet written. They come back when the sink has taken the batch.",
			"if w.pending+len(p) > MaxPending { ErrFull }; add: pending += len(p); finish: pending -= b.bytes",
		},
		Check: memoryBounded,
	},
	{
		Name: "WaitersGoInOrder", Group: "bound", Points: 4, Section: step5,
		Why: "Who waits longest goes first, a large message too; else small ones pass it for as long as they come. And one who waits must have the batch written, delay or not: room comes from nowhere else.",
		Hints: [3]string{
			"Somebody waits for room, and the batch waits for its delay. Who moves first?",
			"Nobody, unless you hurry. Put those who wait into a line; whoever makes room puts their messages into the batch, in order, while they fit.",
			"put, with no room: hurry(bySize); append a waiter. admit, in finish: while the first one fits: add, close(ready)",
		},
		Check: waitersInOrder,
	},
	{
		Name: "CancelLeavesTheLine", Group: "bound", Points: 3, Section: step5,
		Why: "A Write that gave up is not written after all, and those behind it do not wait for it.",
		Hints: [3]string{
			"ctx has ended, and at the same moment there was room. Is the message accepted or not?",
			"The lock knows: is the waiter still in the line? If so take it out, and let those behind it in who fit.",
			"withdraw: lock; i := slices.Index(waiters, wt); if i < 0 { return false }; delete; admit; return true",
		},
		Check: cancelLeaves,
	},
	{
		Name: "NonsenseIsRefused", Group: "bound", Points: 2, Section: step5,
		Why: "A message that can never fit would wait for ever, a batch that can never be full would never go.",
		Hints: [3]string{
			"What about a message of MaxPending + 1, a MaxBytes above MaxPending, a negative delay?",
			"ErrTooLarge for the first, errors of New for the others.",
			"case len(p) > w.opt.MaxPending: return ErrTooLarge",
		},
		Check: nonsense,
	},
}

func memoryBounded(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		s := &sink{gate: make(chan struct{})}
		w, err := open(r, l, s, Options{MaxBytes: 400, MaxPending: 1000})
		if err != nil {
			return err
		}
		r.Step("MaxPending 1000, and the sink hangs: messages of 100")
		for i := range 10 {
			if err := say(r, l, w, letters(i, 100)); err != nil {
				return err
			}
			synctest.Wait()
		}
		if err := w.TryWrite(letters(0, 1), nil); err != l.Full {
			return spec.Fail("TryWrite to return ErrFull with 1000 bytes pending", "it returned %s", l.name(err))
		}
		if p := w.Stats().Pending; p != 1000 {
			return spec.Fail("1000 bytes to be pending", "Stats says %d", p)
		}
		s.gate <- struct{}{}
		synctest.Wait()
		_, calls := s.got()
		room := calls[0].size
		if err := say(r, l, w, letters(0, room)); err != nil {
			return err
		}
		if err := w.TryWrite(letters(0, 1), nil); err != l.Full {
			return spec.Fail("TryWrite to return ErrFull again", "it returned %s", l.name(err))
		}
		if err := s.orderly(); err != nil {
			return err
		}
		return waitingCopied(r, l)
	})
}

// waitingCopied has large messages wait for room: who wrote one may use its memory
// again when Write has returned, who gave it away may not.
func waitingCopied(r *spec.Run, l lab) error {
	s := &sink{gate: make(chan struct{}), keep: true}
	w, err := open(r, l, s, Options{MaxBytes: 10_000, MaxPending: 10_000})
	if err != nil {
		return err
	}
	r.Step("10,000 bytes are with the sink, of 10,000; Write of 5000 and WriteOwned of 4000 wait for room; when they are in, the first one's memory is used again")
	if err := say(r, l, w, letters(0, 10_000)); err != nil {
		return err
	}
	synctest.Wait()
	reused, given := letters(1, 5000), letters(2, 4000)
	calls := []<-chan error{waiting(r, w, reused, r.Context()), r.Go(func() error { return w.WriteOwned(r.Context(), given, nil) })}
	if err := has(calls, false, false); err != nil {
		return err
	}
	s.gate <- struct{}{}
	if err := has(calls, true, true); err != nil {
		return err
	}
	clear(reused)
	s.gate <- struct{}{}
	if err := drain(r, l, w, s, string(letters(0, 10_000))+string(letters(1, 5000))+string(letters(2, 4000))); err != nil {
		return err
	}
	_, seen := s.got()
	for _, c := range seen {
		for _, p := range c.pieces {
			if len(p) == len(given) && &p[0] == &given[0] {
				return nil
			}
		}
	}
	return spec.Fail("the message of WriteOwned to be a piece of its own, though it has waited", "it was copied")
}

// waiting is a Write on a goroutine of its own.
func waiting(r *spec.Run, w judged, p []byte, ctx context.Context) <-chan error {
	c := r.Go(func() error { return w.Write(ctx, p, nil) })
	synctest.Wait()
	return c
}

// has holds which of calls have ended.
func has(calls []<-chan error, ended ...bool) error {
	synctest.Wait()
	for i, c := range calls {
		if got := len(c) == 1; got != ended[i] {
			return spec.Fail(fmt.Sprintf("Write %d to have returned: %v", i+1, ended[i]), "%v", got)
		}
	}
	return nil
}

func waitersInOrder(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		s := &sink{gate: make(chan struct{})}
		w, err := open(r, l, s, Options{MaxBytes: 1000, MaxPending: 1000, MaxDelay: time.Hour})
		if err != nil {
			return err
		}
		r.Step("900 bytes are pending, of 1000, and wait for a delay of an hour; Writes of 500, 50 and 400 wait for room")
		if err := say(r, l, w, letters(0, 900)); err != nil {
			return err
		}
		calls := []<-chan error{waiting(r, w, letters(1, 500), r.Context())}
		if err := s.writes("900 at 0s"); err != nil {
			return err
		}
		calls = append(calls, waiting(r, w, letters(2, 50), r.Context()), waiting(r, w, letters(3, 400), r.Context()))
		if err := has(calls, false, false, false); err != nil {
			return err
		}
		if err := w.TryWrite(letters(4, 10), nil); err != l.Full {
			return spec.Fail("TryWrite not to pass those who wait: ErrFull", "it returned %s", l.name(err))
		}
		if n := w.Stats().Waiting; n != 3 {
			return spec.Fail("3 to be waiting", "Stats says %d", n)
		}
		s.gate <- struct{}{}
		if err := has(calls, true, true, true); err != nil {
			return err
		}
		if err := w.TryWrite(letters(5, 51), nil); err != l.Full {
			return spec.Fail("TryWrite of 51 bytes with 950 pending to return ErrFull", "it returned %s", l.name(err))
		}
		if err := drain(r, l, w, s, string(letters(0, 900))+string(letters(1, 500))+string(letters(2, 50))+string(letters(3, 400))); err != nil {
			return err
		}
		if err := largeInTheMiddle(r, l); err != nil {
			return err
		}
		return hurryEnds(r, l)
	})
}

// largeInTheMiddle has the second in the line not fit when the first one is in.
func largeInTheMiddle(r *spec.Run, l lab) error {
	s := &sink{gate: make(chan struct{})}
	w, err := open(r, l, s, Options{MaxBytes: 1000, MaxPending: 1000, MaxDelay: time.Hour})
	if err != nil {
		return err
	}
	r.Step("again 900 bytes are pending; Writes of 500, 600 and 50 wait: when the first is in, the second does not fit yet")
	if err := say(r, l, w, letters(0, 900)); err != nil {
		return err
	}
	var calls []<-chan error
	for i, size := range []int{500, 600, 50} {
		calls = append(calls, waiting(r, w, letters(i+1, size), r.Context()))
	}
	s.gate <- struct{}{}
	if err := has(calls, true, false, false); err != nil {
		return err
	}
	if err := s.writes("900 at 0s", "500 at 0s"); err != nil {
		return err
	}
	s.gate <- struct{}{}
	if err := has(calls, true, true, true); err != nil {
		return err
	}
	return drain(r, l, w, s, string(letters(0, 900))+string(letters(1, 500))+string(letters(2, 600))+string(letters(3, 50)))
}

// hurryEnds has a Write wait while the batch that fills is empty: there is nothing
// to hurry, and its own batch has all its delay.
func hurryEnds(r *spec.Run, l lab) error {
	s := &sink{gate: make(chan struct{}, 2)}
	w, err := open(r, l, s, Options{MaxBytes: 1000, MaxPending: 1000, MaxDelay: time.Hour})
	if err != nil {
		return err
	}
	r.Step("the sink works on 1000 bytes of 1000; a Write of 10 waits; when it is in, nobody waits any more, and its batch has an hour")
	if err := say(r, l, w, letters(0, 1000)); err != nil {
		return err
	}
	synctest.Wait()
	calls := []<-chan error{waiting(r, w, letters(1, 10), r.Context())}
	s.gate <- struct{}{}
	if err := has(calls, true); err != nil {
		return err
	}
	s.gate <- struct{}{}
	time.Sleep(2 * time.Hour)
	return s.writes("1000 at 0s", "10 at 1h0m0s")
}

func cancelLeaves(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		s := &sink{gate: make(chan struct{})}
		w, err := open(r, l, s, Options{MaxBytes: 1000, MaxPending: 1000})
		if err != nil {
			return err
		}
		if err := say(r, l, w, letters(0, 900)); err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		r.Step("900 of 1000 are pending; Writes of 500 and of 100 wait; the first gives up")
		calls := []<-chan error{waiting(r, w, letters(1, 500), ctx), waiting(r, w, letters(2, 100), r.Context())}
		if err := has(calls, false, false); err != nil {
			return err
		}
		cancel()
		if err := has(calls, true, true); err != nil {
			return err
		}
		if err := <-calls[0]; err != context.Canceled {
			return spec.Fail("Write to return context.Canceled", "it returned %s", l.name(err))
		}
		return drain(r, l, w, s, string(letters(0, 900))+string(letters(2, 100)))
	})
}

func nonsense(r *spec.Run, l lab) error {
	for _, o := range []Options{{MaxBytes: -1}, {MaxDelay: -1}, {MaxPending: -1}, {MaxBytes: 11, MaxPending: 10}} {
		if _, err := l.New(&sink{}, o); err == nil {
			return spec.Fail(fmt.Sprintf("New to refuse %+v", o), "it returned no error")
		}
	}
	s := &sink{}
	w, err := open(r, l, s, Options{MaxPending: 10})
	if err != nil {
		return err
	}
	err = r.Call("Write of 11 bytes to return ErrTooLarge", func() error { return w.Write(r.Context(), letters(0, 11), nil) })
	if err != l.TooLarge {
		return spec.Fail("Write of 11 bytes to return ErrTooLarge", "it returned %s", l.name(err))
	}
	var told fates
	if err := w.Write(r.Context(), nil, told.done(l, 0)); err != nil {
		return spec.Fail("Write of nothing to return nil", "it returned %s", l.name(err))
	}
	if err := w.Flush(r.Context()); err != nil {
		return spec.Fail("Flush to return nil", "it returned %s", l.name(err))
	}
	if got := told.all(); got != "0 nil" {
		return spec.Fail("done of a message of no bytes to be told nil when Flush returns", "told were: %q", got)
	}
	return s.holds("")
}
