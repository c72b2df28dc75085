package workerpooltest

import (
	"context"
	"runtime"
	"slices"
	"sync"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
)

var targets = []spec.Target[lab]{
	{
		Name: "against-goroutines", Title: "a million small tasks, against a goroutine for each and a semaphore", Points: 8, Section: "Targets",
		Why:  "A goroutine costs little, and its semaphore a little more. A pool that bounds what runs and what waits should not cost more than these.",
		Unit: "x-goroutines", Goal: spec.AtLeast, Bound: 0.8,
		Hints: [3]string{
			"How often does a Submit of yours wake a worker, and how many does it wake?",
			"One Signal for a task; a worker that is awake looks for the next task before it sleeps.",
			"make profile LAB=12 shows the lines.",
		},
		Measure: againstGoroutines,
	},
	{
		Name: "allocations", Title: "allocations in a million tasks, their futures among them", Points: 8, Section: "Targets",
		Why:  "A future is an allocation: somebody keeps it. Its channel is another, which only those need who wait.",
		Unit: "allocations/Mtask", Goal: spec.AtMost, Bound: 1_100_000,
		Hints: [3]string{
			"What does Submit make, beside the future?",
			"Make the channel in Wait, when the task has not ended. Queue futures, not closures around them.",
			"type Future struct { ...; end chan struct{} /* nil while nobody waits */ }",
		},
		Measure: allocations,
	},
}

const tasks = 300_000

func againstGoroutines(r *spec.Run, l lab) (spec.Sample, error) {
	var ratios, mine, base []float64
	for range 5 {
		a, err := timed(func() error { return through(r, l) })
		if err != nil {
			return spec.Sample{}, err
		}
		b, err := timed(func() error { goroutines(); return nil })
		if err != nil {
			return spec.Sample{}, err
		}
		ratios, mine, base = append(ratios, b/a), append(mine, a), append(base, b)
	}
	return spec.Sample{Value: median(ratios), Also: map[string]float64{"ns/task": median(mine), "goroutine ns/task": median(base)}}, nil
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// timed is the CPU time for each task in nanoseconds.
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
	return float64(before.Until(after).CPU()) / tasks, err
}

func through(r *spec.Run, l lab) error {
	p, err := l.New(Options{Workers: 4})
	if err != nil {
		return err
	}
	for range tasks {
		if _, err := p.Submit(r.Context(), nothing); err != nil {
			return err
		}
	}
	return p.Stop(r.Context())
}

func goroutines() {
	room := make(chan struct{}, 4)
	var all sync.WaitGroup
	for range tasks {
		room <- struct{}{}
		all.Go(func() {
			nothing(context.Background())
			<-room
		})
	}
	all.Wait()
}

func allocations(r *spec.Run, l lab) (spec.Sample, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := through(r, l); err != nil {
		return spec.Sample{}, err
	}
	runtime.ReadMemStats(&after)
	return spec.Sample{Value: float64(after.Mallocs-before.Mallocs) / tasks * 1e6}, nil
}
