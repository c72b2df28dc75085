package zerocopytest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
)

var pinnedRules = []spec.Rule[lab]{
	{
		Name: "PinnedArrivesWhole", Group: "memory", Points: 2, Section: step6,
		Why: "Short sends and full sockets are the same here as everywhere.",
		Hints: [3]string{
			"What does sendmsg return when the socket is nearly full?",
			"Fewer bytes than asked for, then EAGAIN: poll for POLLOUT and go on where you were. poll also wakes for completions: take them in.",
			"for len(p) > 0 { n, err := ...; p = p[n:]; if err == EAGAIN { wait(POLLOUT) } }",
		},
		Check: pinnedWhole,
	},
	{
		Name: "KernelReadsUntilDone", Group: "memory", Points: 2, Section: step6,
		Why: "The socket refers to your memory. Who writes to it before the completion changes what is being sent: the peer gets the next message's bytes in this one.",
		Hints: [3]string{
			"When do you call done?",
			"Not when sendmsg returns: when the error queue says that this call's number is completed, and every other call of this Send is, too.",
			"unix.Recvmsg(fd, nil, control, unix.MSG_ERRQUEUE); info and data are the first and the last number",
		},
		Check: readsUntilDone,
	},
	{
		Name: "EveryDoneOnce", Group: "memory", Points: 2, Section: step6,
		Why: "done is where a buffer is given back. Completions come joined: one note may stand for a hundred calls.",
		Hints: [3]string{
			"What do you do with a note whose two numbers differ?",
			"All from info to data are completed, both included.",
			"for id := info; ; id++ { ...; if id == data { break } }",
		},
		Check: everyDone,
	},
	{
		Name: "SmallIsCopied", Group: "memory", Points: 1, Section: step6,
		Why: "To pin pages and read a completion costs more than to copy 100 bytes.",
		Hints: [3]string{
			"What do you do with a piece below 16 KiB?",
			"Send it without the flag. It has no number then, and is done at once.",
			"if len(p) >= smallest { ... MSG_ZEROCOPY }",
		},
		Check: smallIsCopied,
	},
	{
		Name: "CloseTakesBack", Group: "memory", Points: 2, Section: step6,
		Why: "After close(2) nobody can tell you any more when the kernel is through. Only a reset makes it let go.",
		Hints: [3]string{
			"Close, with calls that are not completed. Who reads their memory now?",
			"SO_LINGER with 0 seconds, then close: the queue is dropped. Then done, with ErrClosed.",
			"unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})",
		},
		Check: closeTakesBack,
	},
	{
		Name: "BrokenEnds", Group: "memory", Points: 2, Section: step6,
		Why: "A peer that is gone, or takes nothing: Send and Settle have to come back, with the reason, and the memory has to come back, too.",
		Hints: [3]string{
			"poll says POLLERR, and the error queue is empty. What is it then?",
			"An error of the socket: SO_ERROR. Keep it: every later call returns it. poll's timeout is ErrStalled.",
			"unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)",
		},
		Check: brokenEnds,
	},
}

// pinning is a Sender under a check, and its peer.
type pinning struct {
	counting
	r    *spec.Run
	peer *net.TCPConn
	addr net.Addr // of the sender's end
}

func pin(r *spec.Run, l lab, room int, timeout time.Duration) (*pinning, error) {
	c, peer, err := pair(r, room)
	if err != nil {
		return nil, err
	}
	local := c.LocalAddr()
	s, err := l.NewSender(c, timeout)
	if err != nil {
		return nil, err
	}
	return &pinning{s, r, peer, local}, nil
}

// fates counts what became of messages.
type fates struct {
	calls  []atomic.Int32
	bytes  atomic.Int64 // of those done
	failed atomic.Int64
}

// send is Send of n bytes from off; its memory is overwritten when it is done.
func (p *pinning) send(f *fates, i int, off int64, n int) error {
	memory := fill(make([]byte, n), off)
	return p.Send(memory, func(err error) {
		f.calls[i].Add(1)
		f.bytes.Add(int64(n))
		if err != nil {
			f.failed.Add(1)
		}
		clear(memory)
	})
}

// once expects that each done was called, once.
func (f *fates) once() error {
	for i := range f.calls {
		if n := f.calls[i].Load(); n != 1 {
			return spec.Fail(fmt.Sprintf("done to be called once for each of %d messages", len(f.calls)), "for message %d: %d times", i, n)
		}
	}
	return nil
}

// sizes sends messages one behind the other and settles.
func (p *pinning) sizes(f *fates, sizes []int) <-chan error {
	return p.r.Go(func() error {
		off := int64(0)
		for i, n := range sizes {
			if err := p.send(f, i, off, n); err != nil {
				return spec.Fail(fmt.Sprintf("Send of message %d (%d bytes) to return nil", i, n), "%v", err)
			}
			off += int64(n)
		}
		if err := p.Settle(); err != nil {
			return spec.Fail("Settle to return nil when the peer has read all", "%v", err)
		}
		return p.Close()
	})
}

func sum(all []int) (n int64) {
	for _, k := range all {
		n += int64(k)
	}
	return n
}

// arrive lets a peer read what sizes sends, and expects all of it.
func arrive(p *pinning, messages []int) error {
	f := &fates{calls: make([]atomic.Int32, len(messages))}
	read := receiving(p.r, p.peer, 0, 30_011)
	ended := p.sizes(f, messages)
	g, err := spec.Wait(p.r, "the receiver to read to the end", read)
	if err != nil {
		return err
	}
	if err := p.r.Call("Send, Settle and Close to return", func() error { return <-ended }); err != nil {
		return err
	}
	if want := sum(messages); g.n != want || g.bad >= 0 || g.err != nil {
		return spec.Fail(fmt.Sprintf("the %d bytes of %d messages, and the end", want, len(messages)), "%s", g)
	}
	return f.once()
}

func pinnedWhole(r *spec.Run, l lab) error {
	for _, room := range []int{0, small} {
		p, err := pin(r, l, room, time.Minute)
		if err != nil {
			return err
		}
		r.Step("messages of 0 bytes to 5 MiB")
		if err := arrive(p, []int{1, 16383, 16384, 16385, 1 << 20, 0, 100, 5<<20 + 7, 3, 70_000}); err != nil {
			return err
		}
	}
	return slowlyWhole(r, l)
}

// slowlyWhole has a peer read for longer than the timeout, a little at a time. The
// message is longer than what it reads by then, and what sockets can hold.
func slowlyWhole(r *spec.Run, l lab) error {
	const n, timeout = 24 << 20, 2 * time.Second
	p, err := pin(r, l, small, timeout)
	if err != nil {
		return err
	}
	r.Step("one message of 24 MiB to a peer that reads for longer than the timeout, a little at a time")
	f := &fates{calls: make([]atomic.Int32, 1)}
	ended := p.sizes(f, []int{n})
	came, err := io.Copy(io.Discard, struct{ io.Reader }{&slowReader{TCPConn: p.peer, slow: timeout + timeout/2}})
	if err != nil || came != n {
		return spec.Fail("a peer that reads a little all the time to get all, however long it takes", "%d bytes came, then %v", came, err)
	}
	if err := r.Call("Send, Settle and Close to return", func() error { return <-ended }); err != nil {
		return err
	}
	return f.once()
}

func readsUntilDone(r *spec.Run, l lab) error {
	p, err := pin(r, l, 256<<10, time.Minute)
	if err != nil {
		return err
	}
	messages := make([]int, 64)
	for i := range messages {
		messages[i] = 32 << 10
	}
	f := &fates{calls: make([]atomic.Int32, len(messages))}
	r.Step("64 messages of 32 KiB to a peer that does not read")
	ended := p.sizes(f, messages)
	if err := stalled(r, p.peer); err != nil {
		return err
	}
	done := f.bytes.Load() // first: what has come may only grow
	in, _, err := meter.Queues(addr(p.peer.LocalAddr()), addr(p.peer.RemoteAddr()))
	if err != nil {
		return err
	}
	if done > int64(in.Received) {
		return spec.Fail("done only for what has left the sender's socket", "done was called for %d bytes, and %d have come to the peer: the rest is read from that memory still", done, in.Received)
	}
	r.Step("the peer reads; memory is overwritten when it is done")
	g, err := spec.Wait(r, "the receiver to read to the end", receiving(r, p.peer, 0, 8192))
	if err != nil {
		return err
	}
	if err := r.Call("Send, Settle and Close to return", func() error { return <-ended }); err != nil {
		return err
	}
	if g.n != sum(messages) || g.bad >= 0 {
		return spec.Fail("every byte as it was when it was sent", "%s", g)
	}
	return f.once()
}

func everyDone(r *spec.Run, l lab) error {
	for _, room := range []int{0, small} {
		p, err := pin(r, l, room, time.Minute)
		if err != nil {
			return err
		}
		messages := make([]int, 600)
		for i := range messages {
			messages[i] = 16<<10 + i*31%5000
			if i%7 == 0 {
				messages[i] = 50
			}
		}
		r.Step("600 messages, large and small")
		if err := arrive(p, messages); err != nil {
			return err
		}
	}
	r.Step("2000 messages of 16 KiB to a peer that reads late: the kernel runs out of room for notes")
	p, err := pin(r, l, 0, time.Minute)
	if err != nil {
		return err
	}
	messages := make([]int, 2000)
	for i := range messages {
		messages[i] = 16 << 10
	}
	f := &fates{calls: make([]atomic.Int32, len(messages))}
	ended := p.sizes(f, messages)
	if err := stalled(r, p.peer); err != nil {
		return err
	}
	g, err := spec.Wait(r, "the receiver to read to the end", receiving(r, p.peer, 0, 64<<10))
	if err != nil {
		return err
	}
	if err := r.Call("Send, Settle and Close to return", func() error { return <-ended }); err != nil {
		return err
	}
	if g.n != sum(messages) || g.bad >= 0 {
		return spec.Fail("2000 messages to arrive", "%s", g)
	}
	return f.once()
}

func smallIsCopied(r *spec.Run, l lab) error {
	p, err := pin(r, l, 0, time.Minute)
	if err != nil {
		return err
	}
	messages := make([]int, 50)
	for i := range messages {
		messages[i] = 100 + i
	}
	r.Step("50 messages of about 100 bytes")
	if err := arrive(p, messages); err != nil {
		return err
	}
	if n := p.Stats(); n.Pinned > 0 || n.Plain < 50 {
		return spec.Fail("small messages to be copied", "%+v", n)
	}
	if p, err = pin(r, l, 0, time.Minute); err != nil {
		return err
	}
	r.Step("4 messages of 200 KiB")
	if err := arrive(p, []int{200 << 10, 200 << 10, 200 << 10, 200 << 10}); err != nil {
		return err
	}
	n := p.Stats()
	if n.Pinned < 4 || n.Copied > n.Pinned {
		return spec.Fail("large messages to be sent by reference", "%+v", n)
	}
	if n.Copied != n.Pinned && n.Copied != 0 { // one connection, one kind of peer
		return spec.Fail("Copied to count calls, as Pinned does, and not notes", "%+v", n)
	}
	return nil
}

func closeTakesBack(r *spec.Run, l lab) error {
	p, err := pin(r, l, 0, time.Minute)
	if err != nil {
		return err
	}
	before := descriptors()
	p.peer.SetReadBuffer(4096)
	f := &fates{calls: make([]atomic.Int32, 6)}
	r.Step("6 messages of 100 KiB to a peer that does not read, then Close")
	ended := r.Go(func() error {
		for i := range f.calls {
			if err := p.send(f, i, int64(i)*100<<10, 100<<10); err != nil {
				return spec.Fail("Send to return nil", "%v", err)
			}
		}
		var last error
		unsettled := false
		for i := range f.calls {
			unsettled = unsettled || f.calls[i].Load() == 0
		}
		err := p.Close()
		if err == nil {
			last = p.Send([]byte("x"), func(error) {})
		}
		if err == nil && last == nil {
			return spec.Fail("Send after Close to return an error", "nil")
		}
		if !unsettled {
			return errSettled
		}
		return err
	})
	err = r.Call("Send and Close to return", func() error { return <-ended })
	if err != nil && !errors.Is(err, errSettled) {
		return err
	}
	if err := f.once(); err != nil {
		return err
	}
	if err != nil { // the kernel was faster than we: nothing was left to take back
		return nil
	}
	if f.failed.Load() == 0 {
		return spec.Fail("done with ErrClosed for what was not settled", "all got nil")
	}
	if g := receive(p.peer, 0, 64<<10); !errors.Is(g.err, syscall.ECONNRESET) {
		return spec.Fail("the peer to see a reset", "%s", g)
	}
	if now := descriptors(); now >= before {
		return spec.Fail("the connection's descriptor to be closed", "%d are open, %d were before", now, before)
	}
	if err := p.Close(); err != nil {
		return spec.Fail("a second Close to do nothing", "%v", err)
	}
	return nil
}

var errSettled = errors.New("all was settled before Close")

func brokenEnds(r *spec.Run, l lab) error {
	for _, q := range []struct {
		what    string
		timeout time.Duration
		leave   bool
	}{{"the peer goes", time.Minute, true}, {"the peer reads nothing for the timeout", 500 * time.Millisecond, false}} {
		p, err := pin(r, l, small, q.timeout)
		if err != nil {
			return err
		}
		f := &fates{calls: make([]atomic.Int32, 100)}
		r.Step("%s", q.what)
		told := make(chan error, 1)
		refused := int64(0)
		ended := r.Go(func() error {
			var err error
			for i := range f.calls {
				e := p.send(f, i, 0, 100<<10)
				if e != nil {
					refused++
				}
				switch {
				case err == nil && e != nil:
					err = e
					if !q.leave { // and now it reads, too late
						receiving(r, p.peer, 0, 64<<10)
						if err := emptied(r, p); err != nil {
							return err
						}
					}
				case err != nil && e == nil:
					return spec.Fail("every Send behind an error to return it", "nil")
				}
			}
			told <- err
			settled := p.Settle()
			if settled == nil {
				return spec.Fail("Settle to return the error of the stream", "nil")
			}
			p.Close()
			return nil
		})
		if q.leave {
			if err := stalled(r, p.peer); err != nil {
				return err
			}
			gone(p.peer)
		}
		if err := r.Call("Send, Settle and Close to return when "+q.what, func() error { return <-ended }); err != nil {
			return err
		}
		err = <-told
		if q.leave && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			return spec.Fail("Send to return ECONNRESET or EPIPE when the peer has gone", "%v", err)
		}
		if !q.leave && !errors.Is(err, l.Stalled) {
			return spec.Fail("Send to return ErrStalled", "%v", err)
		}
		if err := f.once(); err != nil {
			return err
		}
		if n := f.failed.Load(); n < refused {
			return spec.Fail("done with an error for each Send that returned one", "%d Sends did, and %d were told so", refused, n)
		}
	}
	return nil
}

// emptied waits until the peer has read all that the kernel had taken.
func emptied(r *spec.Run, p *pinning) error {
	mine, theirs := addr(p.peer.LocalAddr()), addr(p.peer.RemoteAddr())
	return r.Until("the peer to read what is there", func() bool {
		in, _, err := meter.Queues(mine, theirs)
		out, _, err2 := meter.Queues(theirs, mine)
		return err == nil && err2 == nil && in.Received == 0 && out.Unsent == 0
	})
}
