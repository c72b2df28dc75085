package retrytest

import (
	"fmt"
	"testing/synctest"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var retryRules = []spec.Rule[lab]{
	{
		Name: "BusyIsTriedAgain", Group: "retry", Points: 2, Section: step5,
		Why: "A call that was refused was not done, so any call may be tried again: after its backoff, each time a longer one, and not once more than was said.",
		Hints: [3]string{
			"Attempts is 4. How many retries are that, and which Delay comes before the first?",
			"Three; Delay(0), Delay(1), Delay(2). After the fourth refusal the result is ErrBusy.",
			"if tries >= Attempts { finish(ErrBusy) }; ring(now + Delay(tries-1))",
		},
		Check: inTurn(busyAgain, cancelledBetween),
	},
	{
		Name: "UnsafeIsNotRepeated", Group: "retry", Points: 2, Section: step7,
		Why: "The payment was sent and no answer came. Send it again, and it is paid twice. Nobody knows is a result, and the only honest one.",
		Hints: [3]string{
			"Was it done? How would you know?",
			"Without Safe and without a Key only what was refused, or never left, may be sent again.",
			"repeatable := Safe || Key != \"\"; no AttemptTimeout without it",
		},
		Check: unsafeOnce,
	},
	{
		Name: "SafeIsRepeated", Group: "retry", Points: 1, Section: step7,
		Why: "A read does no harm twice, and a key makes a write one that can be repeated: if it is the same key.",
		Hints: [3]string{
			"What does the second frame have in common with the first?",
			"Body and key; its id is new, and the server is told that nobody waits for the old one.",
			"outOfPatience: breaker.Failed; cancel frame; again(f, ErrTimeout, true)",
		},
		Check: inTurn(safeRepeated, doubtStays, doubtOfCopies),
	},
	{
		Name: "RemoteErrorsAreFinal", Group: "retry", Points: 1, Section: step5,
		Why: "\"No such account\" does not become true by asking four times. The server has done its work; its error is an answer.",
		Hints: [3]string{
			"Which errors does another attempt help against?",
			"Those of the way, not those of the handler.",
			"case failed: breaker.Succeeded; finish(f, nil, &RemoteError{text})",
		},
		Check: remoteFinal,
	},
	{
		Name: "RetriesEndInTime", Group: "retry", Points: 1, Section: step5,
		Why: "A backoff that ends after the deadline only makes the caller wait for a result that is known already, and takes the token of somebody whom it would have helped.",
		Hints: [3]string{
			"The next attempt would begin after the deadline. What do you do now?",
			"Say so at once. Look at the time before you spend a token.",
			"if !at.Before(until) { finish(f, why); return }; if !budget.Spend() ...",
		},
		Check: retriesInTime,
	},
	{
		Name: "BudgetHoldsRetries", Group: "retry", Points: 2, Section: step5,
		Why: "When nothing works any more, the client sends 1.1 times what was asked, and not four times. That is what ends outages.",
		Hints: [3]string{
			"How many retries do 300 calls get, if all fail?",
			"The reserve, and a tenth of 300. The others end with the error they have.",
			"Go: budget.Earn(). again: if !budget.Spend() { denied++; finish(f, why) }",
		},
		Check: budgetHolds,
	},
	{
		Name: "BreakerGuardsCalls", Group: "retry", Points: 2, Section: step5,
		Why: "The breaker is only as good as what it is told: timeouts are failures, the server's own errors are answers, a cancelled call is nothing. Neither is a refusal: a server that does all it can and refuses the rest would be left alone by everybody.",
		Hints: [3]string{
			"Which outcome does each end of an attempt report?",
			"Answer or RemoteError: Succeeded. Timeout, lost: Failed. Busy, cancelled, or slower than a hedge: Dropped.",
			"route: pass, ok := e.breaker.Allow(); when no endpoint lets it through: ErrOpen",
		},
		Check: inTurn(breakerGuards, breakerRetries),
	},
}

func busyAgain(r *spec.Run, l lab) error {
	for _, random := range []float64{0.5, 0.25} {
		err := play(r, l, 1, Options{BackoffBase: 100 * time.Millisecond, BackoffCap: time.Second, Rand: constant(random)}, nil, func(s *stage) error {
			k, err := s.at[0].link()
			if err != nil {
				return err
			}
			r.Step("base 100 ms, the random number %v; one call is refused 3 times, another one always", random)
			lucky, sad := s.call(req("lucky")), s.call(req("sad"))
			ids := map[uint64]bool{}
			for n := range 4 {
				got, err := k.together(fmt.Sprintf("as attempt %d", n+1), "lucky", "sad")
				if err != nil {
					return err
				}
				for _, f := range got {
					if ids[f.id] {
						return spec.Fail("an id of its own for each attempt", "%d came twice", f.id)
					}
					ids[f.id] = true
				}
				if n == 3 {
					k.answer(got[0], "at last")
					k.send(frame{kind: reply, id: got[1].id, status: busy})
					break
				}
				k.send(frame{kind: reply, id: got[0].id, status: busy}, frame{kind: reply, id: got[1].id, status: busy})
				synctest.Wait()
				pause := time.Duration(random * float64(100*time.Millisecond<<n))
				time.Sleep(pause - 1)
				if got := k.take(); len(got) > 0 {
					return spec.Fail(fmt.Sprintf("retry %d after %v", n+1, pause), "it came earlier")
				}
				time.Sleep(time.Nanosecond)
			}
			time.Sleep(5 * time.Second)
			if _, err := k.calls("after four attempts"); err != nil {
				return err
			}
			n := s.c.Stats()
			return first(s.is(lucky, "", "at last"), s.is(sad, "after four refusals", "ErrBusy"), must("Stats().Retries", 6, n.Retries), must("Stats().Sent", 8, n.Sent), s.idle("at the end"))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// cancelledBetween: a call that waits for its next attempt is on no list but that
// of the alarms.
func cancelledBetween(r *spec.Run, l lab) error {
	return play(r, l, 1, Options{BackoffBase: 100 * time.Millisecond, Rand: constant(0.5)}, nil, func(s *stage) error {
		k, err := s.at[0].link()
		if err != nil {
			return err
		}
		r.Step("two calls are refused; while they wait for their backoff of 50 ms, one is cancelled; the other one has 5 ms after it")
		gone, f := s.watch(req("gone"))
		late := s.call(Request{Body: []byte("late"), Timeout: 55 * time.Millisecond})
		got, err := k.calls("at first", "gone", "late")
		if err != nil {
			return err
		}
		k.send(frame{kind: reply, id: got[0].id, status: busy}, frame{kind: reply, id: got[1].id, status: busy})
		time.Sleep(10 * time.Millisecond)
		f.Cancel()
		if err := first(s.is(gone, "at once", "context.Canceled"), s.is(late, "in its backoff", "")); err != nil {
			return err
		}
		time.Sleep(time.Second)
		sent := k.take(call)
		if len(sent) != 1 || sent[0].body != "late" {
			return spec.Fail("one more call to be sent, late, and not the cancelled one", "there came %v", sent)
		}
		return first(s.is(late, "a second later", "ErrTimeout"), s.after(late, 55*time.Millisecond), s.idle("at the end"))
	})
}

func unsafeOnce(r *spec.Run, l lab) error {
	return play(r, l, 2, Options{AttemptTimeout: 100 * time.Millisecond, BackoffBase: time.Millisecond, RetryReserve: 100}, func(s *stage) { s.at[1].down = true }, func(s *stage) error {
		k, err := s.at[0].link()
		if err != nil {
			return err
		}
		r.Step("calls that are neither safe nor have a key; no answer for 5 s; then another endpoint comes up, and the connection is lost, and with it the session")
		a, b := s.call(req("pay a")), s.call(Request{Body: []byte("pay b"), Timeout: 4 * time.Second})
		if _, err := k.calls("at first", "pay a", "pay b"); err != nil {
			return err
		}
		s.at[1].set(func(e *endpoint) { e.down = false })
		time.Sleep(5 * time.Second)
		if got := k.take(call); len(got) > 0 {
			return spec.Fail("no second frame of a call that may not be repeated", "there is: %v", got)
		}
		other, err := s.at[1].link()
		if err != nil {
			return err
		}
		if _, err := other.calls("at another endpoint"); err != nil {
			return err
		}
		if err := first(s.is(a, "", ""), s.is(b, "after its 4 s", "ErrTimeout")); err != nil {
			return err
		}
		s.at[0].set(func(e *endpoint) { e.forget = true })
		k.conn.Close()
		time.Sleep(time.Second)
		again, err := s.at[0].link()
		if err != nil {
			return err
		}
		if again == k {
			return spec.Fail("the client to connect again", "it has not")
		}
		if _, err := again.calls("in the new session"); err != nil {
			return err
		}
		if _, err := other.calls("at another endpoint"); err != nil {
			return err
		}
		return first(s.is(a, "whose session is gone", "ErrUnknown"), s.idle("at the end"))
	})
}

func safeRepeated(r *spec.Run, l lab) error {
	return play(r, l, 1, Options{AttemptTimeout: 100 * time.Millisecond, BackoffBase: 10 * time.Millisecond, Rand: constant(0.5)}, nil, func(s *stage) error {
		k, err := s.at[0].link()
		if err != nil {
			return err
		}
		r.Step("a safe call and one with a key; no answer within AttemptTimeout, 100 ms; 5 ms of backoff")
		safe := s.call(Request{Body: []byte("read"), Safe: true})
		keyed := s.call(Request{Body: []byte("pay"), Key: "k1"})
		got, err := k.calls("at first", "read", "pay")
		if err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
		told := k.take(cancel)
		if len(told) != 2 {
			return spec.Fail("the server to be told that nobody waits for these attempts any more", "it was told %v", told)
		}
		time.Sleep(5*time.Millisecond - 1)
		if _, err := k.calls("before the backoff is over"); err != nil {
			return err
		}
		time.Sleep(time.Nanosecond)
		again, err := k.together("after the backoff", "read", "pay")
		if err != nil {
			return err
		}
		switch {
		case again[0].id == got[0].id || again[1].id == got[1].id:
			return spec.Fail("new ids for new attempts", "they are the old ones")
		case got[1].key != "k1" || again[1].key != "k1" || again[0].key != got[0].key:
			return spec.Fail(`the key "k1" in both attempts`, "it is %q, then %q", got[1].key, again[1].key)
		}
		r.Step("the first answer to the first attempt comes now: nobody waits for it. Then the second ones")
		k.answer(got[0], "old")
		if err := s.is(safe, "", ""); err != nil {
			return err
		}
		k.answer(again[0], "new")
		k.answer(again[1], "paid")
		if err := first(s.is(safe, "", "new"), s.is(keyed, "", "paid")); err != nil {
			return err
		}
		r.Step("two more; the connection and the session are lost")
		safe = s.call(Request{Body: []byte("read"), Safe: true})
		keyed = s.call(Request{Body: []byte("pay"), Key: "k2"})
		if _, err := k.calls("then", "read", "pay"); err != nil {
			return err
		}
		s.at[0].set(func(e *endpoint) { e.forget = true })
		k.conn.Close()
		time.Sleep(50 * time.Millisecond)
		if k, err = s.at[0].link(); err != nil {
			return err
		}
		if again, err = k.together("in the new session", "read", "pay"); err != nil {
			return err
		}
		k.answer(again[0], "new")
		k.answer(again[1], "paid")
		return first(must("the key in the new session", "k2", again[1].key), s.is(safe, "", "new"), s.is(keyed, "", "paid"),
			must("Stats().Retries", 4, s.c.Stats().Retries), s.idle("at the end"))
	})
}

func doubtStays(r *spec.Run, l lab) error {
	err := play(r, l, 1, Options{AttemptTimeout: 100 * time.Millisecond, BackoffBase: 10 * time.Millisecond, Rand: constant(0.5), Attempts: 2}, nil, func(s *stage) error {
		k, err := s.at[0].link()
		if err != nil {
			return err
		}
		r.Step("Attempts 2; the first attempts of two calls are not answered, the second ones are refused: the first ones may have been done")
		safe := s.call(Request{Body: []byte("read"), Safe: true})
		keyed := s.call(Request{Body: []byte("pay"), Key: "k1"})
		if _, err := k.calls("at first", "read", "pay"); err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
		k.take()
		time.Sleep(5 * time.Millisecond)
		again, err := k.together("after the backoff", "read", "pay")
		if err != nil {
			return err
		}
		for _, f := range again {
			k.send(frame{kind: reply, id: f.id, status: busy})
		}
		when := "refused, but perhaps done at the first attempt,"
		return first(s.either(safe, when, "ErrTimeout", "ErrUnknown"), s.either(keyed, when, "ErrTimeout", "ErrUnknown"), s.idle("at the end"))
	})
	if err != nil {
		return err
	}
	o := Options{AttemptTimeout: 100 * time.Millisecond, BackoffBase: 10 * time.Millisecond, Rand: constant(0.5), BreakerWindow: 2, BreakerOpen: time.Hour}
	return play(r, l, 1, o, nil, func(s *stage) error {
		k, err := s.at[0].link()
		if err != nil {
			return err
		}
		r.Step("a breaker's window of 2; the first attempts of two calls are not answered, and their retries find the breaker open")
		safe := s.call(Request{Body: []byte("read"), Safe: true})
		keyed := s.call(Request{Body: []byte("pay"), Key: "k1"})
		if _, err := k.calls("at first", "read", "pay"); err != nil {
			return err
		}
		time.Sleep(105 * time.Millisecond)
		synctest.Wait()
		when := "kept back by the breaker, but perhaps done at the first attempt,"
		return first(s.either(safe, when, "ErrTimeout", "ErrUnknown"), s.either(keyed, when, "ErrTimeout", "ErrUnknown"), s.idle("at the end"))
	})
}

func doubtOfCopies(r *spec.Run, l lab) error {
	o := Options{AttemptTimeout: 60 * time.Millisecond, BackoffBase: 10 * time.Millisecond, Rand: constant(0.5), Attempts: 1, HedgeQuantile: 0.95, HedgeWindow: 20}
	return play(r, l, 2, o, nil, func(s *stage) error {
		if err := s.warm(20); err != nil {
			return err
		}
		r.Step("Attempts 1; a hedged call: the first copy is not answered in time, the second one is refused then")
		res, at, copies, err := s.slow(10 * time.Millisecond)
		if err != nil {
			return err
		}
		time.Sleep(55 * time.Millisecond)
		if err := s.is(res, "while its second copy is under way", ""); err != nil {
			return err
		}
		s.say(at[1], frame{kind: reply, id: copies[1].id, status: busy})
		return first(s.either(res, "refused, but perhaps done by its first copy,", "ErrTimeout", "ErrUnknown"), s.idle("at the end"))
	})
}

func remoteFinal(r *spec.Run, l lab) error {
	return play(r, l, 1, Options{BackoffBase: time.Millisecond}, nil, func(s *stage) error {
		k, err := s.at[0].link()
		if err != nil {
			return err
		}
		r.Step("a safe call; the handler's error; then a call whose time was over at the server")
		res := s.call(Request{Body: []byte("read"), Safe: true})
		got, err := k.calls("at first", "read")
		if err != nil {
			return err
		}
		k.send(frame{kind: reply, id: got[0].id, status: failed, body: "no such account"})
		time.Sleep(time.Second)
		if _, err := k.calls("after the error"); err != nil {
			return err
		}
		if err := s.is(res, "", "RemoteError no such account"); err != nil {
			return err
		}
		res = s.call(Request{Body: []byte("read"), Safe: true})
		if got, err = k.calls("then", "read"); err != nil {
			return err
		}
		k.send(frame{kind: reply, id: got[0].id, status: expired})
		time.Sleep(time.Second)
		if _, err := k.calls("after its time was over"); err != nil {
			return err
		}
		return first(s.is(res, "", "ErrTimeout"), s.idle("at the end"))
	})
}

func retriesInTime(r *spec.Run, l lab) error {
	err := play(r, l, 1, Options{BackoffBase: 100 * time.Millisecond, Rand: constant(0.5), RetryReserve: 1, RetryRatio: 1e-6}, nil, func(s *stage) error {
		k, err := s.at[0].link()
		if err != nil {
			return err
		}
		r.Step("a call with 300 ms is refused after 250; its backoff would be 50 ms. One token in the budget")
		late := s.call(Request{Body: []byte("late"), Timeout: 300 * time.Millisecond})
		got, err := k.calls("at first", "late")
		if err != nil {
			return err
		}
		time.Sleep(250 * time.Millisecond)
		k.send(frame{kind: reply, id: got[0].id, status: busy})
		if err := first(s.is(late, "at once", "ErrBusy"), s.after(late, 250*time.Millisecond)); err != nil {
			return err
		}
		r.Step("another call has the token")
		next := s.call(req("next"))
		if got, err = k.calls("then", "next"); err != nil {
			return err
		}
		k.send(frame{kind: reply, id: got[0].id, status: busy})
		time.Sleep(50 * time.Millisecond)
		if got, err = k.calls("after its backoff", "next"); err != nil {
			return err
		}
		k.answer(got[0], "done")
		return first(s.is(next, "", "done"), must("Stats().Denied", 0, s.c.Stats().Denied))
	})
	if err != nil {
		return err
	}
	return play(r, l, 1, Options{BackoffBase: 100 * time.Millisecond, Rand: constant(0.5), Attempts: 2, RetryReserve: 2, RetryRatio: 1e-6}, nil, func(s *stage) error {
		k, err := s.at[0].link()
		if err != nil {
			return err
		}
		r.Step("Attempts 2, two tokens; two calls, one after the other, are refused twice: each has cost one token, and no more")
		for _, what := range []string{"one", "two"} {
			res := s.call(req(what))
			for _, when := range []string{"at first", "after its backoff"} {
				got, err := k.calls(when, what)
				if err != nil {
					return err
				}
				k.send(frame{kind: reply, id: got[0].id, status: busy})
				time.Sleep(50 * time.Millisecond)
			}
			if err := s.is(res, "after two refusals", "ErrBusy"); err != nil {
				return err
			}
		}
		return first(must("Stats().Denied", 0, s.c.Stats().Denied), must("Stats().Retries", 2, s.c.Stats().Retries))
	})
}

func budgetHolds(r *spec.Run, l lab) error {
	for _, how := range []string{"refuses all", "answers nothing"} {
		err := play(r, l, 1, Options{Timeout: time.Second, AttemptTimeout: 10 * time.Millisecond, BackoffBase: time.Millisecond, RetryReserve: 5, RetryRatio: 0.1,
			BreakerWindow: 1_000_000, MaxPending: 1000}, nil, func(s *stage) error {
			k, err := s.at[0].link()
			if err != nil {
				return err
			}
			r.Step("300 safe calls, 10 at a time; a server that %s; reserve 5, ratio 0.1", how)
			var all []*result
			sent := 0
			for range 30 {
				for range 10 {
					all = append(all, s.call(Request{Body: []byte("read"), Safe: true}))
				}
				for range 60 {
					for _, f := range k.take(call) {
						sent++
						if how == "refuses all" {
							k.send(frame{kind: reply, id: f.id, status: busy})
						}
					}
					time.Sleep(time.Millisecond)
				}
			}
			time.Sleep(2 * time.Second)
			for range k.take(call) {
				sent++
			}
			if sent > 335 || sent < 334 {
				return spec.Fail("300 first attempts and 35 retries, one less where a token is not whole", "there were %d frames", sent)
			}
			want := "ErrBusy"
			if how != "refuses all" {
				want = "ErrTimeout"
			}
			for _, res := range all {
				if err := s.is(res, "at the end", want); err != nil {
					return err
				}
			}
			n := s.c.Stats()
			if n.Retries != uint64(sent-300) || n.Denied == 0 {
				return spec.Fail(fmt.Sprintf("Stats with Retries %d, and Denied above 0", sent-300), "it has %d and %d", n.Retries, n.Denied)
			}
			return s.idle("at the end")
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func breakerGuards(r *spec.Run, l lab) error {
	o := Options{Timeout: 100 * time.Millisecond, BreakerWindow: 10, BreakerRatio: 0.5, BreakerOpen: time.Second, BreakerProbes: 1, Attempts: 1, KeepAlive: time.Hour}
	return play(r, l, 1, o, nil, func(s *stage) error {
		k, err := s.at[0].link()
		if err != nil {
			return err
		}
		r.Step("30 calls are cancelled, 30 get an error of the handler, 30 are refused: that opens no breaker")
		for range 30 {
			_, f := s.watch(req("x"))
			synctest.Wait()
			f.Cancel()
		}
		k.take()
		for _, status := range []byte{failed, busy} {
			for range 30 {
				s.call(req("x"))
				for _, f := range k.take(call) {
					k.send(frame{kind: reply, id: f.id, status: status, body: "no"})
				}
			}
		}
		good := s.call(req("good"))
		got, err := k.calls("then", "good")
		if err != nil {
			return err
		}
		k.answer(got[0], "yes")
		if err := s.is(good, "", "yes"); err != nil {
			return err
		}
		r.Step("4 time out, the server says of one that it came too late, of a window of 10: it opens")
		for range 4 {
			s.call(req("x"))
		}
		time.Sleep(100 * time.Millisecond)
		k.take()
		s.call(req("x"))
		if got, err = k.calls("then", "x"); err != nil {
			return err
		}
		k.send(frame{kind: reply, id: got[0].id, status: expired})
		synctest.Wait()
		for range 5 {
			no := s.call(req("no"))
			if err := first(s.is(no, "at once, while the breaker is open", "ErrOpen"), s.after(no, 0)); err != nil {
				return err
			}
		}
		if _, err := k.calls("while the breaker is open"); err != nil {
			return err
		}
		time.Sleep(time.Second)
		r.Step("a second later: five calls, one of which is the probe; it is cancelled, the next one is refused, the next one answered")
		_, probe := s.watch(req("probe"))
		for range 4 {
			if err := s.is(s.call(req("no")), "beside the probe", "ErrOpen"); err != nil {
				return err
			}
		}
		if _, err = k.calls("when it is half-open", "probe"); err != nil {
			return err
		}
		probe.Cancel()
		k.take()
		refused := s.call(req("probe 1"))
		if got, err = k.calls("when the probe was cancelled", "probe 1"); err != nil {
			return err
		}
		k.send(frame{kind: reply, id: got[0].id, status: busy})
		if err := s.is(refused, "the probe", "ErrBusy"); err != nil {
			return err
		}
		second := s.call(req("probe 2"))
		if err := s.is(s.call(req("no")), "beside the next probe, since the last one was refused", "ErrOpen"); err != nil {
			return err
		}
		if got, err = k.calls("when the probe was refused", "probe 2"); err != nil {
			return err
		}
		k.answer(got[0], "well")
		if err := s.is(second, "", "well"); err != nil {
			return err
		}
		a, b := s.call(req("a")), s.call(req("b"))
		if got, err = k.calls("when it is closed", "a", "b"); err != nil {
			return err
		}
		k.answer(got[0], "ok")
		k.answer(got[1], "ok")
		return first(s.is(a, "", "ok"), s.is(b, "", "ok"), s.idle("at the end"))
	})
}

func breakerRetries(r *spec.Run, l lab) error {
	o := Options{BackoffBase: 100 * time.Millisecond, Rand: constant(0.5), BreakerWindow: 4, BreakerRatio: 0.5, BreakerOpen: time.Hour, KeepAlive: time.Hour}
	return play(r, l, 1, o, nil, func(s *stage) error {
		k, err := s.at[0].link()
		if err != nil {
			return err
		}
		r.Step("a call is refused; while it waits for its retry, four others time out and the breaker opens")
		waits := s.call(req("waits"))
		got, err := k.calls("at first", "waits")
		if err != nil {
			return err
		}
		k.send(frame{kind: reply, id: got[0].id, status: busy})
		synctest.Wait()
		for range 4 {
			s.call(Request{Body: []byte("x"), Timeout: 10 * time.Millisecond})
		}
		time.Sleep(10 * time.Millisecond)
		k.take()
		time.Sleep(40 * time.Millisecond)
		if _, err := k.calls("by a retry while the breaker is open"); err != nil {
			return err
		}
		return first(s.either(waits, "whose retry finds the breaker open", "ErrBusy", "ErrOpen"), s.idle("at the end"))
	})
}
