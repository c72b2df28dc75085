package poolingtest

import (
	"sync"
	"testing"

	"github.com/asynclab/asynclab/harness/spec"
)

var shareRules = []spec.Rule[lab]{
	{
		Name: "LastOwnerGivesBack", Group: "owners", Points: 5, Section: step4,
		Why: "A broadcast to a thousand clients is one copy with a thousand owners. It must come back when the slowest of them is done: not before, or it is overwritten under his hands, and not never.",
		Hints: [3]string{
			"1000 clients have the buffer. Which Release gives it back?",
			"Count the owners. Retain adds before the buffer is handed on; the Release that makes it 0 gives it back.",
			"owners atomic.Int32; Get: Store(1); Retain(n): += n; Release: if the new value is 0 { pool.put(b) }",
		},
		Check: lastOwner,
	},
	{
		Name: "OwnersMayRace", Group: "owners", Points: 5, Section: step4,
		Why: "Owners are on different loops and let go at the same moment. If two both see that they are the last, the buffer is in the pool twice, and has two owners from then on.",
		Hints: [3]string{
			"Two owners read the count 2 at the same moment, and both write 1. Who gives it back?",
			"Read and write must be one step: an atomic one.",
			"if b.owners.Add(-1) == 0 { put }, or a loop with CompareAndSwap, which can look at the old value first.",
		},
		Check: ownersRace,
	},
	{
		Name: "ReleasedTwicePanics", Group: "owners", Points: 4, Section: step4,
		Why: "A second Release puts a buffer into the pool that is there already, or takes it from under its next owner. What can be seen must stop at once, near the mistake.",
		Hints: [3]string{
			"What is the number of owners when a buffer is in the pool?",
			"0. Whoever releases or retains then is no owner. Look before you write: a count that went below 0 is spoiled for good.",
			"owners := b.owners.Load(); if owners < 1 { panic(...) }; CompareAndSwap(owners, owners-1)",
		},
		Check: releasedTwice,
	},
}

func lastOwner(r *spec.Run, l lab) error {
	p, err := open(l, Options{})
	if err != nil {
		return err
	}
	r.Step("one buffer with 1000 owners; 999 release it")
	b := p.Get(500)
	copy(b.Bytes(), "to all")
	b.Retain(999)
	for range 999 {
		b.Release()
	}
	other := p.Get(500)
	copy(other.Bytes(), "XXXXXX")
	if s := p.Stats(); s.Returned != 0 || string(b.Bytes()[:6]) != "to all" {
		return spec.Fail("the buffer to be its last owner's", "it holds %q; Stats says %+v", b.Bytes()[:6], s)
	}
	r.Step("the last one releases it")
	b.Release()
	if s := p.Stats(); s.Returned != 1 || s.Idle != 512 {
		return spec.Fail("one buffer of 512 to have come back", "Stats says %+v", s)
	}
	r.Step("lend it again: it has one owner")
	b = p.Get(500)
	b.Release()
	if s := p.Stats(); s.Returned != 2 || s.Hits != 1 {
		return spec.Fail("a buffer that is lent again to have one owner", "Stats says %+v", s)
	}
	r.Step("share and release one 1000 times: nothing is allocated")
	if allocs := testing.AllocsPerRun(1000, func() {
		b := p.Get(500)
		b.Retain(1)
		b.Release()
		b.Release()
	}); allocs > 0 {
		return spec.Fail("no allocation for a buffer that is shared", "%v allocations for each Get, Retain and Release", allocs)
	}
	return nil
}

func ownersRace(r *spec.Run, l lab) error {
	p, err := open(l, Options{})
	if err != nil {
		return err
	}
	const rounds, owners = 3000, 8
	r.Step("%d times: 8 owners retain, look and release at the same time", rounds)
	var work sync.WaitGroup
	lent := make([]chan Buffer, owners)
	for i := range lent {
		lent[i] = make(chan Buffer, 4)
		work.Go(func() {
			for b := range lent[i] {
				b.Retain(1)
				b.Release()
				b.Release()
			}
		})
	}
	for range rounds {
		b := p.Get(1000)
		b.Retain(owners)
		for i := range lent {
			lent[i] <- b
		}
		b.Release()
	}
	for i := range lent {
		close(lent[i])
	}
	work.Wait()
	if s := p.Stats(); s.Returned != rounds || s.InUse != 0 || s.Hits+s.Misses != rounds {
		return spec.Fail("3000 buffers lent, and 3000 that came back", "Stats says %+v", s)
	}
	return nil
}

func releasedTwice(r *spec.Run, l lab) error {
	p, err := open(l, Options{})
	if err != nil {
		return err
	}
	b := p.Get(100)
	if !panics(func() { b.Retain(0) }) || !panics(func() { b.Retain(-1) }) {
		return spec.Fail("Retain(0) and Retain(-1) to panic", "one did not")
	}
	b.Release()
	for _, again := range []struct {
		what string
		f    func()
	}{{"a second Release", b.Release}, {"Retain after the last Release", func() { b.Retain(1) }}, {"a third Release", b.Release}} {
		r.Step("%s", again.what)
		if !panics(again.f) {
			return spec.Fail(again.what+" to panic", "it did not")
		}
	}
	if s := p.Stats(); s.Returned != 1 || s.InUse != 0 || s.Idle != 128 {
		return spec.Fail("one buffer to be in the pool, once", "Stats says %+v", s)
	}
	r.Step("lend it again")
	first, second := p.Get(100), p.Get(100)
	first.Bytes()[0], second.Bytes()[0] = 1, 2
	if first.Bytes()[0] != 1 {
		return spec.Fail("two Gets to give two buffers after a Release too many", "they are the same")
	}
	first.Release()
	if s := p.Stats(); s.Returned != 2 {
		return spec.Fail("its Release to be the last one", "Stats says %+v", s)
	}
	return nil
}
