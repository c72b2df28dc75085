package spec

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A Run is one execution of one check. It carries the deadline, the story of
// what was done so far, and what is being waited for, so that a failure can
// tell all three.
type Run struct {
	ctx context.Context
	t   *testing.T // nil while measuring

	mu      sync.Mutex // guards the following
	steps   []string
	waiting string
	cleanup []func()
}

// Context ends at the check's deadline.
func (r *Run) Context() context.Context { return r.ctx }

// Step records what the check does next, for the story a failure tells. Any
// goroutine.
func (r *Run) Step(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps = append(r.steps, fmt.Sprintf(format, args...))
}

// Cleanup runs f when the check has ended, the last one first. Any goroutine.
func (r *Run) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanup = append(r.cleanup, f)
}

// Until waits for cond, asking again every few milliseconds. what completes
// the sentence "expected ...". It fails at the deadline, never by the clock.
func (r *Run) Until(what string, cond func() bool) error {
	defer r.wait(what)()
	pause := time.Millisecond
	for !cond() {
		select {
		case <-r.ctx.Done():
			return Fail(what, "it had not happened by the deadline")
		case <-time.After(pause):
			pause = min(2*pause, 20*time.Millisecond)
		}
	}
	return nil
}

// Go runs f on a new goroutine and returns a channel that gets its result. A
// panic of f becomes an error.
func (r *Run) Go(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- guard(f) }()
	return done
}

// Bubble runs f under testing/synctest: time stands still until every goroutine
// is blocked, so that timeouts are exact and cost nothing. inner takes the
// place of r in f. Real sockets do not work inside.
func (r *Run) Bubble(f func(inner *Run) error) (err error) {
	defer func() {
		// synctest panics on the goroutine that called it, after the bubble's
		// last goroutine has blocked for good.
		if v := recover(); v != nil {
			err = bubbleFailure(err, v)
		}
	}()
	synctest.Test(r.t, func(*testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 24*time.Hour)
		defer cancel()
		inner := &Run{ctx: ctx, t: r.t}
		err = guard(func() error { return f(inner) })
		inner.clean()
		for _, s := range inner.steps {
			r.Step("%s", s)
		}
	})
	return err
}

func bubbleFailure(err error, v any) error {
	text := fmt.Sprint(v)
	switch {
	case err != nil:
		return err // the check's own finding says more
	case strings.Contains(text, "blocked goroutines remain"):
		return Fail("every goroutine to have ended", "some are still blocked, and nothing is left that could wake them")
	case strings.Contains(text, "deadlock"):
		return Fail("progress", "every goroutine is blocked, and nothing is left that could wake one")
	}
	return Fail("no panic", "panic: %s", text)
}

// Wait receives from ch. what completes the sentence "expected ...".
func Wait[T any](r *Run, what string, ch <-chan T) (T, error) {
	defer r.wait(what)()
	select {
	case v := <-ch:
		return v, nil
	case <-r.ctx.Done():
		var zero T
		return zero, Fail(what, "it had not happened by the deadline")
	}
}

// Call runs f, a call into the lab's code, and waits for it to return. what
// completes the sentence "expected ...".
func (r *Run) Call(what string, f func() error) error {
	err, late := Wait(r, what, r.Go(f))
	if late != nil {
		return late
	}
	return err
}

// wait notes what is being waited for; the result takes the note away.
func (r *Run) wait(what string) func() {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.waiting
	r.waiting = what
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.waiting = before
	}
}

func (r *Run) clean() {
	for {
		r.mu.Lock()
		n := len(r.cleanup)
		if n == 0 {
			r.mu.Unlock()
			return
		}
		f := r.cleanup[n-1]
		r.cleanup = r.cleanup[:n-1]
		r.mu.Unlock()
		f()
	}
}

// guard calls f and turns a panic into an error with its stack.
func guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = Fail("no panic", "panic: %v\n%s", v, studentFrames(string(debug.Stack())))
		}
	}()
	return f()
}

// grace is what a check and its cleanup get beyond the deadline, before they
// are given up. A mutant's process makes it shorter.
var grace = 10 * time.Second

// execute runs check with a deadline, then its cleanup. What does not come back
// is given up: its goroutine stays, and hung is set.
func execute(t *testing.T, deadline time.Duration, check func(r *Run) error) outcome {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	r := &Run{ctx: ctx, t: t}
	began := time.Now()
	checked, cleaned := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(cleaned)
		checked <- guard(func() error { return check(r) })
		r.clean()
	}()
	var out outcome
	select {
	case out.err = <-checked:
	case <-time.After(deadline + grace):
		out.hung = true
		out.err = Fail("the check to end within "+deadline.String(), "it hangs; it was waiting for: %s", r.waitingFor())
	}
	out.took = time.Since(began)
	if out.hung || ctx.Err() != nil {
		out.dump = studentFrames(allStacks())
	}
	select {
	case <-cleaned:
	case <-time.After(grace):
		out.hung = true
		if out.err == nil {
			out.err = Fail("everything to end when it is shut down by force", "something hangs: see the goroutines")
			out.dump = studentFrames(allStacks())
		}
	}
	out.steps = r.story()
	return out
}

// story is the steps, those that were repeated told once.
func (r *Run) story() (told []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := 0; i < len(r.steps); {
		times := 1
		for i+times < len(r.steps) && r.steps[i+times] == r.steps[i] {
			times++
		}
		step := r.steps[i]
		if times > 1 {
			step += fmt.Sprintf(" (%d times)", times)
		}
		told = append(told, step)
		i += times
	}
	return told
}

func (r *Run) waitingFor() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting == "" {
		return "a call into the lab's code to return"
	}
	return r.waiting
}

// outcome is what one execution of a check came to.
type outcome struct {
	err   error
	hung  bool
	steps []string
	dump  string // the lab's goroutines, when something waited in vain
	took  time.Duration
}

// notImplemented reports whether the check met a hole of the skeleton: whatever
// a rule says around it, a hole is no wrong answer.
func (o outcome) notImplemented() bool {
	return o.err != nil && strings.Contains(o.err.Error(), "not implemented: ")
}

func allStacks() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

// studentFrames keeps the goroutines that are inside a lab, or, where there is
// none, says so.
func studentFrames(stacks string) string {
	var kept []string
	for _, g := range strings.Split(stacks, "\n\n") {
		if strings.Contains(g, "asynclab/labs/") || strings.Contains(g, "asynclab/solutions/") || strings.Contains(g, "asynclab/capstone") || strings.Contains(g, "_test.") {
			kept = append(kept, g)
		}
		if len(kept) == 8 {
			kept = append(kept, "... and more")
			break
		}
	}
	if len(kept) == 0 {
		return "(no goroutine is inside the lab's code)"
	}
	return strings.Join(kept, "\n\n")
}
