package main

import (
	"sync"
	"sync/atomic"
	"time"
)

// A work is a number of tasks, and how they come to the pool.
type work struct {
	name    string
	tasks   int // divisible by from
	from    int // goroutines that submit
	workers int
	body    func() // of each task
	wait    bool   // each submitter waits for its task's result before it goes on
}

var works = []work{
	{name: "nothing, from 1", tasks: 400_000, from: 1, workers: 4, body: func() {}},
	{name: "nothing, from 8", tasks: 400_000, from: 8, workers: 4, body: func() {}},
	{name: "computing, from 8", tasks: 200_000, from: 8, workers: 4, body: compute},
	{name: "sleeping 1 ms, 100 workers", tasks: 40_000, from: 8, workers: 100, body: func() { time.Sleep(time.Millisecond) }},
	{name: "nothing, and its result, from 1", tasks: 100_000, from: 1, workers: 4, body: func() {}, wait: true},
}

var sink atomic.Uint64

// compute takes about a microsecond.
func compute() {
	x := uint64(88172645463325252)
	for range 500 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	sink.Store(x)
}

// do returns how many tasks were done.
func (w work) do(p pool) int64 {
	var done atomic.Int64
	task := func() { w.body(); done.Add(1) }
	submit, call, stop := p.open(w.workers)
	if w.wait {
		submit = call
	}
	var all sync.WaitGroup
	for range w.from {
		all.Go(func() {
			for range w.tasks / w.from {
				submit(task)
			}
		})
	}
	all.Wait()
	stop()
	return done.Load()
}
