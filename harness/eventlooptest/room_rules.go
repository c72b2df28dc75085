package eventlooptest

import (
	"bytes"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/asynclab/asynclab/harness/spec"
)

// What lab 04 and the capstone need of a loop: to hear of room, to keep
// something with a connection, to stand beside other loops.
var roomRules = []spec.Rule[New]{
	{
		Name: "DrainIsTold", Group: "goroutines", Points: 2, Section: goroutineSection,
		Why: "A producer whose Send was refused has to know when to go on. Without OnDrain it can only ask again and again, which is a spin, or drop what it has.",
		Hints: [3]string{
			"After a refused Send: who tells the sender that the peer has read?",
			"Remember the refusal in the connection. The flush that empties the queue calls OnDrain and forgets it. A refusal that comes when the last flush is just over needs a flush of its own.",
			"In Send: if it does not fit: c.refused = true, ask for a flush, return the error. In flush, after writing: if c.refused && c.queued == 0 { c.refused = false; OnDrain(c) }.",
		},
		Check: drainIsTold,
	},
	{
		Name: "WriteNowKeepsItsPlace", Group: "sending", Points: 1, Section: sendSection,
		Why: "WriteNow saves a broadcast the copy into thousands of queues. But what was queued before it must leave before it, and what the kernel does not take must stay in front of what comes later.",
		Hints: [3]string{
			"What if something is queued when WriteNow is called? What if write(2) takes a part?",
			"With older bytes queued it is Write. Otherwise one write(2), and the rest goes into the queue, as its first bytes.",
			"Under the lock: if c.queued > 0 { queue p }; n, err := write(c.fd, p); if n < len(p) { queue p[n:] and ask for a flush }.",
		},
		Check: writeNowKeepsItsPlace,
	},
	{
		Name: "ValuesStayWithTheirConnection", Group: "ends", Points: 1, Section: endSection,
		Why: "A protocol keeps its state of a connection with the connection. Kept by descriptor, the next client of that number inherits the state of one that has left.",
		Hints: [3]string{
			"Where do you keep what SetValue is given?",
			"In the Conn itself. It is new for each connection, so its value is nil at first.",
			"A field value any in Conn; SetValue sets it, Value returns it; nothing clears it, so that OnClose can still use it.",
		},
		Check: valuesStay,
	},
	{
		Name: "LoopsShareAnAddress", Group: "open", Points: 1, Section: openSection,
		Why: "Several loops with a listener each on one port need no hand-off: the kernel spreads the connections (SO_REUSEPORT). Without being asked for it is dangerous: a second server started by mistake takes half of the clients.",
		Hints: [3]string{
			"Which socket option allows two sockets to be bound to one address and port?",
			"SO_REUSEPORT, on each of them, before bind, and only if the option ReusePort is set.",
			"if o.ReusePort { unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) } between socket and bind.",
		},
		Check: loopsShareAnAddress,
	},
	{
		Name: "ALentEventfdIsTheLenders", Group: "shutdown", Points: 1, Section: shutdownSection,
		Why: "Lab 04 can give a loop's thread a descriptor table of its own. Then the eventfd is the one descriptor that both sides use, so it is made outside and lent. A loop that closes it closes somebody else's descriptor.",
		Hints: [3]string{
			"Who closes WakeFD?",
			"Not the loop. It uses it to be woken, and closes only an eventfd that it has made.",
			"Keep a flag: borrowed = o.WakeFD != 0; close the eventfd at the end only if !borrowed.",
		},
		Check: aLentEventfd,
	},
}

// drainIsTold pumps far more than the queue and the kernel hold, with OnDrain
// as the only sign to go on: from callbacks, then from another goroutine.
func drainIsTold(r *spec.Run, new New) error {
	const bound, size, frames = 8 << 20, 64 << 10, 400 // 26 MB, and a queue that the kernel cannot take at once
	for _, from := range []string{"callbacks", "another goroutine"} {
		next, queued := 0, -1
		room, full := make(chan struct{}, 1), make(chan struct{}, 1)
		// pump sends until Send refuses. Its callers take turns.
		pump := func(c Conn) (refused bool) {
			for next < frames {
				if c.Send(pattern(next, size)) != nil {
					signal(full)
					return true
				}
				next++
			}
			return false
		}
		o := Options[Conn]{MaxQueued: bound}
		o.OnMessage = func(c Conn, _ []byte) {
			if from == "callbacks" {
				pump(c)
				return
			}
			go func() {
				for pump(c) {
					select {
					case <-room:
					case <-r.Context().Done():
						return
					}
				}
			}()
		}
		o.OnDrain = func(c Conn) {
			if from == "callbacks" {
				queued = max(queued, c.Queued())
				pump(c)
				return
			}
			signal(room)
		}
		s, err := serve(r, new, o)
		if err != nil {
			return err
		}
		c, err := dial(r, s.addr)
		if err != nil {
			return err
		}
		// The kernel holds little, and below the client stops at each MiB until the
		// loop has turned: so the queue empties in steps, and OnDrain in one of the
		// middle ones does not find it empty by luck.
		if err := c.SetReadBuffer(64 << 10); err != nil {
			return err
		}
		r.Step("MaxQueued is 8 MiB; %d frames of 64 KiB are sent from %s, which go on when OnDrain is called", frames, from)
		if err := c.send([]byte("go")); err != nil {
			return err
		}
		if _, err := spec.Wait(r, "a Send to be refused: the client reads nothing", full); err != nil {
			return err
		}
		r.Step("a Send is refused; now the client reads")
		for i := range frames {
			if err := c.expect(pattern(i, size)); err != nil {
				return spec.Fail(fmt.Sprintf("all %d frames: each refused Send is followed by OnDrain, and then tried again", frames), "frame %d: %v", i, err)
			}
			if i%16 != 15 {
				continue
			}
			for range 3 {
				if err := s.onLoop(func() {}); err != nil {
					return err
				}
			}
		}
		// On the loop's goroutine, where queued lives.
		most := make(chan int, 1)
		if err := s.onLoop(func() { most <- queued }); err != nil {
			return err
		}
		if n := <-most; n > 0 {
			return spec.Fail("an empty queue in OnDrain", "%d bytes were queued", n)
		}
	}
	return nil
}

// writeNowKeepsItsPlace mixes Write and WriteNow, with room in the kernel and
// without.
func writeNowKeepsItsPlace(r *spec.Run, new New) error {
	large := pattern(1, unread)
	want := append([]byte("abcd"), large...)
	want = append(want, "efgh"...)
	o := Options[Conn]{MaxQueued: 2 * unread, OnMessage: func(c Conn, msg []byte) {
		if string(msg) == "at once" { // nothing is queued: the kernel takes some of it
			c.WriteNow(large)
			c.WriteNow([]byte("x"))
			c.Write([]byte("y"))
			return
		}
		c.Write([]byte("a"))
		c.WriteNow([]byte("b"))
		c.Write([]byte("c"))
		c.WriteNow([]byte("d"))
		c.WriteNow(large)
		c.Write([]byte("e"))
		c.WriteNow([]byte("f"))
		c.WriteNow([]byte("g"))
		c.Write([]byte("h"))
	}}
	s, err := serve(r, new, o)
	if err != nil {
		return err
	}
	c, err := owed(r, s, "go")
	if err != nil {
		return err
	}
	r.Step("a callback calls Write and WriteNow by turns, with 12 MiB in the middle; the client reads")
	if err := c.expectBytes(want); err != nil {
		return spec.Fail("the bytes in the order of the calls", "%v", err)
	}
	if c, err = owed(r, s, "at once"); err != nil {
		return err
	}
	r.Step("another callback begins with a WriteNow of 12 MiB, of which the kernel takes a part")
	if err := c.expectBytes(append(bytes.Clone(large), "xy"...)); err != nil {
		return spec.Fail("the bytes in the order of the calls", "%v", err)
	}
	return nil
}

// signal puts a token into a channel of one, unless there is one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func valuesStay(r *spec.Run, new New) error {
	const rounds = 30
	var mu sync.Mutex
	var wrong error
	opened, closed := 0, 0
	look := func(c Conn, where string, want any) {
		if got := c.Value(); got != want && wrong == nil {
			wrong = spec.Fail(fmt.Sprintf("the value that OnOpen had set to be there in %s", where), "it is %v, and %v was set", got, want)
		}
	}
	o := Options[Conn]{
		OnOpen: func(c Conn) {
			mu.Lock()
			defer mu.Unlock()
			if v := c.Value(); v != nil && wrong == nil {
				wrong = spec.Fail("a new connection to have no value", "it has that of another: %v", v)
			}
			c.SetValue(c.RemoteAddr().String())
			opened++
		},
		OnMessage: func(c Conn, msg []byte) {
			mu.Lock()
			look(c, "OnMessage", c.RemoteAddr().String())
			mu.Unlock()
			c.Send(msg)
		},
		OnClose: func(c Conn, _ error) {
			mu.Lock()
			defer mu.Unlock()
			look(c, "OnClose", c.RemoteAddr().String())
			closed++
		},
	}
	s, err := serve(r, new, o)
	if err != nil {
		return err
	}
	r.Step("%d clients, one after the other: each gets the descriptor of the one before", rounds)
	for i := range rounds {
		c, err := dial(r, s.addr)
		if err != nil {
			return err
		}
		if err := c.send([]byte("ping")); err != nil {
			return err
		}
		if err := c.expect([]byte("ping")); err != nil {
			return err
		}
		c.Close()
		err = r.Until("OnClose for a client that has left", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return closed == i+1
		})
		if err != nil {
			return err
		}
	}
	mu.Lock()
	defer mu.Unlock()
	return wrong
}

func loopsShareAnAddress(r *spec.Run, new New) error {
	const clients = 64
	a, b := newDiary(r), newDiary(r)
	first, err := serve(r, new, shared(a))
	if err != nil {
		return err
	}
	r.Step("a second loop with ReusePort listens on the address of the first, %s", first.addr)
	if _, err := serveOn(r, new, shared(b), first.addr); err != nil {
		return spec.Fail("a second loop with ReusePort to listen on the same address", "%v", err)
	}
	r.Step("a third without it tries the same")
	third, err := new(newDiary(r).options())
	if err != nil {
		return err
	}
	r.Cleanup(func() { stop(third) })
	if _, err := third.Listen(first.addr); err == nil {
		return spec.Fail("an error from Listen on an address in use, without ReusePort", "it returned nil")
	}
	r.Step("%d clients connect", clients)
	for range clients {
		if _, err := dial(r, first.addr); err != nil {
			return err
		}
	}
	err = r.Until("OnOpen for every client, in one loop or the other", func() bool {
		return len(a.all())+len(b.all()) >= clients
	})
	if err != nil {
		return err
	}
	if n := len(a.all()); n == 0 || n == clients {
		return spec.Fail("both loops to get some of the clients", "one got %d, the other %d", n, clients-n)
	}
	return nil
}

func shared(d *diary) Options[Conn] {
	o := d.options()
	o.ReusePort = true
	return o
}

func aLentEventfd(r *spec.Run, new New) error {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return err
	}
	r.Cleanup(func() { unix.Close(fd) })
	o := newDiary(r).options()
	o.WakeFD = fd
	s, err := serve(r, new, o)
	if err != nil {
		return err
	}
	r.Step("an eventfd is lent to a loop, which is woken 3 times")
	for range 3 {
		if err := s.onLoop(func() {}); err != nil {
			return err
		}
	}
	if err := s.shutdown(); err != nil {
		return err
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
		return spec.Fail("the eventfd that was lent to be still open after Shutdown", "it is closed: %v", err)
	}
	return nil
}
