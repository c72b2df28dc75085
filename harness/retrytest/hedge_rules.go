package retrytest

import (
	"fmt"
	"math/rand/v2"
	"testing/synctest"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var hedgeRules = []spec.Rule[lab]{
	{
		Name: "QuantilesAreExact", Group: "hedge", Points: 1, Section: step6,
		Why: "Hedge at the mean, and half of the calls are sent twice. The tail is what a hedge is for, and only a quantile knows where it begins.",
		Hints: [3]string{
			"Which of a hundred latencies do 95 of them not exceed?",
			"The 95th of them in order of size: rank ceil(q*n), counted from 1. Beware of 0.95*100 in floating point.",
			"keep a sorted copy; sorted[ceil(q*n - 1e-9) - 1]",
		},
		Check: quantilesExact,
	},
	{
		Name: "HedgeAfterTheQuantile", Group: "hedge", Points: 2, Section: step6,
		Why: "A second copy at the 95th percentile costs a twentieth of the load and takes most of the tail away: if it goes to another server, and if the loser is called off.",
		Hints: [3]string{
			"When is the second copy sent, where to, and what happens to the other one when one is answered?",
			"HedgeQuantile of the last HedgeWindow latencies after the first; another endpoint; a cancel frame, and Dropped for its breaker.",
			"finish: for each live attempt: breaker.Dropped(pass); giveUp(a)",
		},
		Check: inTurn(hedgeAfter, hedgeRefused, hedgeCounts, hedgeBusy, hedgeLoses),
	},
	{
		Name: "OnlySafeIsHedged", Group: "hedge", Points: 1, Section: step6,
		Why: "A hedge does a call twice on purpose. A key does not help: another server does not know it.",
		Hints: [3]string{
			"Which calls may be done twice, anywhere?",
			"Those that are Safe. Not those with a Key.",
			"if !f.req.Safe { return }",
		},
		Check: hedgeSafe,
	},
	{
		Name: "HedgesAreBudgeted", Group: "hedge", Points: 1, Section: step6,
		Why: "When the servers get slow because there is too much to do, every call passes the old percentile, and hedging doubles the load. That is how a tail cure becomes an outage.",
		Hints: [3]string{
			"What does a hedge cost?",
			"A token of the same budget that retries are paid from.",
			"if !budget.Spend() { denied++; return }",
		},
		Check: hedgesBudgeted,
	},
	{
		Name: "CallsGoAround", Group: "hedge", Points: 2, Section: step7,
		Why: "Two servers, of which one is gone: whoever keeps asking the dead one loses half of the service, although the other half stands idle.",
		Hints: [3]string{
			"Which endpoint does a call go to, and which one its retry?",
			"In turn, those that are connected and whose breaker lets it through; a retry prefers another one. A call with a key stays where its key is known.",
			"route: connected and not the last one; then connected; then any",
		},
		Check: inTurn(callsAround, keyStays, probeMoves),
	},
}

func quantilesExact(r *spec.Run, l lab) error {
	w, err := l.Latencies(100)
	if err != nil {
		return err
	}
	r.Step("a window of 100; the latencies 1 to 100 ms, shuffled; then 1 to 100 s, and back")
	is := func(when string, q float64, want time.Duration) error {
		if got, ok := w.Quantile(q); !ok || got != want {
			return spec.Fail(fmt.Sprintf("quantile %v %s to be %v", q, when, want), "it is %v, %v", got, ok)
		}
		return nil
	}
	for round, unit := range []time.Duration{time.Millisecond, time.Second, time.Millisecond} {
		for i, k := range rand.Perm(100) {
			if _, ok := w.Quantile(0.5); ok && round == 0 {
				return spec.Fail("no quantile before the window is full", "there is one after %d", i)
			}
			w.Observe(time.Duration(k+1) * unit)
		}
		for q, want := range map[float64]int{0: 1, 0.5: 50, 0.9: 90, 0.95: 95, 0.951: 96, 0.99: 99, 0.999: 100, 1: 100} {
			if err := is("of 1 to 100", q, time.Duration(want)*unit); err != nil {
				return err
			}
		}
	}
	for range 50 {
		w.Observe(7 * time.Millisecond) // in place of the 50 oldest
	}
	left := 0
	for k := range 100 {
		if _, ok := w.Quantile(float64(k) / 100); ok {
			left++
		}
	}
	return first(must("the number of quantiles that there are", 100, left), is("with 50 of 7 ms", 0.25, 7*time.Millisecond))
}

// warm answers calls so that the window of latencies is full: n-1 of 10 ms, and
// one of 50. It leaves the client connected to all endpoints.
func (s *stage) warm(n int) error {
	var links []*link
	for _, e := range s.at {
		k, err := e.link()
		if err != nil {
			return err
		}
		links = append(links, k)
	}
	for i := range n {
		res := s.call(Request{Body: []byte("warm"), Safe: true})
		synctest.Wait()
		wait := 10 * time.Millisecond
		if i == n/2 {
			wait = 50 * time.Millisecond
		}
		time.Sleep(wait)
		for _, k := range links {
			for _, f := range k.take(call) {
				k.answer(f, "ok")
			}
		}
		if err := s.is(res, "while the window fills", "ok"); err != nil {
			return err
		}
	}
	return nil
}

// find is the call that has come to one of the endpoints.
func (s *stage) find(what string) (at int, f frame, err error) {
	at = -1
	for i, e := range s.at {
		k, err := e.link()
		if err != nil {
			return 0, frame{}, err
		}
		for _, got := range k.take(call) {
			if at >= 0 || got.body != what {
				return 0, frame{}, spec.Fail("one call "+what, "there is another: %v", got)
			}
			at, f = i, got
		}
	}
	if at < 0 {
		return 0, frame{}, spec.Fail("the call "+what+" to be sent", "it is not")
	}
	return at, f, nil
}

func (s *stage) none(when string) error {
	for _, e := range s.at {
		k, err := e.link()
		if err != nil {
			return err
		}
		if got := k.take(call); len(got) > 0 {
			return spec.Fail("no call "+when, "there is: %v", got)
		}
	}
	return nil
}

func hedgeAfter(r *spec.Run, l lab) error {
	for _, from := range []string{"the second copy", "the first copy"} {
		if err := hedgeOne(r, l, from); err != nil {
			return err
		}
	}
	return nil
}

// slow makes a call and finds its two copies: the second one comes after d.
func (s *stage) slow(d time.Duration) (res *result, at [2]int, copies [2]frame, err error) {
	res = s.call(Request{Body: []byte("slow"), Safe: true})
	for i := range copies {
		if i == 1 {
			time.Sleep(d - 1)
			if err := s.none(fmt.Sprintf("before %v, the 95th percentile", d)); err != nil {
				return nil, at, copies, err
			}
			time.Sleep(time.Nanosecond)
		}
		if at[i], copies[i], err = s.find("slow"); err != nil {
			return nil, at, copies, err
		}
	}
	return res, at, copies, nil
}

// say sends a reply from an endpoint.
func (s *stage) say(at int, f frame) {
	k, _ := s.at[at].link()
	k.send(f)
}

func hedgeRefused(r *spec.Run, l lab) error {
	for who := range 2 {
		o := Options{HedgeQuantile: 0.95, HedgeWindow: 20, BackoffBase: 100 * time.Millisecond, BackoffCap: 100 * time.Millisecond, Rand: constant(0.5), Attempts: 2}
		err := play(r, l, 2, o, nil, func(s *stage) error {
			if err := s.warm(20); err != nil {
				return err
			}
			r.Step("a slow call; copy %d is refused, and the other one answered; another one, and both are refused: a retry is left, for the hedge does not count", who+1)
			res, at, copies, err := s.slow(10 * time.Millisecond)
			if err != nil {
				return err
			}
			s.say(at[who], frame{kind: reply, id: copies[who].id, status: busy})
			if err := first(s.is(res, "while its other copy is under way", ""), s.none("while the other copy is under way")); err != nil {
				return err
			}
			s.say(at[1-who], frame{kind: reply, id: copies[1-who].id, body: "ok"})
			if err := s.is(res, "when its other copy is answered", "ok"); err != nil {
				return err
			}
			time.Sleep(time.Second)
			if err := s.none("after the answer"); err != nil {
				return err
			}
			if res, at, copies, err = s.slow(10 * time.Millisecond); err != nil {
				return err
			}
			for i, f := range copies {
				s.say(at[i], frame{kind: reply, id: f.id, status: busy})
			}
			if err := s.is(res, "both copies of which are refused", ""); err != nil {
				return err
			}
			time.Sleep(50 * time.Millisecond)
			where, f, err := s.find("slow")
			if err != nil {
				return err
			}
			s.say(where, frame{kind: reply, id: f.id, body: "at last"})
			return first(s.is(res, "", "at last"), must("Stats().Retries", 1, s.c.Stats().Retries), s.idle("at the end"))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func hedgeCounts(r *spec.Run, l lab) error {
	return play(r, l, 2, Options{HedgeQuantile: 0.95, HedgeWindow: 20}, nil, func(s *stage) error {
		if err := s.warm(20); err != nil {
			return err
		}
		r.Step("a slow call is answered by its second copy, 30 ms after the first one and 20 after the second: its latency is 30 ms, and so is the 95th percentile now")
		res, at, copies, err := s.slow(10 * time.Millisecond)
		if err != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
		s.say(at[1], frame{kind: reply, id: copies[1].id, body: "ok"})
		if err := s.is(res, "", "ok"); err != nil {
			return err
		}
		_, _, _, err = s.slow(30 * time.Millisecond)
		return err
	})
}

func hedgeBusy(r *spec.Run, l lab) error {
	return play(r, l, 2, Options{HedgeQuantile: 0.95, HedgeWindow: 20, Attempts: 1}, nil, func(s *stage) error {
		if err := s.warm(20); err != nil {
			return err
		}
		r.Step("twenty calls are refused at once: that is no latency, or hedges would come sooner when there is too much to do")
		for range 20 {
			s.call(Request{Body: []byte("slow"), Safe: true})
			at, f, err := s.find("slow")
			if err != nil {
				return err
			}
			s.say(at, frame{kind: reply, id: f.id, status: busy})
		}
		_, _, _, err := s.slow(10 * time.Millisecond)
		return err
	})
}

func hedgeLoses(r *spec.Run, l lab) error {
	return play(r, l, 2, Options{HedgeQuantile: 0.95, HedgeWindow: 20, BreakerWindow: 4, BreakerOpen: time.Hour, RetryReserve: 100}, nil, func(s *stage) error {
		if err := s.warm(20); err != nil {
			return err
		}
		r.Step("a breaker's window of 4; twelve slow calls, answered by their second copies: who was slower has not failed")
		for range 12 {
			res, at, copies, err := s.slow(10 * time.Millisecond)
			if err != nil {
				return err
			}
			if at[0] == at[1] {
				return spec.Fail("the second copy to go to the other endpoint, whose breaker is closed: who loses to a hedge has not failed", "it went to the same one")
			}
			s.say(at[1], frame{kind: reply, id: copies[1].id, body: "ok"})
			if err := s.is(res, "", "ok"); err != nil {
				return err
			}
		}
		return nil
	})
}

func hedgeOne(r *spec.Run, l lab, from string) error {
	return play(r, l, 2, Options{HedgeQuantile: 0.95, HedgeWindow: 20}, nil, func(s *stage) error {
		r.Step("two endpoints; a window of 20 latencies of 10 ms, but for one of 50: the 95th percentile is 10 ms")
		if err := s.warm(20); err != nil {
			return err
		}
		r.Step("a slow call; %s is answered", from)
		res := s.call(Request{Body: []byte("slow"), Safe: true})
		one, a, err := s.find("slow")
		if err != nil {
			return err
		}
		time.Sleep(10*time.Millisecond - 1)
		if err := s.none("before the 95th percentile"); err != nil {
			return err
		}
		time.Sleep(time.Nanosecond)
		two, b, err := s.find("slow")
		if err != nil {
			return err
		}
		if one == two {
			return spec.Fail("the second copy to go to the other endpoint", "it went to the same one")
		}
		time.Sleep(30 * time.Millisecond)
		if err := s.none("after the second copy"); err != nil {
			return err
		}
		win, lose, answer, other := two, one, b, a
		if from == "the first copy" {
			win, lose, answer, other = one, two, a, b
		}
		kw, _ := s.at[win].link()
		kl, _ := s.at[lose].link()
		kw.answer(answer, from)
		told := kl.take(cancel)
		if len(told) != 1 || told[0].id != other.id {
			return spec.Fail("the other copy to be cancelled", "its server was told %v", told)
		}
		if told := kw.take(cancel); len(told) > 0 {
			return spec.Fail("no cancel for the copy that was answered", "there is %v", told)
		}
		kl.answer(other, "too late")
		n := s.c.Stats()
		return first(s.is(res, "", from), s.idle("after the answer"), must("Stats().Hedges", 1, n.Hedges), must("Stats().Retries", 0, n.Retries))
	})
}

func hedgeSafe(r *spec.Run, l lab) error {
	return play(r, l, 2, Options{HedgeQuantile: 0.95, HedgeWindow: 20}, nil, func(s *stage) error {
		if err := s.warm(20); err != nil {
			return err
		}
		r.Step("a call without Safe or Key, one with a Key; both are slow")
		for _, q := range []Request{{Body: []byte("plain")}, {Body: []byte("keyed"), Key: "k"}} {
			s.call(q)
			if _, _, err := s.find(string(q.Body)); err != nil {
				return err
			}
			time.Sleep(time.Second)
			if err := s.none("beside the first copy of " + string(q.Body)); err != nil {
				return err
			}
		}
		return must("Stats().Hedges", 0, s.c.Stats().Hedges)
	})
}

func hedgesBudgeted(r *spec.Run, l lab) error {
	return play(r, l, 2, Options{HedgeQuantile: 0.95, HedgeWindow: 20, RetryReserve: 5, RetryRatio: 0.1, BreakerWindow: 100_000}, nil, func(s *stage) error {
		if err := s.warm(20); err != nil {
			return err
		}
		r.Step("200 safe calls, all of them slow; reserve 5, ratio 0.1")
		for range 200 {
			s.call(Request{Body: []byte("slow"), Safe: true})
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		sent := 0
		for _, e := range s.at {
			k, err := e.link()
			if err != nil {
				return err
			}
			sent += len(k.take(call))
		}
		if sent > 225 || sent < 220 {
			return spec.Fail("200 calls and 20 to 25 hedges", "there were %d frames", sent)
		}
		n := s.c.Stats()
		if n.Denied == 0 || n.Hedges != uint64(sent-200) {
			return spec.Fail(fmt.Sprintf("Stats with Hedges %d, and Denied above 0", sent-200), "it has %d and %d", n.Hedges, n.Denied)
		}
		return nil
	})
}

func callsAround(r *spec.Run, l lab) error {
	o := Options{AttemptTimeout: 50 * time.Millisecond, BackoffBase: 2 * time.Millisecond, BackoffCap: 2 * time.Millisecond, Rand: constant(0.5), RetryReserve: 100,
		BreakerWindow: 4, BreakerOpen: time.Hour, KeepAlive: time.Hour}
	return play(r, l, 2, o, nil, func(s *stage) error {
		r.Step("two endpoints; safe calls: each of them gets some; the retry of one goes to the other one")
		where := map[int]int{}
		for range 4 {
			res := s.call(Request{Body: []byte("read"), Safe: true})
			at, f, err := s.find("read")
			if err != nil {
				return err
			}
			where[at]++
			time.Sleep(50*time.Millisecond + time.Millisecond)
			then, again, err := s.find("read")
			if err != nil {
				return err
			}
			if then == at {
				return spec.Fail("the retry to go to the other endpoint", "it went to the same one")
			}
			k, _ := s.at[then].link()
			k.answer(again, "ok")
			if err := s.is(res, "", "ok"); err != nil {
				return err
			}
			_ = f
		}
		if where[0] == 0 || where[1] == 0 {
			return spec.Fail("the first attempts of calls to go to both endpoints in turn", "of 4, %d went to endpoint 0 and %d to endpoint 1 (their retries took the turns)", where[0], where[1])
		}
		return nil
	}, func(s *stage) error {
		r.Step("a call with a key and no answer: its retries stay; then the first endpoint is down, and everything goes to the other one")
		res := s.call(Request{Body: []byte("pay"), Key: "k", Timeout: 300 * time.Millisecond})
		at, _, err := s.find("pay")
		if err != nil {
			return err
		}
		time.Sleep(51 * time.Millisecond)
		then, f, err := s.find("pay")
		if err != nil {
			return err
		}
		if then != at {
			return spec.Fail("a call with a key to stay with the endpoint that knows it", "its retry went to the other one")
		}
		k, _ := s.at[at].link()
		k.answer(f, "paid")
		if err := s.is(res, "", "paid"); err != nil {
			return err
		}
		s.at[0].set(func(e *endpoint) { e.down = true })
		gone, _ := s.at[0].link()
		gone.conn.Close()
		synctest.Wait()
		alive, _ := s.at[1].link()
		for range 10 {
			res := s.call(Request{Body: []byte("read")})
			got, err := alive.calls("at the endpoint that is left", "read")
			if err != nil {
				return err
			}
			alive.answer(got[0], "ok")
			if err := s.is(res, "", "ok"); err != nil {
				return err
			}
		}
		return nil
	}, func(s *stage) error {
		r.Step("the first endpoint answers nothing: after 4 timeouts its breaker opens, and everything goes to the other one")
		a, _ := s.at[0].link()
		b, _ := s.at[1].link()
		for range 40 {
			s.call(Request{Body: []byte("read"), Safe: true})
			for _, f := range b.take(call) {
				b.answer(f, "ok")
			}
			time.Sleep(52 * time.Millisecond)
			for _, f := range b.take(call) {
				b.answer(f, "ok")
			}
		}
		if n := len(a.take(call)); n < 4 || n > 5 {
			return spec.Fail("4 calls to the silent endpoint until its breaker opens", "it got %d", n)
		}
		return nil
	}, func(s *stage) error {
		r.Step("both endpoints are down; calls that were sent to none wait, and one of the endpoints comes up")
		for _, e := range s.at {
			e.set(func(e *endpoint) { e.down = true })
			k, err := e.link()
			if err != nil {
				return err
			}
			k.conn.Close()
		}
		synctest.Wait()
		all := []*result{s.call(Request{Body: []byte("waits"), Key: "k1"}), s.call(Request{Body: []byte("waits"), Key: "k2"})}
		for i := range s.at {
			s.at[i].set(func(e *endpoint) { e.down = i == 0 })
		}
		time.Sleep(20 * time.Millisecond)
		k, err := s.at[1].link()
		if err != nil {
			return err
		}
		got, err := k.calls("at the endpoint that came up first", "waits", "waits")
		if err != nil {
			return err
		}
		k.answer(got[0], "ok")
		k.answer(got[1], "ok")
		return first(s.is(all[0], "", "ok"), s.is(all[1], "", "ok"))
	})
}

// keyStays: a call that waits for a connection may go to whoever has one, but not
// when an earlier attempt of it has left its key somewhere.
func keyStays(r *spec.Run, l lab) error {
	o := Options{AttemptTimeout: 50 * time.Millisecond, BackoffBase: 2 * time.Millisecond, BackoffCap: 2 * time.Millisecond, Rand: constant(0.5), RetryReserve: 100, KeepAlive: time.Hour}
	return play(r, l, 2, o, nil, func(s *stage) error {
		r.Step("a call with a key is not answered, and its endpoint goes down; its retry waits while the other endpoint's connection comes anew")
		res := s.call(Request{Body: []byte("pay"), Key: "k"})
		at, _, err := s.find("pay")
		if err != nil {
			return err
		}
		home, other := s.at[at], s.at[1-at]
		for i, e := range []*endpoint{home, other} {
			e.set(func(e *endpoint) { e.down = i == 0 })
			k, _ := e.link()
			k.conn.Close()
			time.Sleep(51 * time.Millisecond) // its patience ends, and the backoff
		}
		k, err := other.link()
		if err != nil {
			return err
		}
		if got := k.take(call); len(got) > 0 {
			return spec.Fail("a call with a key to wait for the endpoint that knows it", "the other one got %v", got)
		}
		home.set(func(e *endpoint) { e.down = false })
		time.Sleep(10 * time.Millisecond)
		if k, err = home.link(); err != nil {
			return err
		}
		got := k.take(call)
		if len(got) == 0 {
			return spec.Fail("the call with a key when its endpoint is back", "there is none")
		}
		k.answer(got[len(got)-1], "paid")
		return s.is(res, "", "paid")
	})
}

// probeMoves: a probe that goes elsewhere frees its place.
func probeMoves(r *spec.Run, l lab) error {
	o := Options{BackoffBase: 2 * time.Millisecond, BackoffCap: 2 * time.Millisecond, Rand: constant(0.5), BreakerWindow: 4, BreakerOpen: time.Second, KeepAlive: time.Hour}
	return play(r, l, 2, o, func(s *stage) { s.at[1].down = true }, func(s *stage) error {
		r.Step("four calls time out at the first endpoint, whose breaker opens; a second later both endpoints are down, two calls wait, and the second endpoint comes up")
		for range 4 {
			s.call(Request{Body: []byte("x"), Timeout: 10 * time.Millisecond})
		}
		time.Sleep(10 * time.Millisecond)
		up := func(i int) {
			for j, e := range s.at {
				e.set(func(e *endpoint) { e.down = j != i })
				if all := e.all(); len(all) > 0 && j != i {
					all[len(all)-1].conn.Close()
				}
			}
			synctest.Wait()
		}
		up(-1)
		time.Sleep(time.Second)
		s.call(req("waits"))
		s.call(req("waits"))
		up(1)
		time.Sleep(10 * time.Millisecond)
		k, err := s.at[1].link()
		if err != nil {
			return err
		}
		got, err := k.calls("at the second endpoint, when it is up", "waits", "waits")
		if err != nil {
			return err
		}
		k.answer(got[0], "ok")
		k.answer(got[1], "ok")
		r.Step("the second endpoint goes down, and the first one comes up: it gets the next call, as a probe")
		up(0)
		time.Sleep(10 * time.Millisecond)
		s.call(req("next"))
		if k, err = s.at[0].link(); err != nil {
			return err
		}
		for _, f := range k.take(call) { // cancels of the four, told late, do no harm
			if f.body == "next" {
				return nil
			}
		}
		return spec.Fail("the call next at the first endpoint, half-open, as a probe", "there is none: the probe that went elsewhere keeps its place")
	})
}
