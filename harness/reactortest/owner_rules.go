package reactortest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/asynclab/asynclab/harness/spec"
)

const ownerSection = "Step 5: ownership and sends"

var ownerRules = []spec.Rule[Subject]{
	{
		Name: "CallbacksStayOnTheirLoop", Group: "owner", Points: 3, Section: timeoutSection,
		Why: "A connection belongs to one loop for life, and all of its callbacks run on that loop's goroutine. So what belongs to a connection or to a loop needs no lock. One callback elsewhere, and all of it does.",
		Hints: [3]string{
			"From which goroutine do you call OnOpen, OnTimeout and OnClose?",
			"Call nothing from the acceptor, from Shutdown's goroutine or from a time.AfterFunc. The loop that owns the connection calls.",
			"Give the loop below callbacks that are methods of your loop type, and find your Conn by its Value. Timers hang on that loop's wheel.",
		},
		Check: callbacksStayOnTheirLoop,
	},
	{
		Name: "ALoopWaitsForNoOther", Group: "owner", Points: 1, Section: ownerSection,
		Why: "The loops share nothing. While one of them is busy the others serve their connections, and the acceptor goes on handing out.",
		Hints: [3]string{
			"Which lock, channel or goroutine do two of your loops share while they serve?",
			"The acceptor must not wait for a loop that is busy: hand over through something that never blocks.",
			"Adopt puts the descriptor into the loop's inbox and returns. No reactor-wide lock around callbacks.",
		},
		Check: aLoopWaitsForNoOther,
	},
	{
		Name: "PanicClosesOneConnection", Group: "owner", Points: 1, Section: timeoutSection,
		Why: "A handler's mistake costs the connection it was made for. With many loops it would otherwise take down all of them; and OnTimeout runs where lab 03 does not look after panics. A panic in a function given to Post is a loop's end: Run tells it, and nobody is left on the others.",
		Hints: [3]string{
			"Lab 03's loop recovers from panics of its connections' callbacks. Which of your callbacks does it not know of?",
			"A panic in a function of AfterFunc ends lab 03's Run. Recover around OnTimeout.",
			"defer func() { if v := recover(); v != nil { c.Abort(&eventloop.PanicError{Value: v, Stack: debug.Stack()}) } }().",
		},
		Check: panicClosesOneConnection,
	},
	{
		Name: "OptionsReachEveryLoop", Group: "owner", Points: 1, Section: ownerSection,
		Why: "OnData, OnDrain, MaxMessage, MaxQueued and a connection's value are lab 03's and mean the same here, on each loop.",
		Hints: [3]string{
			"Which fields of lab 03's Options do you fill in, and which have you forgotten?",
			"Set OnMessage or OnData below only if yours is set; always set what you need yourself.",
			"Value of the connection below holds your *Conn; Value of your *Conn holds the caller's.",
		},
		Check: optionsReachEveryLoop,
	},
}

func callbacksStayOnTheirLoop(r *spec.Run, s Subject) error {
	const loops = 3
	return inEach(r, func(strategy string) error {
		d := newDiary(r)
		o := d.options(loops, strategy)
		o.OnOpen = func(c Conn) { d.opened(c); c.SetTimeout(1) }
		sv, err := serve(r, s, o)
		if err != nil {
			return err
		}
		var ids [loops]string
		if err := sv.onAll(func(i int) { ids[i] = goroutine() }); err != nil {
			return err
		}
		byLoop, err := d.onEachLoop(sv, 3)
		if err != nil {
			return err
		}
		r.Step("each connection has an echo and a timeout; then a third leave, a third are closed from elsewhere, and the others by Shutdown")
		for _, clients := range byLoop {
			for i, c := range clients {
				if err := c.send([]byte("hello")); err != nil {
					return err
				}
				if err := c.expect([]byte("hello")); err != nil {
					return err
				}
				if err := r.Until("OnTimeout after SetTimeout in OnOpen", func() bool { return d.of(c).timeouts > 0 }); err != nil {
					return err
				}
				switch i % 3 {
				case 0:
					c.Close()
				case 1:
					d.of(c).conn.Abort(errors.New("from elsewhere"))
				}
				if i%3 < 2 {
					if _, late := d.waitClosed(c, "has ended"); late != nil {
						return late
					}
				}
			}
		}
		if err := sv.shutdown(); err != nil {
			return err
		}
		for _, l := range d.all() {
			for _, g := range l.goroutines {
				if g != ids[l.loop] {
					return spec.Fail(fmt.Sprintf("the callbacks of a connection of loop %d on that loop's goroutine, which is %s", l.loop, ids[l.loop]),
						"they ran on %v (the loops are %v)", l.goroutines, ids)
				}
			}
			if l.conn.Loop() != l.loop {
				return spec.Fail("a connection to belong to one loop for life", "Loop was %d and is %d", l.loop, l.conn.Loop())
			}
		}
		return d.orderly()
	})
}

func aLoopWaitsForNoOther(r *spec.Run, s Subject) error {
	const loops, busy = 4, 1
	for _, strategy := range []string{"round-robin", "least"} {
		r.Step("Accept is %q", strategy)
		d := newDiary(r)
		inside, leave := make(chan struct{}), make(chan struct{})
		release := sync.OnceFunc(func() { close(leave) })
		r.Cleanup(release)
		o := d.options(loops, strategy)
		o.OnMessage = func(c Conn, msg []byte) {
			if bytes.Equal(msg, []byte("block")) {
				close(inside)
				<-leave
			}
			d.echo(c, msg)
		}
		sv, err := serve(r, s, o)
		if err != nil {
			return in(strategy, err)
		}
		byLoop, err := d.onEachLoop(sv, 1)
		if err != nil {
			return in(strategy, err)
		}
		if err := byLoop[busy][0].send([]byte("block")); err != nil {
			return in(strategy, err)
		}
		if _, err := spec.Wait(r, "OnMessage for a small frame", inside); err != nil {
			return in(strategy, err)
		}
		r.Step("loop %d is busy in a callback; clients of the other loops have echoes", busy)
		for i, clients := range byLoop {
			if i == busy {
				continue
			}
			if err := clients[0].send([]byte("hello")); err != nil {
				return in(strategy, err)
			}
			if err := clients[0].expect([]byte("hello")); err != nil {
				return in(strategy, spec.Fail("loops that do not wait for each other", "while loop %d is busy, a client of loop %d: %v", busy, i, err))
			}
		}
		const n = 4 * loops
		before, _ := d.count()
		r.Step("%d more clients connect", n)
		for range n {
			if _, err := dial(r, sv.addr); err != nil {
				return in(strategy, err)
			}
		}
		want := n - n/loops
		err = r.Until(fmt.Sprintf("OnOpen for %d of %d newcomers, those of the other loops", want, n), func() bool { opened, _ := d.count(); return opened-before >= want })
		if err != nil {
			opened, _ := d.count()
			return in(strategy, spec.Fail(fmt.Sprintf("the acceptor to go on while loop %d is busy: OnOpen for %d of %d newcomers", busy, want, n), "it was called for %d", opened-before))
		}
		release()
	}
	return nil
}

func panicClosesOneConnection(r *spec.Run, s Subject) error {
	d := newDiary(r)
	o := d.options(2, "round-robin")
	o.OnMessage = func(c Conn, msg []byte) {
		switch string(msg) {
		case "message":
			panic("malformed message 4711")
		case "timeout":
			c.SetValue("panic")
			c.SetTimeout(1)
		default:
			d.echo(c, msg)
		}
	}
	o.OnTimeout = func(c Conn) {
		d.timeout(c)
		if c.Value() == "panic" {
			panic("malformed timeout 4711")
		}
	}
	sv, err := serve(r, s, o)
	if err != nil {
		return err
	}
	byLoop, err := d.onEachLoop(sv, 3)
	if err != nil {
		return err
	}
	for _, clients := range byLoop {
		for i, what := range []string{"message", "timeout"} {
			r.Step("a connection's handler panics in its %s", what)
			if err := clients[i].send([]byte(what)); err != nil {
				return err
			}
			err, late := d.waitClosed(clients[i], "had a panic in its "+what)
			if late != nil {
				return late
			}
			if err == nil {
				return spec.Fail("OnClose to get the panic as its error", "it got nil after one in a %s", what)
			}
		}
		if err := clients[2].send([]byte("still here?")); err != nil {
			return err
		}
		if err := clients[2].expect([]byte("still here?")); err != nil {
			return spec.Fail("the other connections of the loop to go on", "%v", err)
		}
	}
	return inEach(r, func(strategy string) error { return aLoopFails(r, s, strategy) })
}

// aLoopFails ends one loop by a panic that belongs to no connection.
func aLoopFails(r *spec.Run, s Subject, strategy string) error {
	const loops, failing = 3, 1
	d := newDiary(r)
	sv, err := serve(r, s, d.options(loops, strategy))
	if err != nil {
		return err
	}
	byLoop, err := d.onEachLoop(sv, 2)
	if err != nil {
		return err
	}
	r.Step("a function given to Post panics on loop %d", failing)
	if err := sv.Post(failing, func() { panic("malformed post 4711") }); err != nil {
		return spec.Fail("Post to return nil while the reactor runs", "it returned: %v", err)
	}
	err, late := spec.Wait(r, "Run to return when one of its loops has failed", sv.ended)
	if late != nil {
		return late
	}
	if err == nil {
		return spec.Fail("Run to return the error of the loop that has failed", "it returned nil")
	}
	if opened, closed := d.count(); opened != closed {
		return spec.Fail("OnClose for each OnOpen, on all loops, when Run has returned", "%d for %d", closed, opened)
	}
	for _, clients := range byLoop {
		for _, c := range clients {
			if _, err := c.receive(); over(r) {
				return spec.Fail("every connection to end with Run", "a client waited until: %v", err)
			}
		}
	}
	if !refused(sv.addr) {
		return spec.Fail("the listener to be closed when Run has returned", "it still takes connections")
	}
	return nil
}

func optionsReachEveryLoop(r *spec.Run, s Subject) error {
	return inEach(r, func(strategy string) error {
		if err := dataAndValues(r, s, strategy); err != nil {
			return err
		}
		return boundsAndDrain(r, s, strategy)
	})
}

// dataAndValues consumes lines, and counts them in the connection's value.
func dataAndValues(r *spec.Run, s Subject, strategy string) error {
	const loops = 3
	d := newDiary(r)
	o := d.options(loops, strategy)
	o.OnMessage = nil
	o.OnData = func(c Conn, data []byte) int {
		end := slices.Index(data, '\n') + 1
		if end > 0 {
			n, _ := c.Value().(int)
			c.SetValue(n + 1)
			fmt.Fprintf(c, "%d:%s", n+1, data[:end])
		}
		return end
	}
	sv, err := serve(r, s, o)
	if err != nil {
		return err
	}
	byLoop, err := d.onEachLoop(sv, 2)
	if err != nil {
		return err
	}
	r.Step("OnData: lines in pieces, counted in the connection's value")
	for round := 1; round <= 2; round++ {
		for _, clients := range byLoop {
			for _, c := range clients[:2] {
				for _, piece := range []string{"half a", " line\n"} {
					if err := c.raw([]byte(piece)); err != nil {
						return err
					}
					if err := c.delivered(); err != nil {
						return err
					}
				}
				if err := c.expectBytes(fmt.Appendf(nil, "%d:half a line\n", round)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func boundsAndDrain(r *spec.Run, s Subject, strategy string) error {
	const loops, bound = 3, 8 << 20
	d := newDiary(r)
	o := d.options(loops, strategy)
	o.MaxMessage, o.MaxQueued = 1000, bound
	var mu sync.Mutex
	drained := map[Conn]int{}
	o.OnDrain = func(c Conn) {
		mu.Lock()
		defer mu.Unlock()
		drained[c]++
	}
	refusals := map[Conn]int{}
	o.OnMessage = func(c Conn, msg []byte) {
		d.message(c)
		for range 40 {
			if _, err := c.Write(make([]byte, 1<<20)); err != nil {
				mu.Lock()
				refusals[c]++
				mu.Unlock()
				return
			}
		}
	}
	sv, err := serve(r, s, o)
	if err != nil {
		return err
	}
	byLoop, err := d.onEachLoop(sv, 2)
	if err != nil {
		return err
	}
	for loop, clients := range byLoop {
		r.Step("a client of loop %d asks for 40 MiB where MaxQueued is 8, and reads", loop)
		if err := clients[0].send([]byte("much")); err != nil {
			return err
		}
		conn := d.of(clients[0]).conn
		if err := r.Until("OnMessage", func() bool { return d.of(clients[0]).messages > 0 }); err != nil {
			return err
		}
		if err := sv.on(loop, func() {}); err != nil {
			return err
		}
		mu.Lock()
		refused := refusals[conn]
		mu.Unlock()
		if refused == 0 {
			return spec.Fail("Write to refuse what would pass MaxQueued", "40 MiB were taken on loop %d", loop)
		}
		if q := conn.Queued(); q > bound {
			return spec.Fail("Queued to be at most MaxQueued", "%d bytes are queued on loop %d", q, loop)
		}
		go func() { // takes all
			for buf := make([]byte, 1<<16); ; {
				if _, err := clients[0].Read(buf); err != nil {
					return
				}
			}
		}()
		if err := r.Until(fmt.Sprintf("OnDrain on loop %d when everything is sent", loop), func() bool { mu.Lock(); defer mu.Unlock(); return drained[conn] > 0 }); err != nil {
			return err
		}
		r.Step("another announces a frame of 1001 bytes where MaxMessage is 1000")
		if err := clients[1].raw([]byte{0, 0, 1001 >> 8, 1001 & 255}); err != nil {
			return err
		}
		err, late := d.waitClosed(clients[1], fmt.Sprintf("announces a frame above MaxMessage on loop %d", loop))
		if late != nil {
			return late
		}
		if err == nil {
			return spec.Fail("an error for OnClose after a frame above MaxMessage", "nil")
		}
	}
	return nil
}
