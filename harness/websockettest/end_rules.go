package websockettest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var endRules = []spec.Rule[lab]{
	{
		Name: "ShutdownSaysGoingAway", Group: "shutdown", Points: 2, Section: serverSection,
		Why: "A deployment ends every connection. With 1001 a client knows that it may come back; without it, 100,000 clients report errors. Shutdown says it to all, waits for their answers, and then ends the loop.",
		Hints: [3]string{
			"What does a client see when the server is shut down?",
			"On the loop's goroutine: Close(1001, ...) for each connection, then wait until the last has gone, then the loop's Shutdown.",
			"s.loop.Post(func() { s.draining = true; for c := range s.conns { c.Close(1001, \"\") } }); <-s.empty; return s.loop.Shutdown(ctx).",
		},
		Check: shutdownSaysGoingAway,
	},
	{
		Name: "ShutdownEndsInTime", Group: "shutdown", Points: 1, Section: serverSection,
		Why: "A peer that never answers must not keep the server alive: CloseTimeout ends that connection, and the context all of them. Before Run, or twice, Shutdown returns, too.",
		Hints: [3]string{
			"What does Shutdown wait for, and what if it never comes?",
			"select on \"all have gone\" and ctx.Done(); the loop's own Shutdown does the rest, by force if ctx has ended.",
			"select { case <-s.empty: case <-ctx.Done(): }; return s.loop.Shutdown(ctx). Before Run nobody empties anything: do not wait.",
		},
		Check: shutdownEndsInTime,
	},
	{
		Name: "NothingIsLeft", Group: "shutdown", Points: 1, Section: serverSection,
		Why: "A server that is made and ended a thousand times, in tests for one, leaves no descriptor, no goroutine, and no connection without its OnClose.",
		Hints: [3]string{
			"Which goroutine or timer outlives its connection?",
			"Stop the timers when a connection ends. Shutdown of a server that never ran must release the loop, too.",
			"onClose: stop(); delete(s.conns, c); c.End(err).",
		},
		Check: nothingIsLeft,
	},
}

func shutdownSaysGoingAway(r *spec.Run, l lab) error {
	d := &diary{r: r}
	s, err := serve(r, l, Options[Conn]{OnOpen: d.open, OnClose: d.close, CloseTimeout: time.Hour})
	if err != nil {
		return err
	}
	const clients = 3
	var others []*other
	for range clients {
		c, err := dial(r, s.addr)
		if err != nil {
			return err
		}
		others = append(others, c)
	}
	last, err := upgraded(r, s.addr)
	if err != nil {
		return err
	}
	if err := d.waitOpened(clients + 1); err != nil {
		return err
	}
	r.Step("%d clients of gorilla/websocket and one of ours are open. Shutdown, with a minute to do it in", clients)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ended := r.Go(func() error { return s.Shutdown(ctx) })
	for _, c := range others {
		if err := c.hearClose(1001, ""); err != nil {
			return err
		}
		c.Close() // it has answered: a server may wait for this end, too
	}
	if err := last.expect("sent close 1001"); err != nil {
		return err
	}
	if _, err := d.waitClosed(clients); err != nil {
		return err
	}
	r.Step("three have answered, one has not. Another client comes now: it is refused, or ended")
	if err := nobodyElse(r, s.addr); err != nil {
		return err
	}
	r.Step("the last one answers now, with a reason of its own")
	select {
	case err := <-ended:
		return spec.Fail("Shutdown to wait for the last client's answer", "it returned %v while there was none", err)
	case <-time.After(3 * soon): // it takes its time: no right server minds
	}
	if err := last.write(in(byeBecause(1001, "me too"))); err != nil {
		return err
	}
	if err := last.expectEnd("the server to end a connection whose peer has answered"); err != nil {
		return err
	}
	last.Close()
	if err, late := spec.Wait(r, "Shutdown to return when all have answered", ended); late != nil || err != nil {
		return errors.Join(late, err)
	}
	ends, err := d.waitClosed(clients + 1)
	if err != nil {
		return err
	}
	slices.Sort(ends)
	if !same(ends, []string{"closed 1001", "closed 1001", "closed 1001", "closed 1001 me too"}) {
		return spec.Fail("OnClose with 1001 for all, the last one with its reason: Shutdown has waited for it", "%s", list(ends))
	}
	return s.runEnded()
}

// nobodyElse comes to a server that is shutting down.
func nobodyElse(r *spec.Run, addr string) error {
	c, err := dialPlain(r, addr)
	if err != nil {
		return nil
	}
	defer c.Close()
	c.Write(usual.bytes())
	answer, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		return spec.Fail("a connection that comes during a Shutdown to be ended", "the client's read waited until: %v", err)
	}
	if bytes.Contains(answer, []byte(" 101 ")) {
		return spec.Fail("a connection that comes during a Shutdown not to be upgraded", "the answer was %q", answer)
	}
	return nil
}

func shutdownEndsInTime(r *spec.Run, l lab) error {
	d := &diary{r: r}
	for _, c := range []struct {
		name    string
		timeout time.Duration
		forced  bool
	}{{"CloseTimeout is short, the context is not", soon, false}, {"the context is cancelled, CloseTimeout is an hour", time.Hour, true}} {
		r.Step("a client that does not answer, and one whose request is not whole; %s", c.name)
		s, err := serve(r, l, Options[Conn]{OnOpen: d.open, OnClose: d.close, CloseTimeout: c.timeout, HandshakeTimeout: time.Hour})
		if err != nil {
			return err
		}
		half, err := dialPlain(r, s.addr) // in front of the client: who is accepted before it
		if err != nil {
			return err
		}
		if err := half.write(usual.bytes()[:70]); err != nil {
			return err
		}
		client, err := upgraded(r, s.addr)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(r.Context(), time.Hour)
		defer cancel()
		ended := r.Go(func() error { return s.Shutdown(ctx) })
		if err := client.expect("sent close 1001"); err != nil {
			return err
		}
		if c.forced {
			cancel()
		}
		err, late := spec.Wait(r, "Shutdown to return although a client does not answer", ended)
		if late != nil {
			return late
		}
		if c.forced && !errors.Is(err, context.Canceled) {
			return spec.Fail("Shutdown to return the context's error when that has ended first", "it returned: %v", err)
		}
		if err := s.runEnded(); err != nil {
			return err
		}
		if err := client.expectEnd("the connection to be ended"); err != nil {
			return err
		}
		if conn, err := net.Dial("tcp", s.addr); err == nil {
			conn.Close()
			return spec.Fail("the listener to be closed", "a new connection was taken")
		}
	}
	if ends, err := d.waitClosed(2); err != nil || !same(ends, []string{"closed 1006", "closed 1006"}) {
		return errors.Join(err, spec.Fail("OnClose with 1006 for both", "%s", list(ends)))
	}
	r.Step("Shutdown before Run, and a second one")
	unused, err := l.NewServer(Options[Conn]{})
	if err != nil {
		return err
	}
	for range 2 {
		if err := r.Call("Shutdown before Run to return", func() error { return unused.Shutdown(r.Context()) }); err != nil {
			return spec.Fail("Shutdown before Run to return nil", "%v", err)
		}
	}
	return nil
}

func nothingIsLeft(r *spec.Run, l lab) error {
	goroutines, files := runtime.NumGoroutine(), descriptors()
	for range 3 {
		if err := wholeLife(r, l); err != nil {
			return err
		}
	}
	if err := endedIsGarbage(r, l); err != nil {
		return err
	}
	unused, err := l.NewServer(Options[Conn]{})
	if err != nil {
		return err
	}
	if _, err := unused.Listen("127.0.0.1:0"); err != nil {
		return err
	}
	if err := r.Call("Shutdown before Run to return", func() error { return unused.Shutdown(r.Context()) }); err != nil {
		return err
	}
	if err := r.Until("every descriptor to be closed", func() bool { return descriptors() <= files }); err != nil {
		return spec.Fail("every descriptor to be closed after Shutdown", "%d more are open than before", descriptors()-files)
	}
	if err := r.Until("every goroutine to end", func() bool { return runtime.NumGoroutine() <= goroutines }); err != nil {
		return spec.Fail("every goroutine to end with its server", "%d more than before", runtime.NumGoroutine()-goroutines)
	}
	return nil
}

// wholeLife is a server whose connections end in every way there is.
func wholeLife(r *spec.Run, l lab) error {
	d := &diary{r: r}
	r.Step("a server with connections that close, leave, break, are refused, say nothing, and stay; then Shutdown")
	s, err := serve(r, l, Options[Conn]{OnOpen: d.open, OnClose: d.close, OnMessage: echo, CloseTimeout: soon})
	if err != nil {
		return err
	}
	stays, err := dial(r, s.addr)
	if err != nil {
		return err
	}
	var all []*plain
	for _, send := range [][]byte{in(bye(1000)), in(next("wrong")), in(text("half"))[:7], nil} {
		c, err := upgraded(r, s.addr)
		if err != nil {
			return err
		}
		all = append(all, c)
		c.Write(send)
	}
	all[2].reset()
	all[3].CloseWrite()
	for _, send := range [][]byte{usual.without("Host").bytes(), usual.bytes()[:40]} {
		c, err := dialPlain(r, s.addr)
		if err != nil {
			return err
		}
		all = append(all, c)
		c.Write(send)
	}
	if err := d.waitOpened(5); err != nil {
		return err
	}
	go stays.ReadMessage() // answers 1001
	ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
	defer cancel()
	if err := r.Call("Shutdown to return", func() error { return s.Shutdown(ctx) }); err != nil {
		return spec.Fail("Shutdown to return nil", "%v", err)
	}
	if err := s.runEnded(); err != nil {
		return err
	}
	if ends := d.ends(); len(ends) != 5 {
		return spec.Fail("OnClose for each of 5 connections before Run returns", "%d: %s", len(ends), list(ends))
	}
	stays.Close()
	for _, c := range all {
		c.Close()
	}
	return nil
}

// endedIsGarbage has connections end long before any timeout: a timer that is
// not stopped would hold each of them, and all that the application has put
// there, for an hour.
func endedIsGarbage(r *spec.Run, l lab) error {
	const clients, mayStay = 24, 4 // an implementation may have its last ones in a variable
	var freed atomic.Int64
	d := &diary{r: r}
	s, err := serve(r, l, Options[Conn]{HandshakeTimeout: time.Hour, CloseTimeout: time.Hour, OnOpen: d.open, OnClose: d.close,
		OnRequest: func(c Conn, _ string, _ http.Header) int {
			v := new([1 << 10]byte)
			runtime.AddCleanup(v, func(int) { freed.Add(1) }, 0)
			c.SetValue(v)
			return 0
		}})
	if err != nil {
		return err
	}
	r.Step("%d connections close, or break, with both timeouts an hour: the value of each becomes garbage", clients)
	for i := range clients {
		c, err := upgraded(r, s.addr)
		if err != nil {
			return err
		}
		if i%2 == 0 {
			c.reset()
			continue
		}
		if err := c.write(in(bye(1000))); err != nil {
			return err
		}
		if err := c.expectEnd("the server to end a connection that both have closed"); err != nil {
			return err
		}
		c.Close()
	}
	if _, err := d.waitClosed(clients); err != nil {
		return err
	}
	err = r.Until("the values of ended connections to be garbage", func() bool {
		runtime.GC()
		return freed.Load() >= clients-mayStay
	})
	if err != nil {
		return spec.Fail("nothing to hold a connection that has ended: no timer, no table", "%d of %d values are still held", clients-freed.Load(), clients)
	}
	return r.Call("Shutdown to return", func() error { return s.Shutdown(r.Context()) })
}

// descriptors is how many this process has open, but for those of the runtime.
func descriptors() int {
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	return len(all)
}
