package workerpooltest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
)

// fault is one way in which a variant is wrong. It is a word for the reader;
// the code says what each does.
type fault string

var (
	errFull    = errors.New("full")
	errStopped = errors.New("stopped")
	errGoexit  = errors.New("goexit")
)

type vpanic struct {
	value any
	stack string
}

func (p *vpanic) Error() string { return fmt.Sprint("panic: ", p.value) }

// variant is a right pool in another style than the solution's: one list of all
// that waits, in order; a worker takes the first task whose key is free, and one
// condition wakes everybody. With a fault it is a mutant.
type variant struct {
	o      Options
	fault  fault
	ctx    context.Context
	cancel context.CancelFunc
	ended  chan struct{}

	mu       sync.Mutex // guards the following
	cond     *sync.Cond
	list     []*vfuture
	busy     map[string]bool // keys
	seen     map[string]bool // for a fault
	line     []*int          // Submits that wait
	workers  int
	stopping bool
	n        Stats
}

type vfuture struct {
	p     *variant
	task  Task
	key   string
	keyed bool

	mu   sync.Mutex      // guards the following
	ctx  context.Context // of its Submit, for a fault
	done bool
	told bool // and no callback is left
	err  error
	end  chan struct{}
	then []func(error)
}

type inside struct{}

func variantLab(f fault) lab {
	return lab{Full: errFull, Stopped: errStopped, New: func(o Options) (judged, error) { return newVariant(o, f) },
		Panic: func(err error) (any, string, bool) {
			var p *vpanic
			if !errors.As(err, &p) {
				return nil, "", false
			}
			return p.value, p.stack, true
		}}
}

func newVariant(o Options, f fault) (judged, error) {
	if (o.Workers < 0 || o.Queue < 0) && f != "takes any options" {
		return nil, errors.New("bad options")
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Queue == 0 {
		o.Queue = 1024
	}
	if f == "one worker" {
		o.Workers = 1
	}
	v := &variant{o: o, fault: f, busy: map[string]bool{}, seen: map[string]bool{}, ended: make(chan struct{}), workers: o.Workers}
	v.cond = sync.NewCond(&v.mu)
	v.ctx, v.cancel = context.WithCancel(context.WithValue(context.Background(), inside{}, v))
	for range o.Workers {
		go v.work()
	}
	return v, nil
}

func (v *variant) is(f fault) bool { return v.fault == f }

func (v *variant) Submit(ctx context.Context, t Task) (Future, error) {
	return v.submit(ctx, &vfuture{p: v, task: t, ctx: ctx, end: make(chan struct{})})
}

func (v *variant) SubmitKeyed(ctx context.Context, key string, t Task) (Future, error) {
	keyed := !v.is("keys do not matter") && !(v.is("the empty key is none") && key == "")
	return v.submit(ctx, &vfuture{p: v, task: t, ctx: ctx, key: key, keyed: keyed, end: make(chan struct{})})
}

func (v *variant) TrySubmit(t Task) (Future, error) {
	f := &vfuture{p: v, task: t, end: make(chan struct{})}
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.stopping && !v.is("accepts after Stop"):
		return nil, errStopped
	case len(v.line) > 0, !v.room():
		return nil, errFull
	}
	v.accept(f)
	return f, nil
}

func (v *variant) room() bool {
	if v.is("keys do not count") {
		free := 0
		for _, f := range v.list {
			if !f.keyed || !v.busy[f.key] {
				free++
			}
		}
		return free < v.o.Queue
	}
	return len(v.list) < v.o.Queue || v.is("no bound") || v.is("one more fits") && len(v.list) == v.o.Queue
}

func (v *variant) accept(f *vfuture) {
	v.n.Submitted++
	v.list = append(v.list, f)
	if v.is("a goroutine for each task") {
		v.list = v.list[:len(v.list)-1]
		v.n.Running++
		go v.run(f)
		return
	}
	if v.is("runs it twice") && v.n.Submitted%100 == 0 {
		v.list = append(v.list, f)
	}
	v.cond.Broadcast()
}

func (v *variant) submit(ctx context.Context, f *vfuture) (Future, error) {
	stop := context.AfterFunc(ctx, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.cond.Broadcast()
	})
	defer stop()
	v.mu.Lock()
	defer v.mu.Unlock()
	me := new(int)
	v.line = append(v.line, me)
	defer func() {
		v.line = slices.DeleteFunc(v.line, func(o *int) bool { return o == me })
		v.cond.Broadcast()
	}()
	for {
		first := v.line[0] == me
		if v.is("the last to wait goes first") {
			first = v.line[len(v.line)-1] == me
		}
		in := v.ofTask(ctx) && (!f.keyed || v.is("keys run in place, too"))
		switch {
		case in && v.stopping && v.is("a task may submit while it stops"):
			v.accept(f)
			return f, nil
		case v.stopping && !v.is("accepts after Stop") && !v.is("Stop leaves who waits"):
			return nil, errStopped
		case first && v.room() && !(in && v.is("tasks of tasks never queue")):
			v.accept(f)
			if ctx.Err() != nil && v.is("who was let in gives up") {
				return nil, ctx.Err()
			}
			return f, nil
		case in && !v.is("tasks wait like others"):
			v.n.Submitted++
			v.n.Running++
			v.mu.Unlock()
			defer v.mu.Lock()
			if v.is("nobody recovers in place") {
				v.finish(f, f.task(v.ctx), false)
				return f, nil
			}
			v.run(f)
			return f, nil
		case ctx.Err() != nil && !v.is("ctx cannot end a Submit"):
			if v.is("who gives up runs all the same") {
				v.accept(f)
			}
			return nil, ctx.Err()
		}
		v.cond.Wait()
	}
}

// ofTask reports whether ctx is that of a task of v.
func (v *variant) ofTask(ctx context.Context) bool {
	switch {
	case v.is("runs in place for every pool"):
		return ctx.Value(inside{}) != nil
	case v.is("a derived context is a stranger's"):
		return ctx == v.ctx
	}
	return ctx.Value(inside{}) == v
}

func (v *variant) work() {
	stopped := false
	defer func() {
		if !stopped {
			if !v.is("Goexit costs a worker") {
				go v.work()
			}
			return
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.workers--; v.workers == 0 {
			close(v.ended)
		}
	}()
	for {
		f := v.next()
		if f == nil {
			stopped = true
			return
		}
		v.run(f)
	}
}

// next takes the first task whose key is free.
func (v *variant) next() *vfuture {
	v.mu.Lock()
	defer v.mu.Unlock()
	for {
		if v.stopping && v.is("Stop forgets the queue") {
			return nil
		}
		i := slices.IndexFunc(v.list, func(f *vfuture) bool { return !f.keyed || !v.busy[f.key] || v.is("two of a key at a time") })
		if v.is("only the first is looked at") && i > 0 {
			i = -1
		}
		if v.is("the newest first") && i >= 0 {
			for k, f := range v.list {
				if !f.keyed || !v.busy[f.key] {
					i = k
				}
			}
		}
		if i >= 0 {
			f := v.list[i]
			v.list = slices.Delete(v.list, i, i+1)
			if f.keyed {
				v.busy[f.key] = true
				v.seen[f.key] = true
			}
			v.n.Running++
			v.cond.Broadcast()
			if v.is("loses one in a hundred") && v.n.Submitted%100 == 7 {
				v.n.Running--
				continue
			}
			return f
		}
		if v.stopping && len(v.list) == 0 {
			return nil
		}
		v.cond.Wait()
	}
}

func (v *variant) run(f *vfuture) {
	err := errGoexit
	if v.is("Goexit is no error") {
		err = nil
	}
	panicked := false
	defer func() {
		if !v.is("a panic ends the process") {
			if p := recover(); p != nil {
				panicked = true
				err = &vpanic{p, string(debug.Stack())}
				if v.is("a panic has no stack") {
					err = &vpanic{p, ""}
				}
				if v.is("a panic is no error") {
					err = nil
				}
			}
		}
		v.finish(f, err, panicked)
	}()
	ctx := v.ctx
	if f.ctx != nil && v.is("Submit's context is the task's") {
		ctx = context.WithValue(f.ctx, inside{}, v)
	}
	if v.is("tasks know of no end") {
		ctx = context.WithValue(context.Background(), inside{}, v)
	}
	err = f.task(ctx)
}

func (v *variant) finish(f *vfuture, err error, panicked bool) {
	if v.is("told before it is counted") {
		f.resolve(err)
	}
	v.mu.Lock()
	v.n.Running--
	v.n.Done++
	var p *vpanic
	if v.is("a panic's error is a panic") {
		panicked = errors.As(err, &p)
	}
	if panicked && !v.is("panics are not counted") {
		v.n.Panics++
	}
	if f.keyed && !(v.is("a panic keeps its key") && panicked) {
		delete(v.busy, f.key)
	}
	var ahead *vfuture
	if len(v.list) > 0 && v.is("the next task waits behind a callback") {
		ahead, v.list = v.list[0], v.list[1:]
		v.n.Running++
	}
	v.cond.Broadcast()
	v.mu.Unlock()
	f.resolve(err)
	if ahead != nil {
		v.run(ahead)
	}
}

func (f *vfuture) resolve(err error) {
	if f.p.is("the task's error is lost") && err != nil && err != errStopped {
		var p *vpanic
		if !errors.As(err, &p) {
			err = nil
		}
	}
	f.mu.Lock()
	if f.done {
		f.mu.Unlock()
		return
	}
	defer f.mu.Unlock()
	f.done, f.err = true, err
	f.told = f.p.is("a Then passes those before it")
	if !f.p.is("who waits is told last") {
		close(f.end)
	}
	for len(f.then) > 0 {
		now := f.then[0]
		f.then = f.then[1:]
		if f.p.is("callbacks under the future's lock") {
			now(err)
			continue
		}
		f.mu.Unlock()
		now(err)
		f.mu.Lock()
	}
	f.told = true
	if f.p.is("who waits is told last") {
		close(f.end)
	}
}

func (f *vfuture) Wait(ctx context.Context) error {
	if f.p.is("Wait has no context") {
		ctx = context.Background()
	}
	if f.ended() && !f.p.is("Wait takes what comes") {
		return f.err
	}
	select {
	case <-f.end:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *vfuture) ended() bool {
	select {
	case <-f.end:
		return true
	default:
		return false
	}
}

func (f *vfuture) Then(post func(func()) error, done func(error)) {
	call := func(err error) {
		if post == nil && f.p.is("without a post a goroutine calls") {
			go done(err)
			return
		}
		if post == nil || f.p.is("callbacks run on the worker") {
			done(err)
			return
		}
		if post(func() { done(err) }) != nil && f.p.is("a callback runs somewhere") {
			done(err)
		}
	}
	f.mu.Lock()
	if !f.told {
		if f.p.is("one callback only") {
			f.then = nil
		}
		if f.p.is("the last callback first") {
			f.then = append([]func(error){call}, f.then...)
		} else {
			f.then = append(f.then, call)
		}
		f.mu.Unlock()
		return
	}
	f.mu.Unlock()
	if f.p.is("a late callback is forgotten") {
		return
	}
	if f.p.is("a late callback runs here") {
		done(f.err)
		return
	}
	call(f.err)
}

func (v *variant) Stop(ctx context.Context) error {
	v.mu.Lock()
	if v.stopping && v.is("the second Stop panics") {
		defer v.mu.Unlock()
		panic("stopped twice")
	}
	v.stopping = true
	v.cond.Broadcast()
	v.mu.Unlock()
	if v.is("Stop does not wait") {
		return nil
	}
	if v.is("Stop has no deadline") {
		<-v.ended
		return nil
	}
	select {
	case <-v.ended:
		return nil
	case <-ctx.Done():
		v.discard(!v.is("the deadline tells no task"))
		return ctx.Err()
	}
}

func (v *variant) StopNow(ctx context.Context) error {
	v.mu.Lock()
	again := v.stopping
	v.stopping = true
	v.mu.Unlock()
	v.discard(true)
	if again && v.is("the second StopNow does not wait") {
		return nil
	}
	select {
	case <-v.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (v *variant) discard(cancel bool) {
	if cancel {
		v.cancel()
	}
	v.mu.Lock()
	all := v.list
	if v.is("StopNow runs what waits") {
		all = nil
	}
	v.list = v.list[:len(v.list)-len(all)]
	v.n.Discarded += uint64(len(all))
	v.cond.Broadcast()
	for _, f := range all {
		if f.keyed && v.is("a discarded key is remembered") {
			v.busy[f.key] = true
		}
		if v.is("discarded under the lock") {
			f.resolve(errStopped)
		}
	}
	v.mu.Unlock()
	if v.is("who was discarded is not told") {
		return
	}
	for _, f := range all {
		f.resolve(errStopped)
	}
}

func (v *variant) Stats() Stats {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := v.n
	n.Waiting, n.Blocked = len(v.list), len(v.line)
	keys := map[string]bool{}
	for k := range v.busy {
		keys[k] = true
	}
	for _, f := range v.list {
		if f.keyed {
			keys[f.key] = true
		}
	}
	if v.is("keys are never forgotten") {
		keys = v.seen
	}
	n.Keys = len(keys)
	return n
}
