package eventlooptest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
)

const sendSection = "Step 3: bytes out"

var sendRules = []spec.Rule[New]{
	{
		Name: "RepliesKeepTheirOrder", Group: "sending", Points: 2, Section: sendSection,
		Why: "Frames leave in the order of the calls, whole, and as they were when Send was called: it copies, because the caller will use its memory again.",
		Hints: [3]string{
			"Who may write to msg after Send has returned?",
			"Append length and payload to the connection's queue: that is the copy. Write the queue when the callback has returned.",
			"c.out = append(binary.BigEndian.AppendUint32(c.out, uint32(len(msg))), msg...).",
		},
		Check: repliesKeepTheirOrder,
	},
	{
		Name: "TheQueueIsNotOvertaken", Group: "sending", Points: 3, Section: sendSection,
		Why: "The kernel's buffer is full, a queue waits, and the peer reads a little: now there is room. A Send that writes directly at this moment puts its frame in front of older ones, or in the middle of one.",
		Hints: [3]string{
			"Which bytes must leave before those of this Send?",
			"Write directly only if nothing is queued. Otherwise queue behind, always.",
			"One function writes, and only from the front of the queue: Send appends, flush writes queue[off:] and keeps what write(2) did not take.",
		},
		Check: theQueueIsNotOvertaken,
	},
	{
		Name: "SlowReaderIsBounded", Group: "sending", Points: 3, Section: sendSection,
		Why: "A peer that asks and never reads must cost no more than MaxQueued. A Send above it fails and queues nothing, not even its length; above half of it the connection is not read, so that TCP slows the peer down; when it reads again, so do you.",
		Hints: [3]string{
			"Where do the replies go that the kernel does not take?",
			"Two bounds: Send refuses above MaxQueued; reading stops above MaxQueued/2. What was readable then still is: remember it, and go on after a flush.",
			"canRead := c.readable && c.queued <= MaxQueued/2; after each flush: if canRead, put c into the ready list.",
		},
		Check: slowReaderIsBounded,
	},
	{
		Name: "SleepsWhenThereIsNothingToDo", Group: "sending", Points: 3, Section: sendSection,
		Why: "EPOLLOUT on a socket with room is always true, and an owed reply to a peer that does not read cannot be sent by trying. A loop waits for events, and asks for EPOLLOUT only while the kernel's buffer is full.",
		Hints: [3]string{
			"Which event or timeout keeps your epoll_wait from sleeping?",
			"Arm EPOLLOUT when a write did not take everything, disarm it when the queue is empty. A connection that cannot make progress does not belong in the ready list.",
			"if left > 0 != c.armed { c.armed = left > 0; epoll_ctl(MOD, ...) }.",
		},
		Check: sleepsWhenThereIsNothingToDo,
	},
	{
		Name: "RepliesNeedNoEpollCtl", Group: "sending", Points: 1, Section: sendSection,
		Why: "Arming EPOLLOUT for every reply costs three system calls more: MOD, another epoll_wait, MOD back. Nearly always the kernel takes the whole reply at once, so write first, and arm only when it does not.",
		Hints: [3]string{
			"How many epoll_ctl calls does a connection need that never has to wait?",
			"One, when it is registered. Write first.",
			"n := write(queue); if n == len(queue) { done } else { arm }.",
		},
		Check: repliesNeedNoEpollCtl,
	},
}

// echo answers each frame with itself and notes the first error of a Send.
type echo struct {
	mu    sync.Mutex
	err   error
	calls int
}

func (e *echo) message(c Conn, msg []byte) {
	err := c.Send(msg)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls++
	if err != nil && e.err == nil {
		e.err = err
	}
}

func (e *echo) verdict() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err != nil {
		return spec.Fail("every Send to succeed", "one returned: %v", e.err)
	}
	return nil
}

func (e *echo) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.calls
}

func repliesKeepTheirOrder(r *spec.Run, new New) error {
	sendErr := make(chan error, 1)
	note := func(err error) {
		if err != nil {
			select {
			case sendErr <- err:
			default:
			}
		}
	}
	// The answer to n is n as a frame, n raw bytes as they are, an empty frame.
	o := Options[Conn]{OnMessage: func(c Conn, msg []byte) {
		own := bytes.Clone(msg)
		note(c.Send(own))
		n, err := c.Write(appendFrame(nil, own)) // a frame made by hand
		if n != len(own)+4 && err == nil {
			err = fmt.Errorf("a Write of %d bytes returned %d and no error", len(own)+4, n)
		}
		note(err)
		note(c.Send(nil))
		clear(own) // the caller may: Send has copied
	}}
	_, c, err := serveOne(r, new, o)
	if err != nil {
		return err
	}
	const frames = 500
	r.Step("%d frames; each callback answers with the same by Send, the same by Write, and an empty frame", frames)
	writing := r.Go(func() error {
		for i := range frames {
			if err := c.send(pattern(i, i*7)); err != nil {
				return err
			}
		}
		return nil
	})
	for i := range frames {
		p := pattern(i, i*7)
		if err := c.expect(p, p, nil); err != nil {
			return fmt.Errorf("answer to frame %d: %w", i, err)
		}
		if len(sendErr) > 0 {
			return spec.Fail("Send to succeed", "it returned: %v", <-sendErr)
		}
	}
	if err := <-writing; err != nil {
		return err
	}
	return sendsLeaveTheMessage(r, new)
}

// sendsLeaveTheMessage sends something else while a message is being looked at:
// the message must not lie in a buffer that Send takes.
func sendsLeaveTheMessage(r *spec.Run, new New) error {
	o := Options[Conn]{OnMessage: func(c Conn, msg []byte) {
		c.Send([]byte("before it"))
		c.Send(msg)
	}}
	_, c, err := serveOne(r, new, o)
	if err != nil {
		return err
	}
	r.Step("frames that come in two pieces; each callback sends something else, and then the frame")
	for i := range 20 {
		p := pattern(i, 200)
		frame := appendFrame(nil, p)
		if err := c.pieces(frame[:50], frame[50:]); err != nil {
			return err
		}
		if err := c.expect([]byte("before it"), p); err != nil {
			return spec.Fail("a message to stay as it is until OnMessage returns", "%v", err)
		}
	}
	return nil
}

const unread = 12 << 20 // bytes the kernel does not take for a peer that does not read

// owed makes a connection whose peer has not read and to which the loop owes
// at least unread bytes more than the kernel takes. The client's frame must
// make the handler send want.
func owed(r *spec.Run, s *serving, ask string) (*client, error) {
	c, err := dial(r, s.addr)
	if err != nil {
		return nil, err
	}
	return c, c.send([]byte(ask))
}

func theQueueIsNotOvertaken(r *spec.Run, new New) error {
	g := newGate(r)
	large := pattern(1, unread)
	scratch := make([]byte, 1<<20)
	var entered, leave = make(chan Conn, 1), make(chan struct{}, 1)
	r.Cleanup(func() {
		select {
		case leave <- struct{}{}:
		default:
		}
	})
	o := Options[Conn]{MaxQueued: 4 * unread, OnMessage: g.guard(func(c Conn, msg []byte) {
		switch string(msg) {
		case "much":
			for at := 0; at < unread; at += len(scratch) {
				copy(scratch, large[at:])
				c.Write(scratch) // which has copied
				clear(scratch)
			}
		case "little":
			entered <- c
			<-leave
			c.Send([]byte("a"))
			c.Send([]byte("b"))
		}
	})}
	s, err := serve(r, new, o)
	if err != nil {
		return err
	}
	c, err := owed(r, s, "much")
	if err != nil {
		return err
	}
	r.Step("12 MiB are sent to a client that does not read; the kernel takes a part")
	if err := c.taken(); err != nil {
		return err
	}
	if err := c.send([]byte("little")); err != nil {
		return err
	}
	if _, err := spec.Wait(r, "OnMessage for a request behind an answer that is still owed", entered); err != nil {
		return err
	}
	r.Step("the loop is held in that client's callback; the client reads all that the kernel has")
	got, err := c.readWhatIsThere()
	if err != nil {
		return err
	}
	r.Step("%d KiB came, so there is room again. Now the callback sends two small frames", got>>10)
	leave <- struct{}{}
	if err := c.expectBytes(large[got:]); err != nil {
		return spec.Fail("the older bytes first", "behind byte %d, where the kernel was full: %v", got, err)
	}
	return c.expect([]byte("a"), []byte("b"))
}

// readWhatIsThere reads until neither kernel holds a byte for the client. The
// loop must be held, or have nothing to send.
func (c *client) readWhatIsThere() (total int, err error) {
	buf := make([]byte, 256<<10)
	for {
		its := c.atServer()
		own, _, _ := meter.Queues(c.addr(c.LocalAddr()), c.addr(c.RemoteAddr()))
		if its.Unsent == 0 && own.Received == 0 {
			return total, nil
		}
		c.SetReadDeadline(time.Now().Add(time.Second))
		n, err := c.Read(buf)
		total += n
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return total, err
		}
		deadline, _ := c.r.Context().Deadline()
		c.SetReadDeadline(deadline)
	}
}

func slowReaderIsBounded(r *spec.Run, new New) error {
	for _, step := range []func(*spec.Run, New) error{sendIsRefused, boundIsExact, readingStops} {
		if err := step(r, new); err != nil {
			return err
		}
	}
	return nil
}

// boundIsExact fills a queue to the last byte. It does not move meanwhile: the
// client does not read, and the kernel takes no more.
func boundIsExact(r *spec.Run, new New) error {
	const bound = 2 * unread
	results := make(chan error, 1)
	o := Options[Conn]{MaxQueued: bound, OnMessage: func(c Conn, msg []byte) {
		if string(msg) == "much" {
			c.Write(make([]byte, unread))
			return
		}
		results <- fillUp(c, bound)
	}}
	s, err := serve(r, new, o)
	if err != nil {
		return err
	}
	c, err := owed(r, s, "much")
	if err != nil {
		return err
	}
	if err := c.taken(); err != nil {
		return err
	}
	r.Step("12 MiB are owed to a client that does not read, MaxQueued is 24 MiB; a callback fills the queue to the last byte")
	if err := c.send([]byte("to the last byte")); err != nil {
		return err
	}
	wrong, late := spec.Wait(r, "OnMessage while the queue is less than half full", results)
	return errors.Join(late, wrong)
}

func fillUp(c Conn, bound int) error {
	had := c.Queued()
	room := bound - had
	if err := c.Send(make([]byte, room-3)); err == nil {
		return spec.Fail("Send to refuse what, with its length, is one byte more than MaxQueued", "it was taken: %d bytes are queued", c.Queued())
	}
	if got := c.Queued(); got != had {
		return spec.Fail("a refused Send to queue nothing", "%d bytes more are queued", got-had)
	}
	if err := c.Send(make([]byte, room-4)); err != nil {
		return spec.Fail("Send to take what fills the queue to exactly MaxQueued", "it returned: %v (%d bytes of %d are queued)", err, c.Queued(), bound)
	}
	if _, err := c.Write([]byte{1}); err == nil {
		return spec.Fail("Write to refuse one byte more than MaxQueued", "it was taken: %d bytes are queued", c.Queued())
	}
	return nil
}

// sendIsRefused sends until MaxQueued is reached, and looks at what was queued.
func sendIsRefused(r *spec.Run, new New) error {
	const bound, size, most = 1 << 20, 10_000, 2500
	type result struct {
		accepted int
		refusals int
		last     error
	}
	results := make(chan result, 1)
	o := Options[Conn]{MaxQueued: bound, OnMessage: func(c Conn, msg []byte) {
		var res result
		for i := range most {
			if err := c.Send(pattern(i, size)); err != nil {
				res.refusals++
				res.last = err
				if res.refusals == 5 {
					break
				}
				continue
			}
			if res.refusals > 0 {
				break // it may succeed if the kernel has taken some meanwhile
			}
			res.accepted++
		}
		results <- res
	}}
	s, err := serve(r, new, o)
	if err != nil {
		return err
	}
	c, err := owed(r, s, "go")
	if err != nil {
		return err
	}
	r.Step("MaxQueued is 1 MiB; a callback sends frames of %d bytes until Send refuses 5 times", size)
	res, err := spec.Wait(r, "a callback that sends 25 MB to a peer that does not read to return", results)
	if err != nil {
		return err
	}
	switch {
	case res.refusals == 0:
		return spec.Fail("an error from Send when more than MaxQueued bytes are queued", "%d frames, %d MB, were taken", res.accepted, res.accepted*size/1_000_000)
	case res.refusals < 5:
		return nil // the peer's kernel took some between: nothing can be said of the rest
	case res.accepted*(size+4) < bound/2:
		return spec.Fail("Send to succeed below MaxQueued", "it failed after %d bytes: %v", res.accepted*(size+4), res.last)
	}
	r.Step("%d frames were taken, then: %v. The client reads", res.accepted, res.last)
	for i := range res.accepted {
		if err := c.expect(pattern(i, size)); err != nil {
			return fmt.Errorf("frame %d: %w", i, err)
		}
	}
	c.CloseWrite()
	if err := c.expectEnd(); err != nil {
		return spec.Fail("a refused Send to queue nothing", "%v", err)
	}
	return nil
}

// readingStops floods an echo with requests whose answers nobody reads.
func readingStops(r *spec.Run, new New) error {
	const bound, size, frames = 1 << 20, 8 << 10, 8 << 10 // 64 MiB in all
	var e echo
	s, err := serve(r, new, Options[Conn]{MaxQueued: bound, OnMessage: e.message})
	if err != nil {
		return err
	}
	other, err := dial(r, s.addr)
	if err != nil {
		return err
	}
	c, err := dial(r, s.addr)
	if err != nil {
		return err
	}
	r.Step("a client sends 64 MiB in frames of 8 KiB to an echo and reads nothing; MaxQueued is 1 MiB")
	p := pattern(1, size)
	var stop atomic.Bool
	writing := r.Go(func() error {
		for range frames {
			if stop.Load() {
				return nil
			}
			if err := c.send(p); err != nil {
				return err
			}
		}
		return nil
	})
	if err := standsStill(r, &e, frames); err != nil {
		return err
	}
	n := e.count()
	if err := e.verdict(); err != nil {
		return spec.Fail("the loop to stop reading before the queue is full", "it read on: %v", err)
	}
	if n == frames {
		return spec.Fail("the loop to stop reading", "it took all 64 MiB")
	}
	r.Step("it has stopped after %d KiB; meanwhile another connection", n*size>>10)
	if err := other.send([]byte("ping")); err != nil {
		return err
	}
	if err := other.expect([]byte("ping")); err != nil {
		return err
	}
	r.Step("the client reads everything")
	for range frames {
		if err := c.expect(p); err != nil {
			return spec.Fail("reading to go on when the queue is half empty", "%v", err)
		}
	}
	stop.Store(true)
	if err := <-writing; err != nil {
		return err
	}
	return e.verdict()
}

// standsStill waits until the echo has not been called for a while, or was
// called for everything. On a machine that pauses longer the check sees less
// than it could; it never blames a right loop.
func standsStill(r *spec.Run, e *echo, all int) error {
	const quiet = 40 // askings, up to 25 ms apart
	last, same := -1, 0
	return r.Until("the loop to stop reading", func() bool {
		time.Sleep(5 * time.Millisecond)
		now := e.count()
		if now != last {
			last, same = now, 0
		}
		same++
		return same > quiet || now == all
	})
}

func sleepsWhenThereIsNothingToDo(r *spec.Run, new New) error {
	large := pattern(1, unread)
	o := Options[Conn]{MaxQueued: 2 * unread, OnMessage: func(c Conn, msg []byte) { c.Write(large) }}
	s, err := serve(r, new, o)
	if err != nil {
		return err
	}
	for range 50 {
		if _, err := dial(r, s.addr); err != nil {
			return err
		}
	}
	r.Step("50 idle connections")
	if err := idle(r, "while connections are idle"); err != nil {
		return err
	}
	c, err := owed(r, s, "go")
	if err != nil {
		return err
	}
	if err := c.taken(); err != nil {
		return err
	}
	r.Step("12 MiB are owed to a client that does not read")
	if err := idle(r, "while a peer does not read"); err != nil {
		return err
	}
	r.Step("the client reads everything")
	if err := c.expectBytes(large); err != nil {
		return err
	}
	if err := idle(r, "when everything is sent"); err != nil {
		return err
	}
	r.Step("another client does not read, and has shut down its own direction")
	half, err := owed(r, s, "go")
	if err != nil {
		return err
	}
	if err := half.CloseWrite(); err != nil {
		return err
	}
	if err := half.taken(); err != nil {
		return err
	}
	return idle(r, "while a half-closed peer does not read")
}

// repliesNeedNoEpollCtl counts, where the kernel lets it.
func repliesNeedNoEpollCtl(r *spec.Run, new New) error {
	const rounds = 2000
	var e echo
	s, err := serve(r, new, Options[Conn]{OnMessage: e.message})
	if err != nil {
		return err
	}
	c, err := newPinger(s.addr)
	if err != nil {
		return err
	}
	r.Cleanup(c.close)
	if err := c.rounds(10); err != nil { // the connection is registered
		return err
	}
	calls, err := meter.OpenSyscalls(os.Getpid())
	if err != nil {
		r.Step("not checked: %v", err)
		return nil
	}
	defer calls.Close()
	r.Step("one client, %d requests, one at a time", rounds)
	before, err := calls.Read()
	if err != nil {
		return err
	}
	if err := c.rounds(rounds); err != nil {
		return err
	}
	after, err := calls.Read()
	if err != nil {
		return err
	}
	// All of this process's calls are counted, so also those of a loop that an
	// earlier check has left behind and that closes its connections just now.
	if n := after.Since(before)["epoll_ctl"]; n > rounds/2 {
		return spec.Fail("no epoll_ctl for a reply that the kernel takes at once", "%d calls for %d replies", n, rounds)
	}
	return nil
}
