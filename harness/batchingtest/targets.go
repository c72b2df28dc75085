package batchingtest

import (
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
)

var targets = []spec.Target[lab]{
	{
		Name: "calls", Title: "calls of the sink for 100,000 messages of 100 bytes", Points: 6, Section: "Targets",
		Why:  "That is what it is for: the article promises 1,000 system calls instead of 100,000.",
		Unit: "calls", Goal: spec.AtMost, Bound: 1010,
		Hints: [3]string{
			"How many messages are in a call of yours, and what ended the batch?",
			"With MaxBytes 64 KiB and enough to do, 655 of them.",
			"Stats tells the reasons: a batch by delay or idle is a small one.",
		},
		Measure: calls,
	},
	{
		Name: "messages", Title: "messages of 100 bytes through a socket, for the CPU time, against a write(2) for each", Points: 6, Section: "Targets",
		Why:  "A system call costs more than a copy of 100 bytes, by far. What you save of it, your lock and your bookkeeping must not spend.",
		Unit: "x-unbatched", Goal: spec.AtLeast, Bound: 3,
		Hints: [3]string{
			"What does a Write of yours do, beside a copy under a lock?",
			"Wake the goroutine once for a batch, not for each message.",
			"make profile LAB=11 shows the lines.",
		},
		Measure: messages,
	},
	{
		Name: "delay", Title: "P99 from a message's time to the sink, beyond what a bare timer of 2 ms has beside it; a message each 50 µs", Points: 4, Section: "Targets",
		Why:  "What you promise for the delay is part of every answer's latency.",
		Unit: "ms", Goal: spec.AtMost, Bound: 1,
		Hints: [3]string{
			"When does the delay begin, and what happens when it ends?",
			"It begins with the first message of a batch, and the goroutine is woken at once.",
			"See DelayIsKept.",
		},
		Measure: delay,
	},
	{
		Name: "allocations", Title: "allocations in a million messages", Points: 4, Section: "Targets",
		Why:  "Two batches that take turns hold all that is needed. What is allocated for a message is collected for a message.",
		Unit: "allocations/Mmessage", Goal: spec.AtMost, Bound: 30_000,
		Hints: [3]string{
			"What is made for a message, and what for a batch?",
			"Keep the slices of a batch when it has been written: b.copied = b.copied[:0].",
			"type batch struct { copied []byte; messages []message; ... }, two of them, for ever",
		},
		Measure: allocations,
	},
}

// void takes everything.
type void struct{ calls, bytes atomic.Int64 }

func (v *void) Writev(pieces [][]byte) (n int, _ error) {
	for _, p := range pieces {
		n += len(p)
	}
	v.calls.Add(1)
	v.bytes.Add(int64(n))
	return n, nil
}

const many = 100_000

func calls(r *spec.Run, l lab) (spec.Sample, error) {
	v := &void{}
	w, err := l.New(v, Options{MaxDelay: 10 * time.Millisecond})
	if err != nil {
		return spec.Sample{}, err
	}
	p := letters(0, 100)
	for range many {
		if err := w.Write(r.Context(), p, nil); err != nil {
			return spec.Sample{}, err
		}
	}
	if err := w.Close(r.Context()); err != nil {
		return spec.Sample{}, err
	}
	if n := v.bytes.Load(); n != many*100 {
		return spec.Sample{}, spec.Fail("10,000,000 bytes", "%d were written", n)
	}
	return spec.Sample{Value: float64(v.calls.Load())}, nil
}

// messages compares the CPU time of a message through the writer and by itself.
// The reader's is in both: it is the same process.
func messages(r *spec.Run, l lab) (spec.Sample, error) {
	p := letters(0, 100)
	var ratios, mine, base []float64
	for range 3 {
		a, err := through(func(c net.Conn) error {
			w, err := l.New(l.Conn(c), Options{MaxDelay: time.Millisecond})
			if err != nil {
				return err
			}
			for range many {
				if err := w.Write(r.Context(), p, nil); err != nil {
					return err
				}
			}
			return w.Close(r.Context())
		})
		if err != nil {
			return spec.Sample{}, err
		}
		b, err := through(func(c net.Conn) error {
			for range many {
				if _, err := c.Write(p); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return spec.Sample{}, err
		}
		ratios, mine, base = append(ratios, b/a), append(mine, a), append(base, b)
	}
	return spec.Sample{Value: median(ratios), Also: map[string]float64{"ns/message": median(mine), "unbatched ns/message": median(base)}}, nil
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// through is the CPU time for each of many messages that send writes to a
// connection, in nanoseconds.
func through(send func(c net.Conn) error) (float64, error) {
	client, server, err := pair()
	if err != nil {
		return 0, err
	}
	defer client.Close()
	read := make(chan int64, 1)
	go func() {
		n, _ := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{client}, make([]byte, 256<<10))
		read <- n
	}()
	runtime.GC()
	before, err := meter.Self()
	if err != nil {
		return 0, err
	}
	if err := send(server); err != nil {
		return 0, err
	}
	server.Close()
	if n := <-read; n != many*100 {
		return 0, spec.Fail("10,000,000 bytes to come", "%d did", n)
	}
	after, err := meter.Self()
	return float64(before.Until(after).CPU()) / many, err
}

// delay hands each message to the writer and to a bare timer of the same delay. How
// late a timer is, and how late a goroutine wakes, is the machine's affair, and both
// have it at the same moment: what the writer's P99 is beyond the timer's is its own.
func delay(r *spec.Run, l lab) (spec.Sample, error) {
	const bound = 2 * time.Millisecond
	var beyond, mine, bare []float64
	for range 5 {
		w, err := l.New(&void{}, Options{MaxDelay: bound})
		if err != nil {
			return spec.Sample{}, err
		}
		h, timer := meter.NewHistogram(), newTimed(bound)
		p := letters(0, 20)
		err = paced(func(at time.Time) error {
			timer.add(at)
			// done runs on one goroutine, in order: h needs no lock.
			return w.Write(r.Context(), p, func(error) { h.RecordValue(time.Since(at).Microseconds()) })
		})
		if err != nil {
			return spec.Sample{}, err
		}
		if err := w.Close(r.Context()); err != nil {
			return spec.Sample{}, err
		}
		a, b := p99(h), p99(timer.end())
		beyond, mine, bare = append(beyond, a-b), append(mine, a), append(bare, b)
	}
	return spec.Sample{Value: median(beyond), Also: map[string]float64{"P99 ms": median(mine), "timer's P99 ms": median(bare)}}, nil
}

// paced calls write at a fixed rate with the time that is meant, whatever became
// of the calls before. It sleeps: a sender that spins keeps a core from the
// timers that it waits for.
func paced(write func(at time.Time) error) error {
	const pause, count = 50 * time.Microsecond, 10_000
	began := time.Now()
	for i := range count {
		at := began.Add(time.Duration(i) * pause)
		time.Sleep(time.Until(at))
		if err := write(at); err != nil {
			return err
		}
	}
	return nil
}

// timed is the least that a batch with a delay needs: a list, a lock and a timer.
type timed struct {
	delay time.Duration
	idle  sync.WaitGroup // no timer is set

	mu    sync.Mutex
	times []time.Time // of the batch that fills
	late  *hdrhistogram.Histogram
}

func newTimed(delay time.Duration) *timed { return &timed{delay: delay, late: meter.NewHistogram()} }

func (t *timed) add(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.times = append(t.times, at); len(t.times) == 1 {
		t.idle.Add(1)
		time.AfterFunc(t.delay, t.flush)
	}
}

func (t *timed) flush() {
	defer t.idle.Done()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, at := range t.times {
		t.late.RecordValue(time.Since(at).Microseconds())
	}
	t.times = t.times[:0]
}

func (t *timed) end() *hdrhistogram.Histogram {
	t.idle.Wait()
	return t.late
}

func p99(h *hdrhistogram.Histogram) float64 { return float64(h.ValueAtQuantile(99)) / 1e3 }

func allocations(r *spec.Run, l lab) (spec.Sample, error) {
	w, err := l.New(&void{}, Options{MaxDelay: time.Millisecond})
	if err != nil {
		return spec.Sample{}, err
	}
	p := letters(0, 100)
	ctx := r.Context()
	var before, after runtime.MemStats
	for range 2 { // the first one is for what is made once
		runtime.ReadMemStats(&before)
		for range 1_000_000 {
			if err := w.Write(ctx, p, nil); err != nil {
				return spec.Sample{}, err
			}
		}
		runtime.ReadMemStats(&after)
	}
	return spec.Sample{Value: float64(after.Mallocs - before.Mallocs)}, w.Close(ctx)
}
