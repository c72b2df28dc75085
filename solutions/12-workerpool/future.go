package workerpool

import (
	"context"
	"sync"
)

// A Future is the result of a task, before and after it is there. Its methods
// may be called from any goroutine.
type Future struct {
	pool  *Pool // immutable, as the next three
	task  Task
	key   string
	keyed bool

	mu   sync.Mutex // guards the following
	done bool       // with it, err does not change any more
	told bool       // done, and all callbacks have been posted: nobody can pass them
	err  error
	end  chan struct{} // closed with done; nil while nobody waits
	then []callback    // not posted yet
}

// callback is somebody who wants to be told.
type callback struct {
	post func(func()) error
	f    func(error)
}

func newFuture(p *Pool, task Task) *Future { return &Future{pool: p, task: task} }

// Wait returns the task's result when it has ended: its error, a [*PanicError],
// or [ErrStopped] when it never began. When ctx ends first Wait returns ctx's
// error, and the task goes on. A result that is there is returned, even when
// ctx has ended.
func (f *Future) Wait(ctx context.Context) error {
	f.mu.Lock()
	if f.done {
		defer f.mu.Unlock()
		return f.err
	}
	if f.end == nil {
		f.end = make(chan struct{})
	}
	end := f.end
	f.mu.Unlock()
	if ctx.Done() == nil { // never: a receive costs less than a select
		<-end
		return f.err
	}
	select {
	case <-end:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Then has done called with the task's result, once. It is called where post
// runs it: with post set to lab 03's Loop.Post that is the loop's goroutine, and
// no other. A nil post runs it on the goroutine that ended the task, or on the
// caller's when the task has ended and all callbacks before it have been posted.
// A callback may use the Future and the Pool. When post returns an error, the
// place is gone, and done is not called.
//
// Callbacks of one Future are posted in the order of Then.
func (f *Future) Then(post func(func()) error, done func(err error)) {
	f.mu.Lock()
	if !f.told {
		f.then = append(f.then, callback{post, done})
		f.mu.Unlock()
		return
	}
	err := f.err
	f.mu.Unlock()
	callback{post, done}.call(err)
}

// resolve tells everybody: first those who wait, then the callbacks, of which a
// callback may add more. It is called once.
func (f *Future) resolve(err error) {
	f.mu.Lock()
	f.done, f.err, f.task = true, err, nil // the task may refer to much
	if f.end != nil {
		close(f.end)
	}
	for len(f.then) > 0 {
		then := f.then
		f.then = nil
		f.mu.Unlock()
		for _, c := range then {
			c.call(err)
		}
		f.mu.Lock()
	}
	f.told = true
	f.mu.Unlock()
}

func (c callback) call(err error) {
	if c.post == nil {
		c.f(err)
		return
	}
	_ = c.post(func() { c.f(err) }) // see Then
}
