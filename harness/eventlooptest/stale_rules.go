package eventlooptest

import (
	"sync"

	"golang.org/x/sys/unix"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
)

var staleRules = []spec.Rule[New]{
	{
		Name: "StaleEventsTouchNoOne", Group: "ends", Points: 3, Section: endSection,
		Why: "One epoll_wait returns many events. The first one's callback closes B, accept gives B's number to a new client C, and then comes an event that was meant for B: acted on by number, it closes C, who did nothing.",
		Hints: [3]string{
			"Your event says 'descriptor 12'. Which 12?",
			"Give each connection a number that is never used again, register it in the event data beside the descriptor, and compare before you act.",
			"unix.EpollEvent has Fd and Pad, 64 bits that the kernel gives back as they are: Pad: generation. dispatch: if c := conns[ev.Fd]; c != nil && c.generation == ev.Pad { serve(c) }.",
		},
		Check: staleEventsTouchNoOne,
	},
	{
		Name: "DescriptorsAreClosedOnce", Group: "ends", Points: 2, Section: endSection,
		Why: "A number is given out again the moment it is closed. A second close, or a write by a Send that comes late, hits whoever has it now: another connection, or the application's file.",
		Hints: [3]string{
			"After close(fd), who owns the number?",
			"One function closes, and forgets the number at once. Only the loop's goroutine uses descriptors.",
			"unix.Close(c.fd); c.fd = -1, guarded by the phase: closed connections return early everywhere.",
		},
		Check: descriptorsAreClosedOnce,
	},
}

func staleEventsTouchNoOne(r *spec.Run, new New) error {
	for round := range 8 {
		if err := staleRound(r, new, round%2 == 0, round%4 < 2); err != nil {
			return err
		}
	}
	return nil
}

// staleRound lets three things wait in one batch of events: A's message, upon
// which the handler ends B; a new client C; and B's reset.
func staleRound(r *spec.Run, new New, abort, resetLast bool) error {
	d, g := newDiary(r), newGate(r)
	var b Conn // set before the loop can see it
	o := d.options()
	o.OnMessage = g.guard(func(c Conn, msg []byte) {
		switch string(msg) {
		case "abort B":
			b.Abort(errAborted)
		case "close B":
			b.Close()
		default:
			d.message(c, msg)
		}
	})
	s, err := serve(r, new, o)
	if err != nil {
		return err
	}
	var clients [3]*client
	for i := range clients {
		if clients[i], err = dial(r, s.addr); err != nil {
			return err
		}
		conn, err := d.waitOpen(clients[i])
		if err != nil {
			return err
		}
		b = conn // the last one
	}
	holder, clientA, clientB := clients[0], clients[1], clients[2]
	if err := g.close(holder); err != nil {
		return err
	}
	word := "close B"
	if abort {
		word = "abort B"
	}
	r.Step("while the loop is held: A sends %q, C connects, B resets", word)
	if err := clientA.send([]byte(word)); err != nil {
		return err
	}
	if err := clientA.delivered(); err != nil {
		return err
	}
	resetB := func() error {
		local, remote := clientB.addr(clientB.LocalAddr()), clientB.addr(clientB.RemoteAddr())
		clientB.reset()
		return r.Until("the reset to arrive", func() bool {
			_, found, err := meter.Queues(remote, local)
			return err == nil && !found
		})
	}
	if !resetLast {
		if err := resetB(); err != nil {
			return err
		}
	}
	clientC, err := dial(r, s.addr)
	if err != nil {
		return err
	}
	if resetLast {
		if err := resetB(); err != nil {
			return err
		}
	}
	var holes cage // so that B's number is the lowest that is free once B is closed
	r.Cleanup(holes.close)
	for range 16 {
		holes.add()
	}
	g.open()
	if _, late := d.waitClosed(clientB, "was reset, and ended by the handler"); late != nil {
		return late
	}
	r.Step("C, which may have B's descriptor number, sends two messages")
	for _, p := range []string{"one", "two"} {
		clientC.Write(appendFrame(nil, []byte(p)))
		if err := settle(r, s); err != nil {
			return err
		}
	}
	if err := d.waitMessages(clientC, []byte("one"), []byte("two")); err != nil {
		return spec.Fail("C to be left alone by what was meant for B", "%v", err)
	}
	return d.orderly()
}

// descriptorsAreClosedOnce takes the number of each closed connection for a
// canary, and sees whether the canary is closed or written to.
func descriptorsAreClosedOnce(r *spec.Run, new New) error {
	var cage cage
	r.Cleanup(cage.close)
	d := newDiary(r)
	o := d.options()
	o.OnMessage = func(c Conn, msg []byte) { ending(c, msg) }
	o.OnClose = func(c Conn, err error) {
		cage.add() // the number is free from here on, or soon
		d.closed(c, err)
	}
	s, err := serve(r, new, o)
	if err != nil {
		return err
	}
	for _, way := range []string{"ends in order", "resets", "close twice", "abort"} {
		for range 5 {
			c, err := dial(r, s.addr)
			if err != nil {
				return err
			}
			conn, err := d.waitOpen(c)
			if err != nil {
				return err
			}
			switch way {
			case "ends in order":
				c.CloseWrite()
			case "resets":
				c.reset()
			default:
				c.send([]byte(way))
			}
			if _, late := d.waitClosed(c, way); late != nil {
				return late
			}
			cage.add()
			conn.Send([]byte("a late word"))
			conn.Close()
			conn.Abort(nil)
			c.Close()
		}
		if err := settle(r, s); err != nil {
			return err
		}
		if err := cage.alive(way); err != nil {
			return err
		}
	}
	r.Step("%d canaries are alive", cage.size())
	return nil
}

// A cage has canaries: pairs of connected sockets of which one is likely to
// have the number of a descriptor that was just closed.
type cage struct {
	mu    sync.Mutex // guards pairs
	pairs [][2]int
}

func (g *cage) add() {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pairs = append(g.pairs, pair)
}

func (g *cage) size() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.pairs)
}

// alive reads from every canary: there must be nothing, and no end.
func (g *cage) alive(after string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, pair := range g.pairs {
		for _, fd := range pair {
			var b [64]byte
			switch n, err := unix.Read(fd, b[:]); {
			case err == unix.EAGAIN:
			case n > 0:
				return spec.Fail("nothing to be written to a descriptor that was closed", "%q went to the next owner of its number (%s)", b[:n], after)
			default:
				return spec.Fail("each descriptor to be closed once", "the next owner of its number was closed (%s)", after)
			}
		}
	}
	return nil
}

func (g *cage) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, pair := range g.pairs {
		unix.Close(pair[0])
		unix.Close(pair[1])
	}
	g.pairs = nil
}
