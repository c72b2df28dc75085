package eventlooptest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/asynclab/asynclab/harness/spec"
)

const goroutineSection = "Step 5: other goroutines"

var goroutineRules = []spec.Rule[New]{
	{
		Name: "SendFromEverywhere", Group: "goroutines", Points: 2, Section: goroutineSection,
		Why: "A broadcast, a timer, a worker pool: replies come from any goroutine. Nothing is lost, no frame is torn by another, and each sender's frames arrive in its order.",
		Hints: [3]string{
			"Two goroutines append to one queue. What makes that safe, and what makes a frame whole?",
			"One lock per connection, held over the length and the payload together.",
			"c.mu.Lock(); look at ended and MaxQueued; append header and payload; remember to ask for a flush; c.mu.Unlock().",
		},
		Check: sendFromEverywhere,
	},
	{
		Name: "EndingFromEverywhere", Group: "goroutines", Points: 1, Section: goroutineSection,
		Why: "Close, Abort and Send on one connection at once, from many goroutines, while the peer leaves as well: still one OnClose, and no descriptor touched by a goroutine that has no business with it.",
		Hints: [3]string{
			"Which goroutine closes descriptors?",
			"The loop's. Others set a flag under the lock and ask for a flush; the loop acts on it.",
			"Close: lock; if !ended { ended = true; ask for a flush }. Abort: the same with aborted and the reason.",
		},
		Check: endingFromEverywhere,
	},
	{
		Name: "NoWakeUpIsLost", Group: "goroutines", Points: 3, Section: goroutineSection,
		Why: "The loop looks at its inbox, finds nothing, and goes to sleep; between the two a Send comes and sees it awake. Nobody wakes it, and the message waits for the next accident. One lost wake-up in a million is a stuck client a day.",
		Hints: [3]string{
			"Write down the loop's steps before it sleeps and the sender's steps, and interleave them in every way. In which one does nobody wake the loop?",
			"The loop must look into the inbox and declare itself asleep as one step; the sender must queue and read that declaration as one step. One lock for both.",
			"sleep: lock; asleep = inbox empty; unlock. post: lock; append; wake := asleep; asleep = false; unlock; if wake { write 1 to the eventfd }.",
		},
		Check: noWakeUpIsLost,
	},
	{
		Name: "OneWakeUpForABatch", Group: "goroutines", Points: 2, Section: goroutineSection,
		Why: "A wake-up is a system call. A loop that is awake looks into its inbox anyway: a thousand Sends meanwhile need no wake-up, and a thousand to a sleeping one need one.",
		Hints: [3]string{
			"Who needs to be woken that is not asleep?",
			"Write to the eventfd only when the loop has declared itself asleep, and take the declaration back.",
			"if asleep { asleep = false; write }. And a connection that is in the list of those to flush is not put there again.",
		},
		Check: oneWakeUpForABatch,
	},
	{
		Name: "PostRunsOnTheLoop", Group: "goroutines", Points: 1, Section: goroutineSection,
		Why: "Post is how other goroutines touch what belongs to the loop: the function runs there, between callbacks and never beside one, and in the order of the calls.",
		Hints: [3]string{
			"Where does the function run, and after which others?",
			"Append it to a list under a lock; the loop takes the whole list and runs it from the front.",
			"swap the list under the lock, unlock, then for _, fn := range taken { fn() }: what they post is for the next turn.",
		},
		Check: postRunsOnTheLoop,
	},
	{
		Name: "AdoptOwnsTheDescriptor", Group: "goroutines", Points: 1, Section: goroutineSection,
		Why: "Lab 04's acceptor hands sockets to other loops. An owner that depends on whether an error came back is a descriptor that leaks or is closed twice: it is the loop's from the call on.",
		Hints: [3]string{
			"Adopt returns an error. Who closes fd?",
			"Adopt does, on every path. And who says that fd is non-blocking already?",
			"SetNonblock, then hand it to the loop's goroutine, which registers it and calls OnOpen; unix.Close(fd) wherever that fails.",
		},
		Check: adoptOwnsTheDescriptor,
	},
}

func sendFromEverywhere(r *spec.Run, new New) error {
	const senders, frames, clients = 8, 1500, 3
	d := newDiary(r)
	o := d.options()
	o.MaxQueued = 64 << 20
	s, err := serve(r, new, o)
	if err != nil {
		return err
	}
	r.Step("%d goroutines send %d frames each to each of %d clients", senders, frames, clients)
	var conns []Conn
	var reading []<-chan error
	for range clients {
		c, err := dial(r, s.addr)
		if err != nil {
			return err
		}
		conn, err := d.waitOpen(c)
		if err != nil {
			return err
		}
		conns = append(conns, conn)
		reading = append(reading, r.Go(func() error { return c.expectSenders(senders, frames) }))
	}
	var sending []<-chan error
	for id := range senders {
		sending = append(sending, r.Go(func() error {
			for seq := range frames {
				for _, c := range conns {
					if err := c.Send(numbered(id, seq)); err != nil {
						return spec.Fail("Send to succeed from any goroutine", "it returned: %v", err)
					}
				}
			}
			return nil
		}))
	}
	for _, done := range append(sending, reading...) {
		err, late := spec.Wait(r, "all senders and clients to be done", done)
		if err := errors.Join(late, err); err != nil {
			return err
		}
	}
	return nil
}

// numbered is the seq-th frame of a sender: of a size that varies, and filled
// so that a torn one shows.
func numbered(id, seq int) []byte {
	p := make([]byte, 8+seq*13%120)
	binary.BigEndian.PutUint32(p, uint32(id))
	binary.BigEndian.PutUint32(p[4:], uint32(seq))
	for i := 8; i < len(p); i++ {
		p[i] = byte(id*31 + seq)
	}
	return p
}

func (c *client) expectSenders(senders, frames int) error {
	next := make([]int, senders)
	for n := range senders * frames {
		got, err := c.receive()
		if err != nil {
			return spec.Fail(fmt.Sprintf("%d frames", senders*frames), "after %d: %v", n, err)
		}
		if len(got) < 8 {
			return spec.Fail("whole frames", "one of %d bytes came", len(got))
		}
		id, seq := int(binary.BigEndian.Uint32(got)), int(binary.BigEndian.Uint32(got[4:]))
		if id >= senders || string(got) != string(numbered(id, seq)) {
			return spec.Fail("whole frames", "frame %d is torn: %s", n, show(got))
		}
		if seq != next[id] {
			return spec.Fail("each sender's frames in its order, and all of them", "after frame %d of sender %d came its frame %d", next[id]-1, id, seq)
		}
		next[id]++
	}
	return nil
}

func endingFromEverywhere(r *spec.Run, new New) error {
	const rounds, goroutines = 40, 6
	var cage cage
	r.Cleanup(cage.close)
	d := newDiary(r)
	s, err := serve(r, new, d.options())
	if err != nil {
		return err
	}
	r.Step("%d connections; on each, %d goroutines Send, Close and Abort at once, and the peer resets", rounds, goroutines)
	var clients []*client
	for round := range rounds {
		c, err := dial(r, s.addr)
		if err != nil {
			return err
		}
		conn, err := d.waitOpen(c)
		if err != nil {
			return err
		}
		clients = append(clients, c)
		var all sync.WaitGroup
		for i := range goroutines {
			all.Go(func() {
				for range 20 {
					conn.Send([]byte("frame"))
				}
				switch (i + round) % 3 {
				case 0:
					conn.Close()
				case 1:
					conn.Abort(errAborted)
				}
				conn.Send([]byte("frame"))
			})
		}
		if round%4 == 0 {
			c.reset()
		}
		if err := r.Call("Send, Close and Abort to return", func() error { all.Wait(); return nil }); err != nil {
			return err
		}
		cage.add()
	}
	for _, c := range clients {
		if _, late := d.waitClosed(c, "was closed and aborted from many goroutines"); late != nil {
			return late
		}
	}
	if err := settle(r, s); err != nil {
		return err
	}
	if err := cage.alive("Close and Abort from many goroutines"); err != nil {
		return err
	}
	return d.orderly()
}

// noWakeUpIsLost asks at the moments that are known to be delicate, and then
// many times at moments that nobody has thought of.
func noWakeUpIsLost(r *spec.Run, new New) error {
	d := newDiary(r)
	s, err := serve(r, new, d.options())
	if err != nil {
		return err
	}
	c, err := dial(r, s.addr)
	if err != nil {
		return err
	}
	conn, err := d.waitOpen(c)
	if err != nil {
		return err
	}
	r.Step("Post and Send while the loop runs a posted function")
	inside, leave := make(chan struct{}), make(chan struct{})
	if err := s.Post(func() { close(inside); <-leave }); err != nil {
		return err
	}
	if _, err := spec.Wait(r, "a function given to Post to run", inside); err != nil {
		return err
	}
	ran := make(chan struct{})
	err = errors.Join(s.Post(func() { close(ran) }), conn.Send([]byte("first")))
	close(leave)
	if err != nil {
		return err
	}
	if _, err := spec.Wait(r, "a function posted while the loop was busy to run", ran); err != nil {
		return err
	}
	if err := c.expect([]byte("first")); err != nil {
		return spec.Fail("a frame sent while the loop was busy to leave", "%v", err)
	}
	const rounds = 4000
	r.Step("%d times: wait until the last one has arrived, and a little, and Send again", rounds)
	var spins atomic.Int64
	for i := range rounds {
		for range i * 7 % 800 {
			spins.Add(1) // lets the loop come a little further on its way to sleep
		}
		if i%64 == 0 {
			runtime.Gosched()
		}
		if err := conn.Send([]byte("x")); err != nil {
			return err
		}
		if err := c.expect([]byte("x")); err != nil {
			return spec.Fail("every frame to leave at once", "that of round %d did not: %v", i, err)
		}
	}
	r.Step("the same with Post")
	for i := range rounds {
		for range i * 7 % 800 {
			spins.Add(1)
		}
		ran := make(chan struct{})
		if err := s.Post(func() { close(ran) }); err != nil {
			return err
		}
		if _, err := spec.Wait(r, fmt.Sprintf("the function posted in round %d to run", i), ran); err != nil {
			return err
		}
	}
	return nil
}

// oneWakeUpForABatch counts write(2): those of the eventfd, or pipe, are all
// there are while the connection's queue waits for its peer.
func oneWakeUpForABatch(r *spec.Run, new New) error {
	const batch = 1000
	d := newDiary(r)
	o := d.options()
	o.MaxQueued = 4 * unread
	s, c, err := serveOne(r, new, o)
	if err != nil {
		return err
	}
	conn, err := d.waitOpen(c)
	if err != nil {
		return err
	}
	large := pattern(1, unread)
	r.Step("12 MiB are queued for a client that does not read, and the loop runs a posted function")
	if _, err := conn.Write(large); err != nil {
		return err
	}
	inside, leave := make(chan struct{}), make(chan struct{})
	open := sync.OnceFunc(func() { close(leave) })
	r.Cleanup(open)
	if err := s.Post(func() { close(inside); <-leave }); err != nil {
		return err
	}
	if _, err := spec.Wait(r, "a function given to Post to run", inside); err != nil {
		return err
	}
	before, ok := writes()
	if !ok {
		r.Step("not counted: /proc/self/io cannot be read here")
	}
	r.Step("meanwhile %d Sends and %d Posts from another goroutine", batch, batch)
	ran := make(chan struct{}, batch)
	for i := range batch {
		if err := conn.Send(numbered(1, i)); err != nil {
			return err
		}
		if err := s.Post(func() { ran <- struct{}{} }); err != nil {
			return err
		}
	}
	if after, _ := writes(); ok && after-before > batch/2 {
		return spec.Fail("few wake-ups for a loop that is awake", "%d calls of write(2) for %d Sends and Posts", after-before, 2*batch)
	}
	open()
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

func postRunsOnTheLoop(r *spec.Run, new New) error {
	const posters, each = 4, 500
	var t turns
	d := newDiary(r)
	o := d.options()
	o.OnMessage = func(c Conn, msg []byte) { defer t.enter()(); d.message(c, msg) }
	l, err := new(o)
	if err != nil {
		return err
	}
	addr, err := l.Listen("127.0.0.1:0")
	if err != nil {
		return err
	}
	r.Go(func() error { t.expect(goroutine()); return l.Run() })
	r.Cleanup(func() { go forced(l) })
	c, err := dial(r, addr.String())
	if err != nil {
		return err
	}
	if _, err := d.waitOpen(c); err != nil {
		return err
	}
	r.Step("%d goroutines post %d functions each, while a client sends", posters, each)
	var last [posters]int // touched by posted functions only
	var disorder, done atomic.Int64
	var posting []<-chan error
	for p := range posters {
		posting = append(posting, r.Go(func() error {
			for i := 1; i <= each; i++ {
				err := l.Post(func() {
					defer t.enter()()
					if last[p] != i-1 {
						disorder.Add(1)
					}
					last[p] = i
					done.Add(1)
				})
				if err != nil {
					return spec.Fail("Post to return nil while the loop runs", "it returned: %v", err)
				}
			}
			return nil
		}))
	}
	for i := range 100 {
		if err := c.send([]byte{byte(i)}); err != nil {
			return err
		}
	}
	for _, ch := range posting {
		err, late := spec.Wait(r, "Post to return", ch)
		if err := errors.Join(late, err); err != nil {
			return err
		}
	}
	if err := r.Until("every posted function to run", func() bool { return done.Load() == posters*each }); err != nil {
		return spec.Fail("every posted function to run", "%d of %d did", done.Load(), posters*each)
	}
	if n := disorder.Load(); n > 0 {
		return spec.Fail("posted functions in the order of the calls", "%d ran out of order", n)
	}
	if err := t.verdict(); err != nil {
		return err
	}
	return panicEndsRun(r, new, "given to Post", func(l Loop, fn func()) error { return l.Post(fn) })
}

// panicEndsRun has a function panic that belongs to no connection: nobody knows
// what it has left undone, so all of them end, and Run says why.
func panicEndsRun(r *spec.Run, new New, what string, give func(l Loop, fn func()) error) error {
	const word = "malformed work 4711"
	d := newDiary(r)
	s, err := serve(r, new, d.options())
	if err != nil {
		return err
	}
	var clients []*client
	for range 3 {
		c, err := dial(r, s.addr)
		if err != nil {
			return err
		}
		if _, err := d.waitOpen(c); err != nil {
			return err
		}
		clients = append(clients, c)
	}
	r.Step("a function %s panics", what)
	if err := give(s.Loop, func() { panic(word) }); err != nil {
		return err
	}
	err, late := spec.Wait(r, "Run to return after a panic in a function "+what, s.ended)
	if late != nil {
		return late
	}
	if err == nil || !strings.Contains(err.Error(), word) {
		return spec.Fail("Run to return the panic of a function "+what, "it returned: %v", err)
	}
	for _, c := range clients {
		if l := d.of(c); l.closed != 1 || l.err == nil {
			return spec.Fail("OnClose once for every connection, with an error, before Run returns", "%d times, with: %v", l.closed, l.err)
		}
	}
	return nil
}
