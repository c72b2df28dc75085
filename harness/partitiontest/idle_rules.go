package partitiontest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var idleRules = []spec.Rule[lab]{
	{
		Name: "IdleKeysAreEvicted", Group: "idle", Points: 4, Section: "Step 6: idle keys",
		Why: "Keys come for as long as the server lives: every user of a year, every address that ever knocked. A table that only grows is a leak with a name; and if only an idle shard looks at the clock, a busy one never does.",
		Hints: [3]string{
			"Which keys could be forgotten, and how do you find them without looking at all?",
			"Keep the keys in a list in the order of their use. The one that will be idle first is always at its head; a timer for that one is enough.",
			"On each message: move the entry to the list's tail, set used. Before each message and at each alarm: while head.used + IdleAfter <= now: OnEvict, remove. Alarm at head.used + IdleAfter. IdleAfter 0: never.",
		},
		Check: idleKeysAreEvicted,
	},
	{
		Name: "QueuedKeysAreNotIdle", Group: "idle", Points: 4, Section: "Step 6: idle keys",
		Why: "A key whose message waits behind a slow one is in use. Whoever compares the clock with the last time it was HANDLED forgets it, its messages find an empty state, and what depends on the ones before them is wrong: order is lost although no message overtook another.",
		Hints: [3]string{
			"The shard was busy for a minute. Was this key silent for a minute, or have you not looked?",
			"Write the time into a message when it is accepted. The queue is in order: when a message accepted at t is next, everything accepted before t is handled.",
			"message.at = now, in put, under the lock. Before the next message m: evict keys with used + IdleAfter <= m.at; then set its key's used = m.at. Only when the queue is empty is the clock itself the measure.",
		},
		Check: queuedKeysAreNotIdle,
	},
	{
		Name: "EvictionYields", Group: "idle", Points: 2, Section: "Step 6: idle keys",
		Why: "When a network comes back, a hundred thousand keys that came together become idle together. OnEvict may write to a disk. A loop over all of them is a pause for every message of that shard.",
		Hints: [3]string{
			"5000 keys become idle in the same second, and OnEvict takes 10 ms. How long does a message wait?",
			"Evict some, look at the queue, evict some more. The contract says at most 64 between two messages that wait.",
			"for range 64 { if the oldest is not idle, return true; evict it }; return false. In run: a message first; if there is none and evict said false, go round again instead of sleeping.",
		},
		Check: evictionYields,
	},
	{
		Name: "CallbacksTakeTurns", Group: "idle", Points: 2, Section: "Step 6: idle keys",
		Why: "Handle and OnEvict of one key share its state without a lock. That is safe because one goroutine calls both. A sweeper in a goroutine of its own makes every handler in the world a data race.",
		Hints: [3]string{
			"Which goroutine calls OnEvict?",
			"The shard's own: it waits for a message or for an alarm, in one select.",
			"select { case <-s.wake: case <-s.alarm.C: } and then evict on this goroutine, with no go statement and no time.AfterFunc that touches the table.",
		},
		Check: callbacksTakeTurns,
	},
	{
		Name: "MemoryComesBack", Group: "idle", Points: 1, Section: "Step 6: idle keys",
		Why: "A Go map never gives its table back, and neither does a slice that grew. One bad hour would be paid for until the next restart.",
		Hints: [3]string{
			"All keys have gone. What does len(m) == 0 say about the memory of m?",
			"delete empties a slot and keeps it. Only a new, smaller map lets the old one go.",
			"When fewer than a quarter of the most there were are left: make a new map and new entries for these, copy, and drop the old ones. Each copy is paid for by the keys that have gone.",
		},
		Check: memoryComesBack,
	},
}

func idleKeysAreEvicted(r *spec.Run, l lab) error {
	if err := idleAmongOthers(r, l); err != nil {
		return err
	}
	if err := idleInABusyShard(r, l); err != nil {
		return err
	}
	return neverIdle(r, l)
}

// idleAmongOthers lets one of two keys become idle.
func idleAmongOthers(r *spec.Run, l lab) error {
	return bubble(r, func(r *spec.Run) error {
		const idle = time.Minute
		var d diary
		p, err := open(r, l, Options{Shards: 1, IdleAfter: idle, Handle: d.handle, OnEvict: d.evict})
		if err != nil {
			return err
		}
		r.Step("IdleAfter is 1m; the key b gets one message, the key a one every 45 s")
		if err := send(r, p, "b", 1); err != nil {
			return err
		}
		for seq := 1; seq <= 6; seq++ {
			if err := send(r, p, "a", seq); err != nil {
				return err
			}
			synctest.Wait()
			at := time.Duration(seq-1) * 45 * time.Second
			switch gone := d.evictions(); {
			case at < idle && len(gone) > 0:
				return spec.Fail("no key to be forgotten before it is idle for 1m", "after %v: %v", at, gone)
			case at > 2*idle && len(gone) == 0:
				return spec.Fail("the idle key to be evicted 1m to 2m after its message", "after %v it is still there", at)
			case len(gone) > 0 && (len(gone) > 1 || gone[0].key != "b" || gone[0].state != State{Count: 1, Last: 1}):
				return spec.Fail(`OnEvict once, for the key "b" with {Count:1 Last:1}`, "after %v it was called for %+v", at, gone)
			}
			time.Sleep(45 * time.Second)
		}
		if err := d.inOrder("a", 6); err != nil {
			return err
		}
		if s := p.Stats(); s.Keys != 1 || s.Evicted != 1 {
			return spec.Fail("Keys 1 and Evicted 1", "Stats says %+v", s)
		}
		r.Step("send a message to b again, then nothing at all for 10m")
		if err := send(r, p, "b", 2); err != nil {
			return err
		}
		synctest.Wait()
		if e := d.all()[len(d.all())-1]; e.key != "b" || e.state != (State{}) {
			return spec.Fail("a key that comes back to begin with a zero state", "the last callback was %v with %+v", e, e.state)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if s := p.Stats(); s.Keys != 0 || s.Evicted != 3 {
			return spec.Fail("all keys of a silent shard to be evicted", "10m later Stats says %+v", s)
		}
		return nil
	})
}

// idleInABusyShard has a queue that is never empty.
func idleInABusyShard(r *spec.Run, l lab) error {
	return bubble(r, func(r *spec.Run) error {
		var gone atomic.Bool
		p, err := open(r, l, Options{Shards: 1, Queue: 2, IdleAfter: 10 * time.Second,
			OnEvict: func(key string, _ *State) { gone.Store(gone.Load() || key == "idle") },
			Handle: func(key string, _ *State, _ Message) {
				if key == "busy" {
					time.Sleep(time.Second)
				}
			}})
		if err != nil {
			return err
		}
		r.Step("IdleAfter is 10s; one message to a key, then messages to another that keep the queue full for a minute")
		if err := send(r, p, "idle", 1); err != nil {
			return err
		}
		if err := sendAll(r, p, "busy", 1, 60); err != nil {
			return err
		}
		if !gone.Load() {
			return spec.Fail("an idle key of a busy shard to be evicted", "after a minute without a pause it is still there (%+v)", p.Stats())
		}
		return nil
	})
}

func neverIdle(r *spec.Run, l lab) error {
	return bubble(r, func(r *spec.Run) error {
		var d diary
		p, err := open(r, l, Options{Shards: 1, Handle: d.handle, OnEvict: d.evict})
		if err != nil {
			return err
		}
		r.Step("IdleAfter is 0; send one message and wait 10h")
		if err := send(r, p, "k", 1); err != nil {
			return err
		}
		time.Sleep(10 * time.Hour)
		synctest.Wait()
		if gone := d.evictions(); len(gone) > 0 {
			return spec.Fail("no eviction with IdleAfter 0", "there was: %v", gone)
		}
		return nil
	})
}

// queuedKeysAreNotIdle sends to a key more often than IdleAfter, while the
// shard is slower than that.
func queuedKeysAreNotIdle(r *spec.Run, l lab) error {
	for _, ahead := range []int{1, 12} {
		if err := queuedBehind(r, l, ahead); err != nil {
			return err
		}
	}
	return waitingBefore(r, l)
}

// waitingBefore has a Send wait for room for longer than IdleAfter: its message
// is accepted when there is room.
func waitingBefore(r *spec.Run, l lab) error {
	return bubble(r, func(r *spec.Run) error {
		var d diary
		hold := newGate(r)
		p, err := open(r, l, Options{Shards: 1, Queue: 1, IdleAfter: time.Minute, OnEvict: d.evict, Handle: func(key string, s *State, m Message) {
			if key == "slow" {
				hold.wait()
			}
			d.handle(key, s, m)
		}})
		if err != nil {
			return err
		}
		r.Step("IdleAfter is 1m; a Handle hangs, a message is queued, and the Send of a message to k waits for 5m")
		if err := sendAll(r, p, "slow", 1, 1); err != nil {
			return err
		}
		synctest.Wait()
		if err := send(r, p, "queued", 1); err != nil {
			return err
		}
		sending := r.Go(func() error { return send(r, p, "k", 1) })
		time.Sleep(5 * time.Minute)
		hold.pass()
		if err := <-sending; err != nil {
			return err
		}
		r.Step("30 s after it was accepted comes another one")
		time.Sleep(30 * time.Second)
		if err := send(r, p, "k", 2); err != nil {
			return err
		}
		synctest.Wait()
		for _, e := range d.all() {
			if e.key == "k" && !e.evicted && e.m.Seq == 2 && e.state.Count != 1 {
				return spec.Fail("a key whose message was accepted 30 s ago to keep its state", "message 2 found the state %+v", e.state)
			}
		}
		return d.inOrder("k", 2)
	})
}

func queuedBehind(r *spec.Run, l lab, slow int) error {
	return bubble(r, func(r *spec.Run) error {
		const work = time.Minute
		var d diary
		p, err := open(r, l, Options{Shards: 1, Queue: 100, IdleAfter: 10 * time.Second, OnEvict: d.evict, Handle: func(key string, s *State, m Message) {
			if key != "k" {
				time.Sleep(work / time.Duration(slow))
			}
			d.handle(key, s, m)
		}})
		if err != nil {
			return err
		}
		r.Step("IdleAfter is 10s; send a message to the key k, %d to others that take a minute together, and 5 s later one to k again", slow)
		if err := send(r, p, "k", 1); err != nil {
			return err
		}
		for i := range slow {
			if err := send(r, p, fmt.Sprint("slow", i), 1); err != nil {
				return err
			}
		}
		time.Sleep(5 * time.Second)
		if err := send(r, p, "k", 2); err != nil {
			return err
		}
		time.Sleep(work)
		synctest.Wait()
		for _, e := range d.all() {
			if e.key == "k" && !e.evicted && e.m.Seq == 2 && e.state.Count != 1 {
				return spec.Fail("a key that gets a message every 5 s to keep its state, however long they wait in the queue",
					"message 2 found the state %+v: the key was forgotten while its message was queued", e.state)
			}
		}
		return d.inOrder("k", 2)
	})
}

func evictionYields(r *spec.Run, l lab) error {
	return inTurn(r, l, allBecomeIdle, atMost64, forceAmongEvictions)
}

// atMost64 counts the evictions between messages that wait.
func atMost64(r *spec.Run, l lab) error {
	return bubble(r, func(r *spec.Run) error {
		const keys = 300
		var d diary
		hold := newGate(r)
		p, err := open(r, l, Options{Shards: 1, Queue: 100, IdleAfter: time.Minute, OnEvict: d.evict, Handle: func(key string, s *State, m Message) {
			if key == "slow" {
				hold.wait()
			}
			d.handle(key, s, m)
		}})
		if err != nil {
			return err
		}
		for k := range keys {
			if err := send(r, p, fmt.Sprint(k), 1); err != nil {
				return err
			}
		}
		time.Sleep(50 * time.Second)
		if err := send(r, p, "slow", 1); err != nil {
			return err
		}
		time.Sleep(50 * time.Second)
		r.Step("%d keys are idle, a Handle hangs, and 5 messages wait behind it", keys)
		if err := sendAll(r, p, "live", 1, 5); err != nil {
			return err
		}
		hold.pass()
		synctest.Wait()
		run := 0 // of evictions
		for _, e := range d.all() {
			if run++; e.evicted {
				continue
			}
			if run > 65 {
				return spec.Fail("at most 64 evictions between two messages that wait", "before message %v there were %d", e, run-1)
			}
			run = 0
		}
		return d.inOrder("live", 5)
	})
}

// forceAmongEvictions has Close give up while the first of many idle keys is
// shown to OnEvict, and a message waits behind them.
func forceAmongEvictions(r *spec.Run, l lab) error {
	return bubble(r, func(r *spec.Run) error {
		var d diary
		slow, hold := newGate(r), newGate(r)
		p, err := open(r, l, Options{Shards: 1, IdleAfter: time.Minute,
			OnEvict: func(key string, s *State) { d.evict(key, s); hold.wait() },
			Handle: func(key string, s *State, m Message) {
				d.handle(key, s, m)
				if key == "slow" {
					slow.wait()
				}
			}})
		if err != nil {
			return err
		}
		for k := range 10 {
			if err := send(r, p, fmt.Sprint(k), 1); err != nil {
				return err
			}
		}
		time.Sleep(50 * time.Second)
		if err := send(r, p, "slow", 1); err != nil {
			return err
		}
		time.Sleep(50 * time.Second)
		r.Step("10 keys are idle; a message to another waits; the first OnEvict hangs; Close with a deadline of 5 s")
		if err := send(r, p, "live", 1); err != nil {
			return err
		}
		slow.pass()
		synctest.Wait()
		soon, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		if err := p.Close(soon); !errors.Is(err, context.DeadlineExceeded) {
			return spec.Fail("Close to return ctx's error", "it returned %v", err)
		}
		before := len(d.all())
		r.Step("let the OnEvict go on")
		hold.pass()
		synctest.Wait()
		if more := d.all()[before:]; len(more) > 0 {
			return spec.Fail("no callback to begin after a Close by force", "there came: %v", more)
		}
		if s := p.Stats(); s.Queued != 0 || s.Discarded != 1 {
			return spec.Fail("Queued 0 and Discarded 1 when the callback has ended", "Stats says %+v", s)
		}
		return nil
	})
}

func allBecomeIdle(r *spec.Run, l lab) error {
	return bubble(r, func(r *spec.Run) error {
		const keys = 5000
		var handled time.Time
		p, err := open(r, l, Options{Shards: 1, IdleAfter: time.Minute,
			OnEvict: func(string, *State) { time.Sleep(10 * time.Millisecond) },
			Handle: func(key string, _ *State, _ Message) {
				if key == "live" {
					handled = time.Now()
				}
			}})
		if err != nil {
			return err
		}
		r.Step("%d keys become idle together; each OnEvict takes 10 ms; a message to another key every 3 s", keys)
		for k := range keys {
			if err := send(r, p, fmt.Sprint(k), 1); err != nil {
				return err
			}
		}
		for seq := 1; p.Stats().Evicted < keys; seq++ {
			if seq > 100 {
				return spec.Fail("idle keys to be evicted while there is a message every 3 s", "after 5m Stats says %+v", p.Stats())
			}
			sent := time.Now()
			if err := send(r, p, "live", seq); err != nil {
				return err
			}
			time.Sleep(3 * time.Second)
			synctest.Wait()
			// 64 evictions before it was sent and 64 after it are 1.28 s.
			if waited := handled.Sub(sent); waited > 2*time.Second || waited < 0 {
				return spec.Fail("at most 64 evictions, that is 640 ms, between two messages that wait",
					"a message was not handled within 2 s: it waits for the eviction of all idle keys")
			}
		}
		return nil
	})
}

func callbacksTakeTurns(r *spec.Run, l lab) error {
	const shards, messages = 2, 4000
	type turn struct {
		inside atomic.Int32
		count  int // touched by the shard's callbacks alone: the race detector looks
	}
	var turns [shards]turn
	var handled, overlaps atomic.Int64
	var opened atomic.Pointer[judged]
	callback := func(key string) {
		t := &turns[(*opened.Load()).Shard(key)]
		if t.inside.Add(1) > 1 {
			overlaps.Add(1)
		}
		t.count++
		runtime.Gosched()
		t.inside.Add(-1)
	}
	p, err := open(r, l, Options{Shards: shards, IdleAfter: time.Millisecond,
		OnEvict: func(key string, s *State) { callback(key); s.Count = 0 },
		Handle:  func(key string, s *State, _ Message) { callback(key); s.Count++; handled.Add(1) }})
	if err != nil {
		return err
	}
	opened.Store(&p)
	r.Step("%d messages to many keys that are idle after 1 ms", messages)
	for i := range messages {
		if err := send(r, p, fmt.Sprint(i%1000), i); err != nil {
			return err
		}
	}
	if err := r.Until("every message to be handled and every key evicted", func() bool {
		return handled.Load() == messages && p.Stats().Keys == 0
	}); err != nil {
		return err
	}
	if n := overlaps.Load(); n > 0 {
		return spec.Fail("the callbacks of one shard to come one at a time", "%d of them began while another was at work", n)
	}
	return nil
}

func memoryComesBack(r *spec.Run, l lab) error {
	return bubble(r, func(r *spec.Run) error {
		const keys = 60_000
		p, err := open(r, l, Options{Shards: 2, IdleAfter: time.Hour, Handle: func(string, *State, Message) {}})
		if err != nil {
			return err
		}
		empty := heap()
		r.Step("send one message to each of %d keys, then one every minute to another for 3h", keys)
		for k := range keys {
			if err := send(r, p, fmt.Sprintf("a key of some length, number %d", k), 1); err != nil {
				return err
			}
		}
		synctest.Wait()
		full := heap() - empty
		for range 180 {
			time.Sleep(time.Minute)
			if err := send(r, p, "live", 1); err != nil {
				return err
			}
		}
		synctest.Wait()
		if n := p.Stats().Keys; n != 1 {
			return spec.Fail("the idle keys to be gone", "%d keys are left", n)
		}
		if left := heap() - empty; left > full/4 {
			return spec.Fail("their memory to come back", "%d keys took %d KB; all are gone, and %d KB are still taken", keys, full>>10, left>>10)
		}
		return nil
	})
}

// heap is what is in use after a collection, in bytes.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what the first one has made free to sweep
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
