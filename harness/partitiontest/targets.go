package partitiontest

import (
	"context"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
)

var targets = []spec.Target[lab]{
	{
		Name: "idle-key", Title: "memory of a key that waits, against the article's", Points: 6, Section: "Targets",
		Why:  "A key that nobody uses is all that most keys are. The article pays a goroutine, a ticker, a map and a channel of a thousand places for each; an entry in a table is enough.",
		Unit: "x-article", Goal: spec.AtMost, Bound: 0.01,
		Hints: [3]string{
			"What is there once for each key, besides its bytes and its state?",
			"A map's slot, the bytes of the key, the time of its last use, two neighbours in the order of use. No pointer needs 8 bytes if it can be a number of 4.",
			"type entry struct { key string; used int64; older, newer int32; state S }, in chunks of some hundred, and map[string]int32.",
		},
		Measure: idleKey,
	},
	{
		Name: "messages", Title: "messages to a thousand keys, against the article's", Points: 5, Section: "Targets",
		Why:  "Handing a message to a goroutine that sleeps costs a wake-up. A shard that is awake takes all that has come for any of its keys; a goroutine for each key is woken for each message.",
		Unit: "x-article", Goal: spec.AtLeast, Bound: 1.4,
		Hints: [3]string{
			"How often is a goroutine woken while a thousand messages to a thousand keys come?",
			"Wake the shard only when it sleeps: it looks for the next message before it lies down again.",
			"wakeUp, under the lock: if s.asleep { s.asleep = false; s.wake <- struct{}{} }.",
		},
		Measure: messagesAgainstArticle,
	},
	{
		Name: "cores", Title: "work done by a shard for each core, against one shard, for each core", Points: 4, Section: "Targets",
		Why:  "Different keys run side by side: that is what the shards are for. A lock that all of them pass through while they work would make this 1 divided by the cores.",
		Unit: "of-ideal", Goal: spec.AtLeast, Bound: 0.6,
		Hints: [3]string{
			"What do two shards have in common while they handle a message each?",
			"Nothing but the table that says where they are, which does not change. Counters that all of them write are a common cache line.",
			"Count in the shard, under its own lock, and add up in Stats.",
		},
		Measure: cores,
	},
	{
		Name: "allocations", Title: "allocations in a million messages to keys that are known", Points: 5, Section: "Targets",
		Why:  "What is allocated for a message is collected for a message. A ring of messages and a table of keys are allocated once.",
		Unit: "allocations/Mmessage", Goal: spec.AtMost, Bound: 100,
		Hints: [3]string{
			"What does Send make, besides a copy of its message into the queue?",
			"A list allocates a node for each message, a closure for a callback allocates too if it is kept.",
			"A ring: make([]message[V], o.Queue) once for each shard.",
		},
		Measure: allocations,
	},
}

// memory is what the process has in use, stacks among it, after a collection.
func memory() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// idleKey compares what a key costs when it is known and silent.
func idleKey(r *spec.Run, l lab) (spec.Sample, error) {
	const keys, articleKeys = 100_000, 1000
	before := memory()
	p, err := open(r, l, Options{Handle: func(string, *State, Message) {}})
	if err != nil {
		return spec.Sample{}, err
	}
	if err := warm(r, p, keys); err != nil {
		return spec.Sample{}, err
	}
	ours := float64(memory()-before) / keys
	runtime.KeepAlive(p)

	before = memory()
	var handled atomic.Int64
	a := newArticlePartition(8, func(string, Message) { handled.Add(1) })
	for k := range articleKeys {
		a.send("user-"+strconv.Itoa(k), Message{Seq: 1})
	}
	if err := r.Until("the article's messages to be handled", func() bool { return handled.Load() == articleKeys }); err != nil {
		return spec.Sample{}, err
	}
	theirs := float64(memory()-before) / articleKeys
	a.end()
	return spec.Sample{Value: ours / theirs, Also: map[string]float64{"bytes/key": ours, "article bytes/key": theirs}}, nil
}

// warm sends one message to each key and waits until all are handled.
func warm(r *spec.Run, p judged, keys int) error {
	for k := range keys {
		if err := send(r, p, "user-"+strconv.Itoa(k), 1); err != nil {
			return err
		}
	}
	return r.Until("every message to be handled", func() bool { return p.Stats().Handled >= uint64(keys) })
}

const rounds = 5

// messagesAgainstArticle takes the median of rounds: the article's CPU time for
// a message by the lab's. They alternate, so that both meet the same machine.
func messagesAgainstArticle(r *spec.Run, l lab) (spec.Sample, error) {
	const keys, messages = 1000, 200_000
	names := make([]string, keys)
	for k := range names {
		names[k] = "user-" + strconv.Itoa(k)
	}
	var ratios, ours, theirs []float64
	for range rounds {
		var handled atomic.Int64
		p, err := l.New(Options{Handle: func(string, *State, Message) { handled.Add(1) }})
		if err != nil {
			return spec.Sample{}, err
		}
		mine, err := timed(r, messages, &handled, func(i int) error {
			return p.Send(context.Background(), names[i%keys], Message{Seq: i/keys + 1})
		})
		p.Close(context.Background())
		if err != nil {
			return spec.Sample{}, err
		}
		handled.Store(0)
		a := newArticlePartition(8, func(string, Message) { handled.Add(1) })
		base, err := timed(r, messages, &handled, func(i int) error {
			a.send(names[i%keys], Message{Seq: i/keys + 1})
			return nil
		})
		a.end()
		if err != nil {
			return spec.Sample{}, err
		}
		ours, theirs, ratios = append(ours, mine), append(theirs, base), append(ratios, base/mine)
	}
	return spec.Sample{Value: median(ratios), Also: map[string]float64{"ns/message": median(ours), "article ns/message": median(theirs)}}, nil
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// timed sends n messages and returns the CPU time in nanoseconds for each,
// until all are handled.
func timed(r *spec.Run, n int, handled *atomic.Int64, send func(i int) error) (float64, error) {
	runtime.GC()
	before, err := meter.Self()
	if err != nil {
		return 0, err
	}
	for i := range n {
		if err := send(i); err != nil {
			return 0, err
		}
	}
	if err := r.Until("every message to be handled", func() bool { return handled.Load() >= int64(n) }); err != nil {
		return 0, err
	}
	after, err := meter.Self()
	return float64(before.Until(after).CPU()) / float64(n), err
}

// cores compares how long the same work takes with one shard and with one for
// each core. 1 is ideal.
func cores(r *spec.Run, l lab) (spec.Sample, error) {
	n, undo, err := meter.AllCores()
	if err != nil {
		return spec.Sample{}, err
	}
	defer undo()
	var one, all []float64
	for range rounds {
		alone, err := work(r, l, 1)
		if err != nil {
			return spec.Sample{}, err
		}
		together, err := work(r, l, n)
		if err != nil {
			return spec.Sample{}, err
		}
		one, all = append(one, alone.Seconds()), append(all, together.Seconds())
	}
	slices.Sort(one)
	slices.Sort(all)
	return spec.Sample{Value: one[0] / all[0] / float64(n), Also: map[string]float64{"cores": float64(n), "times-as-fast": one[0] / all[0]}}, nil
}

// work has messages handled that take some microseconds each.
func work(r *spec.Run, l lab, shards int) (time.Duration, error) {
	const keys, messages = 1000, 4000
	p, err := open(r, l, Options{Shards: shards, Queue: messages, Handle: func(_ string, s *State, _ Message) {
		for i := range 20_000 {
			s.Last += i * s.Count
		}
		s.Count++
	}})
	if err != nil {
		return 0, err
	}
	began := time.Now()
	for i := range messages {
		if err := send(r, p, strconv.Itoa(i%keys), i); err != nil {
			return 0, err
		}
	}
	if err := p.Close(r.Context()); err != nil {
		return 0, err
	}
	return time.Since(began), nil
}

func allocations(r *spec.Run, l lab) (spec.Sample, error) {
	const keys, messages = 1000, 500_000
	p, err := open(r, l, Options{IdleAfter: time.Hour, MaxKeys: 2 * keys, Handle: func(string, *State, Message) {}})
	if err != nil {
		return spec.Sample{}, err
	}
	if err := warm(r, p, keys); err != nil {
		return spec.Sample{}, err
	}
	names := make([]string, keys)
	for k := range names {
		names[k] = "user-" + strconv.Itoa(k)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range messages {
		for p.TrySend(names[i%keys], Message{Seq: i}) != nil { // full: it may wait, but that may allocate
			runtime.Gosched()
		}
	}
	if err := r.Until("every message to be handled", func() bool { return p.Stats().Handled >= messages+keys }); err != nil {
		return spec.Sample{}, err
	}
	runtime.ReadMemStats(&after)
	return spec.Sample{Value: float64(after.Mallocs-before.Mallocs) * 1e6 / messages}, nil
}
