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
		Check: hedgeAfter,
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
		Check: callsAround,
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
			return spec.Fail("calls at both endpoints", "they went to one of them")
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
		r.Step("both endpoints are down; a call waits for one of them, and the other one comes up first")
		for _, e := range s.at {
			e.set(func(e *endpoint) { e.down = true })
			k, err := e.link()
			if err != nil {
				return err
			}
			k.conn.Close()
		}
		synctest.Wait()
		var all []*result
		for range 2 {
			all = append(all, s.call(req("waits")))
		}
		for i := range s.at {
			s.at[i].set(func(e *endpoint) { e.down = i == 0 })
		}
		time.Sleep(5 * time.Second)
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
