package poolingtest

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/asynclab/asynclab/harness/spec"
)

const (
	step5 = "Step 5: find who did it"
	step6 = "Step 6: allocate once, or not at all"
)

var debugRules = []spec.Rule[lab]{
	{
		Name: "DebugFindsDoubleRelease", Group: "debug", Points: 5, Section: step5,
		Why: "Without Debug the second Release is found only while nobody has been lent the buffer; on a busy server somebody has. With it, every one is found, and the stack that took the buffer says whose it was.",
		Hints: [3]string{
			"The buffer was released, and lent to another at once. How would you tell a second Release from his first?",
			"In debug mode a buffer is lent once only: its struct stays its own for ever.",
			"put with Debug: do not store it. Get with Debug: debug.Stack() into a note of the buffer.",
		},
		Check: debugDouble,
	},
	{
		Name: "DebugFindsLateWrites", Group: "debug", Points: 5, Section: step5,
		Why: "Use after Put is the fault that pools bring into a language without it: somebody keeps a slice, and writes into another one's message. Poison shows who.",
		Hints: [3]string{
			"How do you see that somebody has written to memory that is nobody's?",
			"Fill it with a byte that you know, and look later whether it is still there.",
			"last Release: for i := range b.all { b.all[i] = 0xDB }; keep the last 1024; Check: bytes.Count(b.all, poison) != len(b.all)",
		},
		Check: debugLate,
	},
	{
		Name: "DebugListsLeaks", Group: "debug", Points: 4, Section: step5,
		Why: "A buffer that is not given back is no leak of memory, the collector takes it; but the pool makes a new one each time, and is of no use. At the end of a test, what is still lent has a stack.",
		Hints: [3]string{
			"Which buffers are lent at this moment? Who knows?",
			"A set of them, in debug mode only: in at Get, out at the last Release.",
			"out map[*Buffer]bool under a lock; Leaks: one Fault for each, with the stack that took it",
		},
		Check: debugLeaks,
	},
	{
		Name: "DebugIsQuiet", Group: "debug", Points: 3, Section: step5,
		Why: "A checker that cries when all is well is switched off. And it must bear what the pool bears: many goroutines, shared buffers, sizes of all kinds.",
		Hints: [3]string{
			"What does your debug mode say of a buffer that is written to by its owner, or shared by eight?",
			"Poison after the last Release only. And a buffer that is lent must not carry the poison's check any more.",
			"run the rule with -race: the note and the set are under one lock.",
		},
		Check: debugQuiet,
	},
}

// faults keeps what OnFault is told.
type faults struct {
	mu  sync.Mutex
	all []Fault // guarded by mu
}

func (f *faults) add(one Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, one)
}

// only expects one fault of this kind since the last time, with the stacks of
// these functions.
func (f *faults) only(kind int, taken, returned string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.all
	f.all = nil
	name := []string{"released twice", "retained late", "written late", "leaked"}[kind]
	if len(all) != 1 || all[0].Kind != kind {
		return spec.Fail("one fault: "+name, "OnFault got %s", kinds(all))
	}
	return stacks(all[0], name, taken, returned)
}

func kinds(all []Fault) string {
	if len(all) == 0 {
		return "nothing"
	}
	var words []string
	for _, f := range all {
		words = append(words, fmt.Sprintf("kind %d", f.Kind))
	}
	return strings.Join(words, ", ")
}

// stacks holds that a fault has the stacks of these functions of this file.
func stacks(f Fault, name, taken, returned string) error {
	if !strings.Contains(f.Taken, taken) {
		return spec.Fail("the stack that took the buffer, of "+taken+", for: "+name, "it is %.60q", f.Taken)
	}
	if !strings.Contains(f.Returned, returned) {
		return spec.Fail("the stack that gave it back, of "+returned+", for: "+name, "it is %.60q", f.Returned)
	}
	return nil
}

// These are on the stacks that debug mode shows.
//
//go:noinline
func alice(p Pool) Buffer { return p.Get(100) }

//go:noinline
func bob(b Buffer) { b.Release() }

func watched(l lab) (Pool, *faults, error) {
	f := &faults{}
	p, err := open(l, Options{Debug: true, OnFault: f.add})
	return p, f, err
}

func debugDouble(r *spec.Run, l lab) error {
	p, f, err := watched(l)
	if err != nil {
		return err
	}
	r.Step("alice gets a buffer, bob releases it; others get 100 of the same size; bob releases it again")
	b := alice(p)
	bob(b)
	var others []Buffer
	for range 100 {
		others = append(others, p.Get(100))
	}
	b.Release()
	if err := f.only(ReleasedTwice, "poolingtest.alice", "poolingtest.bob"); err != nil {
		return err
	}
	r.Step("and somebody retains it")
	b.Retain(1)
	if err := f.only(RetainedLate, "poolingtest.alice", "poolingtest.bob"); err != nil {
		return err
	}
	for _, o := range others {
		o.Release()
	}
	if len(f.all) > 0 {
		return spec.Fail("nothing about the others", "OnFault got %s", kinds(f.all))
	}
	return debugTells(r, l)
}

// debugTells looks at whom a fault is told: OnFault, which may use the pool, or
// nobody, and then it is a panic.
func debugTells(r *spec.Run, l lab) error {
	r.Step("OnFault asks the pool for its leaks, and for a buffer")
	var p Pool
	told := 0
	p, err := open(l, Options{Debug: true, OnFault: func(Fault) {
		told++
		p.Leaks()
		p.Get(10).Release()
	}})
	if err != nil {
		return err
	}
	b := p.Get(10)
	b.Release()
	if err := r.Call("OnFault to be able to use the pool", func() error { b.Release(); return nil }); err != nil {
		return err
	}
	if told != 1 {
		return spec.Fail("one fault", "OnFault was called %d times", told)
	}
	r.Step("Debug without OnFault")
	if p, err = open(l, Options{Debug: true}); err != nil {
		return err
	}
	b = alice(p)
	bob(b)
	text, ok := panicked(b.Release)
	if !ok {
		return spec.Fail("a fault to be a panic where there is no OnFault", "a second Release did not panic")
	}
	if !strings.Contains(text, "poolingtest.alice") || !strings.Contains(text, "poolingtest.bob") {
		return spec.Fail("the panic to name those who took the buffer and gave it back: alice and bob", "it says %.200q", text)
	}
	return nil
}

// panicked is what f panics with, in words.
func panicked(f func()) (text string, ok bool) {
	defer func() {
		if v := recover(); v != nil {
			text, ok = fmt.Sprint(v), true
		}
	}()
	f()
	return "", false
}

func debugLate(r *spec.Run, l lab) error {
	p, f, err := watched(l)
	if err != nil {
		return err
	}
	b := alice(p)
	kept := b.Bytes()
	bob(b)
	for i, c := range kept {
		if c != poison {
			return spec.Fail("a buffer that was given back to be filled with 0xDB", "byte %d of %d is 0x%X", i, len(kept), c)
		}
	}
	p.Check()
	if len(f.all) > 0 {
		return spec.Fail("nothing about a buffer that nobody has written to", "OnFault got %s", kinds(f.all))
	}
	r.Step("alice has kept the slice of a buffer that bob has released, and writes one byte")
	b = alice(p)
	kept = b.Bytes()
	bob(b)
	for range 500 {
		p.Get(100).Release()
	}
	kept[99] = 'x'
	p.Check()
	if err := f.only(WrittenLate, "poolingtest.alice", "poolingtest.bob"); err != nil {
		return err
	}
	p.Check()
	if len(f.all) > 0 {
		return spec.Fail("a fault to be told once", "OnFault got it again")
	}
	r.Step("2000 buffers of 16 KiB are lent and given back in debug mode: 1024 of them may be kept")
	before := heap()
	for range 2000 {
		p.Get(16 << 10).Release()
	}
	if kept := heap() - before; kept > 26<<20 {
		return spec.Fail("debug mode to keep 1024 buffers at most", "%d MiB are in use", kept>>20)
	}
	runtime.KeepAlive(p)
	return debugLater(r, p, f)
}

// debugLater writes where and when it is easy to overlook.
func debugLater(r *spec.Run, p Pool, f *faults) error {
	r.Step("the part of a buffer that was not in use when it was given back; Check has looked at it before; 1023 others come after it")
	b := alice(p)
	b.Resize(b.Cap())
	kept := b.Bytes()
	b.Resize(1)
	bob(b)
	p.Check()
	if len(f.all) > 0 {
		return spec.Fail("nothing about a buffer that nobody has written to", "OnFault got %s", kinds(f.all))
	}
	for range 1023 {
		p.Get(10).Release()
	}
	kept[len(kept)-1] = 0
	p.Check()
	if err := f.only(WrittenLate, "poolingtest.alice", "poolingtest.bob"); err != nil {
		return err
	}
	r.Step("again one byte; nobody calls Check, and 1024 others come after it")
	b = alice(p)
	kept = b.Bytes()
	bob(b)
	kept[50] = 0
	for range 1024 {
		p.Get(10).Release()
	}
	return f.only(WrittenLate, "poolingtest.alice", "poolingtest.bob")
}

func debugLeaks(r *spec.Run, l lab) error {
	p, _, err := watched(l)
	if err != nil {
		return err
	}
	r.Step("11 are lent, one of them oversize; 7 come back; alice has one of the rest, twice retained")
	large := p.Get(100_000)
	b := alice(p)
	b.Retain(1)
	b.Release()
	var all []Buffer
	for range 9 {
		all = append(all, p.Get(5000))
	}
	for _, o := range all[:7] {
		o.Release()
	}
	leaks := p.Leaks()
	if len(leaks) != 4 || !slices.ContainsFunc(leaks, func(f Fault) bool { return strings.Contains(f.Taken, "poolingtest.alice") }) {
		return spec.Fail("4 leaks, one of them alice's", "there are %d: %s", len(leaks), kinds(leaks))
	}
	for _, f := range leaks {
		if f.Kind != Leaked {
			return spec.Fail("leaks to be of the kind Leaked", "one is of %s", kinds(leaks))
		}
	}
	b.Release()
	all[7].Release()
	all[8].Release()
	large.Release()
	if n := len(p.Leaks()); n != 0 {
		return spec.Fail("no leak when all have come back", "there are %d", n)
	}
	plain, err := open(l, Options{})
	if err != nil {
		return err
	}
	plain.Get(10)
	plain.Check()
	if n := len(plain.Leaks()); n != 0 {
		return spec.Fail("no list of leaks without Debug", "there are %d", n)
	}
	return nil
}

func debugQuiet(r *spec.Run, l lab) error {
	p, f, err := watched(l)
	if err != nil {
		return err
	}
	r.Step("4 goroutines get, write, share and release 300 buffers each, as they should")
	var work sync.WaitGroup
	for g := range 4 {
		work.Go(func() {
			for i := range 300 {
				b := p.Get(i * 7)
				b.Resize(b.Cap())
				for k := range b.Bytes() {
					b.Bytes()[k] = byte(g)
				}
				b.Retain(1)
				b.Release()
				b.Release()
			}
		})
	}
	work.Wait()
	p.Get(100_000).Release()
	p.Check()
	p.Trim()
	if len(f.all) > 0 {
		return spec.Fail("nothing to be found where all is well", "OnFault got %s", kinds(f.all))
	}
	if s := p.Stats(); s.InUse != 0 || s.Returned != 1201 {
		return spec.Fail("1201 buffers that came back", "Stats says %+v", s)
	}
	return nil
}
