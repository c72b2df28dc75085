package poolingtest

import (
	"runtime"
	"slices"
	"sync"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
)

var targets = []spec.Target[lab]{
	{
		Name: "against-make", Title: "4 KiB got and given back by 8 goroutines on all cores, against make", Points: 6, Section: "Targets",
		Why:  "A buffer that is made must be cleared, and collected later, by a collector that runs on your cores. A buffer that came back needs neither.",
		Unit: "x-make", Goal: spec.AtLeast, Bound: 5,
		Hints: [3]string{
			"What do all goroutines want at the same moment?",
			"One lock for each class is a queue of eight. More stacks, and one that is busy is passed by.",
			"i := home(); for range shards { if s := &c.stacks[i%shards]; s.mu.TryLock() {...}; i++ }",
		},
		Measure: againstMake,
	},
	{
		Name: "against-sync-pool", Title: "the same against a sync.Pool of pointers", Points: 4, Section: "Targets",
		Why:  "sync.Pool has what no library can have: a cache for each processor of Go's scheduler. It has no bound, no sizes and no owners. These should not cost much more than what they are.",
		Unit: "x-sync-pool", Goal: spec.AtLeast, Bound: 0.05,
		Hints: [3]string{
			"How many atomic instructions does a Get and Release of yours take, and how many cores write the same cache line?",
			"Counters that all cores write are the first suspects: a cache line each.",
			"type counter struct { atomic.Uint64; _ [56]byte }",
		},
		Measure: againstSyncPool,
	},
	{
		Name: "allocations", Title: "allocations in a million lendings, sizes mixed, by 8 goroutines", Points: 4, Section: "Targets",
		Why:  "What is allocated for each message is collected for each message, and that is what the pool was to end.",
		Unit: "allocations/Mlending", Goal: spec.AtMost, Bound: 1000,
		Hints: [3]string{
			"Who makes buffers when all goroutines together never have more than 64?",
			"A Get that finds its stack busy or empty must look at the others before it makes one.",
			"take: for all shards, beginning anywhere: if b := pop(); b != nil { return b }",
		},
		Measure: allocations,
	},
	{
		Name: "collections", Title: "garbage collections of a live echo server, with make for each message, by those with the pool", Points: 6, Section: "Targets",
		Why:  "Nanoseconds of an operation are not the point: the collector is. Each cycle takes cores from the server, and its helpers stop goroutines that allocate in the middle of a message.",
		Unit: "x-fewer", Goal: spec.AtLeast, Bound: 5,
		Hints: [3]string{
			"Which buffer of a message does not come from the pool?",
			"Get, read, write, Release: the server has nothing else to allocate.",
			"make profile LAB=10 shows who allocates.",
		},
		Measure: collections,
	},
}

const (
	rounds   = 5
	lendings = 400_000
	crowd    = 8
)

// together runs f by 8 goroutines on all cores, lendings times in all, and
// returns the CPU time for each in nanoseconds.
func together(f func()) (float64, error) {
	runtime.GC()
	before, err := meter.Self()
	if err != nil {
		return 0, err
	}
	var work sync.WaitGroup
	for range crowd {
		work.Go(func() {
			for range lendings / crowd {
				f()
			}
		})
	}
	work.Wait()
	after, err := meter.Self()
	return float64(before.Until(after).CPU()) / lendings, err
}

// against compares the pool with other, by turns.
func against(l lab, name string, other func()) (spec.Sample, error) {
	cores, undo, err := meter.AllCores()
	if err != nil {
		return spec.Sample{}, err
	}
	defer undo()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
	p, err := open(l, Options{})
	if err != nil {
		return spec.Sample{}, err
	}
	var ratios, mine, base []float64
	for range rounds {
		a, err := together(func() {
			b := p.Get(4096)
			b.Bytes()[0] = 1
			b.Release()
		})
		if err != nil {
			return spec.Sample{}, err
		}
		b, err := together(other)
		if err != nil {
			return spec.Sample{}, err
		}
		ratios, mine, base = append(ratios, b/a), append(mine, a), append(base, b)
	}
	return spec.Sample{Value: median(ratios), Also: map[string]float64{"ns/lending": median(mine), name + " ns/lending": median(base)}}, nil
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// fresh is on the heap: nobody knows its size before.
//
//go:noinline
func fresh(n int) []byte { return make([]byte, n) }

func againstMake(_ *spec.Run, l lab) (spec.Sample, error) {
	return against(l, "make", func() { fresh(4096)[0] = 1 })
}

func againstSyncPool(_ *spec.Run, l lab) (spec.Sample, error) {
	pool := sync.Pool{New: func() any { b := fresh(4096); return &b }}
	return against(l, "sync.Pool", func() {
		b := pool.Get().(*[]byte)
		(*b)[0] = 1
		pool.Put(b)
	})
}

func allocations(_ *spec.Run, l lab) (spec.Sample, error) {
	p, err := open(l, Options{})
	if err != nil {
		return spec.Sample{}, err
	}
	sizes := [...]int{100, 1000, 4096, 20_000}
	var before, after runtime.MemStats
	for range 2 { // the first one is for what is made once
		runtime.ReadMemStats(&before)
		var work sync.WaitGroup
		for range crowd {
			work.Go(func() {
				for i := range 1_000_000 / crowd {
					p.Get(sizes[i%len(sizes)]).Release()
				}
			})
		}
		work.Wait()
		runtime.ReadMemStats(&after)
	}
	return spec.Sample{Value: float64(after.Mallocs - before.Mallocs)}, nil
}
