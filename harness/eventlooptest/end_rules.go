package eventlooptest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"

	"github.com/asynclab/asynclab/harness/spec"
)

const endSection = "Step 4: the end of a connection"

var endRules = []spec.Rule[New]{
	{
		Name: "OnCloseTellsWhy", Group: "ends", Points: 2, Section: endSection,
		Why: "Whatever ends a connection, its handler learns it once, last, and with the reason: nil for an end in order, the error otherwise. A handler frees what it holds in OnClose; without it, it leaks, and with two it frees twice.",
		Hints: [3]string{
			"How many places in your code close a descriptor?",
			"One function: it marks the connection closed, closes the descriptor, calls OnClose. It does nothing the second time.",
			"func (l *Loop) teardown(c, err) { if c.phase == closed { return }; c.phase = closed; forget it, close fd, OnClose(c, err) }. A peer's FIN gives nil, ECONNRESET the error of read, Abort what it was given.",
		},
		Check: onCloseTellsWhy,
	},
	{
		Name: "CloseSendsWhatIsQueued", Group: "ends", Points: 2, Section: endSection,
		Why: "Send, then Close: the answer must arrive. Two things lose it. Closing before the queue is written; and closing while there are unread bytes in the receive queue, upon which the kernel sends RST and throws away what it has not sent.",
		Hints: [3]string{
			"Close is called while 8 MiB are queued. When is the descriptor closed?",
			"Remember that it is to be closed; write; then shut down your direction (SHUT_WR) and read and discard, until the peer ends or has acknowledged everything.",
			"SIOCOUTQ is 0 when the peer's kernel has everything, your FIN too. Ask every few milliseconds with AfterFunc (until step 6: when an event comes), with a bound of some seconds.",
		},
		Check: closeSendsWhatIsQueued,
	},
	{
		Name: "AbortSendsNothing", Group: "ends", Points: 1, Section: endSection,
		Why: "Abort is for a peer that is not worth waiting for. A peer that does not read must not be able to hold its connection open.",
		Hints: [3]string{
			"What does Abort wait for?",
			"Nothing but the end of the callback that may be running.",
			"c.aborted = true, and ask for a flush of c; flush looks at aborted first, and tears down.",
		},
		Check: abortSendsNothing,
	},
	{
		Name: "HalfCloseGetsItsReplies", Group: "ends", Points: 2, Section: endSection,
		Why: "A FIN says 'I have sent everything', not 'I am gone'. Clients that send their requests, shut down their direction and then read the answers are in order; what is queued for them is sent before the descriptor is closed.",
		Hints: [3]string{
			"read returned 0. Which of the two directions has ended?",
			"A read of 0 is a Close: no more is accepted for sending, and what is queued is sent first.",
			"case n == 0: c.eof = true; c.end(nil), the same function that Close calls.",
		},
		Check: halfCloseGetsItsReplies,
	},
	{
		Name: "SendAfterTheEndSaysSo", Group: "ends", Points: 2, Section: endSection,
		Why: "A handler keeps a Conn in a map, and another connection's message sends to it a moment after it has ended. That is everyday life: it gets net.ErrClosed, not a panic, and not nil for bytes that nobody will get.",
		Hints: [3]string{
			"What does Send look at first?",
			"A flag that says that no more is accepted, set under the same lock under which Send looks at it.",
			"c.mu.Lock(); if c.ended { return net.ErrClosed }. Close, Abort, the peer's end and teardown all set it.",
		},
		Check: sendAfterTheEnd,
	},
	{
		Name: "PanicClosesOneConnection", Group: "ends", Points: 2, Section: endSection,
		Why: "One malformed message that a handler did not expect must not take 100,000 connections down. The connection whose callback panicked is in an unknown state and closes, with the panic as OnClose's error; the others go on.",
		Hints: [3]string{
			"Where does a panic in OnMessage end, if nobody recovers?",
			"Every callback is called from a function that defers a recover. Recovering aborts that connection.",
			"defer func() { if v := recover(); v != nil { c.Abort(fmt.Errorf(\"panic: %v\", v)) } }(). OnClose has no connection left to abort: recover, and log.",
		},
		Check: panicClosesOneConnection,
	},
}

var errAborted = errors.New("the handler had enough")

// ending answers "close twice" and "abort" by doing it, and more than once.
func ending(c Conn, msg []byte) {
	switch string(msg) {
	case "abort":
		c.Abort(errAborted)
		c.Abort(errors.New("a later reason"))
		c.Close()
	case "close twice":
		c.Close()
		c.Close()
	}
}

func onCloseTellsWhy(r *spec.Run, new New) error {
	d := newDiary(r)
	o := d.options()
	inner := o.OnMessage
	o.OnMessage = func(c Conn, msg []byte) { inner(c, msg); ending(c, msg) }
	s, err := serve(r, new, o)
	if err != nil {
		return err
	}
	for _, way := range []struct {
		what string
		do   func(c *client) error
		ok   func(err error) bool
		want string
	}{
		{"ends in order", func(c *client) error { return c.CloseWrite() }, isNil, "nil"},
		{"resets", func(c *client) error { c.reset(); return nil }, func(err error) bool { return err != nil }, "an error"},
		{"makes the handler call Close twice", func(c *client) error { return c.send([]byte("close twice")) }, isNil, "nil"},
		{"makes the handler call Abort", func(c *client) error { return c.send([]byte("abort")) }, func(err error) bool { return errors.Is(err, errAborted) }, "what Abort was given the first time"},
	} {
		for range 5 {
			c, err := dial(r, s.addr)
			if err != nil {
				return err
			}
			if err := c.send([]byte("hello")); err != nil {
				return err
			}
			if err := d.waitMessages(c, []byte("hello")); err != nil {
				return err
			}
			r.Step("a client %s", way.what)
			if err := way.do(c); err != nil {
				return err
			}
			reason, late := d.waitClosed(c, "has a client that "+way.what)
			if late != nil {
				return late
			}
			if !way.ok(reason) {
				return spec.Fail("OnClose to get "+way.want+" when a client "+way.what, "it got: %v", reason)
			}
			c.Close()
		}
	}
	for _, word := range []string{"close twice", "abort"} {
		c, err := dial(r, s.addr)
		if err != nil {
			return err
		}
		r.Step("a handler is done with a client (%s), who has sent three frames in one packet", word)
		if err := c.send([]byte(word), []byte("behind it"), []byte("and behind that")); err != nil {
			return err
		}
		if _, late := d.waitClosed(c, "has a handler that was done with it"); late != nil {
			return late
		}
		if n := len(d.of(c).messages); n != 1 {
			return spec.Fail("nothing to be received after Close or Abort", "%d more frames came after: %s", n-1, word)
		}
		c.Close()
	}
	if err := settle(r, s); err != nil {
		return err
	}
	return d.orderly()
}

// settle passes some small frames through the loop, so that whatever it was
// still about to do has been done.
func settle(r *spec.Run, s *serving) error {
	c, err := dial(r, s.addr)
	if err != nil {
		return err
	}
	for range 5 {
		if err := c.pieces(appendFrame(nil, []byte("settle"))); err != nil {
			return err
		}
	}
	c.Close()
	return nil
}

func isNil(err error) bool { return err == nil }

func closeSendsWhatIsQueued(r *spec.Run, new New) error {
	d := newDiary(r)
	large := pattern(1, unread)
	o := d.options()
	o.MaxQueued = 2 * unread
	o.OnMessage = func(c Conn, msg []byte) {
		if string(msg) == "all, then close" {
			c.Write(large)
			c.Close()
		}
		if string(msg) == "some, then close" {
			c.Write(large[:1<<20])
			c.Close()
		}
	}
	s, err := serve(r, new, o)
	if err != nil {
		return err
	}
	for _, more := range []int{0, 30_000} {
		c, err := dial(r, s.addr)
		if err != nil {
			return err
		}
		r.Step("a callback sends 12 MiB to a client that does not read yet, and calls Close")
		if err := c.pieces(appendFrame(nil, []byte("all, then close"))); err != nil {
			return err
		}
		if more > 0 {
			r.Step("the client sends %d bytes more, which nobody will read", more)
			if err := c.raw(make([]byte, more)); err != nil {
				return err
			}
			if err := c.delivered(); err != nil {
				return err
			}
		}
		r.Step("the client reads")
		if err := c.expectBytes(large); err != nil {
			return spec.Fail("everything that was sent before Close", "%v", err)
		}
		if err := c.expectEnd(); err != nil {
			return err
		}
		reason, late := d.waitClosed(c, "has sent everything after Close")
		if late != nil {
			return late
		}
		if reason != nil {
			return spec.Fail("OnClose to get nil after Close", "it got: %v", reason)
		}
	}
	if err := closeOutlastsTheKernel(r, d, s, large); err != nil {
		return err
	}
	return closeEndsAtLast(r, d, s)
}

// closeOutlastsTheKernel has a client send when our kernel has everything, and
// the client's has not: a descriptor that is closed by then answers with RST.
func closeOutlastsTheKernel(r *spec.Run, d *diary, s *serving, large []byte) error {
	const rest = 1 << 20 // bytes that the client has not read when it sends
	c, err := dial(r, s.addr)
	if err != nil {
		return err
	}
	if err := c.SetReadBuffer(64 << 10); err != nil { // its kernel holds little
		return err
	}
	r.Step("12 MiB and Close again; the client reads but the last MiB, sends a byte, and reads that")
	if err := c.pieces(appendFrame(nil, []byte("all, then close"))); err != nil {
		return err
	}
	if err := c.expectBytes(large[:unread-rest]); err != nil {
		return spec.Fail("everything that was sent before Close", "%v", err)
	}
	if err := r.Until("the kernel to take what is queued", func() bool { return d.of(c).conn.Queued() == 0 }); err != nil {
		return err
	}
	c.Write([]byte{0})
	if err := c.expectBytes(large[unread-rest:]); err != nil {
		return spec.Fail("everything that was sent before Close, also to a client that still sends", "%v", err)
	}
	return c.expectEnd()
}

// closeEndsAtLast has a client that takes the last bytes never.
func closeEndsAtLast(r *spec.Run, d *diary, s *serving) error {
	c, err := dial(r, s.addr)
	if err != nil {
		return err
	}
	if err := c.SetReadBuffer(4 << 10); err != nil {
		return err
	}
	r.Step("a client reads nothing of what our kernel has taken: 5 s after Close it is given up")
	if err := c.pieces(appendFrame(nil, []byte("some, then close"))); err != nil {
		return err
	}
	_, late := d.waitClosed(c, "was closed, and whose peer does not take the last bytes")
	return late
}

func abortSendsNothing(r *spec.Run, new New) error {
	d := newDiary(r)
	o := d.options()
	o.MaxQueued = 2 * unread
	o.OnMessage = func(c Conn, msg []byte) {
		switch string(msg) {
		case "abort":
			c.Write(make([]byte, unread))
			c.Abort(errAborted)
		case "close, then abort":
			c.Write(make([]byte, unread))
			c.Close()
			c.Abort(errAborted)
		}
	}
	s, err := serve(r, new, o)
	if err != nil {
		return err
	}
	for _, what := range []string{"abort", "close, then abort"} {
		c, err := dial(r, s.addr)
		if err != nil {
			return err
		}
		r.Step("a callback sends 12 MiB to a client that does not read: %s", what)
		if err := c.send([]byte(what)); err != nil {
			return err
		}
		reason, late := d.waitClosed(c, "was aborted while its peer does not read")
		if late != nil {
			return late
		}
		if !errors.Is(reason, errAborted) {
			return spec.Fail("OnClose to get what Abort was given", "it got: %v", reason)
		}
		if n := d.of(c).conn.Queued(); n != 0 {
			return spec.Fail("nothing to be queued any more when a connection has ended", "Queued says %d bytes", n)
		}
		c.Close()
	}
	if err := d.orderly(); err != nil {
		return err
	}
	return buffersStayApart(r, new)
}

// buffersStayApart aborts connections that have something queued, and then sends
// to others: a buffer that was given back twice belongs to two of them.
func buffersStayApart(r *spec.Run, new New) error {
	const stay, aborted, rounds = 4, 8, 8
	var opened atomic.Int64
	var open []Conn // loop goroutine only: those that stay, and the others
	payloads := [2][]byte{bytes.Repeat([]byte("1"), 2000), bytes.Repeat([]byte("2"), 2000)}
	o := Options[Conn]{
		OnOpen: func(c Conn) { open = append(open, c); opened.Add(1) },
		OnMessage: func(_ Conn, msg []byte) {
			if string(msg) == "abort" {
				for _, c := range open[stay:] {
					c.Write(payloads[0])
					c.Abort(errAborted)
				}
				open = open[:stay]
				return
			}
			for i, c := range open[:stay] {
				c.Send(payloads[i%2])
			}
		},
	}
	s, err := serve(r, new, o)
	if err != nil {
		return err
	}
	var clients []*client
	for range stay {
		c, err := dial(r, s.addr)
		if err != nil {
			return err
		}
		clients = append(clients, c)
	}
	r.Step("%d times: %d connections are aborted with 2,000 bytes queued, then a callback sends to %d others", rounds, aborted, stay)
	for round := range int64(rounds) {
		for range aborted {
			if _, err := dial(r, s.addr); err != nil {
				return err
			}
		}
		if err := r.Until("OnOpen for each", func() bool { return opened.Load() == stay+(round+1)*aborted }); err != nil {
			return err
		}
		for _, word := range []string{"abort", "send"} {
			if err := clients[0].pieces(appendFrame(nil, []byte(word))); err != nil {
				return err
			}
		}
		for i, c := range clients {
			if err := c.expect(payloads[i%2]); err != nil {
				return spec.Fail("each connection to get what was sent to it", "%v", err)
			}
		}
	}
	return nil
}

func halfCloseGetsItsReplies(r *spec.Run, new New) error {
	d := newDiary(r)
	const requests = 12
	reply := pattern(1, unread/requests)
	o := d.options()
	o.MaxQueued = 2 * unread
	o.OnMessage = func(c Conn, msg []byte) {
		d.message(c, msg)
		c.Send(reply)
	}
	_, c, err := serveOne(r, new, o)
	if err != nil {
		return err
	}
	r.Step("a client sends %d requests, each answered with 1 MiB, and shuts down its own direction", requests)
	for i := range requests {
		if err := c.send([]byte{byte(i)}); err != nil {
			return err
		}
	}
	if err := c.CloseWrite(); err != nil {
		return err
	}
	if err := d.r.Until(fmt.Sprintf("OnMessage for %d requests", requests), func() bool { return len(d.of(c).messages) == requests }); err != nil {
		return err
	}
	if err := c.taken(); err != nil {
		return err
	}
	r.Step("now it reads")
	for i := range requests {
		if err := c.expect(reply); err != nil {
			return spec.Fail("every reply to a client that has shut down its own direction", "reply %d of %d: %v", i+1, requests, err)
		}
	}
	if err := c.expectEnd(); err != nil {
		return err
	}
	reason, late := d.waitClosed(c, "was half-closed and has its replies")
	if late == nil && reason != nil {
		return spec.Fail("OnClose to get nil", "it got: %v", reason)
	}
	return late
}

func sendAfterTheEnd(r *spec.Run, new New) error {
	d := newDiary(r)
	wrong := make(chan error, 100)
	try := func(c Conn, when string) {
		defer func() {
			if v := recover(); v != nil && len(wrong) < cap(wrong) {
				wrong <- spec.Fail("Send "+when+" to return net.ErrClosed", "it panics: %v", v)
			}
		}()
		_, err := c.Write([]byte("too late"))
		errs := map[string]error{"Send": c.Send([]byte("too late")), "Write": err}
		if when != "after OnClose" { // which is not the loop's goroutine
			_, errs["WriteNow"] = c.WriteNow([]byte("too late"))
		}
		for what, err := range errs {
			if !errors.Is(err, net.ErrClosed) && len(wrong) < cap(wrong) {
				wrong <- spec.Fail(what+" "+when+" to return net.ErrClosed", "it returned: %v", err)
			}
		}
		c.Close()
		c.Abort(nil)
	}
	o := d.options()
	o.OnMessage = func(c Conn, msg []byte) {
		ending(c, msg)
		if string(msg) == "close twice" || string(msg) == "abort" {
			try(c, "after Close or Abort")
		}
	}
	o.OnClose = func(c Conn, err error) {
		d.closed(c, err)
		try(c, "in OnClose")
	}
	s, err := serve(r, new, o)
	if err != nil {
		return err
	}
	for _, word := range []string{"close twice", "abort", "leave", "reset"} {
		c, err := dial(r, s.addr)
		if err != nil {
			return err
		}
		if _, err := d.waitOpen(c); err != nil {
			return err
		}
		r.Step("%s, then Send, Write, Close and Abort", word)
		switch word {
		case "leave":
			c.CloseWrite()
		case "reset":
			c.reset()
		default:
			if err := c.send([]byte(word)); err != nil {
				return err
			}
		}
		if _, late := d.waitClosed(c, "has ended: "+word); late != nil {
			return late
		}
		if err := r.Call("Send after OnClose to return", func() error { try(d.of(c).conn, "after OnClose"); return nil }); err != nil {
			return err
		}
	}
	if len(wrong) > 0 {
		return <-wrong
	}
	return d.orderly()
}

func panicClosesOneConnection(r *spec.Run, new New) error {
	for _, where := range []string{"OnMessage", "OnData", "OnOpen", "OnClose"} {
		if err := panicIn(r, new, where); err != nil {
			return err
		}
	}
	return nil
}

// panicIn makes one callback panic for a client's connection, with the word in
// the panic.
func panicIn(r *spec.Run, new New, where string) error {
	const word = "malformed message 4711"
	d := newDiary(r)
	o := d.options()
	o.OnMessage = func(c Conn, msg []byte) {
		switch string(msg) {
		case "panic":
			panic(word)
		case "leave":
			c.Close()
		default:
			d.message(c, msg)
		}
	}
	if where == "OnData" {
		onMessage := o.OnMessage
		o.OnMessage = nil
		o.OnData = func(c Conn, data []byte) int { // one frame in each write, and complete
			onMessage(c, data[4:])
			return len(data)
		}
	}
	victims := 0 // loop goroutine only
	o.OnOpen = func(c Conn) {
		d.opened(c)
		if victims++; where == "OnOpen" && victims == 2 {
			panic(word)
		}
	}
	o.OnClose = func(c Conn, err error) {
		d.closed(c, err)
		if where == "OnClose" {
			panic(word)
		}
	}
	s, err := serve(r, new, o)
	if err != nil {
		return err
	}
	r.Step("two clients; %s panics for one", where)
	bystander, err := dial(r, s.addr)
	if err != nil {
		return err
	}
	if _, err := d.waitOpen(bystander); err != nil {
		return err
	}
	c, err := dial(r, s.addr)
	if err != nil {
		return err
	}
	switch where {
	case "OnMessage", "OnData":
		c.send([]byte("panic"))
	case "OnClose":
		c.send([]byte("leave"))
	}
	reason, late := d.waitClosed(c, "had a panic in "+where)
	if late != nil {
		return late
	}
	if where != "OnClose" && (reason == nil || !strings.Contains(reason.Error(), word)) {
		return spec.Fail("the panic as OnClose's error", "it got: %v", reason)
	}
	r.Step("the other goes on")
	if err := bystander.send([]byte("still here")); err != nil {
		return err
	}
	want := []byte("still here")
	if err := d.waitMessages(bystander, want); err != nil {
		return spec.Fail("the other connection to go on", "%v", err)
	}
	return d.orderly()
}
