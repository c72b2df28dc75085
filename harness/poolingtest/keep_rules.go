package poolingtest

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

const step4 = "Step 4: owners"

var keepRules = []spec.Rule[lab]{
	{
		Name: "IdleIsBounded", Group: "keeping", Points: 5, Section: step2,
		Why: "A burst of ten thousand messages must not be paid for until the next restart. What the pool keeps is a cache, and a cache without a bound is a leak.",
		Hints: [3]string{
			"10,000 buffers come back at once. How many do you keep?",
			"Count the bytes that wait, all classes together. Who would bring them above MaxIdle is left to the garbage collector.",
			"if p.idle.Add(size) > MaxIdle { p.idle.Add(-size); dropped++; return }; store it. take: p.idle.Add(-size)",
		},
		Check: idleBounded,
	},
	{
		Name: "DroppedIsGarbage", Group: "keeping", Points: 4, Section: step2,
		Why: "Not to keep a buffer is worth something only if nothing else refers to it: a list of all that were ever lent, a slot of a slice that was not cleared, a link to the next one.",
		Hints: [3]string{
			"A buffer was lent and is in use. Who knows it, beside its owner?",
			"Nobody should. And what is taken from a stack must not be known to it any more.",
			"b := s.top; s.top, b.next = b.next, nil. With a slice: s[len(s)-1] = nil before s = s[:len(s)-1].",
		},
		Check: droppedIsGarbage,
	},
	{
		Name: "BoundHoldsForAll", Group: "keeping", Points: 3, Section: step3,
		Why: "Between `is there room?' and `store it' another goroutine stores its own. On a loaded server the bound is then no bound at the moment when it matters.",
		Hints: [3]string{
			"Eight goroutines ask at the same moment whether there is room for one.",
			"Take the room first, then look whether it was there, and give it back if not.",
			"if p.idle.Add(size) > max { p.idle.Add(-size); drop }",
		},
		Check: boundForAll,
	},
}

func idleBounded(r *spec.Run, l lab) error {
	const bound = 1 << 20
	p, err := open(l, Options{MaxIdle: bound})
	if err != nil {
		return err
	}
	before := heap()
	r.Step("2000 buffers of each of 3 sizes at a time, all come back; MaxIdle is %d", bound)
	for _, n := range []int{1024, 4096, 16384} {
		var all []Buffer
		for range 2000 {
			all = append(all, p.Get(n))
		}
		for _, b := range all {
			b.Release()
		}
		if s := p.Stats(); s.Idle > bound {
			return spec.Fail(fmt.Sprintf("at most %d bytes to wait", bound), "Stats says %+v", s)
		}
	}
	if kept := heap() - before; kept > 2*bound {
		return spec.Fail(fmt.Sprintf("the memory of all but %d bytes to come back", bound), "%d bytes are in use", kept)
	}
	if s := p.Stats(); s.Idle < bound/2 {
		return spec.Fail("the pool to keep what it may", "Stats says %+v", s)
	}
	r.Step("Trim")
	p.Trim()
	if kept := heap() - before; kept > bound/4 || p.Stats().Idle != 0 {
		return spec.Fail("nothing to be kept after Trim", "%d bytes are in use; Stats says %+v", kept, p.Stats())
	}
	r.Step("one of each size comes back; Trim")
	for size := minSize; size <= maxSize; size *= 2 {
		p.Get(size).Release()
	}
	p.Trim()
	if s := p.Stats(); s.Idle != 0 {
		return spec.Fail("nothing of any size to be kept after Trim", "Stats says %+v", s)
	}
	runtime.KeepAlive(p)
	return nil
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// droppedIsGarbage watches buffers that are dropped, and some that are lent and
// forgotten by their owner.
func droppedIsGarbage(r *spec.Run, l lab) error {
	p, err := open(l, Options{MaxIdle: 64 * maxSize})
	if err != nil {
		return err
	}
	before := heap()
	r.Step("64 buffers of 64 KiB are lent and never released: their owners are gone")
	for range 64 {
		p.Get(maxSize)
	}
	if kept := heap() - before; kept > 1<<20 {
		return spec.Fail("buffers whose owners are gone to be garbage", "%d KiB are in use", kept>>10)
	}
	r.Step("64 of 64 KiB come back, and are kept; all are lent again, and forgotten")
	var all []Buffer
	for range 64 {
		all = append(all, p.Get(maxSize))
	}
	for _, b := range all {
		b.Release()
	}
	clear(all)
	for range 64 {
		p.Get(maxSize)
	}
	if kept := heap() - before; kept > 1<<20 {
		return spec.Fail("buffers that were taken from the pool to be garbage when their owners are gone", "%d KiB are in use", kept>>10)
	}
	runtime.KeepAlive(p)
	return nil
}

func boundForAll(r *spec.Run, l lab) error {
	const bound = 8 * 4096
	p, err := open(l, Options{MaxIdle: bound})
	if err != nil {
		return err
	}
	r.Step("8 goroutines release 4 buffers each at the same moment, and there is room for 8; 300 times")
	for range 300 {
		var all [8][4]Buffer
		for g := range all {
			for i := range all[g] {
				all[g][i] = p.Get(4096)
			}
		}
		start := make(chan struct{})
		var work sync.WaitGroup
		for g := range all {
			work.Go(func() {
				<-start
				for _, b := range all[g] {
					b.Release()
				}
			})
		}
		close(start)
		work.Wait()
		hits := p.Stats().Hits
		for range 64 { // these are left to the garbage collector
			p.Get(4096)
		}
		if n := p.Stats().Hits - hits; n > 8 {
			return spec.Fail("at most 8 buffers to be in the pool", "%d were", n)
		}
	}
	if s := p.Stats(); s.Idle != 0 {
		return spec.Fail("an empty pool to have no idle bytes", "Stats says %+v", s)
	}
	return lastPlace(r, l)
}

// lastPlace has two goroutines, which wait for each other without going to sleep,
// release at the same moment, with room for one.
func lastPlace(r *spec.Run, l lab) error {
	p, err := open(l, Options{MaxIdle: 4096})
	if err != nil {
		return err
	}
	const rounds = 20_000 // at most: fewer where the cores are busy with others
	r.Step("2 goroutines release a buffer each at the same moment, and there is room for one; up to %d times", rounds)
	var mine, its atomic.Int64 // rounds that have begun, and ended
	var other Buffer           // the other goroutine's, between mine and its
	r.Go(func() error {
		for round := int64(1); spin(r, &mine, round) && other != nil; round++ {
			other.Release()
			its.Store(round)
		}
		return nil
	})
	defer func() { other = nil; mine.Add(1) }() // and the other goroutine ends
	for round, began := int64(1), time.Now(); round <= rounds && time.Since(began) < 2*time.Second; round++ {
		b := p.Get(4096)
		other = p.Get(4096)
		mine.Store(round)
		b.Release()
		if !spin(r, &its, round) {
			return spec.Fail("Release to return", "it had not by the deadline")
		}
		if s := p.Stats(); s.Idle > 4096 {
			return spec.Fail("one buffer of 4096 to be in the pool", "Stats says %+v in round %d", s, round)
		}
	}
	return nil
}

// spin waits until v is n, and reports false at the check's end.
func spin(r *spec.Run, v *atomic.Int64, n int64) bool {
	for i := 1; v.Load() < n; i++ {
		if i%200 == 0 { // the other one may have no core
			runtime.Gosched()
		}
		if i%10_000 == 0 && r.Context().Err() != nil {
			return false
		}
	}
	return true
}
