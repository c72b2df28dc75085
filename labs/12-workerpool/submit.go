package workerpool

import (
	"context"
	"errors"
)

// Submit has task run, and waits while the queue is full; Submits that wait are
// served in their order. When the error is not nil the task was not accepted and
// will not run: ErrStopped, or ctx's error. ctx bounds the wait for room and
// nothing else: the task has the pool's context, not this one.
//
// Called from a task of this pool, with its context or one derived from it, it
// does not wait: where there is no room the task runs at once, on this goroutine.
// Otherwise tasks that submit tasks could fill the queue and wait for each other
// for ever.
func (p *Pool) Submit(ctx context.Context, task Task) (*Future, error) {
	return nil, errors.New("not implemented: step 1, workers and a queue")
}

// SubmitKeyed is Submit for a task that runs behind all tasks with the same key
// that were accepted before it, and never beside one of them. Tasks with
// different keys do not wait for each other, but for a worker. A task that waits
// for its key takes room in the queue.
//
// Called from a task it waits like any other: it must run behind tasks that may
// be behind its caller. Use it there only where the queue cannot be full.
func (p *Pool) SubmitKeyed(ctx context.Context, key string, task Task) (*Future, error) {
	return nil, errors.New("not implemented: step 5, keys")
}

// TrySubmit is Submit without the wait: ErrFull takes its place. It never
// blocks, so an event loop can call it.
func (p *Pool) TrySubmit(task Task) (*Future, error) {
	return nil, errors.New("not implemented: step 1, workers and a queue")
}
