package workerpool

import (
	"context"
	"slices"
)

// waiter is a Submit that waits for room. Who makes room queues its task, and
// then closes ready.
type waiter struct {
	f     *Future
	ready chan struct{}
	err   error // set before ready is closed
}

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
	return p.submit(ctx, "", false, task)
}

// SubmitKeyed is Submit for a task that runs behind all tasks with the same key
// that were accepted before it, and never beside one of them. Tasks with
// different keys do not wait for each other, but for a worker. A task that waits
// for its key takes room in the queue.
//
// Called from a task it waits like any other: it must run behind tasks that may
// be behind its caller. Use it there only where the queue cannot be full.
func (p *Pool) SubmitKeyed(ctx context.Context, key string, task Task) (*Future, error) {
	return p.submit(ctx, key, true, task)
}

// TrySubmit is Submit without the wait: ErrFull takes its place. It never
// blocks, so an event loop can call it.
func (p *Pool) TrySubmit(task Task) (*Future, error) {
	f := newFuture(p, task)
	_, err := p.put(f, false)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (p *Pool) submit(ctx context.Context, key string, keyed bool, task Task) (*Future, error) {
	f := newFuture(p, task)
	f.key, f.keyed = key, keyed
	inside := !keyed && ctx.Value(poolKey{}) == p
	w, err := p.put(f, !inside)
	switch {
	case err == ErrFull: // inside
		p.runHere(f)
		return f, nil
	case err != nil:
		return nil, err
	case w == nil:
		return f, nil
	}
	select {
	case <-w.ready:
	case <-ctx.Done():
		if p.withdraw(w) {
			return nil, ctx.Err()
		}
		<-w.ready // it is closed already: room came first
	}
	if w.err != nil {
		return nil, w.err
	}
	return f, nil
}

// put accepts f, or leaves a waiter if asked to wait.
func (p *Pool) put(f *Future, wait bool) (*waiter, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.stopping:
		return nil, ErrStopped
	case len(p.waiters) == 0 && p.room():
		p.accept(f)
		return nil, nil
	case !wait:
		return nil, ErrFull
	}
	w := &waiter{f: f, ready: make(chan struct{})}
	p.waiters = append(p.waiters, w)
	return w, nil
}

// room reports whether one more task may wait. mu is held.
func (p *Pool) room() bool { return p.queue.n+p.held < p.opt.Queue }

// accept queues f, or holds it back behind the one with its key. mu is held, and
// there is room.
func (p *Pool) accept(f *Future) {
	p.counts.Submitted++
	if f.keyed {
		line, busy := p.keys[f.key]
		if busy {
			p.keys[f.key] = append(line, f)
			p.held++
			return
		}
		p.keys[f.key] = nil
	}
	p.enqueue(f)
}

// enqueue hands f to a worker: one that looks anyway, or one that sleeps. mu is
// held.
func (p *Pool) enqueue(f *Future) {
	p.queue.push(f)
	if p.queue.n > p.looking {
		p.work.Signal()
	}
}

// admit lets those in who wait, as far as there is room. mu is held.
func (p *Pool) admit() {
	for len(p.waiters) > 0 && p.room() {
		w := p.waiters[0]
		p.waiters[0] = nil
		p.waiters = p.waiters[1:]
		p.accept(w.f)
		close(w.ready)
	}
}

// withdraw takes w out of the line, and reports false when it has left it.
func (p *Pool) withdraw(w *waiter) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.waiters, w)
	if i < 0 {
		return false
	}
	p.waiters = slices.Delete(p.waiters, i, i+1)
	return true
}
