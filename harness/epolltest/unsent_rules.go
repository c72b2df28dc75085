package epolltest

import (
	"fmt"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
)

var unsentRules = []spec.Rule[New]{
	{
		Name: "SlowReaderGetsEverything", Group: "unsent", Points: 5, Section: "Step 3: what the kernel does not take",
		Why: "write(2) on a non-blocking socket takes what fits and returns how much that was; EAGAIN means nothing fitted. Neither is an error. The rest is owed: keep it, and send it when there is room.",
		Hints: [3]string{
			"write returned 40,000 of 65,536, or EAGAIN. Where are the other bytes now?",
			"Copy the rest into the connection and arm EPOLLOUT; on EPOLLOUT write from there. The read buffer is shared: a slice of it is not a copy.",
			"n, err := unix.Write(fd, p); if err == unix.EAGAIN { n = 0 }; c.unsent = append(c.unsent, p[n:]...); EPOLL_CTL_MOD with EPOLLIN|EPOLLOUT.",
		},
		Check: slowReaderGetsEverything,
	},
	{
		Name: "ConnectionsDoNotMix", Group: "unsent", Points: 4, Section: "Step 3: what the kernel does not take",
		Why: "The loop has one read buffer for everyone, so what is owed to a connection must be copied into something of its own before the next connection's turn.",
		Hints: [3]string{
			"A peer gets another peer's bytes. What do two connections share in your server?",
			"c.unsent = p[n:] keeps a slice of the shared read buffer, which the next read overwrites.",
			"c.unsent = append(c.unsent, p[n:]...) copies.",
		},
		Check: connectionsDoNotMix,
	},
	{
		Name: "SlowReaderBlocksNobody", Group: "unsent", Points: 4, Section: "Step 3: what the kernel does not take",
		Why: "There is one goroutine. Wherever it waits for one peer, by a blocking write or by trying until the kernel takes the bytes, it lets all the others wait.",
		Hints: [3]string{
			"Where in your code can the loop be, when one peer reads nothing?",
			"Only epoll_wait may wait. After EAGAIN, go back to it.",
			"One write per event; on EAGAIN keep the rest, arm EPOLLOUT, return.",
		},
		Check: slowReaderBlocksNobody,
	},
	{
		Name: "HalfCloseGetsItsAnswer", Group: "unsent", Points: 4, Section: "Step 3: what the kernel does not take",
		Why: "A peer that has finished sending (shutdown(SHUT_WR)) may still be reading: `printf hello | nc` does so. Its end of file is not the end of what you owe it.",
		Hints: [3]string{
			"read returned 0 and the connection is owed a megabyte. What now?",
			"Note that the peer is done, stop watching EPOLLIN, and close after the last byte owed was written.",
			"case n == 0: c.eof = true. After each flush: if c.eof && len(c.unsent) == 0 { close }.",
		},
		Check: halfCloseGetsItsAnswer,
	},
	{
		Name: "UnsentIsBounded", Group: "bound", Points: 5, Section: "Step 4: the bound",
		Why: "A peer that sends and never reads must find its own sending stopped, not your memory full. At MaxUnsent the connection is not read: the receive buffer fills, TCP closes the window, and the sender waits.",
		Hints: [3]string{
			"How much may you read from a connection that is owed MaxUnsent minus 10 bytes?",
			"Read at most MaxUnsent - len(unsent). At 0 stop watching EPOLLIN.",
			"room := min(len(buf), maxUnsent-len(c.unsent)); unix.Read(fd, buf[:room]); interest without EPOLLIN while room is 0.",
		},
		Check: unsentIsBounded,
	},
	{
		Name: "ReadingResumes", Group: "bound", Points: 3, Section: "Step 4: the bound",
		Why: "A connection that is stopped for good is a hang; one that is started again after every byte costs two epoll_ctl calls each time. Resume when at most half is left.",
		Hints: [3]string{
			"Who arms EPOLLIN again, and when?",
			"After each flush look at what is left: at MaxUnsent pause, at half resume, in between leave it as it is.",
			"switch { case len(c.unsent) >= max: c.paused = true; case len(c.unsent) <= max/2: c.paused = false }.",
		},
		Check: readingResumes,
	},
	{
		Name: "BurstLeavesNoMemory", Group: "bound", Points: 2, Section: "Step 4: the bound",
		Why: "If each connection keeps the memory of its worst moment, the server ends up with MaxUnsent for every connection that ever had one. An idle connection owes nothing and holds nothing.",
		Hints: [3]string{
			"All is sent. What is the capacity of the slice it was in?",
			"c.unsent[:0] has length 0 and keeps its memory.",
			"if len(c.unsent) == 0 { c.unsent = nil }.",
		},
		Check: burstLeavesNoMemory,
	},
	{
		Name: "IdleLoopSleeps", Group: "spin", Points: 3, Section: "Step 5: nothing spins",
		Why: "A socket with room in its send buffer is writable, that is, nearly always. Level-triggered epoll reports a condition for as long as it holds, so EPOLLOUT armed with nothing to send makes the loop turn for ever.",
		Hints: [3]string{
			"`top` shows a core at 100% and nobody sends. Which event comes again and again? (`strace -c -p PID` shows the loop.)",
			"Arm EPOLLOUT when something is left to send, and disarm it when it is sent. epoll_wait blocks with timeout -1.",
			"One function computes the interest from the connection's state: EPOLLOUT if len(c.unsent) > 0. EPOLL_CTL_MOD when it differs from what is armed.",
		},
		Check: idleLoopSleeps,
	},
	{
		Name: "StalledPeersCostNothing", Group: "spin", Points: 3, Section: "Step 5: nothing spins",
		Why: "A connection at its bound stays readable, and so does one whose peer has finished sending. What is reported and not acted on is reported again at once: each interest you do not act on must be disarmed.",
		Hints: [3]string{
			"A peer reads nothing, and your loop burns a core. What does epoll_wait report about that peer?",
			"Arm EPOLLIN only while you would read: not at the bound, not after the end of file. EPOLLRDHUP stays set, too: leave it out.",
			"func (c *conn) wanted(): EPOLLIN if !c.eof && !c.paused; EPOLLOUT if len(c.unsent) > 0. It may be 0: errors are reported all the same.",
		},
		Check: stalledPeersCostNothing,
	},
}

func slowReaderGetsEverything(r *spec.Run, new New) error {
	s, err := serve(r, new, Options{})
	if err != nil {
		return err
	}
	st, err := s.stall(1, 24<<20)
	if err != nil {
		return err
	}
	if err := st.drain(); err != nil {
		return err
	}
	r.Step("the same connection goes on")
	return st.echo(pattern(2, 4<<20))
}

func connectionsDoNotMix(r *spec.Run, new New) error {
	s, err := serve(r, new, Options{MaxUnsent: 256 << 10})
	if err != nil {
		return err
	}
	a, err := s.stall(1, 16<<20)
	if err != nil {
		return err
	}
	b, err := s.stall(2, 16<<20)
	if err != nil {
		return err
	}
	c, err := s.dial()
	if err != nil {
		return err
	}
	r.Step("a third client gets an echo")
	if err := c.echo(pattern(3, 1<<20)); err != nil {
		return err
	}
	if err := a.drain(); err != nil {
		return err
	}
	return b.drain()
}

func slowReaderBlocksNobody(r *spec.Run, new New) error {
	s, err := serve(r, new, Options{})
	if err != nil {
		return err
	}
	if _, err := s.stall(1, 64<<20); err != nil {
		return err
	}
	r.Step("another client gets an echo")
	c, err := s.dial()
	if err != nil {
		return err
	}
	return c.echo(pattern(2, 1<<20))
}

func halfCloseGetsItsAnswer(r *spec.Run, new New) error {
	s, err := serve(r, new, Options{MaxUnsent: halfClosedBound()})
	if err != nil {
		return err
	}
	c, sent, err := s.halfClosed()
	if err != nil {
		return err
	}
	r.Step("it reads")
	if err := c.expect(sent); err != nil {
		return err
	}
	return c.expectEnd()
}

func unsentIsBounded(r *spec.Run, new New) error {
	for _, bound := range []int{0, 100_000} {
		s, err := serve(r, new, Options{MaxUnsent: bound})
		if err != nil {
			return err
		}
		if bound == 0 {
			bound = 1 << 20
		}
		if err := s.takesNoMoreThan(bound); err != nil {
			return err
		}
	}
	return nil
}

func (s *serving) takesNoMoreThan(bound int) error {
	st, err := s.stall(1, 64<<20)
	if err != nil {
		return err
	}
	if st.took == int64(len(st.sent)) {
		return spec.Fail("the server to stop reading while its peer takes nothing", "it took all 64 MiB and holds %d bytes of them", st.owes)
	}
	if st.owes > int64(bound) {
		return spec.Fail(fmt.Sprintf("the server to owe at most MaxUnsent, %d bytes", bound), "it holds %d", st.owes)
	}
	return st.drain()
}

// readingResumes lets the client of a stalled connection read, and looks all the
// while at what the server owes. One flush takes at most the kernel's send
// queue, 4 MiB, off a debt of 24: so a server that resumes at half is seen at
// two thirds or below before, and one that resumes at once never is.
func readingResumes(r *spec.Run, new New) error {
	const bound, step = 24 << 20, 1 << 20
	s, err := serve(r, new, Options{MaxUnsent: bound})
	if err != nil {
		return err
	}
	st, err := s.stallWith(256<<10, 1, 72<<20) // with a larger buffer it reads faster
	if err != nil {
		return err
	}
	read := 0
	owes := func() int64 {
		q, err := st.queues()
		if err != nil {
			return -1
		}
		return st.taken.Load() - int64(read) - q.inKernel()
	}
	err = r.Until(fmt.Sprintf("the connection to be read until MaxUnsent, %d bytes, are owed", bound), func() bool { return owes() > bound*9/10 })
	if err != nil {
		return s.explain(err)
	}
	r.Step("it reads 20 MiB, a little at a time")
	least, resumed := int64(bound), false
	sip := func() error {
		if err := st.expect(st.sent[read : read+step]); err != nil {
			return err
		}
		read += step
		now, err := standsStill(r, "the connection to come to rest", 2, owes) // in motion a byte is counted twice
		resumed = resumed || now > least+bound/4
		least = min(least, now)
		return err
	}
	for read < 20<<20 {
		if err := sip(); err != nil {
			return err
		}
	}
	if least > bound*3/4 {
		return spec.Fail("reading to resume when at most half of MaxUnsent is left", "it resumed with %d%% left", least*100/bound)
	}
	// The kernel's buffers may have grown meanwhile, and the debt not fallen as
	// far as was read: go on until it is below half.
	for !resumed && least > bound/2-step && read < 44<<20 {
		if err := sip(); err != nil {
			return err
		}
	}
	r.Step("the server's debt fell to %d of %d KiB", least>>10, bound>>10)
	err = r.Until("reading to resume when half of MaxUnsent is left", func() bool { return resumed || owes() > least+bound/4 })
	return s.explain(err)
}

func burstLeavesNoMemory(r *spec.Run, new New) error {
	const bound = 16 << 20
	s, err := serve(r, new, Options{MaxUnsent: bound})
	if err != nil {
		return err
	}
	if err := s.alive(); err != nil {
		return err
	}
	before := descriptors()
	st, err := s.stall(1, 48<<20)
	if err != nil {
		return err
	}
	if err := st.drain(); err != nil {
		return err
	}
	st.sent = nil
	if err := st.pingPong(); err != nil { // the loop's turns for what was before are over
		return err
	}
	full := meter.UserMemory()
	st.reset() // and with the connection all that is its own
	if err := s.freed(before); err != nil {
		return err
	}
	if held := full - meter.UserMemory(); held > bound/4 {
		return spec.Fail("a connection that is owed nothing to hold no memory", "%d KiB were still held after a burst", held>>10)
	}
	return nil
}

func idleLoopSleeps(r *spec.Run, new New) error {
	s, err := serve(r, new, Options{})
	if err != nil {
		return err
	}
	if _, err := s.dialMany(100); err != nil {
		return err
	}
	if err := s.sleeps("100 connections are idle"); err != nil {
		return err
	}
	st, err := s.stall(1, 16<<20)
	if err != nil {
		return err
	}
	if err := st.drain(); err != nil {
		return err
	}
	return s.sleeps("a slow reader has got everything, and all are idle again")
}

func stalledPeersCostNothing(r *spec.Run, new New) error {
	s, err := serve(r, new, Options{MaxUnsent: halfClosedBound()})
	if err != nil {
		return err
	}
	if _, err := s.stall(1, 24<<20); err != nil {
		return err
	}
	if err := s.sleeps("a peer that is owed bytes reads nothing"); err != nil {
		return err
	}
	if _, _, err := s.halfClosed(); err != nil {
		return err
	}
	return s.sleeps("a peer that has ended its sending side is owed bytes and reads nothing")
}
