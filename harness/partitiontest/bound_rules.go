package partitiontest

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var boundRules = []spec.Rule[lab]{
	{
		Name: "MaxKeysHolds", Group: "bound", Points: 3, Section: "Step 7: a bound on keys",
		Why: "IdleAfter bounds memory by time; a flood of new keys does not wait for it. At the bound the least useful key goes, which is the one that was not used for the longest time, and its state is shown to OnEvict like any other's.",
		Hints: [3]string{
			"A new key, and the table is full. Which one goes?",
			"Your list is in the order of use already: the head goes. Each shard has MaxKeys/Shards, so that no shard has to ask another.",
			"In handle: if the key is not known and len(byKey) >= max, evict the head first; then add. Using a key moves it to the tail.",
		},
		Check: maxKeysHolds,
	},
	{
		Name: "AMillionKeysFit", Group: "bound", Points: 2, Section: "Step 7: a bound on keys",
		Why: "A million keys through a bound of ten thousand must cost what ten thousand cost, whatever the table, the list and the queues do with those that have gone. The article's design would take 20 GB.",
		Hints: [3]string{
			"990,000 keys have come and gone. What still knows them?",
			"Something beside the table: a list of all keys, a slice that only grows by append, free entries that are not used again.",
			"remove: delete(byKey, key); clear the entry, so that the key's bytes are free; put it on a free list that add looks at first.",
		},
		Check: aMillionKeysFit, Deadline: 5 * time.Minute, // two million locks, with the race detector, beside others
	},
}

func maxKeysHolds(r *spec.Run, l lab) error {
	if err := leastRecentlyUsedGoes(r, l); err != nil {
		return err
	}
	const bound = 50
	return bubble(r, func(r *spec.Run) error {
		var most atomic.Int64
		var opened atomic.Pointer[judged]
		p, err := open(r, l, Options{Shards: 4, MaxKeys: bound, Handle: func(string, *State, Message) {
			most.Store(max(most.Load(), int64((*opened.Load()).Stats().Keys)))
		}})
		if err != nil {
			return err
		}
		opened.Store(&p)
		r.Step("MaxKeys is %d on 4 shards; send to 2000 keys", bound)
		for k := range 2000 {
			if err := send(r, p, fmt.Sprint(k), 1); err != nil {
				return err
			}
		}
		synctest.Wait()
		if s := p.Stats(); most.Load() > bound || s.Keys > bound || s.Keys < bound-4 || s.Evicted != uint64(2000-s.Keys) {
			return spec.Fail("at most 50 keys at any time, the parts of the shards full in the end, all others evicted", "there were up to %d, and Stats says %+v", most.Load(), s)
		}
		return nil
	})
}

func leastRecentlyUsedGoes(r *spec.Run, l lab) error {
	return bubble(r, func(r *spec.Run) error {
		var d diary
		p, err := open(r, l, Options{Shards: 1, MaxKeys: 6, Handle: d.handle, OnEvict: d.evict})
		if err != nil {
			return err
		}
		r.Step("MaxKeys is 6; send to a b c d e f, to a c f again, then to the new keys x y z w")
		for _, key := range []string{"a", "b", "c", "d", "e", "f", "a", "c", "f", "x", "y", "z", "w"} {
			if err := send(r, p, key, 1); err != nil {
				return err
			}
		}
		synctest.Wait()
		var gone []string
		for _, e := range d.evictions() {
			gone = append(gone, fmt.Sprint(e.key, e.state.Count))
		}
		if fmt.Sprint(gone) != "[b1 d1 e1 a2]" {
			return spec.Fail("the keys not used for the longest time to go, with their counts: b1 d1 e1 a2", "evicted were %v", gone)
		}
		return nil
	})
}

func aMillionKeysFit(r *spec.Run, l lab) error {
	const keys, bound, allowed = 1_000_000, 10_000, 8 << 20
	var handled atomic.Int64
	p, err := open(r, l, Options{Shards: 2, MaxKeys: bound, Handle: func(string, *State, Message) { handled.Add(1) }})
	if err != nil {
		return err
	}
	empty := heap()
	r.Step("send one message to each of %d keys; MaxKeys is %d", keys, bound)
	took := func() error {
		if took := heap() - empty; took > allowed {
			return spec.Fail("a million keys through a bound of 10,000 to take less than 8 MB", "they take %d MB", took>>20)
		}
		return nil
	}
	for k := range keys {
		if err := send(r, p, "user-"+strconv.Itoa(k), 1); err != nil {
			return err
		}
		if k%100_000 == 0 {
			if err := took(); err != nil {
				return err
			}
		}
	}
	if err := r.Until("every message to be handled", func() bool { return handled.Load() == keys }); err != nil {
		return err
	}
	if s := p.Stats(); s.Keys > bound || s.Evicted < keys-bound {
		return spec.Fail("at most 10000 keys", "Stats says %+v", s)
	}
	return took()
}
