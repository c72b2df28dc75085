package ratelimittest

import (
	"fmt"
	"runtime"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

const step6 = "Step 6: a bucket for each key"

var keyedRules = []spec.Rule[lab]{
	{
		Name: "KeysAreApart", Group: "keyed", Points: 2, Section: step6,
		Why: "One loud address must cost the others nothing.",
		Hints: [3]string{
			"Whose tokens does Allow(7) take?",
			"A map from key to the instant of fullness is enough: 0 is a full bucket, so a new key needs no entry before its first token.",
			"next, ok := k.limit.spend(k.young[key], t, 1); if ok { k.young[key] = next }",
		},
		Check: keysAreApart,
	},
	{
		Name: "FullKeysAreForgotten", Group: "keyed", Points: 3, Section: step6,
		Why: "A map of everybody who ever came grows for ever. A key forgotten too early gets a new, full bucket: whoever changes places with enough others has no limit.",
		Hints: [3]string{
			"When does it make no difference whether a key is known?",
			"A bucket that nobody touched for a whole fill time is full. Walking over a million keys to find them takes too long for one Allow.",
			"Two maps, young and old. Once in a fill time: old = young, young = empty. What was in old has not taken a token for a fill time. A key that takes one moves to young.",
		},
		Check: keysAreForgotten,
	},
	{
		Name: "KeysAreBounded", Group: "keyed", Points: 3, Section: step6,
		Why: "An IPv6 customer has 2^64 addresses. Memory for each is what the attacker wants; a free pass for what does not fit is what he wants more.",
		Hints: [3]string{
			"What becomes of a new key when MaxKeys are remembered?",
			"It must not cost memory, not push out others, and not pass free: let all of them share one bucket.",
			"if !known && len(young)+len(old) >= maxKeys { next, ok := spend(k.crowd, t, 1); ... }",
		},
		Check: keysAreBounded,
	},
}

func keysAreApart(r *spec.Run, l lab) error {
	c := &clock{}
	k, err := l.Keyed(KeyedOptions{Rate: 10, Burst: 3, Now: c.now})
	if err != nil {
		return err
	}
	r.Step("100 keys with a burst of 3 each, key 7 asks a thousand times")
	count(1000, func() bool { return k.Allow(7) })
	for key := range uint64(100) {
		if key == 7 {
			continue
		}
		if err := want(fmt.Sprintf("tokens of key %d", key), 3, count(5, func() bool { return k.Allow(key) })); err != nil {
			return err
		}
	}
	if err := first(want("Delay of a key without tokens", 100*ms, k.Delay(7)), want("Delay of an unknown key", 0, k.Delay(1000))); err != nil {
		return err
	}
	c.after(100 * ms)
	return want("tokens of key 7 after 100 ms", 1, count(3, func() bool { return k.Allow(7) }))
}

func keysAreForgotten(r *spec.Run, l lab) error {
	c := &clock{}
	k, err := l.Keyed(KeyedOptions{Rate: 10, Burst: 10, Now: c.now}) // full in a second
	if err != nil {
		return err
	}
	r.Step("a busy key that takes whatever it can, and 100 new keys every 10 ms, for 10 s; a bucket fills in 1 s")
	busy, key := 0, uint64(1000)
	for at := time.Duration(0); at <= 10*sec; at += 10 * ms {
		c.to(at)
		for range 100 {
			key++
			if !k.Allow(key) {
				return spec.Fail("a new key to be allowed", "one was refused after %v", at)
			}
		}
		busy += count(12, func() bool { return k.Allow(1) })
		if n := k.Len(); n > 20_201 {
			return spec.Fail("at most the 20,000 keys of the last two fill times", "%d are remembered after %v", n, at)
		}
	}
	if err := want("tokens of the busy key in 10 s", 110, busy); err != nil {
		return err
	}

	r.Step("keys that took all, in phases of 100 ms: each has what flowed in since, and no more")
	for phase := range 10 {
		c.after(10 * sec)
		c.after(time.Duration(phase) * 100 * ms)
		count(20, func() bool { return k.Allow(2) })
		for i := range 12 {
			c.after(100 * ms)
			k.Allow(uint64(1<<40 + i)) // somebody else has it look at the time
			if n := count(20, func() bool { return k.Allow(2) }); n != 1 {
				return spec.Fail("1 token in 100 ms", "%d, %d ms after it was emptied", n, 100*(i+1))
			}
		}
		count(20, func() bool { return k.Allow(3) })
		c.after(900 * ms)
		k.Allow(uint64(1 << 41))
		if n := count(20, func() bool { return k.Allow(3) }); n != 9 {
			return spec.Fail("9 tokens 900 ms after key 3 took its 10", "there were %d: it was forgotten too early", n)
		}
	}
	r.Step("nobody for two fill times: nothing is remembered")
	c.after(2 * sec)
	k.Allow(5)
	if err := want("keys after two fill times of silence", 1, k.Len()); err != nil {
		return err
	}
	return first(forgottenInTime(r, l), tableComesBack(r, l))
}

// forgottenInTime has somebody else call Allow at odd times.
func forgottenInTime(r *spec.Run, l lab) error {
	c := &clock{}
	c.after(time.Hour)
	k, err := l.Keyed(KeyedOptions{Rate: 1, Burst: 1, Now: c.now}) // full in a second
	if err != nil {
		return err
	}
	r.Step("key 1 takes a token after 100 ms; key 2 asks after 1900 and 2100 ms")
	c.after(100 * ms)
	k.Allow(1)
	c.after(1800 * ms)
	k.Allow(2)
	c.after(200 * ms)
	k.Allow(2)
	if err := want("keys two fill times after the token of key 1: key 2", 1, k.Len()); err != nil {
		return err
	}
	r.Step("key 2 takes another token 850 ms later")
	c.after(850 * ms)
	k.Allow(2)
	if err := want("keys: key 2, once", 1, k.Len()); err != nil {
		return err
	}
	if k, err = l.Keyed(KeyedOptions{Rate: 1, Burst: 1, Now: c.now}); err != nil {
		return err
	}
	r.Step("key 1 takes a token after 100 ms, and is refused after 1050 ms; key 2 asks after 1900 and 2100 ms, key 3 after 2900 and 4300 ms")
	c.after(100 * ms)
	k.Allow(1)
	c.after(950 * ms)
	if k.Allow(1) {
		return spec.Fail("key 1 to be refused 950 ms after its token", "it was not")
	}
	c.after(850 * ms)
	k.Allow(2)
	c.after(200 * ms)
	k.Allow(2)
	if err := want("keys two fill times after the token of key 1: key 2", 1, k.Len()); err != nil {
		return err
	}
	c.after(800 * ms)
	k.Allow(3)
	c.after(1400 * ms)
	k.Allow(3)
	return want("keys after another token for key 3", 1, k.Len())
}

// tableComesBack looks at the memory of keys that are forgotten.
func tableComesBack(r *spec.Run, l lab) error {
	const many = 100_000
	c := &clock{}
	k, err := l.Keyed(KeyedOptions{Rate: 1, Burst: 1, Now: c.now})
	if err != nil {
		return err
	}
	r.Step("%d keys, and two more, a second apart each", many)
	before := heap()
	for key := range uint64(many) {
		k.Allow(key)
	}
	full := heap() - before
	for key := range uint64(4) {
		c.after(sec)
		k.Allow(many + key)
	}
	left := heap() - before
	runtime.KeepAlive(k)
	if left > full/4 {
		return spec.Fail("the memory of forgotten keys to come back", "%d keys took %d KB; they are forgotten, and %d KB are still taken", many, full>>10, left>>10)
	}
	return nil
}

func keysAreBounded(r *spec.Run, l lab) error {
	c := &clock{}
	k, err := l.Keyed(KeyedOptions{Rate: 10, Burst: 10, MaxKeys: 1000, Now: c.now})
	if err != nil {
		return err
	}
	r.Step("1000 keys are remembered; 10,000 more come")
	passed := 0
	for key := range uint64(1000) {
		if !k.Allow(key) {
			return spec.Fail("1000 keys to be allowed", "key %d was refused", key)
		}
	}
	for key := range uint64(10_000) {
		if k.Allow(1<<32 + key) {
			passed++
		}
	}
	if err := first(want("keys remembered", 1000, k.Len()), want("tokens for 10,000 keys that are too many, which share a bucket", 10, passed)); err != nil {
		return err
	}
	if err := want("Delay of another new key: they share a bucket", 100*ms, k.Delay(1<<34)); err != nil {
		return err
	}
	if err := want("tokens that key 5, which is known, has left", 9, count(20, func() bool { return k.Allow(5) })); err != nil {
		return err
	}
	c.after(2 * sec)
	k.Allow(1)
	if err := want("tokens of a new key when the others were forgotten", 10, count(20, func() bool { return k.Allow(1 << 33) })); err != nil {
		return err
	}
	if _, err := l.Keyed(KeyedOptions{Rate: 1, Burst: 1, MaxKeys: -1}); err == nil {
		return spec.Fail("MaxKeys -1 to be refused", "NewKeyed returned no error")
	}
	return refusesLimits(r, "NewKeyed", func(rate float64, burst int) error {
		_, err := l.Keyed(KeyedOptions{Rate: rate, Burst: burst})
		return err
	})
}
