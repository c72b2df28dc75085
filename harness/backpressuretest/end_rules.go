package backpressuretest

import (
	"context"
	"fmt"

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
	s.isEmpty()
	return s.err
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
		return s.err
	})
}
