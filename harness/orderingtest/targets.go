package orderingtest

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
)

var targets = []spec.Target[lab]{
	{
		Name: "in-order", Title: "messages in order, against the article's map and channel", Points: 6, Section: "Targets",
		Why:  "Nearly all messages of a healthy stream are the next one. For them the buffer should cost a comparison and a call, and touch nothing but itself.",
		Unit: "x-article", Goal: spec.AtLeast, Bound: 8,
		Hints: [3]string{
			"What does your buffer do for a message that is next when nothing waits?",
			"It need not go into the ring and out again, and its time need not be looked at: both are for messages that wait.",
			"if seq == b.next && b.next == b.head && !b.busy && !b.full { offer v itself; put it into the ring only if Deliver refuses }.",
		},
		Measure: func(r *spec.Run, l lab) (spec.Sample, error) { return race(r, l, inOrder()) },
	},
	{
		Name: "shuffled-64", Title: "messages up to 64 places out of order, against the article's", Points: 6, Section: "Targets",
		Why:  "Out of order is where the structure pays: a slot and a bit, found by a mask, against a hash, a bucket and a deletion for each message.",
		Unit: "x-article", Goal: spec.AtLeast, Bound: 4,
		Hints: [3]string{
			"What happens for each message that waits, besides storing it and taking it out?",
			"A gap opens for most early messages of a shuffle: that must be an append to an array, not a timer or an allocation. A walk over the gaps belongs into Advance.",
			"Put gaps into a ring of structs; keep the deadline as a field that openGap lowers and only Advance computes.",
		},
		Measure: func(r *spec.Run, l lab) (spec.Sample, error) { return race(r, l, shuffle(64)) },
	},
	{
		Name: "allocations", Title: "allocations in a million messages, shuffled, lossy, with requests", Points: 4, Section: "Targets",
		Why:  "What is allocated for a message is collected for a message. The window is allocated once; after that there is nothing that the buffer needs.",
		Unit: "allocations/Mmessage", Goal: spec.AtMost, Bound: 100,
		Hints: [3]string{
			"What grows when a gap opens?",
			"A slice that is appended to at its end and cut at its begin is allocated again and again.",
			"Use a ring for the gaps: half as many as the window has numbers is always enough, because a message is behind each.",
		},
		Measure: allocations,
	},
	{
		Name: "quiet-stream", Title: "memory of a stream that is in order, 10,000 of them", Points: 4, Section: "Targets",
		Why:  "A server has a stream for each user, and most of them never lose a message. A window allocated for each is 100,000 windows that nobody looks into.",
		Unit: "bytes/stream", Goal: spec.AtMost, Bound: 512,
		Hints: [3]string{
			"When does a stream need its window for the first time?",
			"A stream in which every message is the next one and the consumer has room never stores anything.",
			"Allocate the ring in store, when it is nil.",
		},
		Measure: quietStream,
	},
}

const rounds = 7

// race takes the median of rounds: the article's CPU time for an order of
// arrival by the lab's. They alternate, so that both meet the same machine.
func race(r *spec.Run, l lab, order []uint32) (spec.Sample, error) {
	var ratios, ours, theirs []float64
	for range rounds {
		mine, err := timed(order, func() (uint64, error) { return through(l, order) })
		if err != nil {
			return spec.Sample{}, err
		}
		base, err := timed(order, func() (uint64, error) { return throughArticle(order), nil })
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

// timed runs f, which passes messages on, and returns the CPU time in
// nanoseconds for each. f returns the sum of what was delivered.
func timed(order []uint32, f func() (uint64, error)) (float64, error) {
	runtime.GC()
	before, err := meter.Self()
	if err != nil {
		return 0, err
	}
	sum, err := f()
	if err != nil {
		return 0, err
	}
	after, err := meter.Self()
	if err != nil {
		return 0, err
	}
	if want := total(len(order) * laps); sum != want {
		return 0, spec.Fail(fmt.Sprintf("all %d messages to be delivered", len(order)*laps), "the sum of their numbers is %d, and should be %d", sum, want)
	}
	return float64(before.Until(after).CPU()) / float64(len(order)*laps), nil
}

func total(n int) uint64 { return uint64(n) * uint64(n-1) / 2 }

const (
	lap  = 1 << 16 // messages whose order is drawn
	laps = 16      // times that the same order is used: a million messages
)

func inOrder() []uint32 {
	order := make([]uint32, lap)
	for i := range order {
		order[i] = uint32(i)
	}
	return order
}

// shuffle moves numbers up to distance places from where they belong.
func shuffle(distance int) []uint32 {
	rnd := rand.New(rand.NewPCG(7, uint64(distance)))
	type late struct {
		at  int
		seq uint32
	}
	all := make([]late, lap)
	for i := range all {
		all[i] = late{i + rnd.IntN(distance), uint32(i)}
	}
	slices.SortStableFunc(all, func(a, b late) int { return a.at - b.at })
	order := make([]uint32, lap)
	for i := range all {
		order[i] = all[i].seq
	}
	return order
}

// through passes all laps through a buffer of the lab.
func through(l lab, order []uint32) (sum uint64, err error) {
	b, err := l.New(Options{GapTimeout: time.Second, Deliver: func(_ uint32, m Message) bool { sum += uint64(m.Seq); return true }})
	if err != nil {
		return 0, err
	}
	for n := range uint32(laps) {
		for i, seq := range order {
			seq += n * lap
			if err := b.Push(time.Duration(i), seq, Message{Seq: seq}); err != nil {
				return 0, fmt.Errorf("Push(%d): %w", seq, err)
			}
		}
	}
	return sum, nil
}

// throughArticle does the same with the article's, and empties its channel.
func throughArticle(order []uint32) (sum uint64) {
	a := newArticleChannel(0, 1024, time.Second, time.Now)
	for n := range uint32(laps) {
		for _, seq := range order {
			seq += n * lap
			a.receive(seq, Message{Seq: seq})
			for len(a.out) > 0 {
				m := <-a.out
				sum += uint64(m.Seq)
			}
		}
	}
	return sum
}

// allocations loses every hundredth message at first, asks for it, and counts
// what the heap is asked for meanwhile.
func allocations(r *spec.Run, l lab) (spec.Sample, error) {
	order := shuffle(64)
	var b judged
	var now time.Duration
	delivered := 0
	b, err := l.New(Options{RetryAfter: 200 * time.Microsecond,
		Deliver: func(uint32, Message) bool { delivered++; return true },
		Request: func(first uint32, n int) {
			for k := range uint32(n) {
				b.Push(now, first+k, Message{Seq: first + k})
			}
		}})
	if err != nil {
		return spec.Sample{}, err
	}
	lapOf := func(n uint32) {
		for _, seq := range order {
			now += time.Microsecond
			if seq += n * lap; seq%100 != 99 {
				b.Push(now, seq, Message{Seq: seq})
			}
			if at, ok := b.Deadline(); ok && at <= now {
				b.Advance(now)
			}
		}
	}
	lapOf(0) // allocates the window
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for n := range uint32(laps) {
		lapOf(n + 1)
	}
	runtime.ReadMemStats(&after)
	if want := lap*(laps+1) - 1024; delivered < want {
		return spec.Sample{}, spec.Fail(fmt.Sprintf("%d messages at least to be delivered: what is lost is asked for and comes", want), "%d were", delivered)
	}
	return spec.Sample{Value: float64(after.Mallocs-before.Mallocs) * 1e6 / (lap * laps)}, nil
}

func quietStream(r *spec.Run, l lab) (spec.Sample, error) {
	const streams = 10_000
	kept := make([]judged, streams)
	deliver := func(uint32, Message) bool { return true }
	before := meter.UserMemory()
	for i := range kept {
		b, err := l.New(Options{Deliver: deliver, GapTimeout: time.Second})
		if err != nil {
			return spec.Sample{}, err
		}
		for seq := range uint32(10) {
			if err := b.Push(0, seq, Message{Seq: seq}); err != nil {
				return spec.Sample{}, fmt.Errorf("Push(%d): %w", seq, err)
			}
		}
		kept[i] = b
	}
	after := meter.UserMemory()
	runtime.KeepAlive(kept)
	return spec.Sample{Value: float64(after-before) / streams}, nil
}
