package retrytest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var peerRules = []spec.Rule[lab]{
	{
		Name: "ResumeAnswersAgain", Group: "sessions", Points: 2, Section: step10,
		Why: "The connection broke between the work and the answer. The client asks again with the same id, and must hear what came of it; the work must not be done again, key or no key.",
		Hints: [3]string{
			"What does the server know of a session's ids?",
			"The highest one it has seen, and the answers that may still be asked for. Not above the highest: not new.",
			"if id <= highest { j := jobs[id]; done: send its answer; running: its answer will come; nil: status unknown }",
		},
		Check: resumeAnswers,
	},
	{
		Name: "AnswersAreBounded", Group: "sessions", Points: 1, Section: step10,
		Why: "A client that never settles makes the server keep every answer. And an answer that was forgotten is no reason to do the work again.",
		Hints: [3]string{
			"Which answers may be forgotten?",
			"Those below settled, and the oldest above SessionAnswers. Of these the client hears unknown.",
			"settle(id): for ids[0] < id { forget }; room(): for len(ids) >= most && jobs[ids[0]].done { forget }",
		},
		Check: answersBounded,
	},
	{
		Name: "PushesSurvive", Group: "sessions", Points: 2, Section: step10,
		Why: "What was pushed while the client was away is what it wants to know most.",
		Hints: [3]string{
			"Which pushes does a resumed session get?",
			"Those after the one that its hello names, in order; then what is new. An ack forgets them.",
			"hello: acknowledge(last); for frame in unread { send }",
		},
		Check: inTurn(pushesSurvive, pushesFit),
	},
	{
		Name: "TheNewestConnectionCounts", Group: "sessions", Points: 1, Section: step10,
		Why: "The client's network has changed, and the server still believes in the old connection, for minutes perhaps. The client knows better.",
		Hints: [3]string{
			"A hello names a session that has a connection. Who is right?",
			"The new one. Close the old one; when its end is reported, the session is not without a connection.",
			"if p.conn != nil { p.conn.Abort(nil) }; p.conn = c; onClose: if p.conn == c { depart(p) }",
		},
		Check: newestCounts,
	},
	{
		Name: "SessionsAreForgotten", Group: "sessions", Points: 1, Section: step10,
		Why: "Phones go into tunnels and never come out. Without bounds, each of them leaves its messages with you for ever.",
		Hints: [3]string{
			"What ends a session?",
			"SessionAge without a connection, more than Sessions of them, more than SessionPushes that are not acknowledged. Then a hello gets a new one.",
			"a list of those without a connection, the longest first; expire() from its front",
		},
		Check: sessionsForgotten,
	},
}

func (m *room) again(g *guest, last uint64, resumed bool, when string) (*guest, error) {
	next, err := m.join(g.session, last)
	if err != nil {
		return nil, err
	}
	if next.resumed != resumed || resumed != (next.session == g.session) {
		return nil, spec.Fail(fmt.Sprintf("the session to be resumed %s: %v", when, resumed), "resumed: %v, session %d, and not %d", next.resumed, next.session, g.session)
	}
	next.nextID = g.nextID
	if !resumed {
		next.nextID = 0
	}
	return next, nil
}

// drop closes a guest's connection, and waits until the server knows.
func (m *room) drop(g *guest) error {
	before := m.srv.Stats().Connected
	g.conn.Close()
	return m.until("the server to notice that a connection was closed", func(n ServerStats) bool { return n.Connected == before-1 })
}

func resumeAnswers(r *spec.Run, l lab) error {
	m, works, err := open(r, l, ServerOptions{})
	if err != nil {
		return err
	}
	g, err := m.join(0, 0)
	if err != nil {
		return err
	}
	r.Step("three calls; the connection is lost; one is answered while there is none; the session is resumed, and all three are sent again")
	var all []work
	for i := range 3 {
		if _, err := g.call(fmt.Sprint("q", i+1)); err != nil {
			return err
		}
		w, err := m.worked(works, fmt.Sprint("q", i+1))
		if err != nil {
			return err
		}
		all = append(all, w)
	}
	all[0].reply([]byte("a1"), nil)
	if err := g.answered(1, done, "a1"); err != nil {
		return err
	}
	if err := m.drop(g); err != nil {
		return err
	}
	all[1].reply([]byte("a2"), nil)
	if err := m.until("the second call to be done", func(n ServerStats) bool { return n.Running == 1 }); err != nil {
		return err
	}
	if all[2].ctx.Err() != nil {
		return spec.Fail("the call that runs to go on without a connection", "its context has ended: %v", all[2].ctx.Err())
	}
	m.calm = works
	if g, err = m.again(g, 0, true, "after its connection was lost"); err != nil {
		return err
	}
	for i := range uint64(3) {
		if _, err := g.call(fmt.Sprint("q", i+1), number(i+1), settled(1)); err != nil {
			return err
		}
	}
	if err := first(g.answered(1, done, "a1"), g.answered(2, done, "a2"), g.still("while the third call runs")); err != nil {
		return err
	}
	all[2].reply([]byte("a3"), nil)
	if err := g.answered(3, done, "a3"); err != nil {
		return err
	}
	m.calm = nil
	w, err := m.asks(works, g, "q4")
	if err != nil {
		return err
	}
	w.reply([]byte("a4"), nil)
	return first(g.answered(4, done, "a4"), g.still("after all answers"), must("Stats().Worked", 4, m.srv.Stats().Worked))
}

func answersBounded(r *spec.Run, l lab) error {
	m, _, err := open(r, l, ServerOptions{Handle: echo, SessionAnswers: 10})
	if err != nil {
		return err
	}
	g, err := m.join(0, 0)
	if err != nil {
		return err
	}
	r.Step("SessionAnswers 10; 30 calls, none of which is settled; the session is resumed, and all are sent again")
	for i := range 30 {
		if err := g.ask(fmt.Sprint("q", i+1), done, fmt.Sprint("q", i+1)); err != nil {
			return err
		}
	}
	if g, err = m.again(g, 0, true, "after its connection was lost"); err != nil {
		return err
	}
	for i := range uint64(30) {
		status, body := byte(done), fmt.Sprint("q", i+1)
		if i < 20 {
			status, body = unknown, ""
		}
		if err := g.ask(fmt.Sprint("q", i+1), status, body, number(i+1)); err != nil {
			return err
		}
	}
	return must("Stats().Worked", 30, m.srv.Stats().Worked)
}

func pushesSurvive(r *spec.Run, l lab) error {
	m, works, err := open(r, l, ServerOptions{})
	if err != nil {
		return err
	}
	if err := l.Push(context.Background(), []byte("x")); err == nil {
		return spec.Fail("an error from Push with a context that is of no call", "it returned nil")
	}
	g, err := m.join(0, 0)
	if err != nil {
		return err
	}
	pushed := func(g *guest, all ...int) error {
		for _, n := range all {
			what := fmt.Sprintf("push %d %q", n, fmt.Sprint("p", n))
			f, err := g.next(what)
			if err != nil {
				return err
			}
			if f.String() != what {
				return spec.Fail(what, "there came: %v", f)
			}
		}
		return nil
	}
	r.Step("a call subscribes; five pushes, of which two are acknowledged; the connection is lost; the client has seen three; two more pushes")
	w, err := m.asks(works, g, "subscribe")
	if err != nil {
		return err
	}
	next := 0
	send := func(n int) error {
		for range n {
			next++
			buf := []byte(fmt.Sprint("p", next))
			if err := l.Push(w.ctx, buf); err != nil {
				return spec.Fail("Push to accept", "it returned %v", err)
			}
			copy(buf, "zz") // it is the caller's again
		}
		return nil
	}
	if err := send(1); err != nil {
		return err
	}
	w.reply([]byte("ok"), nil)
	if err := first(pushed(g, 1), g.answered(1, done, "ok"), send(4), pushed(g, 2, 3, 4, 5), g.send(frame{kind: ack, id: 2}), g.still("after an ack")); err != nil {
		return err
	}
	if err := m.drop(g); err != nil {
		return err
	}
	if err := send(2); err != nil {
		return err
	}
	if g, err = m.again(g, 3, true, "after its connection was lost"); err != nil {
		return err
	}
	if err := first(pushed(g, 4, 5, 6, 7), g.still("after these pushes"), send(1), pushed(g, 8), g.send(frame{kind: ack, id: 8}), g.still("after an ack")); err != nil {
		return err
	}
	r.Step("everything is acknowledged; resumed once more; and one that claims to have seen what was never pushed")
	if g, err = m.again(g, 8, true, "the second time"); err != nil {
		return err
	}
	if err := first(g.still("when all is acknowledged"), send(1), pushed(g, 9)); err != nil {
		return err
	}
	if _, err := m.again(g, 99, false, "by a client that has seen push 99 of 9"); err != nil {
		return err
	}
	_, err = m.again(g, 5, false, "by a client that has acknowledged 8, and has seen 5 only")
	return err
}

// pushesFit: what is pushed to a client that is behind does not fit into any
// queue. It comes nevertheless, over as many connections as the server likes.
func pushesFit(r *spec.Run, l lab) error {
	m, works, err := open(r, l, ServerOptions{})
	if err != nil {
		return err
	}
	g, err := m.join(0, 0)
	if err != nil {
		return err
	}
	r.Step("a push that does not fit into MaxMessage, 1 MiB; then 200 pushes of 60 KiB to a client that reads nothing before the last one")
	w, err := m.asks(works, g, "subscribe")
	if err != nil {
		return err
	}
	if err := l.Push(w.ctx, make([]byte, 1<<20-8)); err == nil {
		return spec.Fail("Push to refuse what does not fit into MaxMessage", "it returned nil")
	}
	const all, size = 200, 60 << 10
	body := make([]byte, size)
	for range all {
		if err := l.Push(w.ctx, body); err != nil {
			return spec.Fail("Push to accept", "it returned %v", err)
		}
	}
	m.srv.Stats() // comes after them
	vain := 0     // connections that brought nothing
	for got := uint64(0); got < all; {
		f, err := g.read()
		switch {
		case f.trouble != nil || errors.Is(err, os.ErrDeadlineExceeded):
			return spec.Fail(fmt.Sprintf("push %d of %d", got+1, all), "%v", err)
		case err != nil:
			if vain++; vain > 20 {
				return spec.Fail("the pushes to come, some with each connection", "20 connections in a row ended before one came; %d of %d had come before", got, all)
			}
			if next, err := m.join(g.session, got); err == nil { // it may end before its welcome
				if !next.resumed {
					return spec.Fail("the session to be resumed, with less than SessionPushes not acknowledged", "it is a new one")
				}
				g = next
			}
		case f.kind != push || f.id != got+1 || len(f.body) != size:
			return spec.Fail(fmt.Sprintf("push %d, of %d bytes", got+1, size), "there came: %s %d, of %d bytes", kinds[f.kind], f.id, len(f.body))
		default:
			got, vain = f.id, 0
			if err := g.send(frame{kind: ack, id: got}); err != nil {
				continue // it has ended: what was read may be the last of it
			}
		}
	}
	return nil
}

func newestCounts(r *spec.Run, l lab) error {
	m, works, err := open(r, l, ServerOptions{SessionAge: time.Minute})
	if err != nil {
		return err
	}
	old, err := m.join(0, 0)
	if err != nil {
		return err
	}
	r.Step("a call runs; the session is resumed from another connection while the old one is open")
	w, err := m.asks(works, old, "q")
	if err != nil {
		return err
	}
	g, err := m.again(old, 0, true, "while it has a connection")
	if err != nil {
		return err
	}
	if err := old.ended("when there is a newer one"); err != nil {
		return err
	}
	if _, err := g.call("q", number(1)); err != nil {
		return err
	}
	if err := g.still("while the call runs"); err != nil {
		return err
	}
	if err := l.Push(w.ctx, []byte("p")); err != nil {
		return err
	}
	w.reply([]byte("a"), nil)
	f, err := g.next("the push on the new connection")
	if err != nil {
		return err
	}
	if f.String() != `push 1 "p"` {
		return spec.Fail("the push on the new connection", "there came: %v", f)
	}
	if err := g.answered(1, done, "a"); err != nil {
		return err
	}
	m.pass(time.Hour) // it has a connection, so it does not age
	n := m.srv.Stats()
	return first(g.still("an hour later"), must("Stats().Sessions", 1, n.Sessions), must("Stats().Connected", 1, n.Connected))
}

func sessionsForgotten(r *spec.Run, l lab) error {
	m, works, err := open(r, l, ServerOptions{Sessions: 3, SessionAge: time.Minute, SessionPushes: 5})
	if err != nil {
		return err
	}
	r.Step("Sessions 3; two keep their connection, five lose it, one after the other; the fourth and the second of these come back")
	for range 2 {
		if _, err := m.join(0, 0); err != nil {
			return err
		}
	}
	var all []*guest
	for range 5 {
		g, err := m.join(0, 0)
		if err != nil {
			return err
		}
		if err := m.drop(g); err != nil {
			return err
		}
		m.pass(time.Second)
		all = append(all, g)
	}
	if n := m.srv.Stats(); n.Connected != 2 || n.Sessions != 5 {
		return spec.Fail("3 sessions to be remembered beside the 2 that have a connection", "there are %d, of which %d have a connection", n.Sessions, n.Connected)
	}
	g, err := m.again(all[3], 0, true, "when there is room for three")
	if err != nil {
		return err
	}
	if _, err := m.again(all[1], 0, false, "when there were too many"); err != nil {
		return err
	}
	r.Step("SessionAge 1 min, less a second; then the whole of it")
	if err := m.drop(g); err != nil {
		return err
	}
	m.pass(time.Minute - 1)
	if g, err = m.again(g, 0, true, "a nanosecond before its time is over"); err != nil {
		return err
	}
	if err := m.drop(g); err != nil {
		return err
	}
	m.pass(time.Minute)
	if g, err = m.again(g, 0, false, "when its time is over"); err != nil {
		return err
	}
	r.Step("SessionPushes 5: five, which are acknowledged; five that are not; then a sixth of these")
	w, err := m.asks(works, g, "subscribe")
	if err != nil {
		return err
	}
	for range 2 {
		for range 5 {
			if err := l.Push(w.ctx, []byte("p")); err != nil {
				return err
			}
			if _, err := g.next("a push"); err != nil {
				return err
			}
		}
		if err := first(g.send(frame{kind: ack, id: 5}), g.still("after an ack")); err != nil {
			return err
		}
	}
	if g, err = m.again(g, 5, true, "with five pushes that are not acknowledged"); err != nil {
		return err
	}
	for range 5 {
		if _, err := g.next("a push again"); err != nil {
			return err
		}
	}
	if err := l.Push(w.ctx, []byte("p")); err != nil {
		return err
	}
	if err := g.ended("when it does not acknowledge"); err != nil {
		return err
	}
	_, err = m.again(g, 10, false, "when it has missed a push")
	return err
}
