package partitiontest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var queueRules = []spec.Rule[lab]{
	{
		Name: "QueueIsBounded", Group: "queue", Points: 3, Section: "Step 3: a bounded queue",
		Why: "A queue without a bound turns a slow handler into a full memory, minutes later and somewhere else. The bound turns it into an answer, at once and to the one who sends.",
		Hints: [3]string{
			"The handler hangs. How many messages does your partition take?",
			"Queue messages wait in each shard, and one is being handled. A buffered channel or a ring of this size says no by itself.",
			"TrySend: under the shard's lock, if n == len(ring) return ErrFull. Or: select { case queue <- m: default: return ErrFull }.",
		},
		Check: queueIsBounded,
	},
	{
		Name: "HotKeyStallsItsShardAlone", Group: "queue", Points: 4, Section: "Step 3: a bounded queue",
		Why: "One key with a slow handler, or with more messages than it can have handled, is normal: a celebrity, a broken client. Its own shard suffers; if others do, the partition is one queue with a complicated name.",
		Hints: [3]string{
			"A Send to the hot key waits for room. What else waits for it?",
			"No lock that two shards share may be held while a Send waits, and no goroutine may hand out messages to all shards in turn.",
			"Each shard has its own mutex and its own line of waiting Sends. Send waits after unlocking: on a channel of its own, in a select with ctx.Done().",
		},
		Check: hotKeyStallsItsShardAlone,
	},
	{
		Name: "BlockedSendersTakeTurns", Group: "queue", Points: 3, Section: "Step 3: a bounded queue",
		Why: "Room belongs to the one who has waited longest. If whoever comes by can take it first, a sender can starve: on a loaded system the waiting time of the unlucky one has no bound.",
		Hints: [3]string{
			"Room is made, and a Send waits for it. A TrySend comes by at this moment. Who gets the room?",
			"Waking a waiter and letting it look again is a race with everybody else. Give the room away while you hold the lock.",
			"A line of waiters, each with its message and a channel. pop takes the oldest message, moves the first waiter's message into the ring, and closes its channel. put waits, or says ErrFull, also when the line is not empty.",
		},
		Check: blockedSendersTakeTurns,
	},
	{
		Name: "SendGivesUpWithItsContext", Group: "queue", Points: 3, Section: "Step 3: a bounded queue",
		Why: "A request whose client has gone must not wait on. And the error must be true: a message that Send has refused is sent again by its owner, so if it is handled all the same, it is handled twice.",
		Hints: [3]string{
			"ctx ends while Send waits. Is its message still in the line?",
			"Room and ctx may come at the same moment. Under the lock there is only one truth: the waiter is still in the line, or it is not.",
			"case <-ctx.Done(): lock; if the waiter is in the line, take it out and return ctx.Err(); if not, the message was accepted: return nil.",
		},
		Check: sendGivesUpWithItsContext,
	},
	{
		Name: "HandlersMaySend", Group: "queue", Points: 2, Section: "Step 3: a bounded queue",
		Why: "A handler that sends on, to itself or another key, is the usual way to build a pipeline. If a callback runs with a lock held, the first one that calls back into the partition stands still, and its shard with it.",
		Hints: [3]string{
			"Which locks are held while Handle runs?",
			"None may be: take the message under the lock, unlock, then call Handle.",
			"for { s.mu.Lock(); m := pop(); s.mu.Unlock(); handle(m) }.",
		},
		Check: handlersMaySend, Deadline: 30 * time.Second,
	},
	{
		Name: "CountsAreConserved", Group: "queue", Points: 2, Section: "Step 3: a bounded queue",
		Why: "A message that is in no count is a message that nobody will look for. If Sent is always Handled + Queued + Discarded, a graph of the three shows a loss at the moment it happens.",
		Hints: [3]string{
			"A message is being handled: in which count is it?",
			"Count where the message moves, under the lock under which it moves. Four separate atomics, read one after the other, do not add up.",
			"put: sent++ with n++. The goroutine's next visit to the lock: busy = false, handled++. Stats, under the lock: Queued = n, plus 1 while busy.",
		},
		Check: countsAreConserved,
	},
}

func queueIsBounded(r *spec.Run, l lab) error {
	for _, queue := range []int{1, 8, 0} {
		bound := queue
		if queue == 0 {
			bound = 1024
		}
		if err := fillOnce(r, l, queue, bound); err != nil {
			return err
		}
	}
	return nil
}

func fillOnce(r *spec.Run, l lab, queue, bound int) error {
	return bubble(r, func(r *spec.Run) error {
		hold := newGate(r)
		p, err := open(r, l, Options{Shards: 2, Queue: queue, Handle: func(string, *State, Message) { hold.wait() }})
		if err != nil {
			return err
		}
		if err := send(r, p, "k", 1); err != nil {
			return err
		}
		synctest.Wait()
		r.Step("Queue is %d; one message is being handled; TrySend more to the same key", queue)
		taken := 0
		for ; taken < 2*bound+10; taken++ {
			if err = p.TrySend("k", Message{}); err != nil {
				break
			}
		}
		if err == nil || taken != bound {
			return spec.Fail(fmt.Sprintf("%d messages to wait beside the one in Handle", bound), "%d were accepted (then: %v)", taken, err)
		}
		if !errors.Is(err, l.Full) {
			return spec.Fail("TrySend to return ErrFull when the queue is full", "it returned %v", err)
		}
		return nil
	})
}

func hotKeyStallsItsShardAlone(r *spec.Run, l lab) error {
	const shards, queue, messages = 4, 4, 50
	var cool atomic.Int64
	var d diary
	hold := newGate(r)
	p, err := open(r, l, Options{Shards: shards, Queue: queue, Handle: func(key string, s *State, m Message) {
		if key == "hot" {
			hold.wait()
			d.handle(key, s, m)
			return
		}
		cool.Add(1)
	}})
	if err != nil {
		return err
	}
	r.Step("the key %q hangs in its handler, its queue is full, and a Send to it waits", "hot")
	hot := r.Go(func() error { return sendAll(r, p, "hot", 1, queue+10) })
	if err := r.Until("the hot key's queue to be full", func() bool { return errors.Is(p.TrySend("hot", Message{}), l.Full) }); err != nil {
		return err
	}
	r.Step("send %d messages to a key of each of the other shards", messages)
	for s := range shards {
		if s == p.Shard("hot") {
			continue
		}
		key := keyOn(p, s, "cool")
		if err := r.Call("Send to another shard to return while the hot key hangs", func() error { return sendAll(r, p, key, 1, messages) }); err != nil {
			return err
		}
	}
	want := int64((shards - 1) * messages)
	if err := r.Until("the other shards to handle theirs", func() bool { return cool.Load() == want }); err != nil {
		return spec.Fail("the other shards to go on while the hot key hangs", "they handled %d of %d messages", cool.Load(), want)
	}
	r.Step("let the hot key go on")
	for range queue + 10 {
		hold.pass()
	}
	err, late := spec.Wait(r, "the waiting Sends to return", hot)
	return first(late, err)
}

func blockedSendersTakeTurns(r *spec.Run, l lab) error {
	return bubble(r, func(r *spec.Run) error {
		const queue, waiting = 2, 10
		var d diary
		var line atomic.Int32 // Sends that wait
		var stolen atomic.Bool
		var opened atomic.Pointer[judged]
		hold := newGate(r)
		p, err := open(r, l, Options{Shards: 1, Queue: queue, Handle: func(key string, s *State, m Message) {
			// Room was made a moment ago.
			if line.Load() > 0 && (*opened.Load()).TrySend("other", Message{}) == nil {
				stolen.Store(true)
			}
			hold.wait()
			d.handle(key, s, m)
		}})
		if err != nil {
			return err
		}
		opened.Store(&p)
		if err := send(r, p, "k", 1); err != nil {
			return err
		}
		synctest.Wait() // it is in Handle
		if err := sendAll(r, p, "k", 2, 1+queue); err != nil {
			return err
		}
		r.Step("the queue is full; %d Sends wait, one called after the other", waiting)
		var sends []<-chan error
		for i := range waiting {
			sends = append(sends, r.Go(func() error { return p.Send(r.Context(), "k", Message{Seq: 2 + queue + i}) }))
			synctest.Wait()
		}
		line.Store(waiting)
		for i, done := range sends {
			select {
			case err := <-done:
				return spec.Fail("Send to wait while the queue is full", "it returned %v", err)
			default:
			}
			r.Step("let one message be handled, then TrySend")
			hold.pass()
			if err := p.TrySend("other", Message{}); err == nil {
				stolen.Store(true)
			}
			synctest.Wait()
			if stolen.Load() {
				return spec.Fail("room to belong to the Send that waits", "a TrySend that came later took it, with %d Sends waiting", waiting-i)
			}
			line.Add(-1)
			select {
			case err := <-done:
				if err != nil {
					return spec.Fail("the first Send in the line to be accepted when there is room", "it returned %v", err)
				}
			default:
				return spec.Fail("the first Send in the line to be accepted when there is room", "Send %d of %d still waits", i+1, waiting)
			}
		}
		for range queue + 1 {
			hold.pass()
		}
		synctest.Wait()
		return d.inOrder("k", 1+queue+waiting)
	})
}

func sendGivesUpWithItsContext(r *spec.Run, l lab) error {
	return inTurn(r, l, givesUpInTime, roomMeetsCancel, closeMeetsCancel)
}

func givesUpInTime(r *spec.Run, l lab) error {
	return bubble(r, func(r *spec.Run) error {
		const queue = 3
		var d diary
		hold := newGate(r)
		p, err := open(r, l, Options{Shards: 1, Queue: queue, Handle: func(key string, s *State, m Message) {
			hold.wait()
			d.handle(key, s, m)
		}})
		if err != nil {
			return err
		}
		if err := send(r, p, "k", 1); err != nil {
			return err
		}
		synctest.Wait()
		if err := sendAll(r, p, "k", 2, 1+queue); err != nil {
			return err
		}
		r.Step("the queue is full; a Send with 2 s of patience waits, and behind it one without a limit")
		soon, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		began := time.Now()
		impatient := r.Go(func() error { return p.Send(soon, "k", Message{Seq: 999}) })
		synctest.Wait()
		patient := r.Go(func() error { return p.Send(r.Context(), "k", Message{Seq: 2 + queue}) })
		if err, late := spec.Wait(r, "Send to return when its context ends", impatient); late != nil {
			return late
		} else if !errors.Is(err, context.DeadlineExceeded) {
			return spec.Fail("Send to return ctx's error", "it returned %v", err)
		}
		if took := time.Since(began); took != 2*time.Second {
			return spec.Fail("Send to return when its context ends, after 2 s", "it took %v", took)
		}
		r.Step("let everything be handled")
		for range 2 + queue {
			hold.pass()
			synctest.Wait()
		}
		select {
		case err := <-patient:
			if err != nil {
				return spec.Fail("the Send behind it to be accepted", "it returned %v", err)
			}
		default:
			return spec.Fail("the Send behind it to be accepted", "it still waits, and the queue is empty")
		}
		return d.inOrder("k", 2+queue)
	})
}

// roomMeetsCancel has room come and a context end in the same instant, in both
// orders, often enough for a select to choose wrongly.
func roomMeetsCancel(r *spec.Run, l lab) error {
	return bubble(r, func(r *spec.Run) error {
		var d diary
		hold := newGate(r)
		p, err := open(r, l, Options{Shards: 1, Queue: 1, Handle: func(key string, s *State, m Message) {
			d.handle(key, s, m)
			hold.wait()
		}})
		if err != nil {
			return err
		}
		r.Step("50 times: a Send waits for room; a Handle ends and the Send's context, with nothing between")
		for i := range 50 {
			if err := stallOne(r, p); err != nil {
				return err
			}
			key := fmt.Sprint("waits ", i)
			ctx, cancel := context.WithCancel(r.Context())
			sending := r.Go(func() error { return p.Send(ctx, key, Message{Seq: 1}) })
			synctest.Wait()
			if i%2 == 0 {
				cancel()
			}
			hold.pass()
			cancel()
			err := <-sending
			for synctest.Wait(); p.Stats().Queued > 0; synctest.Wait() {
				hold.pass()
			}
			d.mu.Lock()
			handled := len(d.seqs[key])
			d.mu.Unlock()
			if (handled == 1) != (err == nil) || handled > 1 {
				return spec.Fail("a message to be handled if Send has returned nil, and not otherwise", "Send returned %v, and it was handled %d times", err, handled)
			}
		}
		return nil
	})
}

// stallOne has one message in Handle and one in the queue of 1.
func stallOne(r *spec.Run, p judged) error {
	for range 2 {
		if err := send(r, p, "k", 1); err != nil {
			return err
		}
		synctest.Wait()
	}
	return nil
}

// closeMeetsCancel has Close send home a Send whose context ends in the same
// instant.
func closeMeetsCancel(r *spec.Run, l lab) error {
	return bubble(r, func(r *spec.Run) error {
		hold := newGate(r)
		r.Step("50 times: a Send waits for room; Close begins and the Send's context ends, with nothing between")
		for i := range 50 {
			p, err := open(r, l, Options{Shards: 1, Queue: 1, Handle: func(string, *State, Message) { hold.wait() }})
			if err != nil {
				return err
			}
			if err := stallOne(r, p); err != nil {
				return err
			}
			ctx, cancel := context.WithCancel(r.Context())
			sending := r.Go(func() error { return p.Send(ctx, "waits", Message{Seq: 1}) })
			synctest.Wait()
			if i%2 == 0 {
				cancel()
			}
			ended, now := context.WithCancel(r.Context())
			now()
			p.Close(ended)
			cancel()
			if err := <-sending; err == nil {
				return spec.Fail("Send to return ErrClosed, or its context's error: its message will not be handled", "it returned nil")
			}
		}
		return nil
	})
}

func handlersMaySend(r *spec.Run, l lab) error {
	const chain = 200
	var last atomic.Int64
	var opened atomic.Pointer[judged]
	p, err := open(r, l, Options{Shards: 2, Queue: 4, Handle: func(key string, _ *State, m Message) {
		p := *opened.Load()
		p.Stats()
		last.Store(int64(m.Seq)) // before the next one can begin
		if m.Seq < chain {
			// To this key for two messages, then to one that may be elsewhere.
			p.TrySend(fmt.Sprint(m.Seq/3), Message{Seq: m.Seq + 1})
		}
	}})
	if err != nil {
		return err
	}
	opened.Store(&p)
	r.Step("send one message; each Handle asks for Stats and sends the next one, %d in a row", chain)
	if err := r.Call("Send to return", func() error { return send(r, p, "0", 1) }); err != nil {
		return err
	}
	if err := r.Until("a callback to be able to call TrySend and Stats", func() bool { return last.Load() == chain }); err != nil {
		return spec.Fail("a callback to be able to call TrySend and Stats", "the chain stands still after message %d of %d", last.Load(), chain)
	}
	return nil
}

func countsAreConserved(r *spec.Run, l lab) error {
	if err := countsWhileRunning(r, l); err != nil {
		return err
	}
	return countsAtForce(r, l)
}

func countsWhileRunning(r *spec.Run, l lab) error {
	const senders, messages = 4, 3000
	p, err := open(r, l, Options{Shards: 3, Queue: 16, Handle: func(string, *State, Message) {}})
	if err != nil {
		return err
	}
	r.Step("%d senders send %d messages each; ask for Stats all the while", senders, messages)
	var running atomic.Int32
	running.Store(senders)
	var sending []<-chan error
	for s := range senders {
		sending = append(sending, r.Go(func() error {
			defer running.Add(-1)
			for i := range messages {
				if err := send(r, p, fmt.Sprint(s, i%10), i); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	for running.Load() > 0 {
		if err := conserved(p.Stats()); err != nil {
			return err
		}
	}
	for _, done := range sending {
		if err := <-done; err != nil {
			return err
		}
	}
	var s Stats
	if err := r.Until("Handled to reach Sent", func() bool { s = p.Stats(); return s.Handled == senders*messages }); err != nil {
		return spec.Fail("Sent and Handled to be 12000 in the end", "Stats says %+v", s)
	}
	return conserved(s)
}

func conserved(s Stats) error {
	if s.Queued < 0 || s.Sent != s.Handled+s.Discarded+uint64(s.Queued) {
		return spec.Fail("Sent = Handled + Queued + Discarded at every instant", "Stats says %+v", s)
	}
	return nil
}

// countsAtForce holds the counts of a message in Handle, of queued and of
// discarded ones.
func countsAtForce(r *spec.Run, l lab) error {
	return bubble(r, func(r *spec.Run) error {
		hold := newGate(r)
		p, err := open(r, l, Options{Shards: 1, Queue: 100, Handle: func(string, *State, Message) { hold.wait() }})
		if err != nil {
			return err
		}
		if err := sendAll(r, p, "k", 1, 10); err != nil {
			return err
		}
		synctest.Wait()
		r.Step("10 messages sent, the first Handle hangs")
		if s := p.Stats(); s.Sent != 10 || s.Queued != 10 || s.Handled != 0 || s.Shards != 1 {
			return spec.Fail("Sent 10, Queued 10 (the one in Handle among them), Handled 0, Shards 1", "Stats says %+v", s)
		}
		r.Step("Close by force, then let the Handle end")
		ended, cancel := context.WithCancel(r.Context())
		cancel()
		p.Close(ended)
		if err := conserved(p.Stats()); err != nil {
			return err
		}
		hold.pass()
		synctest.Wait()
		if s := p.Stats(); s.Sent != 10 || s.Handled != 1 || s.Discarded != 9 || s.Queued != 0 {
			return spec.Fail("Sent 10, Handled 1, Discarded 9, Queued 0", "Stats says %+v", s)
		}
		return nil
	})
}
