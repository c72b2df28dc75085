package partitiontest

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/asynclab/asynclab/harness/spec"
)

var orderRules = []spec.Rule[lab]{
	{
		Name: "OneKeyKeepsItsOrder", Group: "order", Points: 6, Section: "Step 1: one key, one shard",
		Why: "This is what a partition is for: what one sender does to one account, room or file happens in the order in which it was sent, each thing once. Two goroutines that take messages of one key have already lost it, however short they are apart.",
		Hints: [3]string{
			"Which goroutines can hold a message of this key at the same time?",
			"A channel keeps its order; one goroutine that receives from it does, too. Two goroutines that receive from the same channel do not.",
			"shards[maphash.String(p.seed, key)%uint64(len(shards))]: every message of a key goes into the queue of this shard, and one goroutine empties it: for m := range queue { handle(m) }.",
		},
		Check: oneKeyKeepsItsOrder,
	},
	{
		Name: "EmptyKeyIsAKey", Group: "order", Points: 2, Section: "Step 1: one key, one shard",
		Why: "Messages without a sender, a room or a header arrive with the key \"\". Code that looks at key[0], or takes \"\" for `no key, any shard will do', crashes or mixes them up.",
		Hints: [3]string{
			"Is there anything in your code that treats \"\" in a special way?",
			"A hash of no bytes is a number like any other; a map takes \"\" as a key.",
			"Remove the special case: Shard(\"\") is maphash.String(seed, \"\") % shards, always the same one.",
		},
		Check: emptyKeyIsAKey,
	},
	{
		Name: "KeysSpreadEvenly", Group: "order", Points: 3, Section: "Step 1: one key, one shard",
		Why: "Shards that get twice the keys of others are the ones that everybody waits for. Real keys are alike: they count up, they share a prefix, they are padded with zeros. The hash must use every byte.",
		Hints: [3]string{
			"What does your hash make of user-0000001 and user-0000002? And of the same text turned round?",
			"The length, the first byte, the sum of the bytes: all of them repeat themselves. Go has a good hash in hash/maphash, and a decent one in hash/fnv.",
			"int(maphash.String(p.seed, key) % uint64(shards)). Take the remainder before you convert to int: a negative int has a negative remainder.",
		},
		Check: keysSpreadEvenly,
	},
	{
		Name: "ShardsCannotBeForeseen", Group: "order", Points: 2, Section: "Step 1: one key, one shard",
		Why: "Keys come from outside: names, addresses, headers. Who knows the hash can choose ten thousand of them that all meet on one shard, and everybody else there waits. A seed that is drawn anew makes the choice impossible.",
		Hints: [3]string{
			"Could a stranger with your source code say on which shard the key `bob' will be?",
			"hash/fnv and crc32 have no secret. hash/maphash has a Seed.",
			"seed: maphash.MakeSeed() in New, one for each partition, and maphash.String(p.seed, key).",
		},
		Check: shardsCannotBeForeseen,
	},
	{
		Name: "GoroutinesStayFew", Group: "order", Points: 3, Section: "Step 1: one key, one shard",
		Why: "A goroutine for each key is the obvious way to keep its order, and it makes strangers decide how many goroutines you have: ten thousand keys, ten thousand stacks and queues, for ever.",
		Hints: [3]string{
			"How many goroutines does your partition start, and who decides?",
			"New starts Shards goroutines. Nothing else starts any.",
			"for _, s := range shards { go s.run() } in New, and no go statement in Send.",
		},
		Check: goroutinesStayFew,
	},
	{
		Name: "ShardsRunInParallel", Group: "order", Points: 4, Section: "Step 1: one key, one shard",
		Why: "Order is promised within a key, not between keys: keys of different shards must be able to be in Handle at the same moment, or all the cores but one are idle.",
		Hints: [3]string{
			"Is there a lock, or a goroutine, that every message passes through while it is handled?",
			"Handle is called without any lock, on the goroutine of its shard.",
			"One queue for each shard, and in run: take a message under the shard's lock, unlock, call Handle.",
		},
		Check: shardsRunInParallel,
	},
	{
		Name: "RefusesNonsense", Group: "order", Points: 1, Section: "Step 1: one key, one shard",
		Why: "A configuration that cannot work should be an error where it is written, not a panic in a goroutine an hour later.",
		Hints: [3]string{
			"What happens with Shards: -1? With no Handle?",
			"The comments of Options say what New refuses: no Handle, negative values, a MaxKeys below the number of shards.",
			"if o.Handle == nil { return nil, errors.New(...) }, and the same for negative Shards, Queue, IdleAfter, MaxKeys; after the defaults are filled in: o.MaxKeys > 0 && o.MaxKeys < o.Shards.",
		},
		Check: refusesNonsense,
	},
}

func oneKeyKeepsItsOrder(r *spec.Run, l lab) error {
	const senders, keys, messages = 6, 40, 50
	var d diary
	p, err := open(r, l, Options{Shards: 3, Queue: 16, Handle: d.handle})
	if err != nil {
		return err
	}
	r.Step("%d senders, each with %d keys of its own, send %d messages to each key in turn", senders, keys, messages)
	var sending []<-chan error
	for s := range senders {
		sending = append(sending, r.Go(func() error {
			for seq := 1; seq <= messages; seq++ {
				for k := range keys {
					if err := send(r, p, fmt.Sprintf("%d/%d", s, k), seq); err != nil {
						return err
					}
				}
			}
			return nil
		}))
	}
	for _, done := range sending {
		if err, late := spec.Wait(r, "every Send to return", done); late != nil || err != nil {
			return first(late, err)
		}
	}
	if err := r.Until("every message to be handled", func() bool { return d.handled() >= senders*keys*messages }); err != nil {
		return err
	}
	for s := range senders {
		for k := range keys {
			if err := d.inOrder(fmt.Sprintf("%d/%d", s, k), messages); err != nil {
				return err
			}
		}
	}
	return nil
}

// first is the first error there is.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func emptyKeyIsAKey(r *spec.Run, l lab) error {
	const messages = 500
	var d diary
	p, err := open(r, l, Options{Shards: 4, Handle: d.handle})
	if err != nil {
		return err
	}
	if a, b := p.Shard(""), p.Shard(""); a != b || a < 0 || a >= 4 {
		return spec.Fail("Shard(\"\") to be one of the 4, always the same", "it was %d, then %d", a, b)
	}
	r.Step("send %d messages to the key \"\"", messages)
	if err := sendAll(r, p, "", 1, messages); err != nil {
		return err
	}
	if err := r.Until("every message to be handled", func() bool { return d.handled() >= messages }); err != nil {
		return err
	}
	return d.inOrder("", messages)
}

func keysSpreadEvenly(r *spec.Run, l lab) error {
	const keys = 16_000
	forms := map[string]func(i int) string{
		"a number that counts up":      strconv.Itoa,
		"a prefix and a padded number": func(i int) string { return fmt.Sprintf("user-%010d", i) },
		"a padded number and a suffix": func(i int) string { return fmt.Sprintf("%010d.example.com", i) },
		"eight bytes of a counter":     func(i int) string { return string(binary.BigEndian.AppendUint64(nil, uint64(i))) },
		"a long run of one letter":     func(i int) string { return strings.Repeat("x", i%4000) + strconv.Itoa(i/4000) },
		"steps of the shard count":     func(i int) string { return strconv.Itoa(i * 8) },
	}
	for _, shards := range []int{1, 7, 8} {
		p, err := open(r, l, Options{Shards: shards, Handle: func(string, *State, Message) {}})
		if err != nil {
			return err
		}
		for form, key := range forms {
			count := make([]int, shards)
			for i := range keys {
				s := p.Shard(key(i))
				if s < 0 || s >= shards {
					return spec.Fail(fmt.Sprintf("Shard to be from 0 to %d", shards-1), "key %q has shard %d", key(i), s)
				}
				count[s]++
			}
			// A good hash stays within 3%, seldom 7%, of the mean.
			mean := keys / shards
			for s, n := range count {
				if n < mean*4/5 || n > mean*6/5 {
					return spec.Fail("each shard to get its part of the keys, within a fifth",
						"of %d keys that are %s, shard %d of %d got %d, not about %d", keys, form, s, shards, n, mean)
				}
			}
		}
	}
	return nil
}

func shardsCannotBeForeseen(r *spec.Run, l lab) error {
	o := Options{Shards: 8, Handle: func(string, *State, Message) {}}
	a, err := open(r, l, o)
	if err != nil {
		return err
	}
	b, err := open(r, l, o)
	if err != nil {
		return err
	}
	r.Step("ask two partitions of 8 shards where 300 keys are")
	for i := range 300 {
		if key := strconv.Itoa(i); a.Shard(key) != b.Shard(key) {
			return nil
		}
	}
	return spec.Fail("two partitions to place keys differently, each by its own seed", "both have all 300 keys on the same shards")
}

func goroutinesStayFew(r *spec.Run, l lab) error {
	const shards, keys = 4, 10_000
	var handled atomic.Int64
	before := runtime.NumGoroutine()
	p, err := open(r, l, Options{Shards: shards, Handle: func(string, *State, Message) { handled.Add(1) }})
	if err != nil {
		return err
	}
	r.Step("send one message to each of %d keys, over %d shards", keys, shards)
	for i := range keys {
		if err := send(r, p, strconv.Itoa(i), 1); err != nil {
			return err
		}
	}
	if err := r.Until("every message to be handled", func() bool { return handled.Load() >= keys }); err != nil {
		return err
	}
	// One for each shard, and some that a right design may have beside them.
	if more := runtime.NumGoroutine() - before; more > 2*shards+4 {
		return spec.Fail("about as many goroutines as shards", "%d keys on %d shards left %d more goroutines", keys, shards, more)
	}
	return nil
}

func shardsRunInParallel(r *spec.Run, l lab) error {
	const shards = 4
	var inside atomic.Int32
	hold := newGate(r)
	p, err := open(r, l, Options{Shards: shards, Handle: func(string, *State, Message) {
		inside.Add(1)
		hold.wait()
	}})
	if err != nil {
		return err
	}
	r.Step("send a message to a key of each of the %d shards; each Handle waits for the others", shards)
	for s := range shards {
		if err := send(r, p, keyOn(p, s, "k"), 1); err != nil {
			return err
		}
	}
	if err := r.Until("all shards to be in Handle at the same time", func() bool { return inside.Load() == shards }); err != nil {
		return spec.Fail("all 4 shards to be in Handle at the same time", "%d were, and the others wait for them", inside.Load())
	}
	return nil
}

func refusesNonsense(r *spec.Run, l lab) error {
	handle := func(string, *State, Message) {}
	for what, o := range map[string]Options{
		"no Handle":                {Shards: 1},
		"Shards: -1":               {Handle: handle, Shards: -1},
		"Queue: -1":                {Handle: handle, Queue: -1},
		"IdleAfter: -1":            {Handle: handle, IdleAfter: -1},
		"MaxKeys: -1":              {Handle: handle, MaxKeys: -1},
		"MaxKeys: 3 with 4 shards": {Handle: handle, Shards: 4, MaxKeys: 3},
	} {
		if p, err := l.New(o); err == nil {
			p.Close(context.Background())
			return spec.Fail("New to refuse "+what, "it returned no error")
		}
	}
	p, err := open(r, l, Options{Handle: handle})
	if err != nil {
		return spec.Fail("New to accept the zero value of all but Handle", "%v", err)
	}
	if n := p.Stats().Shards; n != runtime.GOMAXPROCS(0) {
		return spec.Fail("Shards: 0 to mean runtime.GOMAXPROCS(0)", "Stats says %d", n)
	}
	for i := range 1000 {
		if s := p.Shard(strconv.Itoa(i)); s < 0 || s >= runtime.GOMAXPROCS(0) {
			return spec.Fail("Shards: 0 to mean runtime.GOMAXPROCS(0)", "key %d has shard %d", i, s)
		}
	}
	return nil
}
