// Package workerpool runs blocking work beside an event loop, and brings what
// came of it back to the loop.
//
// A [Pool] has a fixed number of goroutines and a bounded queue. A task runs
// once or is refused; its panic is its own error. Its [Future] can be waited
// for, or calls back where the caller says: on a loop, through its Post. Tasks
// with the same key run one after the other, in the order in which they were
// submitted.
package workerpool

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
)

var (
	// ErrFull is TrySubmit's answer when the queue is full.
	ErrFull = errors.New("workerpool: the queue is full: submit later, wait with Submit, or refuse the work")

	// ErrStopped is the answer to everything after Stop, and the result of a
	// task that was accepted and never began.
	ErrStopped = errors.New("workerpool: stopped")
)

// A Task is work. Its context ends when the pool is stopped by force. What it
// returns is its Future's result; a panic becomes a [*PanicError].
type Task = func(ctx context.Context) error

// Options is the configuration of a [Pool].
type Options struct {
	// Workers is how many tasks run at a time. 0 means runtime.GOMAXPROCS(0),
	// which suits work that computes; for work that waits, as long as what it
	// waits for bears more at a time, take more. New refuses a negative value.
	Workers int

	// Queue bounds the tasks that wait for a worker. 0 means 1024. New
	// refuses a negative value.
	Queue int
}

// A Pool runs tasks. Make one with [New], and end it with Stop or StopNow. Its
// methods may be called from any goroutine.
type Pool struct {
	// Whenever mu is free:
	//   1. queue.n + held <= Queue, where held are the tasks in lines of keys.
	//   2. While a worker sleeps, as many others look, or have been woken, as there
	//      are tasks in the queue: each of these takes one, if it is there still.
	//   3. A Submit waits only while there is no room, or behind one who waits.
	//   4. Submitted = Done + Discarded + queue.n + held + running.
	//   5. A key is in keys while a task of its own is queued or running: one.

	opt    Options            // immutable
	ctx    context.Context    // immutable: that of all tasks
	cancel context.CancelFunc // ends ctx
	ended  chan struct{}      // closed when the last worker has ended

	mu       sync.Mutex // guards the following
	work     *sync.Cond // a task was queued, or the pool is stopping
	queue    fifo
	held     int
	keys     map[string][]*Future // behind the task that is queued or running
	waiters  []*waiter            // Submits that wait for room, the first one first
	running  int
	looking  int // workers that look once more before they sleep
	workers  int // that have not ended
	stopping bool
	counts   Stats
}

// New returns a pool with its workers running. It refuses negative numbers.
func New(o Options) (*Pool, error) {
	if o.Workers < 0 || o.Queue < 0 {
		return nil, fmt.Errorf("workerpool: negative option (Workers %d, Queue %d): use 0 for the default", o.Workers, o.Queue)
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Queue == 0 {
		o.Queue = 1024
	}
	p := &Pool{opt: o, keys: map[string][]*Future{}, workers: o.Workers, ended: make(chan struct{})}
	p.work = sync.NewCond(&p.mu)
	p.ctx, p.cancel = context.WithCancel(context.WithValue(context.Background(), poolKey{}, p))
	for range o.Workers {
		go p.worker()
	}
	return p, nil
}

// poolKey finds the pool whose task a context belongs to.
type poolKey struct{}
