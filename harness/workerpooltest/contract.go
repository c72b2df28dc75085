// Package workerpooltest judges lab 12: a pool of workers beside an event loop.
//
// contract.go says what a pool must do, the files of rules what is checked,
// targets.go what is measured, mutants_test.go which wrong pools must be refused.
package workerpooltest

import "context"

// Task is work. Its context ends when the pool is stopped by force.
type Task = func(ctx context.Context) error

// Options is the configuration of a [Pool]. The lab declares the same struct;
// its test file converts one into the other, so a difference is a compile error.
type Options struct {
	// Workers is how many tasks run at a time. 0 means
	// runtime.GOMAXPROCS(0). New refuses a negative value.
	Workers int

	// Queue bounds the tasks that wait for a worker. 0 means 1024. New
	// refuses a negative value.
	Queue int
}

// Stats is what a pool has done and holds. At every instant
// Submitted = Done + Discarded + Waiting + Running. A task is counted before its
// future tells.
type Stats struct {
	Submitted uint64 // tasks accepted
	Done      uint64 // tasks that have ended, in whatever way
	Panics    uint64 // of these, in a panic
	Discarded uint64 // tasks that StopNow has given up
	Waiting   int    // tasks that have not begun, those behind their key among them
	Running   int
	Keys      int // keys with a task that waits or runs
	Blocked   int // Submits that wait for room
}

// Future is the result of a task.
type Future interface {
	// Wait returns the task's result when it has ended: its error, a panic as
	// an error, or ErrStopped when it never began; or ctx's error when ctx ends
	// before there is a result.
	Wait(ctx context.Context) error

	// Then has done called with the result, once, where post runs it; with a
	// nil post on the goroutine that ended the task, or on the caller's when it
	// has ended and all callbacks before this one have been posted. Callbacks
	// are posted in the order of Then, and may use the future and the pool.
	Then(post func(func()) error, done func(err error))
}

// Pool is what lab 12 builds. Its methods may be called from any goroutine.
type Pool interface {
	// Submit has task run, and waits while the queue is full, in the order of
	// the calls. An error says that it will not run: ErrStopped, or ctx's.
	// ctx bounds the wait alone: the task has the pool's context. From a task
	// of this pool, with its context or one derived from it, it does not wait:
	// where there is no room the task runs at once.
	Submit(ctx context.Context, task Task) (Future, error)

	// SubmitKeyed is Submit for a task that runs behind all tasks with the
	// same key that were accepted before it, and never beside one of them.
	SubmitKeyed(ctx context.Context, key string, task Task) (Future, error)

	// TrySubmit is Submit without the wait: ErrFull takes its place.
	TrySubmit(task Task) (Future, error)

	// Stop accepts nothing any more, has everything run that was accepted, and
	// waits. When ctx ends first it goes on as StopNow, and returns ctx's error.
	Stop(ctx context.Context) error

	// StopNow ends the context of all tasks, discards those that have not
	// begun, whose result is ErrStopped, and waits for the others, or for ctx.
	StopNow(ctx context.Context) error
}
