package reactortest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"

	"github.com/asynclab/asynclab/harness/spec"
)

var sendRules = []spec.Rule[Subject]{
	{
		Name: "RepliesLeaveFromTheirLoop", Group: "send", Points: 4, Section: ownerSection,
		Why: "A reply is queued, written and resumed by the loop that owns the connection, whose epoll knows its descriptor. Sent through another loop's epoll, EPOLL_CTL_MOD fails with ENOENT, and what the kernel did not take at once is never sent.",
		Hints: [3]string{
			"When a large reply fills the kernel's buffer, which epoll instance will tell that there is room again?",
			"The one the connection is registered with. Send belongs to the connection, not to a reactor or a main loop.",
			"func (c *Conn) Send(msg []byte) error { return c.conn.Send(msg) }: lab 03's connection knows its loop.",
		},
		Check: repliesLeaveFromTheirLoop,
	},
	{
		Name: "SendFromOtherLoops", Group: "send", Points: 3, Section: ownerSection,
		Why: "A chat is nothing but callbacks of one loop that send to connections of another. Frames arrive whole and each sender's in its order, whichever loops and goroutines they come from.",
		Hints: [3]string{
			"Two loops send to one connection in the same moment. What protects its queue, and who writes to its socket?",
			"A lock for the queue, held over a whole frame; the socket is the owner's alone.",
			"Lab 03's Send may be called from any goroutine: call it, and add nothing.",
		},
		Check: sendFromOtherLoops,
	},
	{
		Name: "OneWakeUpForABatch", Group: "send", Points: 2, Section: ownerSection,
		Why: "A wake-up is a system call. A room of a thousand members on another loop is a thousand sends to it, and one wake-up is enough for all of them.",
		Hints: [3]string{
			"What does the sending loop do for each Send to another loop, besides appending to a queue?",
			"The wake-up is needed when the other loop sleeps and nobody has woken it since.",
			"Lab 03's inbox does that already. Do not write to the eventfd yourself, and send no message per connection over a channel.",
		},
		Check: oneWakeUpForABatch,
	},
}

// unread is more than the kernel's two buffers take on loopback.
const unread = 12 << 20

func repliesLeaveFromTheirLoop(r *spec.Run, s Subject) error {
	const loops = 3
	large := pattern(1, unread)
	return inEach(r, func(strategy string) error {
		d := newDiary(r)
		o := d.options(loops, strategy)
		o.MaxQueued = 2 * unread
		o.OnMessage = func(c Conn, msg []byte) {
			d.message(c)
			if bytes.Equal(msg, []byte("much")) {
				c.Write(large)
			} else {
				c.Send(msg)
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
		for i, clients := range byLoop {
			r.Step("clients of loop %d: a small reply, and one of 12 MiB to a client that reads late", i)
			small, much := clients[0], clients[1]
			if err := much.send([]byte("much")); err != nil {
				return err
			}
			if err := r.Until("OnMessage for the request", func() bool { return d.of(much).messages > 0 }); err != nil {
				return err
			}
			if err := small.send([]byte("little")); err != nil {
				return err
			}
			if err := small.expect([]byte("little")); err != nil {
				return spec.Fail(fmt.Sprintf("a small reply on a connection of loop %d", i), "%v", err)
			}
			if err := much.expectBytes(large); err != nil {
				return spec.Fail(fmt.Sprintf("all of a reply that the kernel did not take at once, on a connection of loop %d", i), "%v", err)
			}
		}
		return d.orderly()
	})
}

// numbered is a frame that says whose it is, and which.
func numbered(sender, n int) []byte {
	p := pattern(sender, 40)
	binary.BigEndian.PutUint32(p, uint32(sender))
	binary.BigEndian.PutUint32(p[4:], uint32(n))
	return p
}

func sendFromOtherLoops(r *spec.Run, s Subject) error {
	const loops, each, goroutines = 3, 300, 3
	return inEach(r, func(strategy string) error {
		d := newDiary(r)
		o := d.options(loops, strategy)
		target := make(chan Conn, 1)
		var receiving atomic.Value // target's Conn
		o.OnMessage = func(c Conn, msg []byte) {
			d.message(c)
			if bytes.Equal(msg, []byte("me")) {
				target <- c
				return
			}
			receiving.Load().(Conn).Send(msg)
		}
		sv, err := serve(r, s, o)
		if err != nil {
			return err
		}
		byLoop, err := d.onEachLoop(sv, 2)
		if err != nil {
			return err
		}
		receiver := byLoop[loops-1][0]
		if err := receiver.send([]byte("me")); err != nil {
			return err
		}
		to, err := spec.Wait(r, "OnMessage for the receiver", target)
		if err != nil {
			return err
		}
		receiving.Store(to)
		var senders []*client
		for _, clients := range byLoop {
			senders = append(senders, clients[len(clients)-1])
		}
		r.Step("a client of each of %d loops has %d frames passed on to one connection, and %d goroutines send to it", loops, each, goroutines)
		var working []<-chan error
		for i, c := range senders {
			working = append(working, r.Go(func() error {
				for n := range each {
					if err := c.send(numbered(i, n)); err != nil {
						return err
					}
				}
				return nil
			}))
		}
		for g := range goroutines {
			working = append(working, r.Go(func() error {
				for n := range each {
					if err := to.Send(numbered(loops+g, n)); err != nil {
						return spec.Fail("Send to return nil", "it returned: %v", err)
					}
				}
				return nil
			}))
		}
		if err := ordered(receiver, loops+goroutines, each); err != nil {
			return err
		}
		for _, w := range working {
			err, late := spec.Wait(r, "the senders to end", w)
			if err := errors.Join(err, late); err != nil {
				return err
			}
		}
		return nil
	})
}

// ordered reads each sender's frames: whole, and in its order.
func ordered(c *client, senders, each int) error {
	next := make([]int, senders)
	for i := range senders * each {
		p, err := c.receive()
		if err != nil {
			return spec.Fail(fmt.Sprintf("%d whole frames", senders*each), "frame %d: %v", i+1, err)
		}
		if len(p) != 40 {
			return spec.Fail("frames of 40 bytes", "frame %d has %d", i+1, len(p))
		}
		sender := int(binary.BigEndian.Uint32(p))
		if sender >= senders || !bytes.Equal(p, numbered(sender, next[sender])) {
			return spec.Fail("each sender's frames whole and in its order", "frame %d is torn, or comes too early or twice: %x", i+1, p[:8])
		}
		next[sender]++
	}
	return nil
}

// oneWakeUpForABatch counts write(2): those of the eventfd, or pipe, are all
// there are while the connections' queues wait for their peers.
func oneWakeUpForABatch(r *spec.Run, s Subject) error {
	const batch = 1000
	d := newDiary(r)
	o := d.options(2, "round-robin")
	o.MaxQueued = 4 * unread
	sv, err := serve(r, s, o)
	if err != nil {
		return err
	}
	byLoop, err := d.onEachLoop(sv, 1)
	if err != nil {
		return err
	}
	c := byLoop[1][0]
	conn := d.of(c).conn
	large := pattern(1, unread)
	r.Step("12 MiB are queued for a client of loop 1 that does not read, and loop 1 is busy")
	if _, err := conn.Write(large); err != nil {
		return err
	}
	if err := sv.on(1, func() {}); err != nil { // it has had a turn
		return err
	}
	release, err := sv.hold(1)
	if err != nil {
		return err
	}
	before, counted := 0, false
	after := 0
	r.Step("loop 0 sends %d frames to it, and posts %d functions", batch, batch)
	ran := make(chan struct{}, batch)
	var failed error
	err = sv.on(0, func() {
		before, counted = writes()
		for i := range batch {
			failed = errors.Join(failed, conn.Send(numbered(1, i)), sv.Post(1, func() { ran <- struct{}{} }))
		}
		after, _ = writes()
	})
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	if !counted {
		r.Step("not counted: /proc/self/io cannot be read here")
	} else if after-before > batch/2 {
		return spec.Fail("few wake-ups for a loop that has been woken", "%d calls of write(2) for %d Sends and Posts", after-before, 2*batch)
	}
	release()
	if err := c.expectBytes(large); err != nil {
		return err
	}
	for i := range batch {
		if err := c.expect(numbered(1, i)); err != nil {
			return err
		}
	}
	return r.Until("all posted functions to run", func() bool { return len(ran) == batch })
}

// writes is how often this process has called write(2) and its like.
func writes() (n int, ok bool) {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0, false
	}
	_, rest, ok := strings.Cut(string(text), "syscw:")
	fmt.Sscan(rest, &n)
	return n, ok
}
