package partitiontest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var closeRules = []spec.Rule[lab]{
	{
		Name: "CloseDrains", Group: "close", Points: 4, Section: "Step 2: close",
		Why: "Send returned nil: that was a promise. A Close that forgets what is queued breaks it for up to Shards times Queue messages on each restart.",
		Hints: [3]string{
			"What is in the queues when Close is called, and who takes care of it?",
			"The goroutine of a shard ends when the queue is closed AND empty. Close waits for all of these goroutines.",
			"closing = true under the shard's lock and a wake-up; in run: if a message is there, handle it; else if closing, return. Close: for each shard, select { case <-s.ended: case <-ctx.Done(): ... }.",
		},
		Check: closeDrains,
	},
	{
		Name: "CloseForcesAtItsDeadline", Group: "close", Points: 3, Section: "Step 2: close",
		Why: "A handler that hangs must not make the whole process hang with it. When the deadline is over, the caller gets control back, and knows from the error that something was left; what was queued does not start any more behind his back.",
		Hints: [3]string{
			"Close waits for a handler. What if that waits for a database that is gone?",
			"A callback cannot be stopped from outside. All that Close can do is empty the queues and go.",
			"case <-ctx.Done(): under each shard's lock, count and drop what is queued, set abandoned; return ctx.Err(). The goroutine sees abandoned after its callback and ends.",
		},
		Check: closeForcesAtItsDeadline,
	},
	{
		Name: "CloseIsFinal", Group: "close", Points: 2, Section: "Step 3: a bounded queue",
		Why: "Two parts of a program that shut down at the same time both call Close, and a third still sends. None of them may panic or hang, and no goroutine may be left: who makes partitions for tests would collect them.",
		Hints: [3]string{
			"What does your second Close do? And a Send after it?",
			"Closing a closed channel panics, and so does sending into one. A flag under the shard's lock does not.",
			"sync.Once around the beginning of Close; every caller waits for the same goroutines. Send looks at closing under the same lock under which it appends, and returns ErrClosed.",
		},
		Check: closeIsFinal,
	},
	{
		Name: "AcceptedIsHandledOnce", Group: "close", Points: 3, Section: "Step 2: close",
		Why: "Between `is it closed?' and `append' there is a gap, and Close fits into it: the message is accepted into a queue that nobody empties any more. What Send answers must be the truth.",
		Hints: [3]string{
			"Send has looked, the partition is open. Close runs from start to end. Send appends. Who handles it?",
			"The look and the append must be one step as Close sees it: under one lock.",
			"put: s.mu.Lock(); if s.closing { return ErrClosed }; append. Close sets closing under the same mutex, and the goroutine decides to end under it, too.",
		},
		Check: acceptedIsHandledOnce,
	},
}

func closeDrains(r *spec.Run, l lab) error {
	return bubble(r, func(r *spec.Run) error {
		const shards, messages = 3, 20
		var d diary
		p, err := open(r, l, Options{Shards: shards, Queue: 100, Handle: func(key string, s *State, m Message) {
			time.Sleep(time.Second)
			d.handle(key, s, m)
		}})
		if err != nil {
			return err
		}
		r.Step("send %d messages, a second's work each, to a key of each of the %d shards; call Close at once", messages, shards)
		for s := range shards {
			if err := sendAll(r, p, keyOn(p, s, "k"), 1, messages); err != nil {
				return err
			}
		}
		if err := p.Close(r.Context()); err != nil {
			return spec.Fail("Close to return nil when all is handled", "%v", err)
		}
		if n := d.handled(); n != shards*messages {
			return spec.Fail("everything accepted to be handled when Close returns", "%d of %d messages were", n, shards*messages)
		}
		return nil
	})
}

func closeForcesAtItsDeadline(r *spec.Run, l lab) error {
	return bubble(r, func(r *spec.Run) error {
		var d diary
		hold := newGate(r)
		const shards = 3
		p, err := open(r, l, Options{Shards: shards, Queue: 100, OnEvict: d.evict, Handle: func(key string, s *State, m Message) {
			d.handle(key, s, m)
			hold.wait()
		}})
		if err != nil {
			return err
		}
		r.Step("send 10 messages to each of %d shards; their first Handle hangs; call Close with a deadline of 5 s", shards)
		for s := range shards {
			if err := sendAll(r, p, keyOn(p, s, "k"), 1, 10); err != nil {
				return err
			}
		}
		synctest.Wait()
		began := time.Now()
		soon, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		if err := r.Call("Close to return at its deadline, although a Handle hangs", func() error {
			if err := p.Close(soon); !errors.Is(err, context.DeadlineExceeded) {
				return spec.Fail("Close to return ctx's error", "it returned %v", err)
			}
			return nil
		}); err != nil {
			return err
		}
		if took := time.Since(began); took != 5*time.Second {
			return spec.Fail("Close to return at its deadline, 5 s later", "it returned after %v", took)
		}
		if s := p.Stats(); s.Discarded != shards*9 || s.Queued != shards {
			return spec.Fail("the 9 messages that wait in each of 3 shards to be discarded", "Stats says %+v", s)
		}
		r.Step("let the Handles go on")
		for range shards {
			hold.pass()
		}
		synctest.Wait()
		if entries := d.all(); len(entries) != shards {
			return spec.Fail("no callback to begin after a Close by force", "after the first message of each shard there came: %v", entries[shards:])
		}
		return nil
	})
}

func closeIsFinal(r *spec.Run, l lab) error {
	return bubble(r, func(r *spec.Run) error {
		var d diary
		p, err := open(r, l, Options{Shards: 2, Queue: 1, Handle: func(key string, s *State, m Message) {
			time.Sleep(10 * time.Second)
			d.handle(key, s, m)
		}})
		if err != nil {
			return err
		}
		if err := sendAll(r, p, "k", 1, 2); err != nil {
			return err
		}
		r.Step("one message is being handled, one is queued, one Send waits for room")
		synctest.Wait()
		waiting := r.Go(func() error { return p.Send(r.Context(), "k", Message{Seq: 3}) })
		synctest.Wait()
		r.Step("call Close three times at once")
		var closing []<-chan error
		for range 3 {
			closing = append(closing, r.Go(func() error {
				err := p.Close(r.Context())
				if n := d.handled(); err == nil && n != 2 {
					return spec.Fail("every Close to wait for the two accepted messages", "%d were handled when one had returned", n)
				}
				return err
			}))
		}
		time.Sleep(time.Second)
		if err := <-waiting; !errors.Is(err, l.Closed) {
			return spec.Fail("a Send that waits for room to return ErrClosed at Close", "it returned %v", err)
		}
		if err := p.Send(r.Context(), "k", Message{Seq: 4}); !errors.Is(err, l.Closed) {
			return spec.Fail("Send to return ErrClosed while Close drains", "it returned %v", err)
		}
		for _, done := range closing {
			if err := <-done; err != nil {
				return spec.Fail("every Close to return nil when all that was accepted is handled", "one returned: %v", err)
			}
		}
		if err := p.Close(r.Context()); err != nil {
			return spec.Fail("a later Close to return nil", "%v", err)
		}
		for i := range 20 {
			if err := p.Send(r.Context(), fmt.Sprint(i), Message{}); !errors.Is(err, l.Closed) {
				return spec.Fail("Send to return ErrClosed after Close", "it returned %v", err)
			}
		}
		return nil // the bubble looks for goroutines that are left
	})
}

func acceptedIsHandledOnce(r *spec.Run, l lab) error {
	for round := range 60 {
		if err := closeAmongSenders(r, l, round); err != nil {
			return err
		}
	}
	return nil
}

// closeAmongSenders closes a partition while senders are at work, and compares
// what they were told with what was handled.
func closeAmongSenders(r *spec.Run, l lab, round int) error {
	const senders = 4
	var mu sync.Mutex
	handled := map[Message]int{} // guarded by mu
	var accepted atomic.Int64
	p, err := open(r, l, Options{Shards: 2, Queue: 8, Handle: func(_ string, _ *State, m Message) {
		mu.Lock()
		defer mu.Unlock()
		handled[m]++
	}})
	if err != nil {
		return err
	}
	r.Step("%d senders send without end; close the partition", senders)
	told := make([]int, senders) // by sender: how many were accepted
	var sending []<-chan error
	for s := range senders {
		sending = append(sending, r.Go(func() error {
			for seq := 1; ; seq++ {
				err := p.Send(r.Context(), fmt.Sprintf("%d", s), Message{From: s, Seq: seq})
				if errors.Is(err, l.Closed) {
					return nil
				}
				if err != nil {
					return spec.Fail("Send to return nil or ErrClosed", "it returned %v", err)
				}
				told[s] = seq
				accepted.Add(1)
			}
		}))
	}
	if err := r.Until("the senders to be at work", func() bool { return accepted.Load() > int64(10*round) }); err != nil {
		return err
	}
	if err := r.Call("Close to return", func() error { return p.Close(r.Context()) }); err != nil {
		return err
	}
	for _, done := range sending {
		if err, late := spec.Wait(r, "every Send to return after Close", done); late != nil || err != nil {
			return first(late, err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for s := range senders {
		for seq := 1; seq <= told[s]+1; seq++ {
			want := 1
			if seq > told[s] {
				want = 0 // refused
			}
			if n := handled[Message{From: s, Seq: seq}]; n != want {
				return spec.Fail("a message to be handled once when Send returned nil, and not at all otherwise",
					"sender %d was told nil up to message %d; message %d was handled %d times", s, told[s], seq, n)
			}
		}
	}
	return nil
}
