package eventlooptest

import (
	"bytes"
	"context"
	"runtime"
	"sync"

	"github.com/asynclab/asynclab/harness/spec"
)

// turns watches that callbacks run on one goroutine, one at a time.
type turns struct {
	mu      sync.Mutex // guards the following
	want    string     // the goroutine that called Run
	inside  int
	overlap bool
	strays  int
}

func (t *turns) expect(goroutine string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.want = goroutine
}

// enter marks the begin of a callback; the result marks its end.
func (t *turns) enter() (leave func()) {
	id := goroutine()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inside++
	t.overlap = t.overlap || t.inside > 1
	if id != t.want {
		t.strays++
	}
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.inside--
	}
}

func (t *turns) verdict() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.strays > 0:
		return spec.Fail("every callback on the goroutine that called Run", "%d ran on another", t.strays)
	case t.overlap:
		return spec.Fail("one callback at a time", "two ran at once")
	}
	return nil
}

// goroutine names the calling goroutine: "goroutine 17".
func goroutine() string {
	var buf [64]byte
	stack := buf[:runtime.Stack(buf[:], false)]
	name, _, _ := bytes.Cut(stack, []byte(" ["))
	return string(name)
}

// forced shuts a loop down without waiting for what is owed.
func forced(l Loop) {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	l.Shutdown(now)
}
