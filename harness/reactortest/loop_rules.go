package reactortest

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/asynclab/asynclab/harness/spec"
)

const loopSection = "Step 2: loops that start and stop"

var loopRules = []spec.Rule[Subject]{
	{
		Name: "RefusesImpossibleOptions", Group: "loops", Points: 2, Section: loopSection,
		Why: "A reactor of no loops accepts its first connection and then has no place for it; a strategy that is misspelt must not silently become another. A mistake in the configuration must show where it is made.",
		Hints: [3]string{
			"Which values of Loops, Accept and OwnTables make no sense, each alone and together?",
			"Negative Loops; an Accept that is none of the three; OwnTables with one acceptor, whose descriptors mean nothing in another table. What the loops refuse, New refuses.",
			"switch { case o.Loops < 0: ...; case !slices.Contains(strategies, o.Accept): ...; case o.OwnTables && o.Accept != \"reuseport\": ... }, and pass on the error of eventloop.New after releasing what was made.",
		},
		Check: refusesImpossibleOptions,
	},
	{
		Name: "PostRunsOnItsLoop", Group: "loops", Points: 3, Section: loopSection,
		Why: "What belongs to a loop is touched by its goroutine alone: that is why nothing there needs a lock. Post is the way in from outside, to the loop it names, in the order of the calls.",
		Hints: [3]string{
			"How many goroutines call Run of your loops, and what does Loops: 0 mean?",
			"One goroutine for each loop, from start to end. Post(i) is Post of loop i.",
			"for _, l := range r.loops { go func() { ended <- l.events.Run() }() }.",
		},
		Check: postRunsOnItsLoop,
	},
	{
		Name: "ShutdownIsRepeatable", Group: "loops", Points: 2, Section: acceptSection,
		Why: "A signal handler, a defer and a test may each call Shutdown, before Run too. All return when it is done, Run returns nil, and Post, Send and Listen afterwards say net.ErrClosed.",
		Hints: [3]string{
			"Who closes the loops when Run was never called?",
			"Two flags under one lock: running and stopping. A Shutdown without Run releases everything itself, once; all others wait for a channel that is closed at the end.",
			"mu.Lock(); first, running := !stopping, running; stopping = true; mu.Unlock(); if !running && first { release() }; <-done.",
		},
		Check: shutdownIsRepeatable,
	},
	{
		Name: "NothingIsLeft", Group: "loops", Points: 3, Section: tableSection,
		Why: "After Shutdown no descriptor, no goroutine and no thread's descriptor table is left. A table that stays keeps every socket open that was copied into it: their peers never see an end.",
		Hints: [3]string{
			"List what New, Listen and Run make, for each loop and for the acceptor. Who gives each of them back, and also when New fails half-way?",
			"Loops that never ran need a Shutdown as well. A goroutine that is locked to its thread must return without unlocking: then the thread ends, and its table with it.",
			"release(): for each loop, if it never ran, shut it down; close the eventfd that was lent to it; close the acceptor's listeners, its eventfd and its spare descriptor.",
		},
		Check: nothingIsLeft,
	},
}

func refusesImpossibleOptions(r *spec.Run, s Subject) error {
	onMessage := func(Conn, []byte) {}
	onData := func(_ Conn, data []byte) int { return len(data) }
	files := descriptors()
	for _, wrong := range []struct {
		what string
		o    Options[Conn]
	}{
		{"Loops -1", Options[Conn]{Loops: -1, OnMessage: onMessage}},
		{`Accept "random"`, Options[Conn]{Accept: "random", OnMessage: onMessage}},
		{"OwnTables and round robin", Options[Conn]{Loops: 2, OwnTables: true, OnMessage: onMessage}},
		{"OwnTables and least", Options[Conn]{Loops: 2, OwnTables: true, Accept: "least", OnMessage: onMessage}},
		{"neither OnMessage nor OnData", Options[Conn]{Loops: 2}},
		{"both OnMessage and OnData", Options[Conn]{Loops: 2, OnMessage: onMessage, OnData: onData}},
		{"MaxMessage -1", Options[Conn]{Loops: 2, OnMessage: onMessage, MaxMessage: -1}},
		{"MaxQueued -1", Options[Conn]{Loops: 2, OnMessage: onMessage, MaxQueued: -1}},
		{"IdleTimeout -1 s", Options[Conn]{Loops: 2, OnMessage: onMessage, IdleTimeout: -1e9}},
	} {
		r.Step("New with %s", wrong.what)
		if re, err := s.Reactor(wrong.o); err == nil {
			stop(re)
			return spec.Fail("an error from New with "+wrong.what, "it returned nil")
		}
	}
	if err := r.Until("a New that fails to leave no descriptor", func() bool { return descriptors() <= files }); err != nil {
		return spec.Fail("a New that fails to leave no descriptor", "%d more are open than before", descriptors()-files)
	}
	return nil
}

func postRunsOnItsLoop(r *spec.Run, s Subject) error {
	const loops, posters, each = 4, 3, 300
	return inEach(r, func(strategy string) error {
		sv, err := serveNobody(r, s, newDiary(r).options(loops, strategy))
		if err != nil {
			return err
		}
		var ids [loops]string
		if err := sv.onAll(func(i int) { ids[i] = goroutine() }); err != nil {
			return err
		}
		for i, id := range ids {
			if slices.Contains(ids[:i], id) {
				return spec.Fail("a goroutine for each loop", "two of %d loops run what is posted on the same one", loops)
			}
		}
		r.Step("%d goroutines post %d functions to each of %d loops", posters, each, loops)
		var strays, disorder, done atomic.Int64
		var last [posters][loops]int // each touched on its loop only
		for p := range posters {
			r.Go(func() error {
				for i := 1; i <= each; i++ {
					for loop := range loops {
						sv.Post(loop, func() {
							if goroutine() != ids[loop] {
								strays.Add(1)
							} else if last[p][loop] != i-1 {
								disorder.Add(1)
							}
							last[p][loop] = i
							done.Add(1)
						})
					}
				}
				return nil
			})
		}
		const all = posters * each * loops
		if err := r.Until("every posted function to run", func() bool { return done.Load() == all }); err != nil {
			return spec.Fail("every posted function to run", "%d of %d did", done.Load(), all)
		}
		if n := strays.Load(); n > 0 {
			return spec.Fail("a posted function to run on the goroutine of the loop it was posted to", "%d of %d ran on another", n, all)
		}
		if n := disorder.Load(); n > 0 {
			return spec.Fail("posted functions in the order of the calls", "%d ran out of order", n)
		}
		return nil
	})
}

func shutdownIsRepeatable(r *spec.Run, s Subject) error {
	return inEach(r, func(strategy string) error {
		d := newDiary(r)
		r.Step("Shutdown before Run, then Run")
		early, err := s.Reactor(d.options(2, strategy))
		if err != nil {
			return err
		}
		addr, err := early.Listen("127.0.0.1:0")
		if err != nil {
			return err
		}
		if err := r.Call("Shutdown before Run to return", func() error { return early.Shutdown(r.Context()) }); err != nil {
			return spec.Fail("Shutdown before Run to return nil", "it returned: %v", err)
		}
		if err := r.Call("Run to return at once after Shutdown", early.Run); err != nil {
			return spec.Fail("Run to return nil after Shutdown", "it returned: %v", err)
		}
		if !refused(addr.String()) {
			return spec.Fail("the listener to be closed", "it still takes connections")
		}
		sv, err := serve(r, s, d.options(2, strategy))
		if err != nil {
			return err
		}
		clients, err := d.crowd(sv, 4)
		if err != nil {
			return err
		}
		r.Step("Shutdown three times at once, and once more")
		var calls []<-chan error
		for range 3 {
			calls = append(calls, r.Go(func() error { return sv.Shutdown(r.Context()) }))
		}
		for _, call := range calls {
			err, late := spec.Wait(r, "each of three Shutdowns at once to return", call)
			if err := errors.Join(err, late); err != nil {
				return err
			}
		}
		if err := sv.shutdown(); err != nil {
			return err
		}
		_, listened := sv.Listen("127.0.0.1:0")
		for what, err := range map[string]error{
			"Post to loop 0": sv.Post(0, func() {}),
			"Post to loop 1": sv.Post(1, func() {}),
			"Send":           d.of(clients[0]).conn.Send([]byte("too late")),
			"Listen":         listened,
		} {
			if !errors.Is(err, net.ErrClosed) {
				return spec.Fail(what+" to return net.ErrClosed after Shutdown", "it returned: %v", err)
			}
		}
		return nil
	})
}

// nothingIsLeft makes and ends reactors in several ways, and counts.
func nothingIsLeft(r *spec.Run, s Subject) error {
	goroutines, files := runtime.NumGoroutine(), descriptors()
	for _, strategy := range strategies {
		for round := range 2 {
			if err := wholeLife(r, s, strategy, round == 1); err != nil {
				return in(strategy, err)
			}
		}
		r.Step("a reactor that never runs, and whose second Listen fails")
		unused, err := s.Reactor(newDiary(r).options(3, strategy))
		if err != nil {
			return err
		}
		if _, err := unused.Listen("127.0.0.1:0"); err != nil {
			return err
		}
		if _, err := unused.Listen("203.0.113.1:1"); err == nil {
			return spec.Fail("an error from Listen on an address that is not ours", "it returned nil")
		}
		if err := r.Call("Shutdown before Run to return", func() error { return unused.Shutdown(r.Context()) }); err != nil {
			return err
		}
	}
	if err := r.Until("every descriptor to be closed", func() bool { return descriptors() <= files }); err != nil {
		return spec.Fail("every descriptor to be closed after Shutdown", "%d more are open than before", descriptors()-files)
	}
	if err := r.Until("every goroutine to end", func() bool { return runtime.NumGoroutine() <= goroutines }); err != nil {
		return spec.Fail("every goroutine to end with its reactor", "%d more than before", runtime.NumGoroutine()-goroutines)
	}
	return tablesEnd(r, s)
}

func wholeLife(r *spec.Run, s Subject, strategy string, byForce bool) error {
	d := newDiary(r)
	o := d.options(3, strategy)
	o.OnOpen = func(c Conn) { d.opened(c); c.SetTimeout(1e12) }
	o.IdleTimeout = 1e12
	o.OnMessage = func(c Conn, msg []byte) {
		d.message(c)
		switch string(msg) {
		case "abort":
			c.Abort(errors.New("asked for"))
		case "close":
			c.Close()
		case "panic":
			panic("on purpose")
		}
	}
	sv, err := serve(r, s, o)
	if err != nil {
		return err
	}
	clients, err := d.crowd(sv, 12)
	if err != nil {
		return err
	}
	for i, way := range []string{"abort", "close", "panic", "leave", "reset", "half a frame"} {
		c := clients[i]
		r.Step("a connection ends: %s", way)
		switch way {
		case "leave":
			c.CloseWrite()
		case "reset":
			c.reset()
		case "half a frame":
			c.raw([]byte{0, 0, 1})
			c.CloseWrite()
		default:
			c.send([]byte(way))
		}
		if _, late := d.waitClosed(c, "ended"); late != nil {
			return late
		}
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	if byForce {
		cancel()
	}
	err = r.Call("Shutdown to return", func() error { return sv.Shutdown(ctx) })
	if err != nil && !(byForce && errors.Is(err, context.Canceled)) {
		return err
	}
	for _, c := range clients {
		c.Close()
	}
	if err := sv.runEnded(); err != nil {
		return err
	}
	if opened, closed := d.count(); opened != closed {
		return spec.Fail("OnClose for each OnOpen when Run has returned", "%d for %d", closed, opened)
	}
	return d.orderly()
}

// tablesEnd lets a reactor with tables of its own copy one end of a pipe. When
// the reactor has ended and ours is closed, nobody has it any more, or else a
// table is left.
func tablesEnd(r *spec.Run, s Subject) error {
	for _, run := range []bool{true, false} {
		r.Step("a reactor with OwnTables begins and ends (Run: %v); a pipe was open when it began", run)
		var pipe [2]int
		if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
			return err
		}
		r.Cleanup(func() { unix.Close(pipe[0]) })
		d := newDiary(r)
		o := d.options(3, "reuseport")
		o.OwnTables = true
		if err := beginAndEnd(r, s, d, o, run); err != nil {
			return err
		}
		unix.Close(pipe[1])
		if err := r.Until("every descriptor table to end", func() bool {
			n, err := unix.Read(pipe[0], make([]byte, 1))
			return n == 0 && err == nil
		}); err != nil {
			return spec.Fail("every descriptor table to end with its reactor", "one is left, and keeps open what was open when the reactor began (Run: %v)", run)
		}
	}
	return nil
}

func beginAndEnd(r *spec.Run, s Subject, d *diary, o Options[Conn], run bool) error {
	if run {
		sv, err := serve(r, s, o)
		if err != nil {
			return err
		}
		if _, err := d.crowd(sv, 6); err != nil {
			return err
		}
		return sv.shutdown()
	}
	re, err := s.Reactor(o)
	if err != nil {
		return err
	}
	if _, err := re.Listen("127.0.0.1:0"); err != nil {
		return err
	}
	return r.Call("Shutdown before Run to return", func() error { return re.Shutdown(r.Context()) })
}

// descriptors counts this process's open files.
func descriptors() int {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(names)
}

// refused reports whether nobody listens on addr.
func refused(addr string) bool {
	c, err := net.Dial("tcp", addr)
	if err == nil {
		c.Close()
	}
	return err != nil
}
