package poolingtest

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/asynclab/asynclab/harness/spec"
)

const (
	step1 = "Step 1: sizes, and a stack for each"
	step2 = "Step 2: a bound on what is kept"
	step3 = "Step 3: many goroutines"
)

var getRules = []spec.Rule[lab]{
	{
		Name: "GetFits", Group: "get", Points: 5, Section: step1,
		Why: "What was asked for is what the caller may use, and a size that is a power of two is what can be lent to the next one. Wrong by one class is wrong for every message of that size.",
		Hints: [3]string{
			"Which class has room for 64 bytes, and which for 65?",
			"The class is the number of bits of n-1, from 6 on: 64 has 6, 65 has 7.",
			"classOf(n) = max(bits.Len(uint(max(n,1)-1)), 6) - 6; sizeOf(c) = 64 << c; Bytes() = all[:n]",
		},
		Check: getFits,
	},
	{
		Name: "LendsAgain", Group: "get", Points: 5, Section: step1,
		Why: "That is what a pool is for. And a buffer that was used short must come back as long as it was: its length is the last user's, its size is its own.",
		Hints: [3]string{
			"Get(4096), Resize(10), Release: what does the next Get(4096) find?",
			"Keep the whole slice beside the length that was asked for.",
			"Bytes() returns b.all[:b.n]; Release stores b under the class of len(b.all), not of b.n.",
		},
		Check: lendsAgain,
	},
	{
		Name: "OneOwnerAtATime", Group: "get", Points: 5, Section: step3,
		Why: "Two who write into the same buffer send each other's messages: the worst fault a server can have, and one that no crash tells you of.",
		Hints: [3]string{
			"Two goroutines call Get at the same moment: can both see the same top of your stack?",
			"Take and store under a lock. Make the lock small: one for each of some stacks of a class.",
			"pop: s.mu.Lock(); b := s.top; if b != nil { s.top = b.next; b.next = nil }; s.mu.Unlock()",
		},
		Check: oneOwner,
	},
	{
		Name: "NothingIsAllocated", Group: "get", Points: 5, Section: step1,
		Why: "A pool that allocates for each Put makes the garbage that it was to save. The article's Put takes a slice as an interface, and that is 24 bytes each time.",
		Hints: [3]string{
			"What does your Release make that was not there before?",
			"A slice in an interface is a new header on the heap; a container/list makes a node. A pointer to what is already there makes nothing.",
			"type Buffer struct { all []byte; n int; next *Buffer }: the stack links the buffers themselves.",
		},
		Check: nothingAllocated,
	},
	{
		Name: "OversizePassesBy", Group: "get", Points: 3, Section: step2,
		Why: "One message of 10 MB must not leave 10 MB in the pool, nor 16 MB because of the next power of two: what is rare is made and forgotten.",
		Hints: [3]string{
			"What becomes of a buffer of a megabyte after Release?",
			"Above 64 KiB: make it exactly as large, mark it, and let Release drop it.",
			"if n > MaxSize { return &Buffer{class: none, all: make([]byte, n)} }; put: if class == none { dropped++; return }",
		},
		Check: oversize,
	},
	{
		Name: "CountsAdd", Group: "get", Points: 4, Section: step4,
		Why: "How many are out, how many wait, how often did it help: without these figures you cannot say whether a pool is worth its memory, nor see that something leaks.",
		Hints: [3]string{
			"Which ways are there through Get, and through the last Release?",
			"Get is a hit, a miss or oversize. Returned counts each last Release; dropped are those that are not kept.",
			"InUse = Hits + Misses + Oversize - Returned; Idle is the sum of the sizes of all that are stored.",
		},
		Check: countsAdd,
	},
	{
		Name: "NonsenseIsRefused", Group: "get", Points: 2, Section: step1,
		Why: "A negative size comes from a subtraction that went wrong, near the network. It should be heard of there.",
		Hints: [3]string{
			"What do Get(-1) and Resize(Cap()+1) do?",
			"Both are the caller's mistakes: panic with words. Get(0) is none.",
			"if n < 0 { panic(...) }; if n < 0 || n > len(b.all) { panic(...) }; New refuses a negative MaxIdle with an error",
		},
		Check: nonsense,
	},
}

// class is the size of a buffer for n bytes.
func class(n int) int {
	if n > maxSize {
		return n
	}
	size := minSize
	for size < n {
		size *= 2
	}
	return size
}

// quietly makes a pool with these options.
func open(l lab, o Options) (Pool, error) {
	p, err := l.New(o)
	if err != nil {
		return nil, spec.Fail("New to make a pool", "it returned: %v", err)
	}
	return p, nil
}

// alike holds that b is a buffer for n bytes.
func alike(b Buffer, n int) error {
	if got := len(b.Bytes()); got != n {
		return spec.Fail(fmt.Sprintf("Get(%d) to have %d bytes", n, n), "it has %d", got)
	}
	if got := b.Cap(); got != class(n) {
		return spec.Fail(fmt.Sprintf("Get(%d) to have the capacity %d", n, class(n)), "it has %d", got)
	}
	return nil
}

func getFits(r *spec.Run, l lab) error {
	p, err := open(l, Options{})
	if err != nil {
		return err
	}
	for _, again := range []string{"new buffers", "buffers that came back"} {
		r.Step("Get(n) for n around each power of two: %s", again)
		for size := 1; size <= 2*maxSize; size *= 2 {
			for n := size - 1; n <= size+1; n++ {
				b := p.Get(n)
				if err := alike(b, n); err != nil {
					return err
				}
				b.Resize(b.Cap())
				whole := b.Bytes()
				if len(whole) != b.Cap() {
					return spec.Fail(fmt.Sprintf("%d bytes after Resize(Cap())", b.Cap()), "there are %d", len(whole))
				}
				whole[len(whole)-1] = 1
				b.Release()
			}
		}
	}
	return nil
}

func lendsAgain(r *spec.Run, l lab) error {
	p, err := open(l, Options{})
	if err != nil {
		return err
	}
	for size := minSize; size <= maxSize; size *= 2 {
		r.Step("Get(%d), Resize(10), Release; then Get(%d), 100 times", size, size)
		first := p.Get(size)
		first.Resize(10)
		first.Release()
		for range 100 {
			b := p.Get(size - 1)
			if err := alike(b, size-1); err != nil {
				return err
			}
			b.Resize(3)
			b.Release()
		}
	}
	if s := p.Stats(); s.Misses != 11 || s.Hits != 1100 {
		return spec.Fail("11 buffers to be made, and lent again 1100 times", "Stats says %+v", s)
	}
	r.Step("Resize(10), Resize(1000): what was in the buffer stays")
	long := p.Get(1000)
	long.Bytes()[999] = 'x'
	long.Resize(10)
	long.Resize(1000)
	if c := long.Bytes()[999]; c != 'x' {
		return spec.Fail("byte 999 to be as it was", "it was cleared: %#x", c)
	}
	long.Release()
	r.Step("10 at the same time, of one size")
	var all []Buffer
	for i := range 10 {
		b := p.Get(1000)
		b.Bytes()[0] = byte(i)
		all = append(all, b)
	}
	for i, b := range all {
		if b.Bytes()[0] != byte(i) {
			return spec.Fail("10 buffers that are lent at the same time to be different", "number %d has another one's byte", i)
		}
		b.Release()
	}
	return nil
}

// oneOwner has goroutines write their own mark and see whether it stays.
func oneOwner(r *spec.Run, l lab) error {
	p, err := open(l, Options{})
	if err != nil {
		return err
	}
	r.Step("8 goroutines get, mark, look and release, 20,000 times each")
	var wrong atomic.Int64
	var work sync.WaitGroup
	for g := range 8 {
		work.Go(func() {
			for i := range 20_000 {
				b := p.Get(64 << (i % 3))
				data := b.Bytes()
				data[0], data[len(data)-1] = byte(g), byte(i)
				if i%16 == 0 {
					runtime.Gosched()
				}
				if data[0] != byte(g) || data[len(data)-1] != byte(i) {
					wrong.Add(1)
				}
				b.Release()
			}
		})
	}
	work.Wait()
	if n := wrong.Load(); n > 0 {
		return spec.Fail("a buffer to have one owner at a time", "%d times another one's bytes were in it", n)
	}
	if s := p.Stats(); s.InUse != 0 || s.Returned != 160_000 {
		return spec.Fail("160,000 buffers to have come back", "Stats says %+v", s)
	}
	return nil
}

func nothingAllocated(r *spec.Run, l lab) error {
	p, err := open(l, Options{})
	if err != nil {
		return err
	}
	for _, n := range []int{64, 4096, 60_000} {
		r.Step("Get(%d) and Release, 1000 times", n)
		for range 100 { // warm
			p.Get(n).Release()
		}
		if allocs := testing.AllocsPerRun(1000, func() {
			p.Get(n).Release()
		}); allocs > 0 {
			return spec.Fail("no allocation for a buffer that is lent again", "%v allocations for each Get(%d) and Release", allocs, n)
		}
	}
	return nil
}

func oversize(r *spec.Run, l lab) error {
	p, err := open(l, Options{})
	if err != nil {
		return err
	}
	for _, n := range []int{maxSize + 1, 1_000_000} {
		r.Step("Get(%d), Release", n)
		b := p.Get(n)
		if err := alike(b, n); err != nil {
			return err
		}
		b.Release()
	}
	if s := p.Stats(); s.Idle != 0 || s.Oversize != 2 || s.Dropped != 2 || s.Misses != 0 {
		return spec.Fail("2 oversize buffers that are not kept", "Stats says %+v", s)
	}
	return nil
}

func countsAdd(r *spec.Run, l lab) error {
	p, err := open(l, Options{MaxIdle: 3 * 4096})
	if err != nil {
		return err
	}
	want := func(when string, s Stats) error {
		if got := p.Stats(); got != s {
			return spec.Fail(fmt.Sprintf("Stats %s to be %+v", when, s), "it is %+v", got)
		}
		return nil
	}
	r.Step("get 5 of 4096, release 4; MaxIdle has room for 3")
	var all []Buffer
	for range 5 {
		all = append(all, p.Get(4096))
	}
	for _, b := range all[:4] {
		b.Release()
	}
	if err := want("after 4 of 5 came back", Stats{Misses: 5, Returned: 4, Dropped: 1, InUse: 1, Idle: 3 * 4096}); err != nil {
		return err
	}
	r.Step("get 2 of 4000 and one of 100,000; share one of them")
	b := p.Get(4000)
	p.Get(4000)
	p.Get(100_000).Release()
	b.Retain(2)
	b.Release()
	if err := want("with 3 lent", Stats{Hits: 2, Misses: 5, Oversize: 1, Returned: 5, Dropped: 2, InUse: 3, Idle: 4096}); err != nil {
		return err
	}
	p.Trim()
	return want("after Trim", Stats{Hits: 2, Misses: 5, Oversize: 1, Returned: 5, Dropped: 3, InUse: 3})
}

// panics reports whether f does.
func panics(f func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	f()
	return false
}

func nonsense(r *spec.Run, l lab) error {
	if _, err := l.New(Options{MaxIdle: -1}); err == nil {
		return spec.Fail("New to refuse MaxIdle -1", "it returned no error")
	}
	p, err := open(l, Options{})
	if err != nil {
		return err
	}
	b := p.Get(0)
	if err := alike(b, 0); err != nil {
		return err
	}
	for what, f := range map[string]func(){
		"Get(-1)": func() { p.Get(-1) }, "Resize(65)": func() { b.Resize(65) }, "Resize(-1)": func() { b.Resize(-1) },
	} {
		if !panics(f) {
			return spec.Fail("nonsense to panic", "%s of a buffer of 64 did not", what)
		}
	}
	return nil
}
