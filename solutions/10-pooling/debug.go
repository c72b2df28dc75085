package pooling

import (
	"bytes"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
)

// Poison is what a buffer that was given back is filled with in debug mode.
const Poison = 0xDB

// FaultKind is a mistake of a pool's user.
type FaultKind int

// The kinds of mistakes.
const (
	ReleasedTwice FaultKind = iota // Release by one who is no owner any more
	RetainedLate                   // Retain by one who is no owner any more
	WrittenLate                    // bytes were written after the buffer was given back
	Leaked                         // nobody has given it back
)

// Fault is a mistake, and where it began.
type Fault struct {
	Kind     FaultKind
	Taken    string // the stack that called Get; "" without Debug
	Returned string // the stack that gave it back; "" where none has
}

// String says it in words, with the stacks that are known.
func (f Fault) String() string {
	what := [...]string{
		"a buffer was released twice",
		"a buffer was retained after its last owner had released it",
		"a buffer was written to after it was given back",
		"a buffer was never given back",
	}[f.Kind]
	text := "pooling: " + what
	if f.Taken != "" {
		text += fmt.Sprintf("\ntaken at:\n%s", f.Taken)
	}
	if f.Returned != "" {
		text += fmt.Sprintf("\ngiven back at:\n%s", f.Returned)
	}
	return text
}

// note is what debug mode knows of a buffer.
type note struct { // guarded by watch.mu
	taken, returned string
	told            bool // that it was written to late
}

// quarantine is how many buffers that were given back are watched.
const quarantine = 1024

// watch watches a pool's buffers.
type watch struct {
	onFault func(Fault) // immutable

	mu   sync.Mutex
	out  map[*Buffer]bool // guarded by mu: lent, and not given back
	back []*Buffer        // guarded by mu: given back, poisoned, the oldest first
}

func newWatch(onFault func(Fault)) *watch {
	if onFault == nil {
		onFault = func(f Fault) { panic(f.String()) }
	}
	return &watch{onFault: onFault, out: map[*Buffer]bool{}}
}

// lent notes who has b now.
func (w *watch) lent(b *Buffer) {
	stack := string(debug.Stack())
	w.mu.Lock()
	defer w.mu.Unlock()
	b.note = &note{taken: stack}
	w.out[b] = true
}

// returned poisons b and keeps it for a while, to see whether the poison stays.
// The one that makes room is looked at, and let go.
func (w *watch) returned(b *Buffer) {
	stack := string(debug.Stack())
	for i := range b.all {
		b.all[i] = Poison
	}
	var oldest *Buffer
	w.mu.Lock()
	b.note.returned = stack
	delete(w.out, b)
	w.back = append(w.back, b)
	if len(w.back) > quarantine {
		oldest = w.back[0]
		w.back[0] = nil
		w.back = w.back[1:]
	}
	w.mu.Unlock()
	if oldest != nil {
		w.inspect(oldest)
	}
}

// inspect looks whether b's poison is whole. It tells once.
func (w *watch) inspect(b *Buffer) {
	if bytes.Count(b.all, []byte{Poison}) == len(b.all) {
		return
	}
	w.mu.Lock()
	again := b.note.told
	b.note.told = true
	w.mu.Unlock()
	if !again {
		w.report(b, Fault{Kind: WrittenLate})
	}
}

// report adds the stacks that are known.
func (w *watch) report(b *Buffer, f Fault) {
	w.mu.Lock()
	if b.note != nil {
		f.Taken, f.Returned = b.note.taken, b.note.returned
	}
	w.mu.Unlock()
	w.onFault(f)
}

// Check looks at the last 1024 buffers that were given back, and reports each
// that was written to since: once. Without Debug it does nothing.
func (p *Pool) Check() {
	if p.debug == nil {
		return
	}
	p.debug.mu.Lock()
	back := slices.Clone(p.debug.back) // they stay: somebody may still write to them
	p.debug.mu.Unlock()
	for _, b := range back {
		p.debug.inspect(b)
	}
}

// Leaks returns the buffers that are lent at this moment, each with the stack
// that took it: at the end of a test these are leaks. Without Debug it returns
// none.
func (p *Pool) Leaks() (all []Fault) {
	if p.debug == nil {
		return nil
	}
	p.debug.mu.Lock()
	defer p.debug.mu.Unlock()
	for b := range p.debug.out {
		all = append(all, Fault{Kind: Leaked, Taken: b.note.taken})
	}
	return all
}
