package eventlooptest

import (
	"sync/atomic"

	"github.com/asynclab/asynclab/harness/spec"
)

var edgeRules = []spec.Rule[New]{
	{
		Name: "NothingIsLeftAtTheEdge", Group: "edge", Points: 3, Section: frameSection,
		Why: "Edge-triggered means told once: 'has become readable'. What you leave in the socket you must remember, for no further event will come for it.",
		Hints: [3]string{
			"The event is gone and there are still bytes in the socket. Who will tell you?",
			"Keep a flag per connection, readable, which an event sets and only EAGAIN (or a short read) clears. A connection that is still readable at the end of its turn goes into a ready list.",
			"for range readsPerTurn { if !c.readable { return }; readOnce(c) }; if c.readable { l.ready = append(l.ready, c) }; with a ready list, epoll_wait gets the timeout 0.",
		},
		Check: nothingIsLeftAtTheEdge,
	},
	{
		Name: "TheEndIsSeenBehindTheBytes", Group: "edge", Points: 3, Section: frameSection,
		Why: "The last bytes and the FIN behind them are often one event. The bytes come first: read them all. And a short read that says 'empty' says nothing of the FIN: only a read of 0 does.",
		Hints: [3]string{
			"Which order do the last bytes and the FIN have on the wire, and which in your code?",
			"EPOLLRDHUP is no reason to close: it says that a read will return 0 when all bytes are read. And if a short read makes you skip the read that says EAGAIN, the FIN may hide behind it.",
			"On EPOLLIN, EPOLLRDHUP, EPOLLHUP or EPOLLERR: readable = true. Close on read's 0 or error alone. After a short read: readable = false, unless the event had one of the last three.",
		},
		Check: theEndIsSeen,
	},
	{
		Name: "FirehoseDoesNotStarve", Group: "edge", Points: 1, Section: frameSection,
		Why: "A peer that sends as fast as you read never gives EAGAIN. 'Read until EAGAIN' then means: read this one for ever. A bound per turn, and the rest in the next one, gives everybody a turn.",
		Hints: [3]string{
			"When does your reading loop end if the peer refills the socket while you call back?",
			"Bound the reads of one connection in a turn; serve the others; go on with it afterwards.",
			"for range 4 { readOnce }; still readable: append it to the ready list, and ask epoll (timeout 0) before you serve that list.",
		},
		Check: firehoseDoesNotStarve,
	},
}

func nothingIsLeftAtTheEdge(r *spec.Run, new New) error {
	d, g := newDiary(r), newGate(r)
	o := d.options()
	o.OnMessage = g.guard(o.OnMessage)
	s, holder, err := serveOne(r, new, o)
	if err != nil {
		return err
	}
	c, err := dial(r, s.addr)
	if err != nil {
		return err
	}
	var all [][]byte
	for _, burst := range []struct{ frames, size int }{{1, 4092}, {1, 8188}, {1, 32764}, {16, 4092}, {500, 100}, {40, 1200}} {
		if err := g.close(holder); err != nil {
			return err
		}
		var frames [][]byte
		for i := range burst.frames {
			frames = append(frames, pattern(i, burst.size))
		}
		r.Step("while the loop is in a callback, %d frames of %d bytes arrive; nothing follows them", burst.frames, burst.size)
		if err := c.send(frames...); err != nil {
			return err
		}
		if err := c.delivered(); err != nil {
			return err
		}
		g.open()
		all = append(all, frames...)
		if err := d.waitMessages(c, all...); err != nil {
			return err
		}
	}
	r.Step("without holding the loop: 4 MiB in frames of 64 KiB")
	if c, err = dial(r, s.addr); err != nil {
		return err
	}
	var frames [][]byte
	for i := range 64 {
		frames = append(frames, pattern(i, 65536))
	}
	if err := c.send(frames...); err != nil {
		return err
	}
	return d.waitMessages(c, frames...)
}

func theEndIsSeen(r *spec.Run, new New) error {
	d, g := newDiary(r), newGate(r)
	o := d.options()
	o.OnMessage = g.guard(o.OnMessage)
	s, holder, err := serveOne(r, new, o)
	if err != nil {
		return err
	}
	for _, size := range []int{0, 100, 4092, 8188, 16380, 32764, 50_000} {
		c, err := dial(r, s.addr)
		if err != nil {
			return err
		}
		if _, err := d.waitOpen(c); err != nil {
			return err
		}
		if err := g.close(holder); err != nil {
			return err
		}
		last := pattern(size, size)
		r.Step("while the loop is in a callback, a frame of %d bytes and the FIN behind it arrive", size)
		if err := c.send(last); err != nil {
			return err
		}
		if err := c.CloseWrite(); err != nil {
			return err
		}
		if err := c.delivered(); err != nil {
			return err
		}
		g.open()
		reason, late := d.waitClosed(c, "the peer has ended in order")
		if late != nil {
			return late
		}
		if err := d.waitMessages(c, last); err != nil {
			return err
		}
		if reason != nil {
			return spec.Fail("OnClose to get nil when the peer closed in order", "it got: %v", reason)
		}
	}
	return d.orderly()
}

// firehoseDoesNotStarve puts a frame back into A's socket for each one that A's
// callback was called for, so that its socket never becomes empty, and counts
// how many there are until B is served.
func firehoseDoesNotStarve(r *spec.Run, new New) error {
	const size, ahead = 4 << 10, 8
	const enough = 4096 // frames: 16 MiB, far above any sensible budget
	var a, b atomic.Pointer[client]
	var frames atomic.Int64
	served := make(chan int64, 1)
	full := appendFrame(nil, make([]byte, size))
	o := Options[Conn]{OnMessage: func(c Conn, msg []byte) {
		if len(msg) < size {
			select {
			case served <- frames.Load():
			default:
			}
			return
		}
		n := frames.Add(1)
		if n == 1 {
			b.Load().send([]byte("me too"))
			b.Load().delivered()
		}
		if n <= enough && len(served) == 0 {
			a.Load().Write(full)
		}
	}}
	s, small, err := serveOne(r, new, o)
	if err != nil {
		return err
	}
	b.Store(small)
	if err := small.send([]byte("hello")); err != nil {
		return err
	}
	if _, err := spec.Wait(r, "OnMessage for B's first frame", served); err != nil {
		return err
	}
	hose, err := dial(r, s.addr)
	if err != nil {
		return err
	}
	a.Store(hose)
	r.Step("A's socket is never empty: each frame that is read is replaced by a new one")
	for range ahead {
		if err := hose.raw(full); err != nil {
			return err
		}
	}
	r.Step("B sends one small frame")
	n, err := spec.Wait(r, "OnMessage for B's second frame", served)
	if err != nil {
		return err
	}
	r.Step("B was served after %d frames of A", n)
	if n >= enough {
		return spec.Fail("B to be served between A's frames", "B waited until A stopped, after %d frames (%d MiB)", n, n*size>>20)
	}
	return nil
}
