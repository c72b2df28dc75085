package retrytest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var serverRules = []spec.Rule[lab]{
	{
		Name: "ServerAnswers", Group: "server", Points: 1, Section: step8,
		Why: "Every call has one answer, with its id, in whatever order. And who can guess a session's number gets somebody else's messages.",
		Hints: [3]string{
			"What does the server do with a thousand calls that come in one write?",
			"It hands each to Handle, and sends each answer when it is there. A session's number is 64 random bits.",
			"OnMessage: decode, Handle(ctx, body, func(...) { loop.Post(...) })",
		},
		Check: inTurn(serverAnswers, answersFit),
	},
	{
		Name: "RepliesCountOnce", Group: "server", Points: 1, Section: step8,
		Why: "A handler that replies on two paths, or panics after it has replied, is a bug of the handler. It must not become one of the protocol.",
		Hints: [3]string{
			"May a handler call reply twice? From another goroutine? What if it panics?",
			"The first one counts. A panic is an error of the call, and not the end of the server.",
			"if used.Swap(true) { return }; defer recover: reply(nil, fmt.Errorf(...))",
		},
		Check: repliesOnce,
	},
	{
		Name: "DeadlineReachesTheHandler", Group: "server", Points: 1, Section: step8,
		Why: "The handler calls others, and passes its context on: so the whole tree below stops when nobody waits any more.",
		Hints: [3]string{
			"What does the frame's left become?",
			"A context with a timeout; without one where left is 0.",
			"context.WithTimeout(ctx, left)",
		},
		Check: deadlineReaches,
	},
	{
		Name: "ExpiredIsNotWorked", Group: "server", Points: 2, Section: step8,
		Why: "A server that is two seconds behind, for clients that wait one, does nothing useful for ever. If it throws away what is too late, it has caught up at once.",
		Hints: [3]string{
			"When does a call's time run out unseen?",
			"While it waits for room. Look at the deadline when its turn comes, not only when it arrives.",
			"run: if deadline - now() <= 0 { reply expired; return }",
		},
		Check: expiredNotWorked,
	},
	{
		Name: "FullIsBusy", Group: "server", Points: 1, Section: step8,
		Why: "To say no costs a microsecond; to have no bound costs everything, later. And a no that says \"I have done nothing\" may be tried again by anybody.",
		Hints: [3]string{
			"How many calls run, how many wait, and what happens to the next one?",
			"MaxRunning, MaxWaiting, and the status busy at once. When one is done, the first one that waits runs.",
			"switch { case running < MaxRunning: run; case len(waiting) < MaxWaiting: wait; default: busy }",
		},
		Check: fullBusy,
	},
	{
		Name: "CancelReachesTheHandler", Group: "server", Points: 1, Section: step9,
		Why: "The client has its answer from somebody else, or has gone. Work that goes on takes the place of work that somebody waits for.",
		Hints: [3]string{
			"What does a cancel frame do to a call that runs, that waits, that has a key?",
			"It ends the context; it takes it out of the line; nothing: somebody may come back for a key.",
			"cancelled: if running { cancel() } else { remove from waiting }",
		},
		Check: cancelReaches,
	},
	{
		Name: "GarbageEndsOneConnection", Group: "server", Points: 1, Section: step8,
		Why: "Bytes that make no sense come from a scanner, a bug, or a wrong port. Answering is guessing; and nobody else's connection may suffer.",
		Hints: [3]string{
			"Which frames make no sense, and which come at the wrong time?",
			"Too short, too long, an unknown kind or version; anything before the hello, a second hello.",
			"if err := act(c, payload); err != nil { c.Abort(err) }",
		},
		Check: garbageEnds,
	},
}

func serverAnswers(r *spec.Run, l lab) error {
	m, _, err := open(r, l, ServerOptions{Handle: echo, MaxWaiting: 5000})
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
	if a.resumed || a.session == b.session {
		return spec.Fail("two new sessions", "they are %d and %d, resumed: %v", a.session, b.session, a.resumed)
	}
	if d := max(a.session, b.session) - min(a.session, b.session); d < 1<<20 {
		return spec.Fail("sessions that cannot be guessed", "the second one is %d behind the first", d)
	}
	r.Step("1000 calls in one write, and a ping")
	var all []frame
	for i := range 1000 {
		all = append(all, frame{kind: call, id: uint64(i + 1), left: 60_000, body: fmt.Sprint("q", i+1)})
	}
	if err := a.send(append(all, frame{kind: ping})...); err != nil {
		return err
	}
	seen, pongs := map[uint64]bool{}, 0
	for range 1001 {
		f, err := a.next("an answer to each call, and a pong")
		switch {
		case err != nil:
			return err
		case f.kind == pong:
			pongs++
		case !f.isReply(f.id, done, fmt.Sprint("q", f.id)) || seen[f.id]:
			return spec.Fail("an answer to each call, once, with its own body", "there came: %v", f)
		}
		seen[f.id] = true
	}
	if err := first(must("the number of pongs", 1, pongs), b.still("for the other session"), b.ask("x", done, "x"), b.ask("", done, "")); err != nil {
		return err
	}
	if err := m.until("Stats to count 1002 calls and two sessions", func(n ServerStats) bool {
		return n.Worked == 1002 && n.Sessions == 2 && n.Connected == 2 && n.Running == 0 && n.Waiting == 0
	}); err != nil {
		return err
	}
	r.Step("Shutdown, and Stats once more")
	gone, cancel := context.WithCancel(r.Context())
	cancel()
	m.srv.Shutdown(gone)
	after := make(chan ServerStats, 1)
	go func() { after <- m.srv.Stats() }()
	n, err := spec.Wait(r, "Stats to return after Shutdown", after)
	return first(err, must("Stats().Worked after Shutdown", 1002, n.Worked))
}

// answersFit: an answer that no client would take would end its connection, and
// after the session was resumed the next one.
func answersFit(r *spec.Run, l lab) error {
	m, _, err := open(r, l, ServerOptions{MaxMessage: 1000, Handle: func(_ context.Context, body []byte, reply func([]byte, error)) {
		n, _ := strconv.Atoi(string(body))
		long := strings.Repeat("x", max(n, -n))
		if n < 0 {
			reply(nil, errors.New(long))
			return
		}
		reply([]byte(long), nil)
	}})
	if err != nil {
		return err
	}
	g, err := m.join(0, 0)
	if err != nil {
		return err
	}
	r.Step("MaxMessage 1000, of which 10 bytes are a reply's own; answers of 990 and 991 bytes, an error whose text has 5000")
	if err := g.ask("990", done, strings.Repeat("x", 990)); err != nil {
		return err
	}
	for _, what := range []string{"991", "-5000"} {
		id, err := g.call(what)
		if err != nil {
			return err
		}
		f, err := g.next("a reply")
		if err != nil {
			return err
		}
		if f.kind != reply || f.id != id || f.status != failed || len(f.body) > 990 {
			return spec.Fail("the status failed, and at most 990 bytes, for an answer that does not fit into MaxMessage", "there came: reply %d (status %d) of %d bytes", f.id, f.status, len(f.body))
		}
	}
	return g.ask("1", done, "x")
}

func repliesOnce(r *spec.Run, l lab) error {
	m, _, err := open(r, l, ServerOptions{MaxRunning: 1, MaxWaiting: 100, Handle: func(ctx context.Context, body []byte, reply func([]byte, error)) {
		switch string(body) {
		case "thrice":
			reply([]byte("first"), nil)
			reply([]byte("second"), nil)
			reply(nil, errors.New("third"))
		case "crowd":
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() { reply([]byte("one of them"), nil) })
			}
			all.Wait()
		case "panic":
			panic("boom")
		case "late panic":
			reply([]byte("before"), nil)
			panic("boom")
		case "error":
			reply([]byte("unseen"), errors.New("no such account"))
		case "busy":
			reply(nil, l.Errors.Busy)
		default:
			reply(body, nil)
		}
	}})
	if err != nil {
		return err
	}
	g, err := m.join(0, 0)
	if err != nil {
		return err
	}
	log.SetOutput(io.Discard) // where panics may be told
	r.Cleanup(func() { log.SetOutput(os.Stderr) })
	r.Step("MaxRunning 1; handlers that reply three times, eight at once, panic, fail, refuse")
	if err := first(g.ask("thrice", done, "first"), g.ask("crowd", done, "one of them"), g.ask("late panic", done, "before"),
		g.ask("error", failed, "no such account"), g.ask("busy", busy, "")); err != nil {
		return err
	}
	id, err := g.call("panic")
	if err != nil {
		return err
	}
	f, err := g.next("an answer to the call whose handler panicked")
	if err != nil {
		return err
	}
	if f.kind != reply || f.id != id || f.status != failed {
		return spec.Fail("the status failed for the call whose handler panicked", "there came: %v", f)
	}
	return first(g.ask("fine", done, "fine"), g.still("after all answers"))
}

func deadlineReaches(r *spec.Run, l lab) error {
	m, works, err := open(r, l, ServerOptions{})
	if err != nil {
		return err
	}
	g, err := m.join(0, 0)
	if err != nil {
		return err
	}
	r.Step("a call with 30 s left, one without a bound, one with 50 ms")
	before := time.Now()
	w, err := m.asks(works, g, "long", left(30_000))
	if err != nil {
		return err
	}
	after := time.Now()
	at, ok := w.ctx.Deadline()
	if !ok {
		return spec.Fail("the handler's context to have a deadline", "it has none")
	}
	if at.Before(before.Add(30*time.Second)) || at.After(after.Add(30*time.Second)) {
		return spec.Fail("the deadline 30s after the call came", "it is %v after it was sent", at.Sub(before))
	}
	if w.ctx.Err() != nil {
		return spec.Fail("the context to go on until then", "it has ended: %v", w.ctx.Err())
	}
	w.reply(nil, nil)
	if _, err := spec.Wait(r, "the context to end with the reply", w.ctx.Done()); err != nil {
		return err
	}
	if _, err := g.call("unbounded", left(0)); err != nil {
		return err
	}
	if w, err = m.worked(works, "unbounded"); err != nil {
		return err
	}
	if at, ok := w.ctx.Deadline(); ok {
		return spec.Fail("no deadline for a call whose frame has 0", "it is in %v", time.Until(at))
	}
	if _, err := g.call("short", left(50)); err != nil {
		return err
	}
	if w, err = m.worked(works, "short"); err != nil {
		return err
	}
	if _, err := spec.Wait(r, "the context to end at its deadline", w.ctx.Done()); err != nil {
		return err
	}
	if w.ctx.Err() != context.DeadlineExceeded {
		return spec.Fail("the context to end with context.DeadlineExceeded", "it ended with %v", w.ctx.Err())
	}
	return nil
}

func expiredNotWorked(r *spec.Run, l lab) error {
	m, works, err := open(r, l, ServerOptions{MaxRunning: 1})
	if err != nil {
		return err
	}
	g, err := m.join(0, 0)
	if err != nil {
		return err
	}
	r.Step("MaxRunning 1, and one runs; calls with 100, 300 and 100 s wait; 100 s pass; the first one replies")
	var ids []uint64
	for i, ms := range []uint32{600_000, 100_000, 300_000, 100_000} {
		id, err := g.call(fmt.Sprint("c", i), left(ms))
		if err != nil {
			return err
		}
		ids = append(ids, id)
	}
	w, err := m.worked(works, "c0")
	if err != nil {
		return err
	}
	if err := m.until("three calls to wait", func(n ServerStats) bool { return n.Waiting == 3 }); err != nil {
		return err
	}
	m.pass(100 * time.Second)
	w.reply([]byte("a0"), nil)
	if err := first(g.answered(ids[0], done, "a0"), g.answered(ids[1], expired, "")); err != nil {
		return err
	}
	if w, err = m.worked(works, "c2"); err != nil {
		return err
	}
	at, ok := w.ctx.Deadline()
	if left := time.Until(at); !ok || left > 200*time.Second {
		return spec.Fail("the context of a call with 300 s that has waited for 100 to end in 200 s", "it ends in %v", left)
	}
	w.reply([]byte("a2"), nil)
	if err := first(g.answered(ids[2], done, "a2"), g.answered(ids[3], expired, "")); err != nil {
		return err
	}
	n := m.srv.Stats()
	return first(must("Stats().Expired", 2, n.Expired), must("Stats().Worked", 2, n.Worked), must("Stats().Running", 0, n.Running))
}

func fullBusy(r *spec.Run, l lab) error {
	m, works, err := open(r, l, ServerOptions{MaxRunning: 2, MaxWaiting: 3})
	if err != nil {
		return err
	}
	g, err := m.join(0, 0)
	if err != nil {
		return err
	}
	r.Step("MaxRunning 2, MaxWaiting 3; seven calls")
	for i := range 7 {
		if _, err := g.call(fmt.Sprint("c", i+1)); err != nil {
			return err
		}
	}
	if err := first(g.answered(6, busy, ""), g.answered(7, busy, "")); err != nil {
		return err
	}
	n := m.srv.Stats()
	if err := first(must("Stats().Running", 2, n.Running), must("Stats().Waiting", 3, n.Waiting), must("Stats().Busy", 2, n.Busy)); err != nil {
		return err
	}
	r.Step("the calls that run are answered, and each time the next one runs")
	for i := 1; i <= 5; i++ {
		w, err := m.worked(works, fmt.Sprint("c", i))
		if err != nil {
			return err
		}
		w.reply([]byte("ok"), nil)
		if err := g.answered(uint64(i), done, "ok"); err != nil {
			return err
		}
	}
	r.Step("another server, with MaxRunning 1 and none that wait")
	if m, works, err = open(r, l, ServerOptions{MaxRunning: 1, MaxWaiting: -1}); err != nil {
		return err
	}
	if g, err = m.join(0, 0); err != nil {
		return err
	}
	if _, err := g.call("c"); err != nil {
		return err
	}
	if err := g.ask("d", busy, ""); err != nil {
		return err
	}
	w, err := m.worked(works, "c")
	if err != nil {
		return err
	}
	w.reply(nil, nil)
	return g.answered(1, done, "")
}

func cancelReaches(r *spec.Run, l lab) error {
	m, works, err := open(r, l, ServerOptions{MaxRunning: 2})
	if err != nil {
		return err
	}
	g, err := m.join(0, 0)
	if err != nil {
		return err
	}
	r.Step("MaxRunning 2: one call runs, one with a key runs, two wait; three are cancelled")
	for _, c := range []struct{ body, key string }{{"runs", ""}, {"keyed", "k"}, {"waits", ""}, {"stays", ""}} {
		if _, err := g.call(c.body, key(c.key)); err != nil {
			return err
		}
	}
	a, err := m.worked(works, "runs")
	if err != nil {
		return err
	}
	b, err := m.worked(works, "keyed")
	if err != nil {
		return err
	}
	if err := g.send(frame{kind: cancel, id: 3}, frame{kind: cancel, id: 2}, frame{kind: cancel, id: 1}, frame{kind: cancel, id: 99}); err != nil {
		return err
	}
	if _, err := spec.Wait(r, "the context of the call that runs to end", a.ctx.Done()); err != nil {
		return err
	}
	if b.ctx.Err() != nil {
		return spec.Fail("a call with a key to go on", "its context has ended: %v", b.ctx.Err())
	}
	if n := m.srv.Stats(); n.Running != 2 || n.Waiting != 1 {
		return spec.Fail("2 calls to run after the cancels, for a handler keeps its place until it has replied, and 1 to wait", "%d run, %d wait", n.Running, n.Waiting)
	}
	a.reply(nil, errors.New("cancelled"))
	w, err := m.worked(works, "stays")
	if err != nil {
		return err
	}
	w.reply([]byte("yes"), nil)
	b.reply([]byte("paid"), nil)
	r.Step("the call with the key again")
	if _, err := g.call("keyed", key("k")); err != nil {
		return err
	}
	texts := map[uint64]string{2: "paid", 4: "yes", 5: "paid"}
	for want := map[uint64]string{4: "yes", 5: "paid"}; len(want) > 0; { // what was cancelled may be answered, or not
		what := fmt.Sprintf("the answers to the calls that were not cancelled, by id: %v", want)
		f, err := g.next(what)
		switch text, ok := texts[f.id]; {
		case err != nil:
			return err
		case ok && !f.isReply(f.id, done, text):
			return spec.Fail(what, "there came: %v", f)
		}
		delete(want, f.id)
	}
	if err := must("Stats().Worked", 3, m.srv.Stats().Worked); err != nil {
		return err
	}
	r.Step("another server, with MaxRunning 1: two calls with one key wait, and the first of them is cancelled")
	if m, works, err = open(r, l, ServerOptions{MaxRunning: 1}); err != nil {
		return err
	}
	if g, err = m.join(0, 0); err != nil {
		return err
	}
	for _, c := range []struct{ body, key string }{{"runs", ""}, {"twin", "k"}, {"twin", "k"}} {
		if _, err := g.call(c.body, key(c.key)); err != nil {
			return err
		}
	}
	if err := g.send(frame{kind: cancel, id: 2}, frame{kind: ping}); err != nil {
		return err
	}
	for f := (frame{}); f.kind != pong; { // what was cancelled may be answered, or not
		if f, err = g.next("a pong"); err != nil {
			return err
		}
	}
	for _, what := range []string{"runs", "twin"} {
		if w, err = m.worked(works, what); err != nil {
			return err
		}
		w.reply([]byte(what), nil)
	}
	for {
		f, err := g.next("the answer to the twin that was not cancelled")
		if err != nil || f.isReply(3, done, "twin") {
			return err
		}
	}
}

func garbageEnds(r *spec.Run, l lab) error {
	m, _, err := open(r, l, ServerOptions{Handle: echo, MaxMessage: 1000})
	if err != nil {
		return err
	}
	good, err := m.join(0, 0)
	if err != nil {
		return err
	}
	raw := func(payload ...byte) []byte {
		return append([]byte{0, 0, 0, byte(len(payload))}, payload...)
	}
	for _, c := range []struct {
		what  string
		hello bool
		bytes []byte
	}{
		{"an empty frame", true, raw()},
		{"a call that is too short", true, raw(call, 0, 0, 0, 0, 0, 0, 0, 1, 0)},
		{"a call whose key is longer than the frame", true, append(frame{kind: call, id: 1}.encode()[:25], 9)},
		{"a call with the id 0", true, frame{kind: call}.encode()},
		{"an unknown kind", true, raw(99, 1, 2, 3)},
		{"a cancel that is too short", true, raw(cancel, 1)},
		{"a second hello", true, frame{kind: hello, status: 1}.encode()},
		{"a frame for clients", true, frame{kind: reply, id: 1}.encode()},
		{"a frame above MaxMessage", true, []byte{0, 0, 4, 0, call}},
		{"a call before the hello", false, frame{kind: call, id: 1, body: "x"}.encode()},
		{"a ping before the hello", false, frame{kind: ping}.encode()},
		{"a hello of version 9", false, frame{kind: hello, status: 9}.encode()},
		{"a hello that is too short", false, raw(hello, 1, 0)},
	} {
		g, err := m.dial()
		if c.hello {
			g, err = m.join(0, 0)
		}
		if err != nil {
			return err
		}
		if _, err := g.conn.Write(c.bytes); err != nil {
			return err
		}
		if err := g.ended("after " + c.what); err != nil {
			return err
		}
		if err := good.ask("still there?", done, "still there?"); err != nil {
			return err
		}
	}
	return nil
}
