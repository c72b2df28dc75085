package retrytest

import (
	"errors"
	"fmt"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var keyRules = []spec.Rule[lab]{
	{
		Name: "KeysAreWorkedOnce", Group: "keys", Points: 2, Section: step9,
		Why: "This is what makes a write safe to repeat: however often it comes, from whichever connection or session, it is done once, and everybody gets the same answer.",
		Hints: [3]string{
			"Where is the answer, when the key comes a second time?",
			"In a map by key, for the whole server. The handler's error is an answer, too: it was done, and failed.",
			"if first := jobs[key]; first != nil { answer with first.status, first.answer }",
		},
		Check: keysOnce,
	},
	{
		Name: "TwinsShareTheWork", Group: "keys", Points: 2, Section: step9,
		Why: "Retries come because the first try is slow: so the second one comes while the first still runs. A map of finished work alone does everything twice in exactly this case.",
		Hints: [3]string{
			"When must the key be in the map?",
			"Before the handler is called. Whoever comes meanwhile waits for the same answer.",
			"jobs[key] = j, then run; join: first.asked = append(first.asked, asker{p, id})",
		},
		Check: twinsShare,
	},
	{
		Name: "RefusalsFreeTheKey", Group: "keys", Points: 1, Section: step9,
		Why: "A call that was refused was not done. If its key remembers the refusal, every retry gets it again: busy for ten minutes.",
		Hints: [3]string{
			"Which outcomes are answers?",
			"Done and failed. Busy and expired mean that nothing was done: forget the key.",
			"finished(j, keep = status is done or failed)",
		},
		Check: refusalsFree,
	},
	{
		Name: "KeysAreForgotten", Group: "keys", Points: 1, Section: step9,
		Why: "A key for each payment, for ever, is a memory leak with a business case.",
		Hints: [3]string{
			"Which keys may you forget, and when?",
			"Those that are done, the oldest first: above Keys of them, or at KeyAge. Never one that runs.",
			"for len(done) > most || now - done[0].doneAt >= age { delete(jobs, done[0].key); ... }",
		},
		Check: keysForgotten,
	},
	{
		Name: "OneKeyOneRequest", Group: "keys", Points: 1, Section: step9,
		Why: "Two payments with the same key: the second one would get the receipt of the first, and nobody would notice.",
		Hints: [3]string{
			"How do you know that it is the same request?",
			"By its body: keep a hash of it. Another one under the same key is an error, and is not worked on.",
			"if first.sum != maphash.Bytes(seed, body) { status failed, with a text }",
		},
		Check: oneKey,
	},
}

func keysOnce(r *spec.Run, l lab) error {
	m, works, err := open(r, l, ServerOptions{})
	if err != nil {
		return err
	}
	a, err := m.join(0, 0)
	if err != nil {
		return err
	}
	b, err := m.join(0, 0)
	if err != nil {
		return err
	}
	r.Step("a call with a key; again on the same session, and on another one; one whose handler fails")
	id, err := a.call("pay", key("k1"))
	if err != nil {
		return err
	}
	w, err := m.worked(works, "pay")
	if err != nil {
		return err
	}
	m.calm = works
	w.reply([]byte("receipt 7"), nil)
	if err := first(a.answered(id, done, "receipt 7"), a.ask("pay", done, "receipt 7", key("k1")), b.ask("pay", done, "receipt 7", key("k1"))); err != nil {
		return err
	}
	m.calm = nil
	if id, err = b.call("fail", key("k2")); err != nil {
		return err
	}
	if w, err = m.worked(works, "fail"); err != nil {
		return err
	}
	m.calm = works
	w.reply(nil, errors.New("no money"))
	if err := first(b.answered(id, failed, "no money"), a.ask("fail", failed, "no money", key("k2"))); err != nil {
		return err
	}
	n := m.srv.Stats()
	return first(must("Stats().Worked", 2, n.Worked), must("Stats().Duplicates", 3, n.Duplicates), must("Stats().Keys", 2, n.Keys))
}

func twinsShare(r *spec.Run, l lab) error {
	m, works, err := open(r, l, ServerOptions{MaxRunning: 1})
	if err != nil {
		return err
	}
	a, err := m.join(0, 0)
	if err != nil {
		return err
	}
	b, err := m.join(0, 0)
	if err != nil {
		return err
	}
	r.Step("a call with a key runs; the same comes three times more; then another call, which waits, and the same again")
	w, err := m.asks(works, a, "pay", key("k"))
	if err != nil {
		return err
	}
	for _, g := range []*guest{a, a, b} {
		if _, err := g.call("pay", key("k")); err != nil {
			return err
		}
	}
	for range 2 {
		if _, err := b.call("next", key("n")); err != nil {
			return err
		}
	}
	if err := m.until("the twins to be with the server", func(n ServerStats) bool { return n.Duplicates == 4 && n.Waiting == 1 || n.Waiting > 1 }); err != nil {
		return err
	}
	n := m.srv.Stats()
	if err := first(must("Stats().Duplicates", 4, n.Duplicates), must("Stats().Waiting", 1, n.Waiting)); err != nil {
		return err
	}
	w.reply([]byte("receipt"), nil)
	for id := range uint64(3) {
		if err := a.answered(id+1, done, "receipt"); err != nil {
			return err
		}
	}
	if err := b.answered(1, done, "receipt"); err != nil {
		return err
	}
	if w, err = m.worked(works, "next"); err != nil {
		return err
	}
	w.reply([]byte("n"), nil)
	return first(b.answered(2, done, "n"), b.answered(3, done, "n"), must("Stats().Worked", 2, m.srv.Stats().Worked))
}

func refusalsFree(r *spec.Run, l lab) error {
	m, works, err := open(r, l, ServerOptions{MaxRunning: 1, MaxWaiting: 1})
	if err != nil {
		return err
	}
	g, err := m.join(0, 0)
	if err != nil {
		return err
	}
	r.Step("one runs, one with a key waits, one with a key is refused; the one that waits is too late; the handler refuses some itself, and each has a twin")
	w, err := m.asks(works, g, "runs")
	if err != nil {
		return err
	}
	if _, err := g.call("late", key("l"), left(1000)); err != nil {
		return err
	}
	if err := g.ask("busy", busy, "", key("b")); err != nil {
		return err
	}
	m.pass(time.Second)
	w.reply(nil, nil)
	if err := first(g.answered(1, done, ""), g.answered(2, expired, "")); err != nil {
		return err
	}
	twins := uint64(0)
	for _, c := range []struct{ body, key string }{{"late", "l"}, {"busy", "b"}} {
		for _, answer := range []error{l.Errors.Busy, nil} {
			id, err := g.call(c.body, key(c.key))
			if err != nil {
				return err
			}
			if w, err = m.worked(works, c.body); err != nil {
				return err
			}
			twin, err := g.call(c.body, key(c.key))
			if err != nil {
				return err
			}
			if err := m.until("the twin to have joined", func(n ServerStats) bool { return n.Duplicates == twins+1 }); err != nil {
				return err
			}
			twins++
			w.reply(nil, answer)
			status := byte(done)
			if answer != nil {
				status = busy
			}
			if err := first(g.answered(id, status, ""), g.answered(twin, status, "")); err != nil {
				return err
			}
		}
	}
	return nil
}

func keysForgotten(r *spec.Run, l lab) error {
	m, _, err := open(r, l, ServerOptions{Handle: echo, Keys: 10, KeyAge: time.Minute})
	if err != nil {
		return err
	}
	g, err := m.join(0, 0)
	if err != nil {
		return err
	}
	r.Step("Keys 10, KeyAge 1 min; 30 keys, a second apart")
	worked := uint64(0)
	ask := func(n int, fresh bool, when string) error {
		if err := g.ask(fmt.Sprint("q", n), done, fmt.Sprint("q", n), key(fmt.Sprint("k", n))); err != nil {
			return err
		}
		if fresh {
			worked++
		}
		if got := m.srv.Stats().Worked; got != worked {
			return spec.Fail(fmt.Sprintf("key %d to be worked on anew %s: %v", n, when, fresh), "%d calls were worked on, and not %d", got, worked)
		}
		return nil
	}
	for n := range 30 {
		if err := ask(n, true, "the first time"); err != nil {
			return err
		}
		if k := m.srv.Stats().Keys; k > 10 {
			return spec.Fail("at most 10 keys", "there are %d", k)
		}
		m.pass(time.Second)
	}
	for n := 29; n >= 20; n-- {
		if err := ask(n, false, "when it is one of the last ten"); err != nil {
			return err
		}
	}
	r.Step("51 s later, key 20 is a minute old, key 21 is not")
	m.pass(51*time.Second - time.Second)
	if err := first(ask(20, true, "when it is as old as KeyAge"), ask(21, false, "a second before that"),
		ask(0, true, "when there were too many"), ask(20, false, "at once")); err != nil {
		return err
	}
	r.Step("another server, Keys 1: a call with a key is done, three others run")
	m, works, err := open(r, l, ServerOptions{Keys: 1})
	if err != nil {
		return err
	}
	if g, err = m.join(0, 0); err != nil {
		return err
	}
	var w work
	for i, k := range []string{"done", "a", "b", "c"} {
		if _, err := g.call(k, key(k)); err != nil {
			return err
		}
		if w, err = m.worked(works, k); err != nil {
			return err
		}
		if i == 0 {
			w.reply([]byte("ok"), nil)
			if err := g.answered(1, done, "ok"); err != nil {
				return err
			}
		}
	}
	m.calm = works
	return g.ask("done", done, "ok", key("done"))
}

func oneKey(r *spec.Run, l lab) error {
	m, works, err := open(r, l, ServerOptions{})
	if err != nil {
		return err
	}
	g, err := m.join(0, 0)
	if err != nil {
		return err
	}
	r.Step("a key, for one request while it runs and when it is done, and for another one")
	w, err := m.asks(works, g, "pay 10", key("k"))
	if err != nil {
		return err
	}
	m.calm = works
	for round := range 2 {
		id, err := g.call("pay 20", key("k"))
		if err != nil {
			return err
		}
		f, err := g.next("an answer to the second request")
		if err != nil {
			return err
		}
		if f.kind != reply || f.id != id || f.status != failed || f.body == "" {
			return spec.Fail("the status failed, with a text, for another request under the same key", "there came: %v", f)
		}
		if round == 0 {
			w.reply([]byte("receipt 10"), nil)
			if err := g.answered(1, done, "receipt 10"); err != nil {
				return err
			}
		}
	}
	return first(g.ask("pay 10", done, "receipt 10", key("k")), must("Stats().Worked", 1, m.srv.Stats().Worked))
}
