package retrytest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var callRules = []spec.Rule[lab]{
	{
		Name: "FramesAreExact", Group: "calls", Points: 1, Section: step3,
		Why: "Two programs that were never compiled together have only the bytes in common.",
		Hints: [3]string{
			"What is the first frame of a connection, and what may follow it?",
			"A hello with version 1, session 0, push 0; nothing before the welcome. Ids ascend from 1 or more.",
			"The table in wire.go; encode a call when it is written, not when it is made.",
		},
		Check: framesExact,
	},
	{
		Name: "AnswersFindTheirCalls", Group: "calls", Points: 2, Section: step3,
		Why: "Answers come in the order in which the server is done, cut anywhere, and sometimes twice. Give one to the wrong call, and somebody sees somebody else's account.",
		Hints: [3]string{
			"How do you know which call an answer belongs to?",
			"By its id, in a map from which it is taken out. An id that is not there is dropped.",
			"a := byID[id]; if a == nil { stray++; return }",
		},
		Check: answersFind,
	},
	{
		Name: "CallsArePipelined", Group: "calls", Points: 1, Section: step3,
		Why: "A client that waits for each answer does one call in a round trip; one with a goroutine for each call pays 2 KiB and a switch for everything that waits.",
		Hints: [3]string{
			"What does Go do beside putting the call into a queue?",
			"It wakes the one writer of the connection, which writes all that is there with one write.",
			"select { case wake <- struct{}{}: default: }",
		},
		Check: callsPipelined,
	},
	{
		Name: "CallbacksComeOnce", Group: "calls", Points: 1, Section: step3,
		Why: "A callback that runs twice pays an order twice; one that runs with your lock held deadlocks in the first program that makes a call from it.",
		Hints: [3]string{
			"Who tells those that wait, and what does he hold?",
			"Set the result under the lock, once; call when the lock is free.",
			"unlock: take the list of those with a result; mu.Unlock(); resolve each",
		},
		Check: callbacksOnce,
	},
	{
		Name: "TimeoutIsExact", Group: "ends", Points: 2, Section: step4,
		Why: "An answer that never comes is the normal case of a bad day. What is kept for it is kept for ever, unless the timeout takes it away.",
		Hints: [3]string{
			"What refers to a call, when its time is over?",
			"The map of ids, the queue, its alarms. All of them must go, and the server should hear that nobody waits.",
			"finish: pending--; for each attempt: cancel frame, list.remove, delete(byID, id)",
		},
		Check: timeoutExact,
	},
	{
		Name: "DeadlineIsTold", Group: "ends", Points: 2, Section: step5,
		Why: "A server that does not know how long the client waits works for clients that have gone: full throughput, no goodput. And what a call has left is less after it waited for a connection.",
		Hints: [3]string{
			"When do you compute what is left?",
			"When the frame is written. Round down, but not to 0.",
			"left := max(1, until.Sub(now).Milliseconds())",
		},
		Check: deadlineTold,
	},
	{
		Name: "PendingIsBounded", Group: "ends", Points: 1, Section: step4,
		Why: "A client in front of a dead server is a queue, and every queue needs a bound.",
		Hints: [3]string{
			"How many calls are without a result?",
			"Count up in Go, down where the result is set. At MaxPending refuse.",
			"case pending >= MaxPending: ErrFull",
		},
		Check: pendingBounded,
	},
	{
		Name: "CancelEndsACall", Group: "ends", Points: 1, Section: step4,
		Why: "Whoever does not want the answer any more should not pay for it, and neither should the server.",
		Hints: [3]string{
			"Where can a call be when it is cancelled?",
			"In the queue: then it must never be sent. On its way: then the server is told.",
			"Wait ends with its ctx and leaves the call alone; Do cancels it.",
		},
		Check: cancelEnds,
	},
	{
		Name: "CloseEndsAll", Group: "ends", Points: 2, Section: step5,
		Why: "A future that is never resolved is a goroutine that waits for ever, somewhere else.",
		Hints: [3]string{
			"Where are calls without a result?",
			"On their way, in the queue, and waiting for a backoff. Each has its deadline's alarm, so that is a list of them all.",
			"closed = true; for each call: finish(ErrClosed); end the context of dials; close connections; wait for the goroutines",
		},
		Check: closeEnds,
	},
}

func framesExact(r *spec.Run, l lab) error {
	return play(r, l, 1, Options{}, func(s *stage) { s.at[0].mute = true }, func(s *stage) error {
		r.Step("a server that does not welcome; two calls")
		k, err := s.at[0].link()
		if err != nil {
			return err
		}
		s.call(Request{Body: []byte("one"), Key: "the key", Timeout: 5 * time.Second})
		s.call(Request{Body: []byte{}, Safe: true})
		if got := k.take(); len(got) > 0 {
			return spec.Fail("nothing behind the hello before the welcome", "there is: %v", got)
		}
		if h := k.hello; h.kind != hello || h.status != 1 || h.id != 0 || h.last != 0 {
			return spec.Fail("a hello with version 1, session 0, push 0", "it is %v, version %d", h, h.status)
		}
		r.Step("the welcome")
		if err := k.send(frame{kind: welcome, id: 77}); err != nil {
			return err
		}
		got, err := k.calls("after the welcome", "one", "")
		if err != nil {
			return err
		}
		a, b := got[0], got[1]
		switch {
		case a.id == 0 || b.id <= a.id:
			return spec.Fail("ids that ascend from 1 or more", "they are %d and %d", a.id, b.id)
		case a.last > a.id || b.last > a.id:
			return spec.Fail(fmt.Sprintf("settled to be at most %d, which is not answered", a.id), "it is %d in the first call and %d in the second", a.last, b.last)
		case a.key != "the key" || b.key != "":
			return spec.Fail(`the keys "the key" and ""`, "they are %q and %q", a.key, b.key)
		case a.left != 5000 || b.left != 10_000:
			return spec.Fail("5000 and 10000 ms to be left", "it is %d and %d", a.left, b.left)
		}
		return nil
	})
}

func answersFind(r *spec.Run, l lab) error {
	return play(r, l, 1, Options{}, nil, func(s *stage) error {
		k, err := s.at[0].link()
		if err != nil {
			return err
		}
		r.Step("100 calls; the answers in reverse order, byte by byte, each one twice, and one for an id that nobody has")
		var all []*result
		for i := range 100 {
			all = append(all, s.call(req(fmt.Sprint("question ", i))))
		}
		got := k.take()
		if len(got) != 100 {
			return spec.Fail("100 calls", "there were %d", len(got))
		}
		slices.Reverse(got)
		var b []byte
		for i, f := range got {
			answer := frame{kind: reply, id: f.id, body: "answer to " + f.body}.encode()
			b = append(append(b, answer...), answer...)
			if i == 50 {
				b = append(b, frame{kind: reply, id: 1 << 60, body: "nobody's"}.encode()...)
			}
		}
		for i := range b {
			if _, err := k.conn.Write(b[i : i+1]); err != nil {
				return spec.Fail("the client to read on", "it has closed the connection after %d bytes", i)
			}
		}
		for i, res := range all {
			if err := s.is(res, "", fmt.Sprint("answer to question ", i)); err != nil {
				return err
			}
		}
		if err := first(s.idle("when all is answered"), must("Stats().Stray", 101, s.c.Stats().Stray)); err != nil {
			return err
		}
		r.Step("an answer as large as MaxMessage allows, 1 MiB; then a small one")
		large, small := s.call(req("large")), s.call(req("small"))
		if got, err = k.calls("then", "large", "small"); err != nil {
			return err
		}
		whole := strings.Repeat("large", (1<<20-10)/5)
		if k.answer(got[0], whole) != nil || k.answer(got[1], "small") != nil {
			return spec.Fail("the client to read a frame of MaxMessage", "it has closed the connection")
		}
		return first(s.is(small, "", "small"), s.is(large, "", whole))
	})
}

func callsPipelined(r *spec.Run, l lab) error {
	return play(r, l, 1, Options{}, nil, func(s *stage) error {
		k, err := s.at[0].link()
		if err != nil {
			return err
		}
		r.Step("5000 calls, none of which is answered")
		before := runtime.NumGoroutine()
		for i := range 5000 {
			s.c.Go(req(fmt.Sprint(i)))
		}
		got := k.take()
		if len(got) != 5000 {
			return spec.Fail("5000 calls to be sent without an answer", "%d were", len(got))
		}
		for i, f := range got {
			if f.body != fmt.Sprint(i) {
				return spec.Fail("calls in the order in which they were made", "number %d is %q", i, f.body)
			}
		}
		if n := runtime.NumGoroutine() - before; n > 20 {
			return spec.Fail("no goroutine for each call", "5000 calls have %d goroutines", n)
		}
		return nil
	})
}

func callbacksOnce(r *spec.Run, l lab) error {
	return play(r, l, 1, Options{}, nil, func(s *stage) error {
		k, err := s.at[0].link()
		if err != nil {
			return err
		}
		r.Step("three callbacks of one call, two of which are posted, one of which calls again, and asks for a fourth; two goroutines wait")
		var order []string
		var posted []func()
		post := func(f func()) error { posted = append(posted, f); return nil }
		gone := func(func()) error { return errors.New("the loop has ended") }
		f := s.c.Go(req("a"))
		note := func(what string) func([]byte, error) {
			return func(body []byte, err error) {
				s.mu.Lock()
				defer s.mu.Unlock()
				order = append(order, what+" "+string(body))
			}
		}
		f.Then(nil, func(body []byte, err error) {
			note("first")(body, err)
			s.c.Go(req("b"))
			s.c.Stats()
			f.Then(post, note("fourth"))
		})
		f.Then(post, note("second"))
		f.Then(gone, note("nowhere"))
		f.Then(post, note("third"))
		var waits []<-chan error
		for range 2 {
			waits = append(waits, s.r.Go(func() error {
				body, err := f.Wait(s.r.Context())
				if err != nil || string(body) != "yes" {
					return spec.Fail(`Wait to return "yes"`, "it returned %q, %v", body, err)
				}
				return nil
			}))
		}
		calls, err := k.calls("at first", "a")
		if err != nil {
			return err
		}
		answer := frame{kind: reply, id: calls[0].id, body: "yes"}
		if err := k.send(answer, answer); err != nil {
			return err
		}
		if _, err := k.calls("from the callback", "b"); err != nil {
			return err
		}
		for _, w := range waits {
			if len(w) == 0 {
				return spec.Fail("both Waits to return", "one still waits")
			}
			if err := <-w; err != nil {
				return err
			}
		}
		f.Then(post, note("late"))
		f.Then(gone, note("nowhere"))
		f.Cancel()
		synctest.Wait()
		for _, run := range posted {
			run()
		}
		want := []string{"first yes", "second yes", "third yes", "fourth yes", "late yes"}
		if !slices.Equal(order, want) {
			return spec.Fail(fmt.Sprintf("the callbacks %q, each once, in the order of Then, where they were posted", want), "they were %q", order)
		}
		return nil
	})
}

func timeoutExact(r *spec.Run, l lab) error {
	return play(r, l, 1, Options{Timeout: 2 * time.Second}, nil, func(s *stage) error {
		k, err := s.at[0].link()
		if err != nil {
			return err
		}
		r.Step("calls with 300 ms, with a nanosecond more, and with the client's 2 s; no answers")
		short := s.call(Request{Body: []byte("short"), Timeout: 300 * time.Millisecond})
		more := s.call(Request{Body: []byte("more"), Timeout: 300*time.Millisecond + 1})
		long := s.call(req("long"))
		got, err := k.calls("at first", "short", "more", "long")
		if err != nil {
			return err
		}
		time.Sleep(300 * time.Millisecond)
		if err := first(s.is(short, "after 300 ms", "ErrTimeout"), s.is(more, "after 300 ms", "")); err != nil {
			return err
		}
		time.Sleep(3 * time.Second)
		if err := first(s.is(more, "after 3 s", "ErrTimeout"), s.is(long, "after 3 s", "ErrTimeout"),
			s.after(short, 300*time.Millisecond), s.after(more, 300*time.Millisecond+1), s.after(long, 2*time.Second),
			s.idle("when all have timed out")); err != nil {
			return err
		}
		if !errors.Is(short.err, context.DeadlineExceeded) {
			return spec.Fail("ErrTimeout to be a context.DeadlineExceeded, too", "it is %v", short.err)
		}
		told := k.take(cancel)
		slices.SortFunc(told, func(a, b frame) int { return int(a.id) - int(b.id) })
		if len(told) != 3 || told[0].id != got[0].id || told[1].id != got[1].id || told[2].id != got[2].id {
			return spec.Fail("the server to be told that nobody waits for the three calls", "it was told %v", told)
		}
		r.Step("the answers, too late; another call")
		for _, f := range got {
			if err := k.answer(f, "late"); err != nil {
				return err
			}
		}
		fresh := s.call(req("fresh"))
		calls, err := k.calls("then", "fresh")
		if err != nil {
			return err
		}
		if err := k.answer(calls[0], "in time"); err != nil {
			return err
		}
		return first(s.is(short, "after a late answer", "ErrTimeout"), s.is(fresh, "", "in time"), s.idle("at the end"))
	})
}

func deadlineTold(r *spec.Run, l lab) error {
	return play(r, l, 1, Options{BackoffBase: time.Second, BackoffCap: time.Second, Rand: constant(0.5)}, func(s *stage) { s.at[0].down = true }, func(s *stage) error {
		r.Step("no connection; a call with 10 s; one with 300 ms, which is over when the server comes up after 4 s")
		long := s.call(Request{Body: []byte("long"), Timeout: 10 * time.Second})
		short := s.call(Request{Body: []byte("short"), Timeout: 300 * time.Millisecond})
		time.Sleep(4 * time.Second)
		s.at[0].set(func(e *endpoint) { e.down = false })
		time.Sleep(time.Second)
		k, err := s.at[0].link()
		if err != nil {
			return err
		}
		calls, err := k.calls("when it is connected", "long")
		if err != nil {
			return err
		}
		dials := s.at[0].dialled()
		at := dials[len(dials)-1]
		want := uint32((10*time.Second - at).Milliseconds())
		if got := calls[0].left; got > want || got < want-1 {
			return spec.Fail(fmt.Sprintf("%d ms to be left of 10 s, sent after %v", want, at), "the frame says %d", got)
		}
		if err := first(s.is(short, "", "ErrTimeout"), s.after(short, 300*time.Millisecond)); err != nil {
			return err
		}
		r.Step("the server is busy; what is left in the second frame")
		time.Sleep(700*time.Millisecond + 500*time.Microsecond)
		busyAt := s.since()
		if err := k.send(frame{kind: reply, id: calls[0].id, status: busy}); err != nil {
			return err
		}
		time.Sleep(2 * time.Second)
		if calls, err = k.calls("again", "long"); err != nil {
			return err
		}
		want = uint32((10*time.Second - busyAt).Milliseconds())
		if got := calls[0].left; got >= want || got < want-1001 {
			return spec.Fail(fmt.Sprintf("less than %d ms to be left in the second frame", want), "it says %d", got)
		}
		return s.is(long, "", "")
	})
}

func pendingBounded(r *spec.Run, l lab) error {
	return play(r, l, 1, Options{MaxPending: 100}, nil, func(s *stage) error {
		k, err := s.at[0].link()
		if err != nil {
			return err
		}
		r.Step("MaxPending 100, 101 calls; then one is answered")
		var all []*result
		for i := range 101 {
			all = append(all, s.call(req(fmt.Sprint(i))))
		}
		if err := first(s.is(all[99], "", ""), s.is(all[100], "above MaxPending", "ErrFull"), s.after(all[100], 0)); err != nil {
			return err
		}
		got := k.take()
		if len(got) != 100 {
			return spec.Fail("100 calls to be sent", "%d were", len(got))
		}
		if err := k.answer(got[0], "one"); err != nil {
			return err
		}
		synctest.Wait()
		next := s.call(req("next"))
		if _, err := k.calls("when there is room", "next"); err != nil {
			return err
		}
		n := s.c.Stats()
		return first(s.is(next, "", ""), must("Stats().Pending", 100, n.Pending), must("Stats().Calls, refused ones not counted", 101, n.Calls))
	})
}

func cancelEnds(r *spec.Run, l lab) error {
	return play(r, l, 1, Options{}, func(s *stage) { s.at[0].mute = true }, func(s *stage) error {
		k, err := s.at[0].link()
		if err != nil {
			return err
		}
		r.Step("a call is cancelled before the welcome, another one when it is sent; a Wait and a Do whose contexts end")
		early, f := s.watch(req("early"))
		f.Cancel()
		sent, g := s.watch(req("sent"))
		kept, h := s.watch(req("kept"))
		if err := k.send(frame{kind: welcome, id: 5}); err != nil {
			return err
		}
		got, err := k.calls("after the welcome", "sent", "kept")
		if err != nil {
			return err
		}
		g.Cancel()
		g.Cancel()
		told := k.take(cancel)
		if len(told) != 1 || told[0].id != got[0].id {
			return spec.Fail("the server to be told of the cancelled call, once", "it was told %v", told)
		}
		if err := first(s.is(early, "", "context.Canceled"), s.is(sent, "", "context.Canceled")); err != nil {
			return err
		}
		ctx, stop := context.WithCancel(s.r.Context())
		waits := s.r.Go(func() error { _, err := h.Wait(ctx); return err })
		does := s.r.Go(func() error { _, err := s.c.Do(ctx, req("do")); return err })
		does2 := s.r.Go(func() error {
			soon, stop := context.WithTimeout(s.r.Context(), 3*time.Second)
			defer stop()
			_, err := s.c.Do(soon, req("soon"))
			return err
		})
		s.r.Go(func() error {
			later, stop := context.WithTimeout(s.r.Context(), 3*time.Second)
			defer stop()
			_, err := s.c.Do(later, Request{Body: []byte("own"), Timeout: time.Second})
			return err
		})
		synctest.Wait()
		stop()
		synctest.Wait()
		if len(waits) == 0 || len(does) == 0 {
			return spec.Fail("Wait and Do to return when their context ends", "one still waits")
		}
		if err := <-waits; err != context.Canceled {
			return spec.Fail("Wait to return context.Canceled", "it returned %v", err)
		}
		if err := <-does; err != context.Canceled {
			return spec.Fail("Do to return context.Canceled", "it returned %v", err)
		}
		var do, soon, own frame
		for _, f := range k.take() {
			switch {
			case f.kind == call && f.body == "do":
				do = f
			case f.kind == call && f.body == "soon":
				soon = f
			case f.kind == call && f.body == "own":
				own = f
			case f.kind == cancel && f.id == do.id && do.id != 0:
				do.id = 0
			default:
				return spec.Fail("the calls do, soon and own, and the cancel of do", "there is %v", f)
			}
		}
		if do.body == "" || do.id != 0 || soon.left > 3000 || soon.left < 2900 {
			return spec.Fail("a cancel for the call whose Do has ended, and 3000 ms left for a Do whose context has 3 s", "cancelled: %v; left: %d", do.id == 0, soon.left)
		}
		if own.left > 1000 || own.left < 900 {
			return spec.Fail("1000 ms left for a Do with a Timeout of 1 s, whose context has 3 s", "left: %d", own.left)
		}
		if err := k.answer(got[1], "still"); err != nil {
			return err
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if len(does2) == 0 {
			return spec.Fail("Do to return at its context's deadline", "it still waits")
		}
		if err := <-does2; !errors.Is(err, context.DeadlineExceeded) {
			return spec.Fail("Do to return a context.DeadlineExceeded", "it returned %v", err)
		}
		return first(s.is(kept, "whose Wait gave up", "still"), s.idle("at the end"))
	})
}

func closeEnds(r *spec.Run, l lab) error {
	// The first endpoint takes calls, the second one hangs in its dial.
	return play(r, l, 2, Options{BackoffBase: 8 * time.Second, BackoffCap: 8 * time.Second, Rand: constant(0.5)}, func(s *stage) { s.at[1].hang, s.at[1].slow = true, time.Second }, func(s *stage) error {
		k, err := s.at[0].link()
		if err != nil {
			return err
		}
		r.Step("a call is on its way, one waits for its backoff; a dial hangs, and takes a second to end; Close, twice")
		flying, backing := s.call(req("flying")), s.call(req("backing"))
		got, err := k.calls("at first", "flying", "backing")
		if err != nil {
			return err
		}
		if err := k.send(frame{kind: reply, id: got[1].id, status: busy}); err != nil {
			return err
		}
		synctest.Wait()
		if err := first(s.is(flying, "", ""), s.is(backing, "", "")); err != nil {
			return err
		}
		closes := []<-chan error{s.r.Go(s.c.Close), s.r.Go(s.c.Close)}
		if err := first(s.is(flying, "after Close", "ErrClosed"), s.is(backing, "after Close", "ErrClosed")); err != nil {
			return err
		}
		for _, c := range closes {
			if len(c) > 0 {
				return spec.Fail("Close to wait for the dial that has still to return", "it did not: a goroutine of the client is left")
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		for _, c := range closes {
			if len(c) == 0 {
				return spec.Fail("Close to return", "it still waits")
			}
		}
		if over, _ := k.over(); !over {
			return spec.Fail("the connection to be closed", "it is open")
		}
		late := s.call(req("late"))
		if err := first(s.is(late, "made after Close", "ErrClosed"), s.idle("after Close")); err != nil {
			return err
		}
		dials := len(s.at[0].dialled())
		time.Sleep(time.Hour)
		synctest.Wait()
		return must("the number of dials an hour after Close", dials, len(s.at[0].dialled()))
	})
}
