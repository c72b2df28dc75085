package backpressuretest

import (
	"context"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

const (
	waitSection = "Step 3: senders that wait"
	soon        = 20 * time.Second // for what hangs in a bubble, where time stands still
)

var waitRules = []spec.Rule[lab]{
	{
		Name: "NoLockWhileWaiting", Group: "waiting", Points: 3, Section: waitSection, Deadline: soon,
		Why: "A lock that is held while waiting makes everybody wait, the receiver too, which is the one who could end it. In the article's channel one Receive took 20 s with the message in its hand.",
		Hints: [3]string{
			"Your Send waits. Which lock does it hold meanwhile?",
			"Write the waiter down under the lock, give the lock back, and wait on a channel of the waiter's own.",
			"w := &waiter{item: m, done: make(chan struct{}, 1)}; line.push(w); c.mu.Unlock(); select { case <-w.done: ...; case <-ctx.Done(): ... }",
		},
		Check: noLockWhileWaiting,
	},
	{
		Name: "SendWaitsForRoom", Group: "waiting", Points: 3, Section: waitSection, Deadline: soon,
		Why: "A blocked sender is the strongest backpressure: it costs nothing, it sleeps as long as it must, and it goes on the moment there is room. A sender that polls is late by half its pause; one with a time limit of its own loses messages.",
		Hints: [3]string{
			"Who knows that there is room, at the moment when there is?",
			"The one who makes it: Receive ends by letting the first waiting sender in.",
			"for w := line.first; w != nil && c.fits(w.item.size); w = line.first { c.accept(w.item); line.remove(w); w.done <- struct{}{} }",
		},
		Check: sendWaitsForRoom,
	},
	{
		Name: "EveryWaiterThatFitsGoes", Group: "waiting", Points: 2, Section: waitSection, Deadline: soon,
		Why: "One receive can make room for many: a large message leaves, ten small ones fit. Who wakes one waiter and hopes that it wakes the next has lost a wake-up as soon as that one gives up.",
		Hints: [3]string{
			"A message of 100 bytes leaves, and ten senders with 10 bytes each wait. How many go?",
			"Letting in is a loop: until the first one does not fit. It follows everything that makes room: TryReceive, Discard, and in the next step Receive and ReceiveBatch.",
			"Write admit() once, as a loop, and call it at the end of each of these.",
		},
		Check: everyWaiterThatFitsGoes,
	},
	{
		Name: "WaitersGoInOrder", Group: "waiting", Points: 3, Section: waitSection, Deadline: soon,
		Why: "Without order a sender can wait for ever while others come and go. First come, first served, within a priority; a higher priority goes first; and a newcomer does not pass those who wait, even if its message is small enough to fit where theirs is not.",
		Hints: [3]string{
			"A sender wakes up and looks for room again. Who may have come meanwhile?",
			"Hand the room over: whoever makes it puts the waiter's message into the queue itself. And a newcomer looks at the line before it looks at the room.",
			"Accept at once only if fits(size) and no sender waits at this level or a higher one.",
		},
		Check: waitersGoInOrder,
	},
	{
		Name: "CancelEndsTheWait", Group: "waiting", Points: 3, Section: waitSection, Deadline: soon,
		Why: "Who waits must be able to stop: a client hangs up, a deadline passes. The message must then not be sent after all, and those behind it must not go on waiting for one who has left.",
		Hints: [3]string{
			"The first in the line wanted 50 bytes and gives up. The second wants 5, and they are free. Who tells it?",
			"Leaving the line makes way as a receive makes room: it ends with the same loop. If you were served in the meantime, that counts.",
			"case <-ctx.Done(): lock; if w is in the line { remove it; canceled++; c.admit(); unlock; return ctx.Err() }; unlock; <-w.done; return w.err",
		},
		Check: cancelEndsTheWait,
	},
}

func noLockWhileWaiting(r *spec.Run, l lab) error {
	s := open(r, l, options{Capacity: 2, Policy: Block})
	s.fill(1, 2)
	if s.err != nil {
		return s.err
	}
	ctx, cancel := context.WithCancel(r.Context())
	r.Cleanup(cancel)
	r.Step("3 Sends to a channel that is full")
	for id := 3; id <= 5; id++ {
		done := r.Go(func() error { return s.Send(ctx, Normal, Message{ID: id}) })
		r.Cleanup(func() { cancel(); <-done })
	}
	var senders atomic.Int64 // a Stats that hangs may still write it when the check has ended
	ask := func(what string, f func()) error {
		return r.Call(what+" to return while Sends wait: is a lock held?", func() error { f(); return nil })
	}
	err := r.Until("3 Sends to wait, in Stats.Senders", func() bool {
		return ask("Stats", func() { senders.Store(int64(s.Stats().Senders)) }) != nil || senders.Load() == 3
	})
	if err != nil {
		return err
	}
	if senders.Load() != 3 {
		return spec.Fail("Stats to return while Sends wait: is a lock held?", "it had not by the deadline")
	}
	r.Step("TrySend, Slow, Receive")
	for what, f := range map[string]func(){
		"TrySend":    func() { s.TrySend(Normal, Message{ID: 6}) },
		"Slow":       func() { s.Slow() },
		"Len":        func() { s.Len() },
		"Receive":    func() { s.Receive(ctx) },
		"TryReceive": func() { s.TryReceive() },
	} {
		if err := ask(what, f); err != nil {
			return err
		}
	}
	return nil
}

func sendWaitsForRoom(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		s := open(r, l, options{Capacity: 2, Policy: Block})
		s.fill(1, 2)
		c := s.startSend(Normal, Message{ID: 3})
		s.waits(c)
		r.Step("an hour goes by")
		time.Sleep(time.Hour)
		s.waits(c)
		s.try(l.Full, Normal, Message{ID: 9})
		began := time.Now()
		s.gets(1)
		s.ends(nil, c)
		if late := time.Since(began); s.err == nil && late > 0 {
			s.fail("Send to return at once when there is room", "it returned %v later", late)
		}
		s.gets(2, 3)
		s.isEmpty()
		for policy := Reject; policy <= DropOldest; policy++ {
			s = s.another(options{Capacity: 1, Policy: policy})
			sendDoesNotWait(s, policy)
		}
		return s.err
	})
}

// sendDoesNotWait sends to a full channel under a policy that is not Block.
func sendDoesNotWait(s *scene, policy int) {
	s.put(High, 1)
	if s.err != nil {
		return
	}
	s.r.Step("policy %d: Send to a channel that is full does not wait", policy)
	s.ends(s.l.Full, s.startSend(Normal, Message{ID: 2}))
	s.gets(1)
	s.isEmpty()
}

func everyWaiterThatFitsGoes(r *spec.Run, l lab) error {
	return makeRoom(r, l, map[string]func(s *scene){
		"TryReceive": func(s *scene) { s.gets(0) },
		"Discard": func(s *scene) {
			if s.err == nil {
				s.Discard()
			}
		},
	})
}

// makeRoom has ten of twelve senders go that wait, in each of several ways.
func makeRoom(r *spec.Run, l lab, ways map[string]func(s *scene)) error {
	for what, room := range ways {
		err := r.Bubble(func(r *spec.Run) error {
			s := open(r, l, options{MaxBytes: 100, Policy: Block})
			s.try(nil, Normal, Message{ID: 0, Bytes: 100})
			var calls []*call
			for id := 1; id <= 12; id++ {
				calls = append(calls, s.startSend(Normal, Message{ID: id, Bytes: 10}))
			}
			s.waits(calls...)
			r.Step("%s makes room for 10 of 12 that wait", what)
			room(s)
			s.ends(nil, calls[:10]...)
			s.waits(calls[10:]...)
			s.gets(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
			return s.err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func waitersGoInOrder(r *spec.Run, l lab) error {
	err := r.Bubble(func(r *spec.Run) error {
		s := open(r, l, options{Capacity: 2, Policy: Block})
		s.fill(1, 2)
		var normal, high []*call
		for id := 3; id <= 6; id++ {
			normal = append(normal, s.startSend(Normal, Message{ID: id}))
		}
		for id := 7; id <= 8; id++ {
			high = append(high, s.startSend(High, Message{ID: id}))
		}
		for i, next := range append(high, normal...) {
			s.waits(next)
			took := []int{1, 7, 8, 2, 3, 4}[i]
			s.gets(took)
			s.ends(nil, next)
		}
		s.gets(5, 6)
		s.isEmpty()
		return s.err
	})
	if err != nil {
		return err
	}
	return r.Bubble(func(r *spec.Run) error {
		r.Step("a small message behind a large one that waits")
		s := open(r, l, options{MaxBytes: 100, Policy: Block})
		s.try(nil, Normal, Message{ID: 1, Bytes: 40})
		s.try(nil, Normal, Message{ID: 2, Bytes: 40})
		large := s.startSend(Normal, Message{ID: 3, Bytes: 70})
		small := s.startSend(Normal, Message{ID: 4, Bytes: 5})
		s.waits(large, small)
		s.try(l.Full, Normal, Message{ID: 5, Bytes: 5})
		s.try(nil, High, Message{ID: 6, Bytes: 5}) // may pass them
		s.gets(6, 1)
		s.waits(large, small)
		s.try(l.Full, Normal, Message{ID: 7, Bytes: 5})
		s.gets(2)
		s.ends(nil, large, small)
		s.gets(3, 4)
		if s.err != nil {
			return s.err
		}
		r.Step("small messages of a lower priority behind a large one that waits")
		s = open(r, l, options{MaxBytes: 100, Policy: Block})
		s.try(nil, Normal, Message{ID: 1, Bytes: 40})
		s.try(nil, Normal, Message{ID: 2, Bytes: 40})
		large = s.startSend(High, Message{ID: 3, Bytes: 70})
		small = s.startSend(Normal, Message{ID: 4, Bytes: 5})
		smaller := s.startSend(Low, Message{ID: 5, Bytes: 5})
		s.waits(large, small, smaller)
		s.try(l.Full, Normal, Message{ID: 6, Bytes: 1})
		s.try(l.Full, Low, Message{ID: 7, Bytes: 1})
		s.gets(1)
		s.waits(large, small, smaller)
		s.gets(2)
		s.ends(nil, large, small, smaller)
		s.gets(3, 4, 5)
		return s.err
	})
}

func cancelEndsTheWait(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		s := open(r, l, options{MaxBytes: 100, Policy: Block})
		s.try(nil, Normal, Message{ID: 1, Bytes: 80})
		began := time.Now()
		timed := s.start("Send of message 2, 50 bytes, with a context of 5 s", func(ctx context.Context) ([]int, error) {
			ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			return nil, s.Send(ctx, Normal, Message{ID: 2, Bytes: 50})
		})
		behind := s.startSend(Normal, Message{ID: 3, Bytes: 10})
		large := s.startSend(Normal, Message{ID: 4, Bytes: 60})
		last := s.startSend(Normal, Message{ID: 5, Bytes: 5})
		s.waits(timed, behind, large, last)
		r.Step("5 s go by")
		time.Sleep(5 * time.Second)
		s.ends(context.DeadlineExceeded, timed)
		if took := time.Since(began); s.err == nil && took != 5*time.Second {
			s.fail("Send to return when its context ends", "that was after %v", took)
		}
		s.ends(nil, behind)
		s.waits(large, last)
		if s.err == nil {
			r.Step("cancel the Send of message 4")
		}
		large.cancel()
		s.ends(context.Canceled, large)
		s.ends(nil, last)
		if s.err == nil && s.Stats().Canceled != 2 {
			s.fail("Stats.Canceled to be 2", "it is %d", s.Stats().Canceled)
		}
		s.gets(1, 3, 5)
		s.isEmpty()
		if s.err != nil {
			return s.err
		}
		r.Step("Send with a context that has ended: it matters only to one who waits")
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		if err := s.Send(ended, Normal, Message{ID: 6, Bytes: 100}); err != nil {
			s.fail("Send to return nil: there is room", "it returned %s", l.name(err))
		}
		full := s.start("Send of message 7 with a context that has ended", func(context.Context) ([]int, error) {
			return nil, s.Send(ended, Normal, Message{ID: 7, Bytes: 1})
		})
		s.ends(context.Canceled, full)
		s.gets(6)
		s.isEmpty()
		if s.err != nil {
			return s.err
		}
		return roomMeetsCancel(r, l)
	})
}

// roomMeetsCancel has room come and a context end at the same time, in both
// orders, often enough for a select to choose wrongly.
func roomMeetsCancel(r *spec.Run, l lab) error {
	s := open(r, l, options{Capacity: 1, Policy: Block})
	s.put(Normal, 0)
	r.Step("100 times: Send to a full channel waits; TryReceive and cancel, with nothing between")
	for i := 1; i <= 100 && s.err == nil; i++ {
		send := begin(r, "Send", func(ctx context.Context) ([]int, error) { return nil, s.Send(ctx, Normal, Message{ID: i}) })
		s.waits(send)
		if i%2 == 0 {
			send.cancel()
		}
		s.TryReceive()
		send.cancel()
		synctest.Wait()
		_, _, err := send.result()
		if m, there := s.Peek(); there != (err == nil) {
			s.fail("a message to be queued if Send has returned nil, and only then", "Send of message %d returned %s; queued: %v, message %d", i, l.name(err), there, m.ID)
		} else if !there {
			s.TrySend(Normal, Message{ID: i})
		}
	}
	return s.err
}
