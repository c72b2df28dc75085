package partitiontest

import (
	"fmt"
	"sync"

	"github.com/asynclab/asynclab/harness/spec"
)

var stateRules = []spec.Rule[lab]{
	{
		Name: "StateStaysWithItsKey", Group: "state", Points: 2, Section: "Step 4: the state of a key",
		Why: "The state is why order matters: a balance, a last sequence number, a reorder buffer. It must be the same one at each call, for this key alone, and need no lock: one goroutine touches it.",
		Hints: [3]string{
			"Where does a shard keep what belongs to a key, and who reads it?",
			"A map in the shard, used by its goroutine alone: no mutex, no sync.Map. Two keys never share an entry, also when their hashes are equal.",
			"i, known := s.byKey[m.key]; make an entry with a zero state if it is not known; Handle(m.key, &entry.state, m.v).",
		},
		Check: stateStaysWithItsKey,
	},
	{
		Name: "CloseEvictsEveryKey", Group: "state", Points: 2, Section: "Step 4: the state of a key",
		Why: "OnEvict is where a state is saved. If the keys that are left at Close are not shown to it, every restart loses what the busiest keys had.",
		Hints: [3]string{
			"Who saves the state of a key that is in use until the end?",
			"The shard's goroutine, when its queue is empty and it is about to end: OnEvict for each key it has.",
			"case s.closing: for each key: OnEvict(key, &state), evicted++, remove it; then return. Stats.Keys is 0 afterwards.",
		},
		Check: closeEvictsEveryKey,
	},
}

func stateStaysWithItsKey(r *spec.Run, l lab) error {
	const keys, rounds = 3000, 5
	var mu sync.Mutex
	var wrong error // guarded by mu: the first one
	var handled int // guarded by mu
	p, err := open(r, l, Options{Shards: 3, Handle: func(key string, s *State, m Message) {
		mu.Lock()
		defer mu.Unlock()
		handled++
		if want := (State{Count: m.Seq - 1, Last: m.Seq - 1}); *s != want && wrong == nil {
			wrong = spec.Fail("the state as the key's last message has left it, and zero at first",
				"at message %d of key %q it was %+v, not %+v", m.Seq, key, *s, want)
		}
		s.Count++
		s.Last = m.Seq
	}})
	if err != nil {
		return err
	}
	r.Step("%d keys get a message each, %d times; each Handle counts in the key's state", keys, rounds)
	for seq := 1; seq <= rounds; seq++ {
		for k := range keys {
			if err := send(r, p, fmt.Sprint("key", k), seq); err != nil {
				return err
			}
		}
	}
	if err := r.Until("every message to be handled", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return handled == keys*rounds
	}); err != nil {
		return err
	}
	mu.Lock()
	defer mu.Unlock()
	if n := p.Stats().Keys; wrong == nil && n != keys {
		return spec.Fail("Stats.Keys to be 3000", "it is %d", n)
	}
	return wrong
}

func closeEvictsEveryKey(r *spec.Run, l lab) error {
	return bubble(r, func(r *spec.Run) error {
		const keys = 200
		var d diary
		p, err := open(r, l, Options{Shards: 3, Handle: d.handle, OnEvict: d.evict})
		if err != nil {
			return err
		}
		r.Step("send 3 messages to each of %d keys, then Close", keys)
		for seq := 1; seq <= 3; seq++ {
			for k := range keys {
				if err := send(r, p, fmt.Sprint(k), seq); err != nil {
					return err
				}
			}
		}
		if err := p.Close(r.Context()); err != nil {
			return err
		}
		seen := map[string]int{}
		for _, e := range d.all() {
			if e.evicted && e.state != (State{Count: 3, Last: 3}) {
				return spec.Fail("OnEvict to come after the key's last message, with the state it has left", "key %q: %+v", e.key, e.state)
			}
			if e.evicted {
				seen[e.key]++
			}
		}
		for k := range keys {
			if n := seen[fmt.Sprint(k)]; n != 1 {
				return spec.Fail("OnEvict once for each key when Close has returned", "for key \"%d\" it was called %d times", k, n)
			}
		}
		if s := p.Stats(); s.Keys != 0 || s.Evicted != keys {
			return spec.Fail("Stats.Keys to be 0 and Evicted 200 after Close", "Stats says %+v", s)
		}
		return nil
	})
}
