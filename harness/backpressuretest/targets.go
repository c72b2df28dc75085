package backpressuretest

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
)

var targets = []spec.Target[lab]{
	{
		Name: "uncontended", Title: "send and receive by one goroutine, against a plain Go channel", Points: 4, Section: "Targets",
		Why:  "A channel that counts, has three levels and watches its level costs more than one that does not. It should not cost much more: a lock, a slot of a ring, a few comparisons.",
		Unit: "x-go-channel", Goal: spec.AtLeast, Bound: 0.7,
		Hints: [3]string{
			"How many times does a TrySend take the lock, and how often does it divide?",
			"Work out the watermarks in New, so that a send compares two numbers. One lock for a send, one for a receive; no defer and no closure in between.",
			"make profile LAB=05 shows the lines; look for divisions, time.Now, and interfaces that box a message.",
		},
		Measure: uncontended,
	},
	{
		Name: "contended", Title: "4 senders and 4 receivers, against a plain Go channel", Points: 4, Section: "Targets",
		Why:  "With many goroutines the time goes into handing over: the lock, and putting goroutines to sleep and waking them. A waker that wakes more than it serves multiplies that.",
		Unit: "x-go-channel", Goal: spec.AtLeast, Bound: 1,
		Hints: [3]string{
			"How many goroutines does one Receive of yours wake up?",
			"Wake only those whose wait is over. A sync.Cond with Broadcast wakes everybody for each message.",
			"One channel of capacity 1 for each waiter, used again; who serves a waiter sends it one token.",
		},
		Measure: contended,
	},
	{
		Name: "against-article", Title: "send and receive by one goroutine, against the article's channel", Points: 4, Section: "Targets",
		Why:  "On its good days, half empty and with nobody waiting, the article's channel takes a lock and then the lock inside a Go channel, for each call. One lock does.",
		Unit: "x-article", Goal: spec.AtLeast, Bound: 1,
		Hints: [3]string{
			"What do you do for each message that the article does not?",
			"The article pays for two locks a call; you have room for a ring, three levels and the counters in what the second one costs.",
			"As for uncontended: no division, no defer on the hot path, one lock for each call.",
		},
		Measure: againstArticle,
	},
	{
		Name: "allocations", Title: "allocations in a million messages, most of which wait", Points: 4, Section: "Targets",
		Why:  "Backpressure is at work when the system is at its limit. A channel that allocates for each wait makes garbage just then.",
		Unit: "allocations/Mmessage", Goal: spec.AtMost, Bound: 1000,
		Hints: [3]string{
			"What does a Send that waits need, that one that does not wait has no use for?",
			"A place in the line and a channel to sleep on. Keep those of the waiters that have left, and use them again.",
			"type waiter struct { done chan struct{} /* capacity 1 */; ...; next *waiter }; a free list under the channel's lock.",
		},
		Measure: allocations,
	},
	{
		Name: "idle-memory", Title: "memory of a channel that nobody uses, 10,000 of them", Points: 4, Section: "Targets",
		Why:  "The final server has such a queue for each of 100,000 clients, and most of them are empty all the time. A ring allocated for the bound, or a goroutine, is paid 100,000 times.",
		Unit: "bytes/channel", Goal: spec.AtMost, Bound: 1024,
		Hints: [3]string{
			"What does your channel allocate in New?",
			"The bound is how much it may hold, not how much it has to be ready for: let the rings grow when messages come.",
			"A ring begins with no slots and doubles. No goroutine, no Go channel with a buffer, no map in New.",
		},
		Measure: idleMemory,
	},
}

const (
	rounds = 7
	pairs  = 300_000 // messages in one measurement
)

// race takes the median of rounds of theirs/ours in CPU time for each message.
// They alternate, so that both meet the same machine.
func race(ours, theirs func() error, name string) (spec.Sample, error) {
	var ratios, mine, base []float64
	for range rounds {
		a, err := timed(ours)
		if err != nil {
			return spec.Sample{}, err
		}
		b, err := timed(theirs)
		if err != nil {
			return spec.Sample{}, err
		}
		mine, base, ratios = append(mine, a), append(base, b), append(ratios, b/a)
	}
	return spec.Sample{Value: median(ratios), Also: map[string]float64{"ns/message": median(mine), name + " ns/message": median(base)}}, nil
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// timed is the CPU time in nanoseconds for each of the pairs that f sends and
// receives.
func timed(f func() error) (float64, error) {
	runtime.GC()
	before, err := meter.Self()
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := meter.Self()
	if err != nil {
		return 0, err
	}
	return float64(before.Until(after).CPU()) / pairs, nil
}

const (
	halfFull = 512
	quarters = pairs / 4
)

func uncontended(r *spec.Run, l lab) (spec.Sample, error) {
	return race(func() error { return alone(l) }, func() error {
		c := make(chan Message, 2*halfFull)
		return inTurns(func(m Message) bool {
			select {
			case c <- m:
				return true
			default:
				return false
			}
		}, func() (Message, bool) {
			select {
			case m := <-c:
				return m, true
			default:
				return Message{}, false
			}
		})
	}, "Go channel")
}

func againstArticle(r *spec.Run, l lab) (spec.Sample, error) {
	return race(func() error { return alone(l) }, func() error {
		a := newArticleChannel(2*halfFull, func(int) {})
		return inTurns(func(m Message) bool { return a.send(articleMessage{m: m}) }, func() (Message, bool) { return a.receive(), true })
	}, "article")
}

func alone(l lab) error {
	c, err := l.New(options{Capacity: 2 * halfFull})
	if err != nil {
		return err
	}
	return inTurns(func(m Message) bool { return c.TrySend(Normal, m) == nil }, c.TryReceive)
}

// inTurns sends and receives by turns with a queue that is half full.
func inTurns(send func(Message) bool, receive func() (Message, bool)) error {
	for id := range pairs + halfFull {
		if !send(Message{ID: id}) {
			return spec.Fail("a channel with room to take a message", "it refused message %d", id)
		}
		if id < halfFull {
			continue
		}
		if m, ok := receive(); !ok || m.ID != id-halfFull {
			return spec.Fail(fmt.Sprintf("message %d", id-halfFull), "receive gave message %d, %v", m.ID, ok)
		}
	}
	return nil
}

func contended(r *spec.Run, l lab) (spec.Sample, error) {
	ctx := r.Context()
	return race(func() error { return fourByFour(ctx, l, 64) }, func() error {
		c := make(chan Message, 64)
		return crowd(func(m Message) error {
			select {
			case c <- m:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}, func() (Message, error) {
			select {
			case m := <-c:
				return m, nil
			case <-ctx.Done():
				return Message{}, ctx.Err()
			}
		})
	}, "Go channel")
}

func fourByFour(ctx context.Context, l lab, capacity int) error {
	c, err := l.New(options{Capacity: capacity})
	if err != nil {
		return err
	}
	return crowd(func(m Message) error { return c.Send(ctx, Normal, m) }, func() (Message, error) { return c.Receive(ctx) })
}

// crowd has 4 goroutines send and 4 receive, and compares the sums.
func crowd(send func(Message) error, receive func() (Message, error)) error {
	var work sync.WaitGroup
	var sum atomic.Int64
	var failed atomic.Pointer[error]
	fail := func(err error) { failed.Store(&err) } // err is on the heap here, and not in the loops
	for range 4 {
		work.Go(func() {
			for id := range quarters {
				if err := send(Message{ID: id}); err != nil {
					fail(err)
				}
			}
		})
		work.Go(func() {
			local := 0
			for range quarters {
				m, err := receive()
				if err != nil {
					fail(err)
				}
				local += m.ID
			}
			sum.Add(int64(local))
		})
	}
	work.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	if want := int64(4 * quarters * (quarters - 1) / 2); sum.Load() != want {
		return spec.Fail("every message to be received once", "the sum of their numbers is %d, and should be %d", sum.Load(), want)
	}
	return nil
}

// allocations uses a channel of 4, so that somebody waits nearly always. The
// first run of the same length is for what is allocated once, by the runtime
// too.
func allocations(r *spec.Run, l lab) (spec.Sample, error) {
	var before, after runtime.MemStats
	for range 2 {
		runtime.ReadMemStats(&before)
		if err := fourByFour(r.Context(), l, 4); err != nil {
			return spec.Sample{}, err
		}
		runtime.ReadMemStats(&after)
	}
	return spec.Sample{Value: float64(after.Mallocs-before.Mallocs) * 1e6 / pairs}, nil
}

func idleMemory(r *spec.Run, l lab) (spec.Sample, error) {
	const channels = 10_000
	kept := make([]judged, channels)
	signal, drop := func(int) {}, func(Message) {}
	goroutines, before := runtime.NumGoroutine(), meter.UserMemory()
	for i := range kept {
		c, err := l.New(options{Capacity: 1 << 16, MaxBytes: 1 << 18, Size: func(m Message) int { return m.Bytes }, OnSignal: signal, OnDrop: drop})
		if err != nil {
			return spec.Sample{}, err
		}
		kept[i] = c
	}
	after := meter.UserMemory()
	if more := runtime.NumGoroutine() - goroutines; more >= channels/2 {
		return spec.Sample{}, spec.Fail("no goroutine for a channel", "%d channels brought %d goroutines", channels, more)
	}
	runtime.KeepAlive(kept)
	return spec.Sample{Value: float64(after-before) / channels}, nil
}
