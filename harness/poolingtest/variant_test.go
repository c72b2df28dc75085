package poolingtest

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// fault is one way in which a variant is wrong. It is a word for the reader;
// the code says what each does.
type fault string

// variant is a right pool in another style than the solution's: one lock, a map
// of slices of buffers, and everything counted under the lock. It is slow and
// short. With a fault it is a mutant.
type variant struct {
	o     Options
	fault fault

	mu   sync.Mutex // guards the following, and what buffers say so of
	idle map[int][]*vbuffer
	n    Stats
	out  map[*vbuffer]bool // debug mode
	back []*vbuffer        // debug mode
	all  []*vbuffer        // for a fault
}

type vbuffer struct {
	p      *variant
	all    []byte
	n      int
	owners int // guarded by p.mu
	taken  string
	gone   string
	told   bool // that it was written to late
}

func variantLab(f fault) lab {
	return lab{New: func(o Options) (Pool, error) { return newVariant(o, f) },
		Squares: func(n int) []int { return vSquares(n, f) }, Join: func(parts [][]byte, sep byte) []byte { return vJoin(parts, sep, f) },
		AppendFrame: func(dst, payload []byte) []byte { return vFrame(dst, payload, f) },
		ParseHeader: func(data []byte) (byte, uint32, bool) { return vHeader(data, f) }}
}

func newVariant(o Options, f fault) (Pool, error) {
	if o.MaxIdle < 0 && f != "any bound will do" {
		return nil, errors.New("negative MaxIdle")
	}
	if o.MaxIdle == 0 {
		o.MaxIdle = 64 << 20
	}
	return &variant{o: o, fault: f, idle: map[int][]*vbuffer{}, out: map[*vbuffer]bool{}}, nil
}

func (v *variant) is(f fault) bool { return v.fault == f }

func (v *variant) size(n int) int {
	switch {
	case v.is("exactly what was asked for"):
		return n
	case v.is("one class too large") && n <= maxSize/2:
		return 2 * class(n)
	case v.is("a power of two needs the next one") && n >= minSize && n == class(n) && n < maxSize:
		return 2 * n
	case v.is("oversize is rounded up") && n > maxSize:
		size := maxSize
		for size < n {
			size *= 2
		}
		return size
	}
	return class(n)
}

func (v *variant) Get(n int) Buffer {
	if n < 0 {
		if !v.is("less than nothing is nothing") {
			panic(fmt.Sprintf("Get(%d)", n))
		}
		n = 0
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	size := v.size(n)
	key := size
	if v.is("any buffer will do") {
		key = 0
	}
	var b *vbuffer
	if list := v.idle[key]; len(list) > 0 && !v.is("never lends again") {
		b = list[len(list)-1]
		if !v.is("lends it twice") || len(list) > 1 {
			if !v.is("the stack keeps its slots") {
				list[len(list)-1] = nil
			}
			v.idle[key] = list[:len(list)-1]
		}
		v.n.Hits++
		v.n.Idle -= len(b.all)
		if v.is("Idle counts buffers") {
			v.n.Idle += len(b.all) - 1
		}
	} else {
		b = &vbuffer{p: v, all: make([]byte, size)}
		if size > maxSize {
			v.n.Oversize++
		} else {
			v.n.Misses++
		}
	}
	b.n = n
	b.owners = 1
	if v.is("knows all that it has lent") {
		v.all = append(v.all, b)
	}
	if v.is("returns what it made, too") {
		v.n.Returned++
	}
	v.n.InUse++
	if v.o.Debug {
		if !v.is("debug has no stacks") {
			b.taken = string(debug.Stack())
		}
		v.out[b] = size <= maxSize || !v.is("nobody watches the large ones")
		if !v.out[b] {
			delete(v.out, b)
		}
	}
	return b
}

func (b *vbuffer) Bytes() []byte {
	if b.p.is("Bytes is the whole buffer") {
		return b.all
	}
	return b.all[:b.n]
}

func (b *vbuffer) Cap() int {
	if b.p.is("Cap is the length") {
		return b.n
	}
	return len(b.all)
}

func (b *vbuffer) Resize(n int) {
	if n < 0 || n > len(b.all) {
		if b.p.is("Resize to anything") {
			return
		}
		panic("Resize")
	}
	if b.p.is("Resize clears") && n > b.n {
		clear(b.all[b.n:n])
	}
	b.n = n
	if b.p.is("Resize cuts for good") {
		b.all = b.all[:max(n, 1)]
	}
}

func (b *vbuffer) Retain(n int) {
	if n < 1 && !b.p.is("Retain takes any number") {
		panic("Retain")
	}
	b.p.mu.Lock()
	if b.owners < 1 && !b.p.is("who is no owner may retain") {
		b.p.mu.Unlock()
		b.p.report(b, RetainedLate)
		return
	}
	if b.p.is("Retain adds one") {
		n = 1
	}
	b.owners += n
	b.p.mu.Unlock()
}

func (b *vbuffer) Release() {
	v := b.p
	if v.is("owners without a lock") {
		owners := b.owners
		if owners%8 == 3 {
			time.Sleep(time.Nanosecond)
		}
		b.owners = owners - 1
		if owners != 1 {
			return
		}
		b.owners = 1
	}
	v.mu.Lock()
	if b.owners < 1 {
		if v.is("a second Release is nothing") {
			v.mu.Unlock()
			return
		}
		if !v.is("releases what is not lent") {
			v.mu.Unlock()
			if !v.is("debug does not tell") {
				v.report(b, ReleasedTwice)
			}
			return
		}
		b.owners = 1
	}
	b.owners--
	if b.owners > 0 && !v.is("the first Release gives back") {
		v.mu.Unlock()
		return
	}
	late := v.put(b)
	v.mu.Unlock()
	if late != nil && !v.is("the oldest goes unseen") {
		v.inspect(late)
	}
}

// put stores b, or drops it. It returns a buffer whose poison is to be looked at.
func (v *variant) put(b *vbuffer) (late *vbuffer) {
	v.n.Returned++
	v.n.InUse--
	if v.o.Debug && !v.is("debug lends again") {
		if !v.is("debug has no stacks") {
			b.gone = string(debug.Stack())
		}
		for i := range b.all {
			if !v.is("no poison") && (i < b.n || !v.is("poison for the length only") && !v.is("poison for what is in use")) {
				b.all[i] = poison
			}
		}
		if !v.is("leaks are never forgotten") {
			delete(v.out, b)
		}
		v.back = append(v.back, b)
		if len(v.back) > v.kept() {
			late = v.back[0]
			v.back = append([]*vbuffer(nil), v.back[1:]...)
		}
		return late
	}
	if v.is("Put allocates") {
		box := any(append([]byte(nil), b.all[:1]...))
		defer func() { _ = box }()
	}
	delete(v.out, b)
	keep := len(b.all) <= maxSize || v.is("oversize is kept")
	if v.n.Idle+len(b.all) > v.o.MaxIdle && !v.is("keeps all") {
		keep = false
	}
	if v.is("looks first, stores later") && keep {
		v.mu.Unlock()
		time.Sleep(time.Microsecond)
		v.mu.Lock()
	}
	if !keep {
		v.n.Dropped++
		if v.is("what is dropped is not counted") {
			v.n.Dropped--
		}
		return nil
	}
	key := len(b.all)
	switch {
	case v.is("any buffer will do"):
		key = 0
	case v.is("stored by its length"):
		key = class(b.n)
	}
	v.n.Idle += len(b.all)
	if v.is("Idle counts buffers") {
		v.n.Idle += 1 - len(b.all)
	}
	v.idle[key] = append(v.idle[key], b)
	b.owners = 0
	return nil
}

// kept is how many buffers that were given back are looked at.
func (v *variant) kept() int {
	switch {
	case v.is("debug keeps all"):
		return 1 << 30
	case v.is("debug keeps 1000"):
		return 1000
	}
	return 1024
}

func (v *variant) inspect(b *vbuffer) {
	end := len(b.all)
	if v.is("poison for what is in use") {
		end = b.n
	}
	for _, c := range b.all[:end] {
		if c == poison {
			continue
		}
		v.mu.Lock()
		again := b.told && !v.is("tells it again and again")
		b.told = true
		v.mu.Unlock()
		if !again {
			v.report(b, WrittenLate)
		}
		return
	}
}

func (v *variant) report(b *vbuffer, kind int) {
	if v.o.OnFault == nil && v.o.Debug && v.is("a fault without OnFault is nothing") {
		return
	}
	if !v.o.Debug || v.o.OnFault == nil {
		if v.is("the panic names nobody") {
			panic("fault")
		}
		panic(fmt.Sprintf("fault of kind %d: taken\n%s\nreturned\n%s", kind, b.taken, b.gone))
	}
	v.mu.Lock()
	f := Fault{Kind: kind, Taken: b.taken, Returned: b.gone}
	if v.is("OnFault under the lock") {
		defer v.mu.Unlock()
		v.o.OnFault(f)
		return
	}
	v.mu.Unlock()
	v.o.OnFault(f)
}

func (v *variant) Trim() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.is("Trim does nothing") {
		return
	}
	for size, list := range v.idle {
		if size == maxSize && v.is("Trim forgets a class") {
			continue
		}
		v.n.Dropped += uint64(len(list))
		v.n.Idle -= size * len(list)
		delete(v.idle, size)
	}
}

func (v *variant) Check() {
	v.mu.Lock()
	back := slices.Clone(v.back)
	if v.is("Check looks once") {
		v.back = nil
	}
	v.mu.Unlock()
	if v.is("Check looks at nothing") {
		return
	}
	for _, b := range back {
		v.inspect(b)
	}
	if v.is("cries when all is well") && v.o.Debug && len(back) > 600 {
		v.report(back[0], WrittenLate)
	}
}

func (v *variant) Leaks() (all []Fault) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.is("knows of no leak") {
		return nil
	}
	for b := range v.out {
		all = append(all, Fault{Kind: Leaked, Taken: b.taken})
	}
	return all
}

func (v *variant) Stats() Stats {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.n
}

func vSquares(n int, f fault) []int {
	if f == "grows by append" {
		var all []int
		for i := range n {
			all = append(all, i*i)
		}
		return all
	}
	all := make([]int, n)
	if f == "as many zeros before" {
		all = make([]int, n, 2*n)
	}
	for i := range n {
		if f == "as many zeros before" {
			all = append(all, i*i)
			continue
		}
		all[i] = i * i
	}
	return all
}

func vJoin(parts [][]byte, sep byte, f fault) []byte {
	size := max(0, len(parts)-1)
	for _, p := range parts {
		size += len(p)
	}
	if f == "no room for what is between" {
		size -= max(0, len(parts)-1)
	}
	if f == "nothing at the end needs nothing before it" && len(parts) > 1 && len(parts[len(parts)-1]) == 0 {
		parts = parts[:len(parts)-1]
	}
	if size == 0 && f != "an empty slice for nothing" {
		return nil
	}
	if f == "an empty slice for nothing" {
		size++
	}
	all := make([]byte, 0, size)
	for i, p := range parts {
		if i > 0 {
			all = append(all, sep)
		}
		all = append(all, p...)
	}
	return all
}

func vFrame(dst, payload []byte, f fault) []byte {
	n := len(payload)
	if f == "a frame of its own" {
		dst = append([]byte(nil), dst...)
	}
	if f == "a little-endian length" {
		return append(append(dst, byte(n), byte(n>>8), byte(n>>16), byte(n>>24)), payload...)
	}
	return append(append(dst, byte(n>>24), byte(n>>16), byte(n>>8), byte(n)), payload...)
}

var escaped *[4]byte

func vHeader(data []byte, f fault) (byte, uint32, bool) {
	if len(data) == 5 && f == "a header needs what follows it" {
		return 0, 0, false
	}
	if len(data) < 5 && !(f == "four bytes are enough" && len(data) == 4) {
		return 0, 0, false
	}
	if f == "four bytes are enough" && len(data) == 4 {
		return data[0], 0, true
	}
	if f == "a header on the heap" {
		escaped = &[4]byte{data[1], data[2], data[3], data[4]}
	}
	return data[0], uint32(data[1])<<24 | uint32(data[2])<<16 | uint32(data[3])<<8 | uint32(data[4]), true
}
