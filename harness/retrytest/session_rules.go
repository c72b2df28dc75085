package retrytest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var sessionRules = []spec.Rule[lab]{
	{
		Name: "ReconnectsBackOff", Group: "connections", Points: 2, Section: step7,
		Why: "A server restarts, and ten thousand clients knock in the same millisecond; it falls over its own accept queue, and they knock again.",
		Hints: [3]string{
			"How long do you wait before the first new dial, and when does the counting begin anew?",
			"Delay(0) after the first failure, and so on; from 0 again when more than a welcome has come over a connection.",
			"for failures := 0; ; failures++ { if once() { failures = 0 }; sleep(Delay(failures)) }",
		},
		Check: reconnectsBackOff,
	},
	{
		Name: "HandshakeHasATime", Group: "connections", Points: 1, Section: step7,
		Why: "A load balancer accepts connections for a server that is dead. A dial that succeeds is not a server that answers.",
		Hints: [3]string{
			"What bounds the wait for the welcome?",
			"The same DialTimeout as the dial: one context for both.",
			"stop := context.AfterFunc(ctx, func() { conn.Close() })",
		},
		Check: handshakeTime,
	},
	{
		Name: "UnansweredIsAskedAgain", Group: "connections", Points: 2, Section: step7,
		Why: "A connection is lost, the session is not. The server knows by their ids what it has done, so everything without an answer is asked again: also what may be done only once.",
		Hints: [3]string{
			"Which ids does a call have that is sent again, and in which order?",
			"The ones it had, ascending, before all that is new: the server takes an id that is lower than the highest as one it has seen.",
			"begin: queue.prepend(&flying); compose: if a.id == 0 { lastID++; a.id = lastID }",
		},
		Check: unansweredAgain,
	},
	{
		Name: "AnswersSurviveReconnects", Group: "connections", Points: 2, Section: step7,
		Why: "If ids begin at 1 with each connection, the answer to the old call 1 goes to the new call 1. The bug sleeps until the first bad day.",
		Hints: [3]string{
			"May an id ever mean two calls?",
			"Never, not in another connection nor in another session. 64 bits are enough for ever.",
			"lastID belongs to the endpoint, and is never set back.",
		},
		Check: answersSurvive,
	},
	{
		Name: "NewSessionsRepeatOnlySafe", Group: "connections", Points: 1, Section: step7,
		Why: "The session is gone: a server that was restarted knows nothing of ids. What was sent may have been done.",
		Hints: [3]string{
			"Which of the calls without an answer may be sent to a server that has forgotten the session?",
			"Those with Safe or Key, as a retry that costs a token; the others have the result ErrUnknown. And subscriptions are gone: OnReset.",
			"if !resumed { for a in flying { if a.left { remove(a); again(f, ErrUnknown, repeatable) } } }",
		},
		Check: inTurn(newSessions, forgottenAnswers, lostIsFailure),
	},
	{
		Name: "NeverLeftIsSent", Group: "connections", Points: 2, Section: step7,
		Why: "A frame that is cut anywhere, the last byte included, is a frame that the server never saw. To call that unknown is a false alarm, and at night it wakes somebody.",
		Hints: [3]string{
			"How much of the stream has the connection taken?",
			"What Write returned, also when it returned an error. A frame that ends behind that has never left.",
			"written += n; left := a.end <= written, once the writer has ended",
		},
		Check: inTurn(neverLeft, halfLeft, writerLate, leftBefore, leftAndWaits, leavesAtOnce),
	},
	{
		Name: "PushesComeOnce", Group: "connections", Points: 2, Section: step7,
		Why: "A subscription that loses a message at each reconnect, or shows it twice, is worth nothing exactly when the network is bad.",
		Hints: [3]string{
			"Which push comes next?",
			"The last one plus 1. What is not above the last is dropped; a gap ends the connection, because a resumed session has what is missing.",
			"hello: lastPush; n <= lastPush: drop; n == lastPush+1: take; else: close",
		},
		Check: pushesOnce,
	},
	{
		Name: "SilenceIsNoticed", Group: "connections", Points: 1, Section: step7,
		Why: "A server that lost its power sends no FIN. The connection looks well for hours: TCP's keepalive asks after two.",
		Hints: [3]string{
			"How do you tell a quiet connection from a dead one?",
			"Ask. KeepAlive without a byte: a ping; as long again: it is dead.",
			"conn.SetReadDeadline(now + KeepAlive); on a timeout: ping, and the second time in a row: give up",
		},
		Check: silenceNoticed,
	},
}

func reconnectsBackOff(r *spec.Run, l lab) error {
	o := Options{BackoffBase: 100 * time.Millisecond, BackoffCap: time.Second, Rand: constant(0.5)}
	ms := func(all ...int) (d []time.Duration) {
		for _, m := range all {
			d = append(d, time.Duration(m)*time.Millisecond)
		}
		return d
	}
	dialled := func(s *stage, when string, want []time.Duration) error {
		synctest.Wait()
		if got := s.at[0].dialled(); !slices.Equal(got, want) {
			return spec.Fail(fmt.Sprintf("dials at %v %s", want, when), "they were at %v", got)
		}
		return nil
	}
	err := play(r, l, 1, o, func(s *stage) { s.at[0].down = true }, func(s *stage) error {
		r.Step("base 100 ms, cap 1 s, the random number 0.5; a server that is down, and comes up after 1500 ms")
		time.Sleep(1500 * time.Millisecond)
		s.at[0].set(func(e *endpoint) { e.down = false })
		time.Sleep(time.Second)
		if err := dialled(s, "until it is up", ms(0, 50, 150, 350, 750, 1250, 1750)); err != nil {
			return err
		}
		r.Step("a push comes, then the connection is lost at 2500 ms, and the server is down for 200 ms")
		k, err := s.at[0].link()
		if err != nil {
			return err
		}
		k.send(frame{kind: push, id: 1, body: "x"})
		synctest.Wait()
		s.at[0].set(func(e *endpoint) { e.down, e.dials = true, nil })
		k.conn.Close()
		time.Sleep(200 * time.Millisecond)
		s.at[0].set(func(e *endpoint) { e.down = false })
		time.Sleep(time.Second)
		return dialled(s, "after a connection that was of use", ms(2550, 2650, 2850))
	})
	if err != nil {
		return err
	}
	return play(r, l, 1, o, func(s *stage) { s.at[0].deaf = true }, func(s *stage) error {
		r.Step("a server that welcomes and hangs up at once")
		time.Sleep(2500 * time.Millisecond)
		return dialled(s, "to a server that only welcomes", ms(0, 50, 150, 350, 750, 1250, 1750, 2250))
	})
}

func handshakeTime(r *spec.Run, l lab) error {
	return play(r, l, 1, Options{DialTimeout: time.Second, BackoffBase: 2 * time.Millisecond, Rand: constant(0.5)}, func(s *stage) { s.at[0].mute = true }, func(s *stage) error {
		r.Step("a server that takes connections and never welcomes; DialTimeout 1 s")
		k, err := s.at[0].link()
		if err != nil {
			return err
		}
		time.Sleep(time.Second)
		over, at := k.over()
		if !over || at != time.Second {
			return spec.Fail("the connection to be closed after 1s", "closed: %v, after %v", over, at)
		}
		s.at[0].set(func(e *endpoint) { e.mute, e.hang = false, true })
		time.Sleep(500 * time.Millisecond)
		if n := len(s.at[0].dialled()); n != 2 {
			return spec.Fail("another dial", "there were %d", n)
		}
		s.at[0].set(func(e *endpoint) { e.hang = false })
		time.Sleep(time.Second)
		res := s.call(req("a"))
		if k, err = s.at[0].link(); err != nil {
			return err
		}
		got, err := k.calls("after the third dial", "a")
		if err != nil {
			return err
		}
		time.Sleep(5 * time.Second) // the handshake's time is over long ago, and must not end this connection
		k.answer(got[0], "yes")
		if err := s.is(res, "", "yes"); err != nil {
			return err
		}
		s.call(req("b"))
		_, err = k.calls("on the same connection", "b")
		return err
	})
}

func unansweredAgain(r *spec.Run, l lab) error {
	return play(r, l, 1, Options{BackoffBase: 10 * time.Millisecond, Rand: constant(0.5), Timeout: time.Minute}, nil, func(s *stage) error {
		k, err := s.at[0].link()
		if err != nil {
			return err
		}
		r.Step("six calls, neither safe nor with a key; two are answered, one is cancelled; the connection is lost twice, with a new call each time")
		var all []*result
		var futures []Future
		for i := range 6 {
			res, f := s.watch(req(fmt.Sprint(i)))
			all, futures = append(all, res), append(futures, f)
		}
		was, err := k.calls("at first", "0", "1", "2", "3", "4", "5")
		if err != nil {
			return err
		}
		k.answer(was[0], "a0")
		k.answer(was[3], "a3")
		synctest.Wait()
		session := s.at[0].session
		var got []frame
		for round := range 2 {
			k.conn.Close()
			synctest.Wait()
			if round == 0 {
				futures[4].Cancel()
			}
			all = append(all, s.call(req(fmt.Sprint("new", round))))
			time.Sleep(10 * time.Millisecond)
			if k, err = s.at[0].link(); err != nil {
				return err
			}
			if k.hello.id != session {
				return spec.Fail(fmt.Sprintf("a hello with the session %d", session), "it is %v", k.hello)
			}
			want := []string{"1", "2", "5", "new0", "new1"}[:4+round]
			k.forgive(was[4].id)
			if got, err = k.calls("in the resumed session", want...); err != nil {
				return err
			}
			if got[0].id != was[1].id || got[1].id != was[2].id || got[2].id != was[5].id {
				return spec.Fail(fmt.Sprintf("the ids of before: %d, %d, %d", was[1].id, was[2].id, was[5].id), "they are %d, %d, %d", got[0].id, got[1].id, got[2].id)
			}
			for i, f := range got {
				if i > 0 && f.id <= got[i-1].id {
					return spec.Fail("ids that ascend", "%d comes after %d", f.id, got[i-1].id)
				}
				if f.last > was[1].id {
					return spec.Fail(fmt.Sprintf("settled to be at most %d, which is not answered", was[1].id), "it is %d", f.last)
				}
			}
		}
		for _, f := range got {
			k.answer(f, "a"+f.body)
		}
		for i, want := range []string{"a0", "a1", "a2", "a3", "context.Canceled", "a5", "anew0", "anew1"} {
			if err := s.is(all[i], "at the end", want); err != nil {
				return err
			}
		}
		last := s.call(req("last"))
		if got, err = k.calls("at the end", "last"); err != nil {
			return err
		}
		if got[0].last != got[0].id {
			return spec.Fail(fmt.Sprintf("settled to be %d, since all before is answered", got[0].id), "it is %d", got[0].last)
		}
		k.answer(got[0], "z")
		n := s.c.Stats()
		return first(s.is(last, "", "z"), must("Stats().Retries: to ask again in a resumed session is none", 0, n.Retries), must("Stats().Resent", 7, n.Resent), s.idle("at the end"))
	})
}

func answersSurvive(r *spec.Run, l lab) error {
	return play(r, l, 1, Options{BackoffBase: 10 * time.Millisecond, Rand: constant(0.5), Timeout: time.Minute}, nil, func(s *stage) error {
		k, err := s.at[0].link()
		if err != nil {
			return err
		}
		r.Step("a call; the connection is lost; another call; the session is resumed, and the first answer comes right behind the welcome")
		old := s.call(req("old"))
		got, err := k.calls("at first", "old")
		if err != nil {
			return err
		}
		s.at[0].set(func(e *endpoint) { e.greet = []frame{{kind: reply, id: got[0].id, body: "the old answer"}} })
		k.conn.Close()
		synctest.Wait()
		fresh := s.call(req("fresh"))
		time.Sleep(10 * time.Millisecond)
		if err := first(s.is(old, "", "the old answer"), s.is(fresh, "", "")); err != nil {
			return err
		}
		if k, err = s.at[0].link(); err != nil {
			return err
		}
		again := k.take(call)
		mine := again[len(again)-1:]
		if len(mine) == 0 || mine[0].body != "fresh" || mine[0].id == got[0].id {
			return spec.Fail("the call fresh, with an id of its own", "there is: %v", again)
		}
		r.Step("a new session; the old ids are answered there")
		s.at[0].set(func(e *endpoint) {
			e.forget = true
			for id := range mine[0].id + 1 { // none that the third call may have already
				e.greet = append(e.greet, frame{kind: reply, id: id, body: "stale"})
			}
		})
		k.conn.Close()
		synctest.Wait()
		third := s.call(req("third"))
		time.Sleep(10 * time.Millisecond)
		if k, err = s.at[0].link(); err != nil {
			return err
		}
		calls, err := k.calls("in the new session", "third")
		if err != nil {
			return err
		}
		if calls[0].id <= mine[0].id {
			return spec.Fail("ids that go on in a new session", "%d comes after %d", calls[0].id, mine[0].id)
		}
		k.answer(calls[0], "the third answer")
		return first(s.is(fresh, "whose session is gone", "ErrUnknown"), s.is(third, "", "the third answer"))
	})
}

func newSessions(r *spec.Run, l lab) error {
	return play(r, l, 1, Options{BackoffBase: 10 * time.Millisecond, Rand: constant(0.5), Timeout: time.Minute, RetryReserve: 2, RetryRatio: 1e-6}, nil, func(s *stage) error {
		k, err := s.at[0].link()
		if err != nil {
			return err
		}
		r.Step("an unsafe call, a safe one, one with a key; the connection is lost; a call that never left; the session is forgotten; there are two tokens")
		pay := s.call(req("pay"))
		read := s.call(Request{Body: []byte("read"), Safe: true})
		keyed := s.call(Request{Body: []byte("keyed"), Key: "k"})
		was, err := k.calls("at first", "pay", "read", "keyed")
		if err != nil {
			return err
		}
		s.at[0].set(func(e *endpoint) { e.forget = true })
		k.conn.Close()
		synctest.Wait()
		waits := s.call(req("waits"))
		if err := s.is(pay, "before the session is known to be gone", ""); err != nil {
			return err
		}
		time.Sleep(5 * time.Millisecond)
		if k, err = s.at[0].link(); err != nil {
			return err
		}
		got, err := k.calls("in the new session, at once", "waits")
		if err != nil {
			return err
		}
		if err := s.is(pay, "whose session is gone", "ErrUnknown"); err != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
		again, err := k.together("in the new session, after the backoff", "read", "keyed")
		if err != nil {
			return err
		}
		for _, f := range append(got, again...) {
			if f.id <= was[2].id {
				return spec.Fail("new ids in a new session", "%v has an old one", f)
			}
			k.answer(f, "ok")
		}
		s.mu.Lock()
		resets := slices.Clone(s.reset)
		s.mu.Unlock()
		if !slices.Equal(resets, []int{0}) {
			return spec.Fail("OnReset to be called for endpoint 0, once", "it was called for %v", resets)
		}
		n := s.c.Stats()
		return first(s.is(read, "", "ok"), s.is(keyed, "", "ok"), s.is(waits, "", "ok"), must("Stats().Retries", 2, n.Retries), s.idle("at the end"))
	})
}

func forgottenAnswers(r *spec.Run, l lab) error {
	return play(r, l, 1, Options{BackoffBase: 10 * time.Millisecond, Rand: constant(0.5), Timeout: time.Minute}, nil, func(s *stage) error {
		k, err := s.at[0].link()
		if err != nil {
			return err
		}
		r.Step("an unsafe call, a safe one, one with a key; the session is resumed, but the server has forgotten the answers: status unknown")
		pay := s.call(req("pay"))
		read := s.call(Request{Body: []byte("read"), Safe: true})
		keyed := s.call(Request{Body: []byte("keyed"), Key: "k"})
		if _, err := k.calls("at first", "pay", "read", "keyed"); err != nil {
			return err
		}
		k.conn.Close()
		time.Sleep(5 * time.Millisecond)
		if k, err = s.at[0].link(); err != nil {
			return err
		}
		was, err := k.calls("in the resumed session", "pay", "read", "keyed")
		if err != nil {
			return err
		}
		for _, f := range was {
			k.send(frame{kind: reply, id: f.id, status: unknown})
		}
		if err := first(s.is(pay, "whose answer is forgotten", "ErrUnknown"), s.is(read, "that may be repeated", "")); err != nil {
			return err
		}
		time.Sleep(5 * time.Millisecond)
		again, err := k.together("after the backoff", "read", "keyed")
		if err != nil {
			return err
		}
		for _, f := range again {
			if f.id <= was[2].id {
				return spec.Fail("a new id for what is done again", "%v has an old one", f)
			}
			k.answer(f, "ok")
		}
		return first(s.is(read, "", "ok"), s.is(keyed, "", "ok"), must("Stats().Retries", 2, s.c.Stats().Retries), s.idle("at the end"))
	})
}

func lostIsFailure(r *spec.Run, l lab) error {
	o := Options{BackoffBase: 10 * time.Millisecond, Rand: constant(0.5), Timeout: time.Minute, BreakerWindow: 4, BreakerOpen: time.Hour}
	return play(r, l, 1, o, nil, func(s *stage) error {
		k, err := s.at[0].link()
		if err != nil {
			return err
		}
		r.Step("a breaker's window of 4; four calls are lost with their session")
		for range 4 {
			s.call(req("pay"))
		}
		k.take()
		s.at[0].set(func(e *endpoint) { e.forget = true })
		k.conn.Close()
		time.Sleep(5 * time.Millisecond)
		synctest.Wait()
		return s.is(s.call(req("next")), "after four that had no answer", "ErrOpen")
	})
}

func neverLeft(r *spec.Run, l lab) error {
	whole := len(frame{kind: call, body: "pay"}.encode())
	for _, missing := range []int{whole - 1, whole / 2, 1} {
		o := Options{BackoffBase: 10 * time.Millisecond, Rand: constant(0.5), Timeout: time.Minute, Attempts: 1}
		err := play(r, l, 1, o, func(s *stage) { s.at[0].cut = whole - missing; s.at[0].forget = true }, func(s *stage) error {
			r.Step("an unsafe call of %d bytes, of which the connection takes all but %d; then it is lost, and the session is forgotten", whole, missing)
			res := s.call(req("pay"))
			synctest.Wait()
			time.Sleep(10 * time.Millisecond)
			k, err := s.at[0].link()
			if err != nil {
				return err
			}
			got, err := k.calls("in the new session", "pay")
			if err != nil {
				return err
			}
			k.answer(got[0], "paid")
			return first(s.is(res, "", "paid"), must("Stats().Retries: it is none, the call never left", 0, s.c.Stats().Retries))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func halfLeft(r *spec.Run, l lab) error {
	size := len(frame{kind: call, body: "pay 1"}.encode())
	for _, writes := range []int{1, 2} {
		o := Options{BackoffBase: 10 * time.Millisecond, Rand: constant(0.5), Timeout: time.Minute}
		tune := func(s *stage) { s.at[0].down, s.at[0].forget, s.at[0].cut = writes == 1, true, size+size/2 }
		err := play(r, l, 1, o, tune, func(s *stage) error {
			r.Step("two unsafe calls, to be sent with %d writes; the connection takes the first one, and a half of the second; then it is lost, and the session is forgotten", writes)
			one := s.call(req("pay 1"))
			synctest.Wait()
			two := s.call(req("pay 2"))
			s.at[0].set(func(e *endpoint) { e.down = false })
			time.Sleep(time.Second)
			k, err := s.at[0].link()
			if err != nil {
				return err
			}
			got, err := k.calls("in the new session", "pay 2")
			if err != nil {
				return err
			}
			k.answer(got[0], "paid")
			return first(s.is(one, "which was sent whole", "ErrUnknown"), s.is(two, "", "paid"))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func writerLate(r *spec.Run, l lab) error {
	size := len(frame{kind: call, body: "pay"}.encode())
	return play(r, l, 1, Options{BackoffBase: 10 * time.Millisecond, Rand: constant(0.5), Timeout: time.Minute},
		func(s *stage) { s.at[0].cut, s.at[0].late, s.at[0].forget = size, time.Millisecond, true }, func(s *stage) error {
			r.Step("an unsafe call, which the connection takes whole; then it is lost, and the reader sees that before Write has returned; the session is forgotten")
			res := s.call(req("pay"))
			time.Sleep(time.Second)
			k, err := s.at[0].link()
			if err != nil {
				return err
			}
			if _, err := k.calls("in the new session: the first connection had it whole"); err != nil {
				return err
			}
			return s.is(res, "that may have been done", "ErrUnknown")
		})
}

func leftAndWaits(r *spec.Run, l lab) error {
	return play(r, l, 1, Options{BackoffBase: 10 * time.Millisecond, Rand: constant(0.5), Timeout: time.Minute}, nil, func(s *stage) error {
		k, err := s.at[0].link()
		if err != nil {
			return err
		}
		r.Step("eight unsafe calls of 100 kB are sent; the connection is lost; the session is resumed, and its connection takes the beginning of the first one; then the session is forgotten")
		var all []*result
		for i := range 8 {
			all = append(all, s.call(Request{Body: bytes.Repeat([]byte{'0' + byte(i)}, 100_000)}))
		}
		if got := k.take(call); len(got) != 8 {
			return spec.Fail("eight calls to be sent", "%d were", len(got))
		}
		s.at[0].set(func(e *endpoint) { e.cut = 10 })
		k.conn.Close()
		time.Sleep(6 * time.Millisecond)
		s.at[0].set(func(e *endpoint) { e.forget = true })
		time.Sleep(time.Second)
		if k, err = s.at[0].link(); err != nil {
			return err
		}
		if got := k.take(call); len(got) > 0 {
			return spec.Fail("no call in the new session: the first connection had all of them", "there are %d", len(got))
		}
		for _, res := range all {
			if err := s.is(res, "that may have been done", "ErrUnknown"); err != nil {
				return err
			}
		}
		return s.idle("at the end")
	})
}

func leftBefore(r *spec.Run, l lab) error {
	for _, cut := range []int{1, len(frame{kind: call, body: "pay"}.encode()) - 1} {
		err := play(r, l, 1, Options{BackoffBase: 10 * time.Millisecond, Rand: constant(0.5), Timeout: time.Minute}, nil, func(s *stage) error {
			k, err := s.at[0].link()
			if err != nil {
				return err
			}
			r.Step("an unsafe call is sent; the connection is lost; the session is resumed, and its connection takes %d bytes of the call that is sent again; then the session is forgotten", cut)
			res := s.call(req("pay"))
			if _, err := k.calls("at first", "pay"); err != nil {
				return err
			}
			s.at[0].set(func(e *endpoint) { e.cut = cut })
			k.conn.Close()
			time.Sleep(6 * time.Millisecond)
			s.at[0].set(func(e *endpoint) { e.forget = true })
			time.Sleep(time.Second)
			if k, err = s.at[0].link(); err != nil {
				return err
			}
			if _, err := k.calls("in the new session: the first connection had it whole"); err != nil {
				return err
			}
			return first(s.is(res, "that may have been done", "ErrUnknown"), s.idle("at the end"))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func leavesAtOnce(r *spec.Run, l lab) error {
	size := len(frame{kind: call, key: "k1", body: "pay 1"}.encode())
	return play(r, l, 2, Options{BackoffBase: time.Second, Rand: constant(0.5), Timeout: time.Minute}, func(s *stage) { s.at[0].cut = size - 1 }, func(s *stage) error {
		r.Step("two endpoints, a call with a key for each; the first one takes all of it but a byte, and hangs up: the other one gets it at once")
		k, err := s.at[1].link()
		if err != nil {
			return err
		}
		all := []*result{s.call(Request{Body: []byte("pay 1"), Key: "k1"}), s.call(Request{Body: []byte("pay 2"), Key: "k2"})}
		got, err := k.together("at the other endpoint", "pay 1", "pay 2")
		if err != nil {
			return err
		}
		if got[0].id == got[1].id {
			return spec.Fail("an id for each call", "both have %d", got[0].id)
		}
		for _, f := range got {
			k.answer(f, "ok "+f.body)
		}
		return first(s.is(all[0], "", "ok pay 1"), s.is(all[1], "", "ok pay 2"), must("Stats().Retries: it is none, the call never left", 0, s.c.Stats().Retries), s.idle("at the end"))
	})
}

func pushesOnce(r *spec.Run, l lab) error {
	return play(r, l, 1, Options{BackoffBase: 10 * time.Millisecond, Rand: constant(0.5)}, nil, func(s *stage) error {
		k, err := s.at[0].link()
		if err != nil {
			return err
		}
		p := func(n int) frame { return frame{kind: push, id: uint64(n), body: fmt.Sprint("p", n)} }
		r.Step("pushes 1, 2, 3, and 2 and 3 again")
		k.send(p(1), p(2), p(3), p(2), p(3))
		if err := s.pushed("at first", "0:p1", "0:p2", "0:p3"); err != nil {
			return err
		}
		if acks := k.take(ack); len(acks) == 0 || acks[len(acks)-1].id != 3 {
			return spec.Fail("an ack for 3", "there is %v", acks)
		}
		r.Step("the connection is lost; the server sends 3 and 4 again behind its welcome")
		s.at[0].set(func(e *endpoint) { e.greet = []frame{p(3), p(4)} })
		k.conn.Close()
		time.Sleep(10 * time.Millisecond)
		if k, err = s.at[0].link(); err != nil {
			return err
		}
		if k.hello.last != 3 {
			return spec.Fail("a hello that names the last push, 3", "it is %v", k.hello)
		}
		if err := s.pushed("in the resumed session", "0:p1", "0:p2", "0:p3", "0:p4"); err != nil {
			return err
		}
		if acks := k.take(ack); len(acks) == 0 || acks[len(acks)-1].id != 4 {
			return spec.Fail("an ack for 4", "there is %v", acks)
		}
		r.Step("push 6 comes, and 5 never came")
		k.send(p(6))
		if over, _ := k.over(); !over {
			return spec.Fail("a connection that has lost a push to be ended", "it is open")
		}
		if err := s.pushed("after the gap", "0:p1", "0:p2", "0:p3", "0:p4"); err != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
		if k, err = s.at[0].link(); err != nil {
			return err
		}
		if k.hello.last != 4 {
			return spec.Fail("a hello that names the last push, 4", "it is %v", k.hello)
		}
		r.Step("a new session, whose pushes begin at 1")
		s.at[0].set(func(e *endpoint) { e.forget = true; e.greet = []frame{p(1)} })
		k.conn.Close()
		time.Sleep(200 * time.Millisecond)
		if err := s.pushed("in the new session", "0:p1", "0:p2", "0:p3", "0:p4", "0:p1"); err != nil {
			return err
		}
		if k, err = s.at[0].link(); err != nil {
			return err
		}
		long := strings.Repeat("long ", 20)
		k.send(frame{kind: push, id: 2, body: long})
		return s.pushed("in the new session, then", "0:p1", "0:p2", "0:p3", "0:p4", "0:p1", "0:"+long)
	})
}

func silenceNoticed(r *spec.Run, l lab) error {
	return play(r, l, 1, Options{KeepAlive: time.Second, BackoffBase: 2 * time.Millisecond, Rand: constant(0.5)}, nil, func(s *stage) error {
		k, err := s.at[0].link()
		if err != nil {
			return err
		}
		r.Step("KeepAlive 1 s; the server answers three pings, and then no more")
		for i := range 3 {
			time.Sleep(time.Second - 1)
			if got := k.take(ping); len(got) > 0 {
				return spec.Fail("no ping before a second of silence", "there is one")
			}
			time.Sleep(time.Nanosecond)
			if got := k.take(ping); len(got) != 1 {
				return spec.Fail("a ping after a second of silence", "there are %d, the %d. time", len(got), i+1)
			}
			k.send(frame{kind: pong})
			synctest.Wait()
		}
		quiet := s.since()
		time.Sleep(2 * time.Second)
		over, at := k.over()
		if !over || at-quiet != 2*time.Second {
			return spec.Fail("the connection to be given up after 2s of silence", "given up: %v, after %v", over, at-quiet)
		}
		time.Sleep(5 * time.Millisecond)
		next, err := s.at[0].link()
		if err != nil {
			return err
		}
		if next == k {
			return spec.Fail("a new connection", "there is none")
		}
		return nil
	})
}
