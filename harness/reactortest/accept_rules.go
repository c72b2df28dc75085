package reactortest

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/asynclab/asynclab/harness/spec"
)

const acceptSection = "Step 4: an acceptor that hands off"

var acceptRules = []spec.Rule[Subject]{
	{
		Name: "RoundRobinIsEven", Group: "accept", Points: 2, Section: acceptSection,
		Why: "With round robin each loop gets every n-th connection, so that no loop has more than one more than another. A reactor that gives all to one loop is a single loop with spectators. Its address is its own: two reactors that share one by mistake share its clients, too.",
		Hints: [3]string{
			"Which loop gets the fifth connection of four loops?",
			"A counter of the acceptor, modulo the number of loops, moved on for each connection.",
			"l := a.loops[a.next]; a.next = (a.next + 1) % len(a.loops).",
		},
		Check: roundRobinIsEven,
	},
	{
		Name: "LeastFillsTheEmptiest", Group: "accept", Points: 3, Section: acceptSection,
		Why: "Round robin counts arrivals, not departures: where long connections gather by chance, they stay. \"least\" gives each newcomer to the loop with the fewest, those on their way to it included, or a burst goes to one loop before it has opened the first of them.",
		Hints: [3]string{
			"A hundred clients come in one burst. How many connections does each loop have while the acceptor decides about the second?",
			"Count a connection when you hand it over, not when it is open; take it off when it has closed.",
			"given is the acceptor's own counter, closed an atomic one of the loop: load = given - closed.",
		},
		Check: leastFillsTheEmptiest,
	},
	{
		Name: "AcceptNeverSleeps", Group: "accept", Points: 3, Section: acceptSection,
		Why: "An acceptor that sleeps between two looks lets every client wait for the rest of its sleep. The kernel can wake it the moment a client is there.",
		Hints: [3]string{
			"accept4 says EAGAIN. What do you do until the next client comes?",
			"Wait in a system call that a client ends: poll(2) or epoll_wait(2) on the listener, without a timeout.",
			"set := []unix.PollFd{{Fd: wake}, {Fd: listener}}; unix.Poll(set, -1). An eventfd in the set is for Shutdown.",
		},
		Check: acceptNeverSleeps,
	},
	{
		Name: "NoConnectionIsLost", Group: "accept", Points: 3, Section: acceptSection,
		Why: "Between accept and the loop's epoll_ctl a connection is in nobody's hands but yours. The loop may be busy, its inbox long, the client quick: it may have sent and even ended before it is registered. Each one is opened and served all the same.",
		Hints: [3]string{
			"The loop is busy and does not take the connection now. Where does it wait, and how many have room there?",
			"Adopt of lab 03 never blocks and never drops. A channel of your own with select and default does drop.",
			"handOff(fd): l := pick(); if l.events.Adopt(fd) != nil, the loop has ended and has closed fd.",
		},
		Check: noConnectionIsLost,
	},
	{
		Name: "ConnectionsTellsTheTruth", Group: "accept", Points: 2, Section: acceptSection,
		Why: "Connections feeds limits, balancing and the dashboard. It counts what is open on each loop, and comes back to 0 when everybody has left, whatever way.",
		Hints: [3]string{
			"Where does a connection begin to count, and through which function do all of its ends go?",
			"An atomic counter for each loop: up in OnOpen, down in OnClose. Nothing else.",
			"l.open.Add(1) in onOpen, l.open.Add(-1) in onClose; Connections loads them.",
		},
		Check: connectionsTellsTheTruth,
	},
}

func roundRobinIsEven(r *spec.Run, s Subject) error {
	const loops, n = 4, 42
	for _, strategy := range []string{"", "round-robin"} {
		d := newDiary(r)
		sv, err := serve(r, s, d.options(loops, strategy))
		if err != nil {
			return err
		}
		if _, err := d.crowd(sv, n); err != nil {
			return err
		}
		if got := d.byLoop(loops); slices.Max(got)-slices.Min(got) > 1 {
			return spec.Fail(fmt.Sprintf("%d connections on %d loops to be spread evenly", n, loops), "with Accept %q the loops have %v", strategy, got)
		}
		if err := d.orderly(); err != nil {
			return err
		}
	}
	return takenAddressIsRefused(r, s)
}

// takenAddressIsRefused: with one acceptor an address belongs to one reactor.
func takenAddressIsRefused(r *spec.Run, s Subject) error {
	for _, strategy := range []string{"round-robin", "least"} {
		r.Step("Accept is %q: two reactors want one address", strategy)
		d := newDiary(r)
		first, err := serve(r, s, d.options(1, strategy))
		if err != nil {
			return in(strategy, err)
		}
		second, err := s.Reactor(d.options(1, strategy))
		if err != nil {
			return in(strategy, err)
		}
		_, err = second.Listen(first.addr)
		stop(second)
		if err == nil {
			return in(strategy, spec.Fail("an error from Listen on an address that is taken", "it returned nil"))
		}
	}
	return nil
}

func leastFillsTheEmptiest(r *spec.Run, s Subject) error {
	const loops, each = 4, 6
	d := newDiary(r)
	sv, err := serve(r, s, d.options(loops, "least"))
	if err != nil {
		return err
	}
	clients, err := d.crowd(sv, loops*each)
	if err != nil {
		return err
	}
	if got := d.byLoop(loops); slices.Max(got)-slices.Min(got) > 1 {
		return spec.Fail("the first connections to be spread evenly", "the loops have %v", got)
	}
	r.Step("all clients of loop 2 leave, and all but one of loop 1")
	left := 0
	for _, c := range clients {
		if l := d.of(c); l.loop == 2 || l.loop == 1 && left < each-1 {
			if l.loop == 1 {
				left++
			}
			c.Close()
		}
	}
	gone := func() bool { return slices.Equal(sv.Connections(), []int{each, 1, 0, each}) }
	if err := r.Until("Connections to be [6 1 0 6]", gone); err != nil {
		return spec.Fail("Connections to be [6 1 0 6]", "it is %v", sv.Connections())
	}
	if err := sv.onAll(func(int) {}); err != nil { // the last OnClose has returned
		return err
	}
	for _, step := range []struct {
		more int
		want []int
	}{{1, []int{6, 1, 1, 6}}, {2, []int{6, 2, 2, 6}}, {8, []int{6, 6, 6, 6}}, {8, []int{8, 8, 8, 8}}} {
		for range step.more { // one after the other: nothing is on its way
			if _, err := d.crowd(sv, 1); err != nil {
				return err
			}
		}
		if got := d.byLoop(loops); !slices.Equal(got, step.want) {
			return spec.Fail(fmt.Sprintf("newcomers to go to the emptiest loop: %v", step.want), "the loops have %v", got)
		}
	}
	return aBurstIsSpread(r, s)
}

// aBurstIsSpread lets clients connect while no loop can open any of them.
func aBurstIsSpread(r *spec.Run, s Subject) error {
	const loops, n = 4, 100
	d := newDiary(r)
	sv, err := serve(r, s, d.options(loops, "least"))
	if err != nil {
		return err
	}
	release, err := sv.holdAll()
	if err != nil {
		return err
	}
	r.Step("all loops are busy, and %d clients connect", n)
	for range n {
		if _, err := dial(r, sv.addr); err != nil {
			return err
		}
	}
	release()
	if err := r.Until("OnOpen for each client, once the loops go on", func() bool { opened, _ := d.count(); return opened == n }); err != nil {
		return err
	}
	if got := d.byLoop(loops); slices.Max(got)-slices.Min(got) > 2 {
		return spec.Fail("a burst to be spread evenly, too", "the loops have %v", got)
	}
	return nil
}

// acceptNeverSleeps has a clock of its own: the round trips that two sockets of
// the judge make meanwhile. A machine that is slow is so for both.
func acceptNeverSleeps(r *spec.Run, s Subject) error {
	return inEach(r, func(strategy string) error {
		sv, err := serve(r, s, newDiary(r).options(2, strategy))
		if err != nil {
			return err
		}
		trips, err := pingPong(r)
		if err != nil {
			return err
		}
		const clients, most = 300, 8
		r.Step("%d clients, one after the other: connect, and have an echo", clients)
		var waits []int64
		for range clients {
			before := trips.Load()
			c, err := dial(r, sv.addr)
			if err != nil {
				return err
			}
			if err := c.send([]byte("x")); err != nil {
				return err
			}
			if err := c.expect([]byte("x")); err != nil {
				return err
			}
			waits = append(waits, trips.Load()-before)
			c.Close()
		}
		slices.Sort(waits)
		if median := waits[clients/2]; median > most {
			return spec.Fail("a client to be accepted as soon as it is there",
				"between connect and the first echo of most clients, another pair of sockets makes %d or more round trips (at most %d are usual): the acceptor sleeps", median, most)
		}
		return nil
	})
}

// pingPong counts the round trips of a byte over loopback, one after the other
// for as long as the check lasts.
func pingPong(r *spec.Run) (*atomic.Int64, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer ln.Close()
	a, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		return nil, err
	}
	b, err := ln.Accept()
	if err != nil {
		return nil, err
	}
	r.Cleanup(func() { a.Close(); b.Close() })
	var trips atomic.Int64
	go io.Copy(b, b)
	go func() {
		p := []byte{1}
		for {
			if _, err := a.Write(p); err != nil {
				return
			}
			if _, err := io.ReadFull(a, p); err != nil {
				return
			}
			trips.Add(1)
		}
	}()
	return &trips, nil
}

func noConnectionIsLost(r *spec.Run, s Subject) error {
	const loops, n = 4, 400
	return inEach(r, func(strategy string) error {
		d := newDiary(r)
		sv, err := serve(r, s, d.options(loops, strategy))
		if err != nil {
			return err
		}
		release, err := sv.holdAll()
		if err != nil {
			return err
		}
		r.Step("all loops are busy; %d clients connect and send, and every third one ends its writing side", n)
		var clients []*client
		for i := range n {
			c, err := dial(r, sv.addr)
			if err != nil {
				return err
			}
			if err := c.send(pattern(i, 60)); err != nil {
				return err
			}
			if i%3 == 0 {
				c.CloseWrite()
			}
			clients = append(clients, c)
		}
		release()
		r.Step("the loops go on")
		for i, c := range clients {
			if err := c.expect(pattern(i, 60)); err != nil {
				opened, _ := d.count()
				return spec.Fail("every client to be served that has connected while the loops were busy",
					"client %d of %d: %v (OnOpen was called for %d)", i+1, n, err, opened)
			}
		}
		if opened, _ := d.count(); opened != n {
			return spec.Fail(fmt.Sprintf("OnOpen for %d clients", n), "it was called for %d", opened)
		}
		if err := d.orderly(); err != nil {
			return err
		}
		return severalAddresses(r, s, strategy)
	})
}

// severalAddresses has a reactor listen on more than one.
func severalAddresses(r *spec.Run, s Subject, strategy string) error {
	const addresses = 3
	r.Step("Listen on %d addresses; a client on each has an echo", addresses)
	re, err := s.Reactor(newDiary(r).options(2, strategy))
	if err != nil {
		return err
	}
	r.Cleanup(func() { stop(re) })
	var all []string
	for range addresses {
		addr, err := re.Listen("127.0.0.1:0")
		if err != nil {
			return spec.Fail("Listen to return nil, once for each address", "%v", err)
		}
		all = append(all, addr.String())
	}
	go re.Run()
	for i, addr := range all {
		c, err := dial(r, addr)
		if err != nil {
			return err
		}
		if err := c.send([]byte("hello")); err != nil {
			return err
		}
		if err := c.expect([]byte("hello")); err != nil {
			return spec.Fail("clients of every address to be served", "address %d of %d: %v", i+1, addresses, err)
		}
	}
	return nil
}

func connectionsTellsTheTruth(r *spec.Run, s Subject) error {
	if err := noLoopsAreAsManyAsCores(r, s); err != nil {
		return err
	}
	const loops, n = 3, 60
	return inEach(r, func(strategy string) error {
		d := newDiary(r)
		o := d.options(loops, strategy)
		o.OnMessage = func(c Conn, msg []byte) {
			d.message(c)
			switch string(msg) {
			case "close":
				c.Close()
			case "abort":
				c.Abort(io.ErrNoProgress)
			default:
				panic("on purpose")
			}
		}
		sv, err := serve(r, s, o)
		if err != nil {
			return err
		}
		if got := sv.Connections(); !slices.Equal(got, make([]int, loops)) {
			return spec.Fail("Connections to be [0 0 0] at first", "it is %v", got)
		}
		clients, err := d.crowd(sv, n)
		if err != nil {
			return err
		}
		agrees := func() bool { return slices.Equal(sv.Connections(), d.byLoop(loops)) }
		if err := r.Until("Connections to agree with the callbacks", agrees); err != nil {
			return spec.Fail(fmt.Sprintf("Connections to be %v, as by OnOpen and Loop", d.byLoop(loops)), "it is %v", sv.Connections())
		}
		r.Step("they end in five ways")
		for i, c := range clients {
			switch i % 5 {
			case 0:
				c.Close()
			case 1:
				c.reset()
			case 2, 3, 4:
				c.send([]byte([]string{"close", "abort", "panic"}[i%5-2]))
			}
		}
		if err := r.Until("Connections to be [0 0 0] again", func() bool { return slices.Equal(sv.Connections(), make([]int, loops)) }); err != nil {
			return spec.Fail("Connections to be [0 0 0] again when everybody has left", "it is %v", sv.Connections())
		}
		return nil
	})
}

func noLoopsAreAsManyAsCores(r *spec.Run, s Subject) error {
	r.Step("New with Loops 0")
	re, err := s.Reactor(newDiary(r).options(0, ""))
	if err != nil {
		return err
	}
	stop(re)
	if got, want := len(re.Connections()), runtime.GOMAXPROCS(0); got != want {
		return spec.Fail(fmt.Sprintf("Loops 0 to mean GOMAXPROCS, which is %d", want), "Connections tells of %d loops", got)
	}
	return nil
}
