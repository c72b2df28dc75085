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

var resizeRules = []spec.Rule[lab]{
	{
		Name: "ResizeKeepsOrder", Group: "resize", Points: 2, Section: "Step 8 (extension): resize",
		Why: "With another number of shards a key has another queue. If its new queue starts before the old one has let go of it, two goroutines have the same key, and its order is gone: rarely, and only under load.",
		Hints: [3]string{
			"The key's last message is in the old shard's queue, its next one comes now. Where to, and when may it be handled?",
			"Nothing of a key may be handled in its new place before everything in its old place is. A Send that has looked up the shard before Resize must notice under the lock that it has moved.",
			"Under each old shard's lock set moved = a channel: put refuses, Send waits for the channel and looks up again. Goroutines end when moved and empty; wait for all; move the keys; store the new table; close the channel.",
		},
		Check: resizeKeepsOrder,
	},
	{
		Name: "ResizeMovesTheState", Group: "resize", Points: 1, Section: "Step 8 (extension): resize",
		Why: "A key's state belongs to the key, not to the goroutine that happens to have it. A resize that forgets states is a restart under another name.",
		Hints: [3]string{
			"Where is the state of a key that is silent during the resize?",
			"When the old goroutines have ended, their tables are nobody's: Resize can read them without a lock.",
			"For each entry of each old table, in the order of use: newShards[hash % n].keys.add(entry), with its state and its time. Then start the new goroutines. No OnEvict, and the counts of the old shards stay in Stats.",
		},
		Check: resizeMovesTheState,
	},
	{
		Name: "ResizeGivesUpWhole", Group: "resize", Points: 1, Section: "Step 8 (extension): resize",
		Why: "A handler that hangs makes Resize wait. If it gives up at its deadline, the partition must be what it was: some shards moved and some not would be the worst of all.",
		Hints: [3]string{
			"Resize's context ends. Three shards are empty and have ended, one hangs. What has to be undone?",
			"Up to the moment when the new table is stored, nothing has changed but flags, and goroutines that have ended.",
			"On ctx.Done() or Close: for each old shard, under its lock: moved = nil; if its goroutine has decided to end, start it again. The decision is made under the same lock.",
		},
		Check: resizeGivesUpWhole,
	},
}

func resizeKeepsOrder(r *spec.Run, l lab) error {
	const senders, keys, messages, resizes = 3, 20, 200, 25
	var wrong atomic.Pointer[string]
	var handled atomic.Int64
	p, err := open(r, l, Options{Shards: 1, Queue: 8, Handle: func(key string, s *State, m Message) {
		if s.Last != m.Seq-1 {
			text := fmt.Sprintf("key %s: message %d came after message %d", key, m.Seq, s.Last)
			wrong.CompareAndSwap(nil, &text)
		}
		s.Last = m.Seq
		handled.Add(1)
	}})
	if err != nil {
		return err
	}
	r.Step("%d senders with %d keys each send %d messages a key; meanwhile resize %d times, to 1 to 5 shards", senders, keys, messages, resizes)
	var sending []<-chan error
	for s := range senders {
		sending = append(sending, r.Go(func() error {
			for seq := 1; seq <= messages; seq++ {
				for k := range keys {
					if err := send(r, p, fmt.Sprint(s, "/", k), seq); err != nil {
						return err
					}
				}
			}
			return nil
		}))
	}
	for i := range resizes {
		n := 1 + (i*3+2)%5
		if err := r.Call("Resize to return", func() error { return p.Resize(r.Context(), n) }); err != nil {
			return spec.Fail("Resize to succeed", "%v", err)
		}
		if got := p.Stats().Shards; got != n {
			return spec.Fail(fmt.Sprintf("%d shards after Resize", n), "Stats says %d", got)
		}
		before := handled.Load()
		if err := r.Until("messages to be handled after Resize", func() bool { return handled.Load() > before || handled.Load() == senders*keys*messages }); err != nil {
			return err
		}
	}
	for _, done := range sending {
		if err, late := spec.Wait(r, "every Send to return", done); late != nil || err != nil {
			return first(late, err)
		}
	}
	err = r.Until("every message to be handled", func() bool { return handled.Load() == senders*keys*messages })
	if text := wrong.Load(); text != nil {
		return spec.Fail("every key to keep its order and its state through a Resize", "%s", *text)
	}
	return err
}

func resizeMovesTheState(r *spec.Run, l lab) error {
	return bubble(r, func(r *spec.Run) error {
		const keys = 300
		var d diary
		p, err := open(r, l, Options{Shards: 2, IdleAfter: time.Minute, Handle: d.handle, OnEvict: d.evict})
		if err != nil {
			return err
		}
		for _, n := range []int{0, -1} {
			if p.Resize(r.Context(), n) == nil {
				return spec.Fail(fmt.Sprintf("Resize to refuse %d shards", n), "it returned nil")
			}
		}
		r.Step("one message to each of %d keys; 30 s later resize to 5 shards, then to 3", keys)
		for k := range keys {
			if err := send(r, p, fmt.Sprint(k), 1); err != nil {
				return err
			}
		}
		time.Sleep(30 * time.Second)
		if err := first(p.Resize(r.Context(), 5), p.Resize(r.Context(), 3)); err != nil {
			return spec.Fail("Resize to succeed", "%v", err)
		}
		if s := p.Stats(); s.Keys != keys || s.Evicted != 0 || s.Sent != keys || s.Handled != keys {
			return spec.Fail("300 keys, none evicted, and the counts of before", "Stats says %+v", s)
		}
		r.Step("a second message to the first hundred of them")
		for k := range 100 {
			if err := send(r, p, fmt.Sprint(k), 2); err != nil {
				return err
			}
		}
		synctest.Wait()
		for _, e := range d.all() {
			if !e.evicted && e.m.Seq == 2 && e.state.Count != 1 {
				return spec.Fail("a key to have the same state after Resize", "key %q has %+v", e.key, e.state)
			}
		}
		r.Step("wait until the other keys have been silent for 80 s")
		time.Sleep(50 * time.Second)
		synctest.Wait()
		if n := len(d.evictions()); n > keys-100 {
			return spec.Fail("no key that was used 50 s ago to be evicted", "%d of the 200 others are", n)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := len(d.evictions()); n != keys {
			return spec.Fail("moved keys to be evicted when they are idle", "%d of %d were", n, keys)
		}
		return nil
	})
}

func resizeGivesUpWhole(r *spec.Run, l lab) error {
	return bubble(r, func(r *spec.Run) error {
		var d diary
		hold := newGate(r)
		p, err := open(r, l, Options{Shards: 3, Queue: 10, Handle: func(key string, s *State, m Message) {
			if key == "hang" {
				hold.wait()
			}
			d.handle(key, s, m)
		}})
		if err != nil {
			return err
		}
		k := keyOn(p, (p.Shard("hang")+1)%3, "k") // on a shard that does not hang
		if err := first(sendAll(r, p, "hang", 1, 3), sendAll(r, p, k, 1, 3)); err != nil {
			return err
		}
		synctest.Wait()
		r.Step("a Handle hangs; resize with a deadline of 5 s")
		soon, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		resizing := r.Go(func() error { return p.Resize(soon, 2) })
		synctest.Wait()
		if err := p.TrySend(k, Message{Seq: 4}); err != nil && !errors.Is(err, l.Full) {
			return spec.Fail("TrySend to return nil or ErrFull during Resize", "it returned %v", err)
		} else if err != nil {
			waiting := r.Go(func() error { return p.Send(r.Context(), k, Message{Seq: 4}) })
			defer func() { <-waiting }()
		}
		if err := <-resizing; !errors.Is(err, context.DeadlineExceeded) {
			return spec.Fail("Resize to return ctx's error", "it returned %v", err)
		}
		synctest.Wait()
		if s := p.Stats(); s.Shards != 3 || s.Keys != 2 {
			return spec.Fail("3 shards with 2 keys, as before", "Stats says %+v", s)
		}
		r.Step("send on, with the Handle hanging, and let it go")
		if err := send(r, p, k, 5); err != nil {
			return err
		}
		synctest.Wait()
		if err := d.inOrder(k, 5); err != nil {
			return err
		}
		for range 3 {
			hold.pass()
		}
		synctest.Wait()
		if err := d.inOrder("hang", 3); err != nil {
			return err
		}
		return resizeEndsWithClose(r, l, p)
	})
}

// resizeEndsWithClose closes p and asks for another size.
func resizeEndsWithClose(r *spec.Run, l lab, p judged) error {
	if err := p.Close(r.Context()); err != nil {
		return err
	}
	if err := p.Resize(r.Context(), 4); !errors.Is(err, l.Closed) {
		return spec.Fail("Resize to return ErrClosed after Close", "it returned %v", err)
	}
	return nil
}
