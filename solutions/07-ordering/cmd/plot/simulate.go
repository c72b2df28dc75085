package main

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"time"

	ordering "github.com/asynclab/asynclab/solutions/07-ordering"
)

// The network: one message each millisecond, up to 64 ms late and so up to 64
// places out of order. One in a hundred is lost; what is asked for arrives 100
// ms later, or is lost again.
const (
	messages = 200_000
	late     = 64
	loss     = 0.01
	repeat   = 100 * time.Millisecond
	tick     = time.Millisecond
)

// result is what came of one window.
type result struct {
	window int
	lost   float64 // percent of the messages
	waits  []int   // milliseconds in the buffer, sorted
	depth  int     // most messages that waited at a time
}

func (r result) wait(quantile float64) int {
	return r.waits[min(int(quantile*float64(len(r.waits))), len(r.waits)-1)]
}

// simulate sends the stream through a buffer whose window slides, so that the
// window alone decides how long a message is waited for.
func simulate(window int) (result, error) {
	rnd := rand.New(rand.NewPCG(7, 64))
	res := result{window: window}
	var now time.Duration
	var air flight
	depart := func(seq uint32, after time.Duration) {
		if rnd.Float64() >= loss {
			heap.Push(&air, arrival{now + after + time.Duration(rnd.IntN(late))*tick, seq})
		}
	}
	b, err := ordering.New(ordering.Options[time.Duration]{
		Window: window, Slide: true, RetryAfter: late * tick,
		Deliver: func(seq uint32, came time.Duration) bool {
			res.waits = append(res.waits, int((now-came)/tick))
			return true
		},
		Request: func(first uint32, n int) {
			for i := range uint32(n) {
				depart(first+i, repeat)
			}
		},
	})
	if err != nil {
		return res, err
	}
	for seq := uint32(0); seq < messages || len(air) > 0; now += tick {
		if seq < messages {
			depart(seq, 0)
			seq++
		}
		for len(air) > 0 && air[0].at <= now {
			a := heap.Pop(&air).(arrival)
			b.Push(now, a.seq, now)
			res.depth = max(res.depth, b.Stats().Pending)
		}
		if at, ok := b.Deadline(); ok && at <= now {
			b.Advance(now)
		}
	}
	b.Close()
	slices.Sort(res.waits)
	res.lost = 100 * float64(messages-len(res.waits)) / messages
	return res, nil
}

// arrival is a message that is on its way.
type arrival struct {
	at  time.Duration
	seq uint32
}

// flight is a heap by time, and by number among equals.
type flight []arrival

func (f flight) Len() int { return len(f) }
func (f flight) Less(i, j int) bool {
	return f[i].at < f[j].at || f[i].at == f[j].at && f[i].seq < f[j].seq
}
func (f flight) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f *flight) Push(x any)   { *f = append(*f, x.(arrival)) }
func (f *flight) Pop() any {
	last := (*f)[len(*f)-1]
	*f = (*f)[:len(*f)-1]
	return last
}
