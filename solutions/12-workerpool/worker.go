package workerpool

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
)

// errGoexit is the result of a task that has called runtime.Goexit.
var errGoexit = errors.New("workerpool: the task has called runtime.Goexit")

// PanicError is the result of a task that has panicked.
type PanicError struct {
	Value any    // what it panicked with
	Stack string // of the task, at the panic
}

// Error says what it was, without the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("workerpool: the task panicked: %v", e.Value) }

// worker runs tasks until the pool has stopped and nothing is left.
func (p *Pool) worker() {
	stopped := false
	defer func() {
		if !stopped {
			go p.worker() // a task has called runtime.Goexit: another one takes this one's place
			return
		}
		p.leave()
	}()
	for {
		f := p.next()
		if f == nil {
			stopped = true
			return
		}
		p.run(f)
	}
}

// leave ends a worker. The last one ends the pool.
func (p *Pool) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.workers--; p.workers == 0 {
		p.cancel() // the context of tasks that are done
		close(p.ended)
	}
}

// next waits for a task, and makes room. nil says that there will be none.
func (p *Pool) next() *Future {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.queue.n == 0 {
		p.look()
	}
	for p.queue.n == 0 {
		if p.stopping && p.held == 0 {
			return nil
		}
		p.work.Wait()
	}
	f := p.queue.pop()
	p.running++
	p.admit()
	return f
}

// look lets others run before a worker goes to sleep: whoever was just told the
// result of a task often has the next one at hand, and to put one worker to sleep
// and wake another costs more than a second look. mu is held, but not meanwhile.
func (p *Pool) look() {
	p.looking++
	p.mu.Unlock()
	runtime.Gosched()
	p.mu.Lock()
	p.looking--
}

// run runs the task. Whatever it does, finish is called once.
func (p *Pool) run(f *Future) {
	err := errGoexit
	defer func() {
		v := recover()
		if v != nil {
			err = &PanicError{v, string(debug.Stack())}
		}
		p.finish(f, err, v != nil)
	}()
	err = f.task(p.ctx)
}

// runHere runs a task that was submitted by another one when there was no room.
func (p *Pool) runHere(f *Future) {
	p.mu.Lock()
	p.counts.Submitted++
	p.running++
	p.mu.Unlock()
	p.run(f)
}

// finish counts f, lets the next one with its key go, and tells. The type of err
// does not say whether f has panicked: a task may return another one's result.
func (p *Pool) finish(f *Future, err error, panicked bool) {
	p.mu.Lock()
	p.running--
	p.counts.Done++
	if panicked {
		p.counts.Panics++
	}
	if f.keyed {
		p.passOn(f.key)
	}
	if p.stopping {
		p.work.Broadcast() // perhaps nothing is left
	}
	p.mu.Unlock()
	f.resolve(err)
}

// passOn queues the next task with key, or forgets the key. mu is held.
func (p *Pool) passOn(key string) {
	line := p.keys[key]
	if len(line) == 0 {
		delete(p.keys, key)
		return
	}
	next := line[0]
	line[0] = nil
	p.keys[key] = line[1:]
	p.held--
	p.enqueue(next)
}
