package partitiontest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
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
	return inTurn(r, l, movesAndForgets, resizesAtOnce)
}

func movesAndForgets(r *spec.Run, l lab) error {
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
		time.Sleep(time.Hour) // so that no time is 0
		r.Step("one message to each of %d keys; 30 s later resize to 5 shards, then to 3", keys)
		for k := range keys {
			if err := send(r, p, fmt.Sprint(k), 1); err != nil {
				return err
			}
		}
		time.Sleep(30 * time.Second)
		if err := p.Resize(r.Context(), 5); err != nil {
			return spec.Fail("Resize to succeed", "%v", err)
		}
		used := map[int]bool{}
		for k := range keys {
			used[p.Shard(fmt.Sprint(k))] = true
		}
		if len(used) != 5 {
			return spec.Fail("the keys to be on all of 5 shards", "they are on %d", len(used))
		}
		if err := p.Resize(r.Context(), 3); err != nil {
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
		return inTurn(r, l, manyResizes, orderOfUse, lessRoom)
	})
}

// manyResizes moves a key again and again: that is no use of it.
func manyResizes(r *spec.Run, l lab) error {
	p, err := open(r, l, Options{Shards: 1, IdleAfter: time.Minute, Handle: func(string, *State, Message) {}})
	if err != nil {
		return err
	}
	r.Step("one message to a key; IdleAfter is 1m; resize every 40 s")
	if err := send(r, p, "k", 1); err != nil {
		return err
	}
	for n := 2; n <= 5; n++ {
		time.Sleep(40 * time.Second)
		if err := p.Resize(r.Context(), n); err != nil {
			return spec.Fail("Resize to succeed", "%v", err)
		}
	}
	synctest.Wait()
	if s := p.Stats(); s.Keys != 0 {
		return spec.Fail("the key to be evicted at most 2m after its message, however often it moves", "after 160 s Stats says %+v", s)
	}
	return nil
}

// orderOfUse has keys of two shards meet on one, where a bound makes them go in
// the order of their use.
func orderOfUse(r *spec.Run, l lab) error {
	var d diary
	p, err := open(r, l, Options{Shards: 2, MaxKeys: 12, Handle: d.handle, OnEvict: d.evict})
	if err != nil {
		return err
	}
	r.Step("MaxKeys is 12; 6 keys on 2 shards are used by turns, the first of them once more; resize to 1 shard")
	if p.Resize(r.Context(), 13) == nil {
		return spec.Fail("Resize to refuse more shards than MaxKeys", "it returned nil")
	}
	var keys []string
	for i := range 6 {
		keys = append(keys, keyOn(p, i%2, string(rune('a'+i))))
	}
	for _, key := range append(slices.Clone(keys), keys[0]) {
		time.Sleep(time.Second)
		if err := send(r, p, key, 1); err != nil {
			return err
		}
	}
	if err := p.Resize(r.Context(), 1); err != nil {
		return spec.Fail("Resize to succeed", "%v", err)
	}
	r.Step("12 new keys come, one a second")
	for i := range 12 {
		time.Sleep(time.Second)
		if err := send(r, p, fmt.Sprint("new", i), 1); err != nil {
			return err
		}
	}
	synctest.Wait()
	var gone []string
	for _, e := range d.evictions() {
		gone = append(gone, e.key)
	}
	if want := append(slices.Clone(keys[1:]), keys[0]); !slices.Equal(gone, want) {
		return spec.Fail(fmt.Sprintf("the keys to go in the order of their last use: %q", want), "they went like this: %q", gone)
	}
	return nil
}

// lessRoom has more keys meet on a shard than its part of the bound.
func lessRoom(r *spec.Run, l lab) error {
	const bound, shards = 40, 10
	var d diary
	p, err := open(r, l, Options{Shards: 1, MaxKeys: bound, Handle: d.handle, OnEvict: d.evict})
	if err != nil {
		return err
	}
	r.Step("MaxKeys is %d, with as many keys on one shard; resize to %d shards, and one message to a key of each", bound, shards)
	for k := range bound {
		time.Sleep(time.Second)
		if err := send(r, p, fmt.Sprint(k), 1); err != nil {
			return err
		}
	}
	if err := p.Resize(r.Context(), shards); err != nil {
		return spec.Fail("Resize to succeed", "%v", err)
	}
	on := map[int][]string{} // by shard, in the order of use
	for k := range bound {
		s := p.Shard(fmt.Sprint(k))
		on[s] = append(on[s], fmt.Sprint(k))
	}
	for _, keys := range on {
		if err := send(r, p, keys[len(keys)-1], 2); err != nil {
			return err
		}
	}
	synctest.Wait()
	gone := map[string]bool{}
	for _, e := range d.evictions() {
		gone[e.key] = true
	}
	for s, keys := range on {
		for i, key := range keys {
			if stays := i >= len(keys)-bound/shards; stays == gone[key] {
				return spec.Fail("each of 10 shards to keep the 4 keys used last, and no more", "shard %d has had %q, in the order of their use; key %q is evicted: %v", s, keys, key, gone[key])
			}
		}
	}
	return nil
}

// resizesAtOnce resizes from several goroutines, in real time: one may wait for
// its turn with a lock, which stops a bubble's clock.
func resizesAtOnce(r *spec.Run, l lab) error {
	return inTurn(r, l, resizesTogether, resizesUnderWay)
}

// resizesTogether has a message under way until all Resizes have begun.
func resizesTogether(r *spec.Run, l lab) error {
	const keys, rounds = 50, 10
	var d diary
	goOn := make(chan struct{})
	r.Cleanup(sync.OnceFunc(func() { close(goOn) }))
	p, err := open(r, l, Options{Shards: 2, Handle: func(key string, s *State, m Message) {
		if key == "hold" {
			<-goOn
		}
		d.handle(key, s, m)
	}})
	if err != nil {
		return err
	}
	r.Step("4 goroutines resize at the same time, to 1 to 4 shards, while a message is being handled; %d times", rounds)
	for seq := 1; seq <= rounds; seq++ {
		if err := send(r, p, "hold", seq); err != nil {
			return err
		}
		for k := range keys {
			if err := send(r, p, fmt.Sprint(k), seq); err != nil {
				return err
			}
		}
		var begun sync.WaitGroup
		begun.Add(4)
		var resizing []<-chan error
		for n := 1; n <= 4; n++ {
			resizing = append(resizing, r.Go(func() error {
				begun.Done()
				return p.Resize(r.Context(), n)
			}))
		}
		begun.Wait()
		for range 100 {
			runtime.Gosched() // they get as far as they can
		}
		if err := r.Call("a message that was held to be handled", func() error { goOn <- struct{}{}; return nil }); err != nil {
			return err
		}
		for _, done := range resizing {
			if err, late := spec.Wait(r, "every Resize to return", done); late != nil || err != nil {
				return first(late, err)
			}
		}
	}
	return wholeAfter(r, p, &d, keys, rounds)
}

func resizesUnderWay(r *spec.Run, l lab) error {
	const keys, rounds = 50, 20
	var d diary
	p, err := open(r, l, Options{Shards: 2, Handle: d.handle})
	if err != nil {
		return err
	}
	r.Step("4 goroutines resize at the same time, to 1 to 4 shards, 10 times each, while messages are handled")
	var resizing []<-chan error
	for n := 1; n <= 4; n++ {
		resizing = append(resizing, r.Go(func() error {
			for range 10 {
				if err := p.Resize(r.Context(), n); err != nil {
					return spec.Fail("each Resize to succeed in its turn", "one returned %v", err)
				}
			}
			return nil
		}))
	}
	for seq := 1; seq <= rounds; seq++ {
		for k := range keys {
			if err := send(r, p, fmt.Sprint(k), seq); err != nil {
				return err
			}
		}
	}
	for _, done := range resizing {
		if err, late := spec.Wait(r, "every Resize to return", done); late != nil || err != nil {
			return first(late, err)
		}
	}
	return wholeAfter(r, p, &d, keys, rounds)
}

// wholeAfter wants each of keys to have had rounds messages, with one state.
func wholeAfter(r *spec.Run, p Partition, d *diary, keys, rounds int) error {
	if err := r.Call("Close to return", func() error { return p.Close(r.Context()) }); err != nil {
		return err
	}
	for k := range keys {
		if err := d.inOrder(fmt.Sprint(k), rounds); err != nil {
			return err
		}
	}
	for _, e := range d.all() {
		if e.state.Count != e.m.Seq-1 {
			return spec.Fail("a key to have the same state after Resizes at the same time", "at message %d key %q had %+v", e.m.Seq, e.key, e.state)
		}
	}
	return nil
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
		hung := 3
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
		began := time.Now()
		short, cancelSend := context.WithTimeout(r.Context(), time.Second)
		defer cancelSend()
		impatient := r.Go(func() error { return p.Send(short, "hang", Message{Seq: 4}) })
		err = <-impatient
		switch took := time.Since(began); {
		case err == nil && took == 0:
			hung = 4 // it was accepted, by a partition that goes on meanwhile
		case !errors.Is(err, context.DeadlineExceeded) || took != time.Second:
			return spec.Fail("Send to return its context's error when it ends during Resize, after 1 s", "it returned %v after %v", err, took)
		}
		began = time.Now()
		err = p.TrySend(k, Message{Seq: 4})
		if took := time.Since(began); took > 0 {
			return spec.Fail("TrySend to return at once during Resize", "it took %v", took)
		}
		if err != nil && !errors.Is(err, l.Full) {
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
		for range hung {
			hold.pass()
		}
		synctest.Wait()
		if err := d.inOrder("hang", hung); err != nil {
			return err
		}
		if err := resizeEndsWithClose(r, l, p); err != nil {
			return err
		}
		return closeEndsResize(r, l)
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

// closeEndsResize closes a partition while Resize waits for a Handle that hangs.
func closeEndsResize(r *spec.Run, l lab) error {
	hold := newGate(r)
	p, err := open(r, l, Options{Shards: 2, Handle: func(string, *State, Message) { hold.wait() }})
	if err != nil {
		return err
	}
	if err := send(r, p, "k", 1); err != nil {
		return err
	}
	synctest.Wait()
	r.Step("a Handle hangs; Resize without a deadline, then Close with one of 5 s")
	resizing := r.Go(func() error { return p.Resize(r.Context(), 3) })
	synctest.Wait()
	began := time.Now()
	soon, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	closing := r.Go(func() error { return p.Close(soon) })
	if err := <-resizing; !errors.Is(err, l.Closed) {
		return spec.Fail("Resize to give up with ErrClosed when the partition is closed", "it returned %v", err)
	}
	if err := <-closing; !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 5*time.Second {
		return spec.Fail("Close to return at its deadline, 5 s later", "it returned %v after %v", err, time.Since(began))
	}
	hold.pass()
	return nil
}
