package backpressuretest

import (
	"context"
	"errors"
	"fmt"
	"testing/synctest"

	"github.com/asynclab/asynclab/harness/spec"
)

const endSection = "Step 7: the end"

var endRules = []spec.Rule[lab]{
	{
		Name: "CloseLetsReceiversDrain", Group: "end", Points: 2, Section: endSection,
		Why: "Close means that nothing more comes, not that what was accepted is void. Send has returned nil for every message in the queue: that was a promise.",
		Hints: [3]string{
			"What does a receiver see first after Close: the messages, or the end?",
			"Closed is looked at when the queue is empty, and not before.",
			"if n := c.take(dst); n > 0 { return n, nil }; if c.closed { return 0, ErrClosed }",
		},
		Check: closeLetsReceiversDrain,
	},
	{
		Name: "CloseReleasesWaiters", Group: "end", Points: 3, Section: endSection, Deadline: soon,
		Why: "Everybody who waits, waits for something that will not come any more. Who is not told waits for ever, and a goroutine with its stack and its message waits with him.",
		Hints: [3]string{
			"Who can be waiting when Close is called?",
			"Senders of all priorities, and receivers: walk all lines. A second Close must not do it again.",
			"for each line: for w := line.first; w != nil; w = line.first { remove w; w.err = ErrClosed; w.done <- struct{}{} }",
		},
		Check: closeReleasesWaiters,
	},
}

func closeLetsReceiversDrain(r *spec.Run, l lab) error {
	s := open(r, l, options{Capacity: 10})
	s.fill(1, 4)
	s.put(High, 5)
	if s.err != nil {
		return s.err
	}
	r.Step("Close, twice")
	s.Close()
	s.Close()
	s.try(l.Closed, High, Message{ID: 6})
	if err := r.Call("Send to return ErrClosed", func() error { return s.Send(r.Context(), Normal, Message{ID: 7}) }); s.err == nil && err != l.Closed {
		s.fail("Send to return ErrClosed", "it returned %s", l.name(err))
	}
	s.gets(5, 1)
	for _, want := range []int{2, 3, 4} {
		if s.err == nil {
			m, err := s.Receive(r.Context())
			if err != nil || m.ID != want {
				s.fail(fmt.Sprintf("Receive to give message %d: it was accepted before Close", want), "it gave %d, %s", m.ID, l.name(err))
			}
		}
	}
	if s.err != nil {
		return s.err
	}
	if _, err := s.Receive(r.Context()); err != l.Closed {
		return spec.Fail("Receive to return ErrClosed: the channel is closed and empty", "it returned %s", l.name(err))
	}
	if n, err := s.ReceiveBatch(r.Context(), make([]Message, 3)); n != 0 || err != l.Closed {
		return spec.Fail("ReceiveBatch to return 0, ErrClosed", "it returned %d, %s", n, l.name(err))
	}
	if n, err := s.ReceiveBatch(r.Context(), nil); n != 0 || err != nil {
		return spec.Fail("ReceiveBatch with an empty dst to return 0 and nil, always", "it returned %d, %s", n, l.name(err))
	}
	s.isEmpty()
	s = s.another(options{Capacity: 10})
	s.fill(1, 3)
	if s.err != nil {
		return s.err
	}
	r.Step("Close, then Discard")
	s.Close()
	if n := s.Discard(); n != 3 || s.Len() != 0 {
		return spec.Fail("Discard to drop the 3 messages that are queued", "it returned %d; %s", n, s.holds())
	}
	if n := len(s.dropped); n != 3 {
		s.fail("OnDrop to get 3 messages", "it got %v", s.dropped)
	}
	if s.err != nil {
		return s.err
	}
	for policy := Block; policy <= DropOldest; policy++ {
		r.Step("policy %d: 4 goroutines send 3,000 messages each, 2 receive until Close sends them home", policy)
		if err := audit(r, l, policy, true); err != nil {
			return err
		}
	}
	return nil
}

func closeReleasesWaiters(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		s := open(r, l, options{Capacity: 1, Policy: Block})
		s.fill(1, 1)
		calls := []*call{s.startSend(Normal, Message{ID: 2}), s.startSend(High, Message{ID: 3}), s.startSend(Normal, Message{ID: 4})}
		s.waits(calls...)
		if s.err != nil {
			return s.err
		}
		r.Step("Close")
		s.Close()
		s.ends(l.Closed, calls...)
		s.gets(1)
		s.isEmpty()
		r.Step("another channel, with receivers that wait")
		s = s.another(options{Capacity: 1, Policy: Block})
		calls = []*call{s.startReceive("Receive A"), s.startReceive("Receive B"),
			s.start("ReceiveBatch", func(ctx context.Context) ([]int, error) { return batch(s, ctx, 3) })}
		s.waits(calls...)
		if s.err != nil {
			return s.err
		}
		r.Step("Close")
		s.Close()
		s.Close()
		s.ends(l.Closed, calls...)
		if s.err != nil {
			return s.err
		}
		r.Step("a channel full by bytes, with a Low sender that waits")
		s = s.another(options{MaxBytes: 100, Policy: Block})
		s.try(nil, Normal, Message{ID: 1, Bytes: 90})
		low := s.startSend(Low, Message{ID: 2, Bytes: 20})
		s.waits(low)
		if s.err != nil {
			return s.err
		}
		s.Close()
		s.ends(l.Closed, low)
		if s.err != nil {
			return s.err
		}
		if err := whoIsSentHomeHasNotSent(r, l); err != nil {
			return err
		}
		return closeMeetsCancel(r, l)
	})
}

// whoIsSentHomeHasNotSent looks at the books: what Close refuses is in none of
// them.
func whoIsSentHomeHasNotSent(r *spec.Run, l lab) error {
	s := open(r, l, options{Capacity: 2, Policy: Block})
	s.fill(1, 2)
	late := s.startSend(Normal, Message{ID: 3})
	s.is(Stats{Queued: 2, Senders: 1, Sent: 2, SlowDowns: 1})
	if s.err != nil {
		return s.err
	}
	r.Step("Close: neither who waits nor who comes later has sent anything")
	s.Close()
	s.ends(l.Closed, late)
	s.try(l.Closed, Normal, Message{ID: 4})
	s.is(Stats{Queued: 2, Sent: 2, SlowDowns: 1})
	return s.err
}

// closeMeetsCancel ends the context of a Send that Close sends home, in the same
// instant: its message was not accepted, whichever comes first.
func closeMeetsCancel(r *spec.Run, l lab) error {
	r.Step("100 times: a Send and a Receive wait; Close and cancel, with nothing between")
	for i := range 100 {
		full := open(r, l, options{Capacity: 1, Policy: Block})
		empty := full.another(options{Capacity: 1, Policy: Block})
		if err := errors.Join(full.err, empty.err, full.TrySend(Normal, Message{ID: 1})); err != nil {
			return err
		}
		send := begin(r, "Send", func(ctx context.Context) ([]int, error) { return nil, full.Send(ctx, Normal, Message{ID: 2}) })
		receive := begin(r, "Receive", func(ctx context.Context) ([]int, error) {
			_, err := empty.Receive(ctx)
			return nil, err
		})
		if i%2 == 0 {
			send.cancel()
			receive.cancel()
		}
		full.Close()
		empty.Close()
		send.cancel()
		receive.cancel()
		synctest.Wait()
		for _, c := range []*call{send, receive} {
			if ended, _, err := c.result(); !ended || err == nil {
				return spec.Fail(c.what+" to return an error, ErrClosed or its context's", "ended: %v; it returned %s", ended, l.name(err))
			}
		}
	}
	return nil
}
