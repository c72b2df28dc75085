package main

import (
	"context"
	"sync"

	workerpool "github.com/asynclab/asynclab/solutions/12-workerpool"
	"github.com/panjf2000/ants/v2"
)

// A pool is a contestant. open makes one that runs at most workers tasks at a
// time; submit waits while it can take no more; call waits for the task's end as
// well; stop waits until all tasks have ended.
type pool struct {
	name string
	open func(workers int) (submit, call func(task func()), stop func())
}

var pools = []pool{
	{"lab 12, queue of 1,024", func(n int) (_, _ func(func()), _ func()) { return lab(n, 1024) }},
	{"lab 12, queue as long as there are workers", func(n int) (_, _ func(func()), _ func()) { return lab(n, n) }},
	{"ants, no results", bareAnts},
	{"ants, and a result for each task", antsWithResults},
	{"a goroutine for each task, and a semaphore", goroutines},
}

// lab has a future for each task, whether somebody waits for it or not.
func lab(workers, queue int) (_, _ func(func()), _ func()) {
	p := must(workerpool.New(workerpool.Options{Workers: workers, Queue: queue}))
	ctx := context.Background()
	submit := func(task func()) *workerpool.Future {
		return must(p.Submit(ctx, func(context.Context) error { task(); return nil }))
	}
	return func(t func()) { submit(t) }, func(t func()) { submit(t).Wait(ctx) }, func() { p.Stop(ctx) }
}

// bareAnts is ants as its documentation shows it. It has no queue: a Submit that
// finds no goroutine free waits for one.
func bareAnts(workers int) (_, _ func(func()), _ func()) {
	p := must(ants.NewPool(workers))
	var all sync.WaitGroup
	submit := func(task func()) {
		all.Add(1)
		check(p.Submit(func() { task(); all.Done() }))
	}
	call := func(task func()) {
		done := make(chan struct{})
		submit(func() { task(); close(done) })
		<-done
	}
	return submit, call, func() { all.Wait(); p.Release() }
}

// antsWithResults has what a future is, in the shortest way: a channel for the
// task's error.
func antsWithResults(workers int) (_, _ func(func()), _ func()) {
	bare, _, stop := bareAnts(workers)
	submit := func(task func()) chan error {
		result := make(chan error, 1)
		bare(func() { task(); result <- nil })
		return result
	}
	return func(t func()) { submit(t) }, func(t func()) { <-submit(t) }, stop
}

func goroutines(workers int) (_, _ func(func()), _ func()) {
	room := make(chan struct{}, workers)
	var all sync.WaitGroup
	submit := func(task func()) {
		room <- struct{}{}
		all.Go(func() { task(); <-room })
	}
	call := func(task func()) {
		done := make(chan struct{})
		submit(func() { task(); close(done) })
		<-done
	}
	return submit, call, all.Wait
}

func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		panic(err) // a pool that refuses is no contestant
	}
}
