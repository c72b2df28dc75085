package websockettest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/gorilla/websocket"

	"github.com/asynclab/asynclab/harness/spec"
)

const serverSection = "Step 10: sockets and clocks"

var serverRules = []spec.Rule[lab]{
	{
		Name: "ServesAnotherClient", Group: "server", Points: 2, Section: serverSection,
		Why: "Two programs by one author may share a mistake. gorilla/websocket, a client that is not ours, must get back what it sends: text, binary, fragmented, from 0 bytes to 300 KB, on 20 connections at once.",
		Hints: [3]string{
			"Do the checks of steps 1 to 9 pass? Then what does your server do differently from them?",
			"OnOpen makes a Conn with the loop's connection for its transport, OnData is Data, OnClose is End.",
			"OnOpen: func(ec *eventloop.Conn) { ec.SetValue(New(&s.opts, ec)) }, OnData: func(ec *eventloop.Conn, data []byte) int { return ec.Value().(*Conn).Data(data) }.",
		},
		Check: servesAnotherClient,
	},
	{
		Name: "ClosesWithAnotherClient", Group: "server", Points: 1, Section: serverSection,
		Why: "A close must look right from both sides: the client sees the code, the server's OnClose sees what the client said, and the connection ends, whoever began.",
		Hints: [3]string{
			"Who closes the TCP connection, and when?",
			"The server, when both close frames have passed. The loop's OnClose then calls End.",
			"Options.OnClose of the loop: func(ec *eventloop.Conn, err error) { ec.Value().(*Conn).End(err) }.",
		},
		Check: closesWithAnotherClient,
	},
	{
		Name: "PostReachesConnections", Group: "server", Points: 1, Section: serverSection,
		Why: "A Conn belongs to the loop's goroutine. A broadcast from elsewhere is a function that runs there: Post hands it over, in order.",
		Hints: [3]string{
			"On which goroutine may SendFrame be called?",
			"The loop of lab 03 has a Post already.",
			"func (s *Server) Post(fn func()) error { return s.loop.Post(fn) }.",
		},
		Check: postReachesConnections,
	},
	{
		Name: "SlowHandshakesEnd", Group: "server", Points: 1, Section: serverSection,
		Why: "A client that opens connections and sends a request a byte a minute, or none, holds a descriptor each (\"slowloris\"). HandshakeTimeout ends what has not become a WebSocket in time, and no WebSocket.",
		Hints: [3]string{
			"When does the clock start, and what stops it?",
			"AfterFunc in OnOpen; stop it when the request is whole and accepted, and when the connection ends.",
			"stop := loop.AfterFunc(timeout, func() { ec.Abort(ErrTimeout) }); after Data: if it has become open, stop().",
		},
		Check: slowHandshakesEnd,
	},
	{
		Name: "ClosesEndInTime", Group: "server", Points: 1, Section: serverSection,
		Why: "After our close frame we wait for the peer's, and some peers are gone or do not care. CloseTimeout bounds the wait; then the transport ends without it, and OnClose says 1006.",
		Hints: [3]string{
			"Who notices that the peer never answers?",
			"Start the clock when the close frame is written, in whatever function that happens, and stop it when the connection ends.",
			"A hook of the Conn that the server sets: c.leaving = func() { start the close timer }, called once from Close, fail and refuse.",
		},
		Check: closesEndInTime,
	},
	{
		Name: "GarbageTouchesNobody", Group: "server", Points: 1, Section: serverSection,
		Why: "A public port gets everything: port scanners, TLS hellos, resets in the middle of a frame. Each ends its own connection, with one OnClose for each OnOpen, and the others notice nothing.",
		Hints: [3]string{
			"Which bytes make your parser panic, or wait for ever?",
			"Run the fuzz targets for a minute: go test -fuzz=FuzzFrames -fuzztime=60s ./labs/15-websocket.",
			"Every index into data stands behind a look at len(data). Everything that is wrong ends in fail or refuse.",
		},
		Check: garbageTouchesNobody,
	},
}

func servesAnotherClient(r *spec.Run, l lab) error {
	s, err := serve(r, l, Options[Conn]{OnMessage: echo, Protocols: []string{"echo.v1"}})
	if err != nil {
		return err
	}
	const clients = 20
	r.Step("%d clients of gorilla/websocket, with subprotocols and an offer of compression, echo messages of all sizes", clients)
	results := make([]<-chan error, clients)
	for i := range results {
		results[i] = r.Go(func() error { return converse(r, s.addr, i) })
	}
	for _, result := range results {
		err, late := spec.Wait(r, "every client to have its echoes", result)
		if late != nil {
			return late
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// converse is the whole conversation of one client.
func converse(r *spec.Run, addr string, id int) error {
	dialer := websocket.Dialer{Subprotocols: []string{"other", "echo.v1"}, EnableCompression: true, WriteBufferSize: 128 + id}
	conn, _, err := dialer.DialContext(r.Context(), "ws://"+addr+"/chat?client="+fmt.Sprint(id), http.Header{"Origin": {"http://example.com"}})
	if err != nil {
		return spec.Fail("gorilla/websocket to open a connection", "%v", err)
	}
	c := adopt(r, conn)
	if c.Subprotocol() != "echo.v1" {
		return spec.Fail("the subprotocol echo.v1", "%q", c.Subprotocol())
	}
	for _, size := range []int{0, 1, 125, 126, 65535, 65536, 300_000} {
		p := pattern(id, size)
		if err := c.say(websocket.BinaryMessage, p); err != nil {
			return err
		}
		if err := c.hear(websocket.BinaryMessage, p); err != nil {
			return err
		}
	}
	words := bytes.Repeat([]byte("héllo wörld 𝄞 "), 50)
	if err := c.fragmented(websocket.TextMessage, words, 7); err != nil {
		return err
	}
	if err := c.hear(websocket.TextMessage, words); err != nil {
		return err
	}
	return c.pinged()
}

// fragmented writes a message a few bytes at a time: each time that gorilla's
// buffer is full, it sends a fragment.
func (o *other) fragmented(kind int, p []byte, step int) error {
	w, err := o.NextWriter(kind)
	if err != nil {
		return err
	}
	for from := 0; from < len(p); from += step {
		if _, err := w.Write(p[from:min(from+step, len(p))]); err != nil {
			return spec.Fail("the server to take a fragmented message", "the client's write failed: %v", err)
		}
	}
	return w.Close()
}

// pinged sends a ping and a message, and expects the pong in front of the echo.
func (o *other) pinged() error {
	got := ""
	o.SetPongHandler(func(p string) error { got = p; return nil })
	if err := o.WriteMessage(websocket.PingMessage, []byte("are you there?")); err != nil {
		return err
	}
	if err := o.say(websocket.TextMessage, []byte("behind the ping")); err != nil {
		return err
	}
	if err := o.hear(websocket.TextMessage, []byte("behind the ping")); err != nil {
		return err
	}
	if got != "are you there?" {
		return spec.Fail("the pong in front of the echo, with the ping's payload", "it was %q", got)
	}
	return nil
}

func closesWithAnotherClient(r *spec.Run, l lab) error {
	d := &diary{r: r}
	s, err := serve(r, l, Options[Conn]{OnOpen: d.open, OnClose: d.close, OnMessage: func(c Conn, text bool, payload []byte) {
		if string(payload) == "please close" {
			c.Close(4001, "as you like")
			return
		}
		c.Send(text, payload)
	}})
	if err != nil {
		return err
	}
	r.Step("the client closes with 1000, behind a message")
	c, err := dial(r, s.addr)
	if err != nil {
		return err
	}
	if err := c.say(websocket.TextMessage, []byte("hello")); err != nil {
		return err
	}
	c.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "bye"))
	if err := c.hear(websocket.TextMessage, []byte("hello")); err != nil {
		return err
	}
	if err := c.hearClose(1000, ""); err != nil {
		return err
	}
	if err := c.expectEnd(); err != nil {
		return err
	}
	r.Step("the server closes with 4001; gorilla answers")
	if c, err = dial(r, s.addr); err != nil {
		return err
	}
	if err := c.say(websocket.TextMessage, []byte("please close")); err != nil {
		return err
	}
	if err := c.hearClose(4001, "as you like"); err != nil {
		return err
	}
	if err := c.expectEnd(); err != nil {
		return err
	}
	r.Step("the client leaves without a close")
	if c, err = dial(r, s.addr); err != nil {
		return err
	}
	c.Close()
	ends, err := d.waitClosed(3)
	if err != nil {
		return err
	}
	slices.Sort(ends) // a farewell takes its time: they may end in another order
	if want := []string{"closed 1000 bye", "closed 1006", "closed 4001"}; !same(ends, want) {
		return spec.Fail("OnClose to say "+list(want), "it said %s", list(ends))
	}
	return nil
}

// expectEnd reads the end of the transport below the WebSocket.
func (o *other) expectEnd() error {
	if _, err := io.Copy(io.Discard, o.NetConn()); err != nil {
		return spec.Fail("the server to end the connection in order behind both close frames", "%v", err)
	}
	return nil
}

func postReachesConnections(r *spec.Run, l lab) error {
	d := &diary{r: r}
	var all []Conn // the loop's goroutine only
	s, err := serve(r, l, Options[Conn]{OnOpen: func(c Conn) { all = append(all, c); d.open(c) }})
	if err != nil {
		return err
	}
	const clients, messages = 10, 20
	var others []*other
	for range clients {
		c, err := dial(r, s.addr)
		if err != nil {
			return err
		}
		others = append(others, c)
	}
	if err := d.waitOpened(clients); err != nil {
		return err
	}
	r.Step("%d prepared frames are sent to %d clients from functions given to Post", messages, clients)
	for i := range messages {
		frame := l.Prepare(nil, true, fmt.Append(nil, "broadcast ", i))
		err := s.Post(func() {
			for _, c := range all {
				c.SendFrame(frame)
			}
		})
		if err != nil {
			return spec.Fail("Post to return nil", "%v", err)
		}
	}
	for _, c := range others {
		for i := range messages {
			if err := c.hear(websocket.TextMessage, fmt.Append(nil, "broadcast ", i)); err != nil {
				return err
			}
		}
	}
	return nil
}

func slowHandshakesEnd(r *spec.Run, l lab) error {
	d := &diary{r: r}
	r.Step("options that make no sense")
	for name, o := range map[string]Options[Conn]{
		"HandshakeTimeout": {HandshakeTimeout: -1}, "CloseTimeout": {CloseTimeout: -1}, "MaxMessage": {MaxMessage: -1}, "MaxHeader": {MaxHeader: -1},
	} {
		if _, err := l.NewServer(o); err == nil || !strings.Contains(err.Error(), name) {
			return spec.Fail("NewServer to return an error that names "+name+" when it is negative", "it returned: %v", err)
		}
	}
	s, err := serve(r, l, Options[Conn]{HandshakeTimeout: soon, OnOpen: d.open, OnClose: d.close, OnMessage: echo})
	if err != nil {
		return err
	}
	r.Step("HandshakeTimeout %v. One client is upgraded; then one sends nothing, one half of a request", soon)
	good, err := upgraded(r, s.addr)
	if err != nil {
		return err
	}
	silent, err := dialPlain(r, s.addr)
	if err != nil {
		return err
	}
	half, err := dialPlain(r, s.addr)
	if err != nil {
		return err
	}
	if err := half.write(usual.bytes()[:70]); err != nil {
		return err
	}
	for _, c := range []*plain{silent, half} {
		if err := c.expectEnd("the server to end a connection whose request does not come"); err != nil {
			return err
		}
	}
	r.Step("their time is up, and so would be that of the first client, who came before them: it must not be ended")
	if err := good.write(in(text("still here"))); err != nil {
		return err
	}
	if err := good.expect(`sent text "still here"`); err != nil {
		return err
	}
	if ends := d.ends(); len(ends) > 0 {
		return spec.Fail("no OnClose for connections that were never open", "it was called: %s", list(ends))
	}
	return drippedRequestEnds(r, l)
}

// drippedRequestEnds has a client that is never silent, and never done.
func drippedRequestEnds(r *spec.Run, l lab) error {
	s, err := serve(r, l, Options[Conn]{HandshakeTimeout: drips})
	if err != nil {
		return err
	}
	r.Step("HandshakeTimeout %v. A client sends a byte of its request every %v", drips, drips/50)
	slow, err := dialPlain(r, s.addr)
	if err != nil {
		return err
	}
	if err := slow.write([]byte("GET /chat HTTP/1.1\r\nHost: x\r\nX-Slow: ")); err != nil {
		return err
	}
	return slow.drip("the server to end a connection whose request does not become whole, however many bytes come", []byte("z"))
}

func closesEndInTime(r *spec.Run, l lab) error {
	for _, step := range []func(*spec.Run, lab) error{closesEnd, busyEnds, deafEnds} {
		if err := step(r, l); err != nil {
			return err
		}
	}
	return nil
}

func closesEnd(r *spec.Run, l lab) error {
	d := &diary{r: r}
	s, err := serve(r, l, Options[Conn]{CloseTimeout: soon, OnOpen: d.open, OnClose: d.close,
		OnMessage: func(c Conn, _ bool, _ []byte) { c.Close(1000, "") }})
	if err != nil {
		return err
	}
	r.Step("CloseTimeout %v. The server closes; the client reads it and does not answer", soon)
	c, err := upgraded(r, s.addr)
	if err != nil {
		return err
	}
	if err := c.write(in(text("close, please"))); err != nil {
		return err
	}
	if err := c.expect("sent close 1000"); err != nil {
		return err
	}
	if err := c.expectEnd("the server to end a connection whose peer does not answer its close"); err != nil {
		return err
	}
	r.Step("a client breaks a rule and stays")
	rude, err := upgraded(r, s.addr)
	if err != nil {
		return err
	}
	if err := rude.write(in(next("x"))); err != nil {
		return err
	}
	if err := rude.expect("sent close 1002"); err != nil {
		return err
	}
	if _, err := d.waitClosed(2); err != nil {
		return err
	}
	r.Step("a client ends its direction without a close; another breaks the connection")
	for _, end := range []func(*plain){func(p *plain) { p.CloseWrite() }, (*plain).reset} {
		gone, err := upgraded(r, s.addr)
		if err != nil {
			return err
		}
		end(gone)
	}
	ends, err := d.waitClosed(4)
	if err != nil {
		return err
	}
	slices.Sort(ends)
	if want := []string{"closed 1002", "closed 1006", "closed 1006", "closed 1006"}; !slices.EqualFunc(ends, want, onCloseIs) {
		return spec.Fail("OnClose to say "+list(want), "it said %s", list(ends))
	}
	return nil
}

// busyEnds has a client that goes on as if the server had not closed.
func busyEnds(r *spec.Run, l lab) error {
	s, err := serve(r, l, Options[Conn]{CloseTimeout: drips, OnMessage: func(c Conn, _ bool, _ []byte) { c.Close(1000, "") }})
	if err != nil {
		return err
	}
	r.Step("CloseTimeout %v. The server closes; the client sends a message every %v, and no close", drips, drips/50)
	busy, err := upgraded(r, s.addr)
	if err != nil {
		return err
	}
	if err := busy.write(in(text("close, please"))); err != nil {
		return err
	}
	return busy.drip("the server to end a connection whose peer sends messages, but no close", in(text("more")))
}

// deafEnds has a client that takes nothing and then breaks a rule: what is
// queued for it cannot be sent, and must not keep the connection either.
func deafEnds(r *spec.Run, l lab) error {
	const much, piece = 16 << 20, 64 << 10
	d := &diary{r: r}
	s, err := serve(r, l, Options[Conn]{CloseTimeout: soon, MaxMessage: 4 << 20, OnOpen: d.open, OnClose: d.close,
		OnMessage: func(c Conn, _ bool, _ []byte) {
			for range much / piece {
				if c.Send(false, make([]byte, piece)) != nil {
					return // its queue is full: that is enough, too
				}
			}
		}})
	if err != nil {
		return err
	}
	r.Step("a client takes nothing of %d MiB, and breaks a rule", much>>20)
	deaf, err := upgraded(r, s.addr)
	if err != nil {
		return err
	}
	if err := deaf.write(in(text("all of it, please"), next("x"))); err != nil {
		return err
	}
	_, err = d.waitClosed(1)
	return err
}

func garbageTouchesNobody(r *spec.Run, l lab) error {
	d := &diary{r: r}
	var messages atomic.Int64
	s, err := serve(r, l, Options[Conn]{OnOpen: d.open, OnClose: d.close, OnMessage: func(c Conn, text bool, p []byte) {
		messages.Add(1)
		c.Send(text, p)
	}})
	if err != nil {
		return err
	}
	good, err := dial(r, s.addr)
	if err != nil {
		return err
	}
	const strangers = 60
	r.Step("%d strangers send garbage, before the handshake and behind it, and leave or break the connection", strangers)
	upgrades := 0
	for i := range strangers {
		garbage := pattern(i, 10+i*37)
		if i%3 == 0 {
			garbage = append([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), garbage...) // a TLS hello
		}
		var c *plain
		if i%2 == 0 {
			c, err = dialPlain(r, s.addr)
		} else {
			c, err = upgraded(r, s.addr)
			upgrades++
		}
		if err != nil {
			return err
		}
		c.Write(garbage)
		if i%4 < 2 {
			c.reset()
		} else {
			c.CloseWrite()
			if err := c.expectEnd("the server to end a connection that its peer has ended"); err != nil {
				return err
			}
		}
		if err := good.say(websocket.TextMessage, []byte("undisturbed")); err != nil {
			return err
		}
		if err := good.hear(websocket.TextMessage, []byte("undisturbed")); err != nil {
			return err
		}
	}
	ends, err := d.waitClosed(upgrades)
	if err != nil {
		return err
	}
	if err := d.waitOpened(upgrades + 1); err != nil || len(ends) != upgrades {
		return spec.Fail(fmt.Sprintf("OnClose for the %d strangers that were upgraded, and no other", upgrades), "it was called %d times", len(ends))
	}
	return nil
}
