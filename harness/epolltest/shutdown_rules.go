package epolltest

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var shutdownRules = []spec.Rule[New]{
	{
		Name: "ShutdownWritesWhatIsOwed", Group: "shutdown", Points: 4, Section: "Step 9: shutdown",
		Why: "A restart must not cost anyone an answer. What has arrived is read, what is owed is written, then the connection ends in order: a close with unread bytes in the receive queue sends RST, and RST destroys what the peer has not read yet.",
		Hints: [3]string{
			"Shutdown begins while a connection is owed a megabyte and another one waits in its receive queue. Which of these does the client expect?",
			"Wake the loop with an eventfd. On each connection: what is in the receive queue now (SIOCINQ) is still echoed, then flush, then close.",
			"n, _ := unix.IoctlGetInt(fd, unix.SIOCINQ); c.quota = n; reading goes on until quota is 0, flushing until unsent is empty. Run ends when the map is empty.",
		},
		Check: shutdownWritesWhatIsOwed,
	},
	{
		Name: "ShutdownEndsIdleConnections", Group: "shutdown", Points: 3, Section: "Step 9: shutdown",
		Why: "Nothing is owed to an idle peer, and it may stay silent for ever: its connection ends at once. One that never stops sending is not a reason to stay, either: what had arrived is finite.",
		Hints: [3]string{
			"Shutdown waits for a connection on which no event will ever come. Who looks at it?",
			"When the wake-up arrives, walk over all connections once and close those that are owed nothing.",
			"for _, c := range s.conns { c.quota = arrived(c.fd); s.settle(c) }, where settle closes what has nothing left to do.",
		},
		Check: shutdownEndsIdle,
	},
	{
		Name: "ShutdownForcesAtItsDeadline", Group: "shutdown", Points: 3, Section: "Step 9: shutdown",
		Why: "A peer that never reads must not be able to stop a restart. When ctx ends, everything is closed, and the caller is told that something was cut off.",
		Hints: [3]string{
			"Who notices that ctx has ended, and how does the loop learn of it?",
			"Shutdown itself selects between the loop's end and ctx.Done; then it sets an atomic flag and wakes the loop again.",
			"case <-ctx.Done(): s.force.Store(true); s.wake(); <-s.done; return ctx.Err(). The loop looks at force before each epoll_wait.",
		},
		Check: shutdownForces,
	},
	{
		Name: "ShutdownIsRepeatable", Group: "shutdown", Points: 2, Section: "Step 9: shutdown",
		Why: "Two signals, a deferred Shutdown after a failed start, a Shutdown before Run got its turn: all of these happen, and none may panic, hang, or write into an eventfd whose number is a stranger's by now.",
		Hints: [3]string{
			"What does a second Shutdown find: an open eventfd, a closed one, or somebody else's file?",
			"A mutex guards whether Run was called, whether Shutdown was, and whether the descriptors are closed.",
			"wake: lock; if !s.released { unix.Write(s.wakefd, ...) }. Run: lock; if s.stopping { release and return nil }. Shutdown without a Run releases by itself.",
		},
		Check: shutdownIsRepeatable,
	},
	{
		Name: "RestartFindsItsAddress", Group: "shutdown", Points: 2, Section: "Step 9: shutdown",
		Why: "The side that closes first keeps the pair of addresses in TIME_WAIT for a minute. Without SO_REUSEADDR the next start of the server fails for that long with \"address already in use\".",
		Hints: [3]string{
			"Which socket option lets bind succeed while old connections of that port are in TIME_WAIT?",
			"SO_REUSEADDR, set before bind. (SO_REUSEPORT is something else: it lets two servers share a port at once.)",
			"unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) between socket and bind.",
		},
		Check: restartFindsItsAddress,
	},
	{
		Name: "NothingIsLeft", Group: "shutdown", Points: 3, Section: "Step 9: shutdown",
		Why: "After Run has returned, nothing of the server is left: the listener, the epoll instance, the eventfd, each connection and each goroutine. Whoever embeds it in a test or reloads it counts on that.",
		Hints: [3]string{
			"Which descriptors does a server have that is not a connection's?",
			"Close the listener, the connections, the eventfd and the epoll instance in one function, which Run defers.",
			"func (s *Server) release(): under the lock, once: close the listener, every connection, wakefd, epfd; then close(s.done).",
		},
		Check: nothingIsLeft,
	},
}

func shutdownWritesWhatIsOwed(r *spec.Run, new New) error {
	s, err := serve(r, new, Options{MaxUnsent: 64 << 10})
	if err != nil {
		return err
	}
	c, sent, err := s.arrive()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
	defer cancel()
	r.Step("Shutdown, with a minute to do it in")
	shutdown := r.Go(func() error { return s.Shutdown(ctx) })
	if err := s.refused(); err != nil {
		return err
	}
	select {
	case err := <-shutdown:
		return spec.Fail("Shutdown to wait until what is owed was written", "it returned %v while the client had not read %d bytes", err, len(sent))
	default:
	}
	r.Step("the client reads")
	if err := c.expect(sent); err != nil {
		return err
	}
	if err := c.expectEnd(); err != nil {
		return err
	}
	return s.down(shutdown)
}

func shutdownEndsIdle(r *spec.Run, new New) error {
	s, err := serve(r, new, Options{})
	if err != nil {
		return err
	}
	r.Step("100 clients are connected and silent, one never stops sending and reading")
	idle, err := s.dialMany(100)
	if err != nil {
		return err
	}
	busy, err := s.dial()
	if err != nil {
		return err
	}
	if err := busy.echo(pattern(1, 1<<20)); err != nil {
		return err
	}
	go func() {
		for p := make([]byte, 4096); ; {
			if _, err := busy.Write(p); err != nil {
				return
			}
		}
	}()
	go io.Copy(io.Discard, busy)
	if err := s.shutdown(); err != nil {
		return err
	}
	for _, c := range idle {
		if err := c.expectEnd(); err != nil {
			return err
		}
	}
	return nil
}

func shutdownForces(r *spec.Run, new New) error {
	before := descriptors() + 1 // the client's own end stays
	s, err := serve(r, new, Options{})
	if err != nil {
		return err
	}
	if _, err := s.stall(1, 64<<20); err != nil {
		return err
	}
	r.Step("Shutdown; the client never reads; then the context is cancelled")
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	shutdown := r.Go(func() error { return s.Shutdown(ctx) })
	if err := s.refused(); err != nil {
		return err
	}
	cancel()
	err, late := spec.Wait(r, "Shutdown to return when its context ends", shutdown)
	if late != nil {
		return late
	}
	if !errors.Is(err, context.Canceled) {
		return spec.Fail("Shutdown to return ctx's error", "it returned %v", err)
	}
	if err := s.returned(); err != nil {
		return err
	}
	return s.freed(before)
}

func shutdownIsRepeatable(r *spec.Run, new New) error {
	r.Step("Listen, Shutdown, then Run")
	early, err := prepare(r, new, Options{})
	if err != nil {
		return err
	}
	if err := r.Call("Shutdown before Run to return", func() error { return early.Shutdown(r.Context()) }); isHole(err) {
		return err
	} else if err != nil {
		return spec.Fail("Shutdown before Run to return nil", "%v", err)
	}
	early.run()
	if err := early.returned(); err != nil {
		return err
	}
	if err := early.refused(); err != nil {
		return err
	}
	r.Step("Shutdown four times, two of them at once")
	s, err := serve(r, new, Options{})
	if err != nil {
		return err
	}
	if _, err := s.dialMany(3); err != nil {
		return err
	}
	shutdown := func() error { return s.Shutdown(r.Context()) }
	first := r.Go(shutdown)
	if err := r.Call("Shutdown to return when two are called at once", shutdown); err != nil {
		return err
	}
	if err := s.down(first); err != nil {
		return err
	}
	mine, err := net.Listen("tcp", s.addr) // its descriptors have the numbers that the server's had
	if err != nil {
		return spec.Fail("the listener to be closed", "its address is still taken: %v", err)
	}
	defer mine.Close()
	if err := r.Call("a third Shutdown to return", shutdown); err != nil {
		return err
	}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	return r.Call("a fourth Shutdown to return", func() error {
		if err := s.Shutdown(over); err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	})
}

func restartFindsItsAddress(r *spec.Run, new New) error {
	s, err := serve(r, new, Options{})
	if err != nil {
		return err
	}
	if _, err := s.dialMany(3); err != nil {
		return err
	}
	if err := s.shutdown(); err != nil {
		return err
	}
	r.Step("a new server listens on %s", s.addr)
	again, err := new(Options{})
	if err != nil {
		return err
	}
	next := &serving{Server: again, r: r, addr: s.addr, ended: make(chan struct{})}
	r.Cleanup(next.stop)
	if _, err := again.Listen(s.addr); err != nil {
		return spec.Fail("a restart to get the address of the server before it", "%v", err)
	}
	next.run()
	return next.alive()
}

func nothingIsLeft(r *spec.Run, new New) error {
	goroutines, files := runtime.NumGoroutine(), descriptors()
	for _, with := range []string{"100 connections", "no connection", "no Run"} {
		s, err := prepare(r, new, Options{})
		if err != nil {
			return err
		}
		if with == "no Run" {
			r.Step("a server that never ran is shut down")
			if err := r.Call("Shutdown before Run to return", func() error { return s.Shutdown(r.Context()) }); err != nil {
				return err
			}
		} else {
			s.run()
			if err := s.withClients(with); err != nil {
				return err
			}
		}
		if err := r.Until("every descriptor to be closed", func() bool { return descriptors() <= files }); err != nil {
			return spec.Fail("every descriptor to be closed after Shutdown", "%d more are open than before, after a server with %s", descriptors()-files, with)
		}
	}
	if err := r.Until("every goroutine to end", func() bool { return runtime.NumGoroutine() <= goroutines }); err != nil {
		return spec.Fail("every goroutine to end after Shutdown", "%d more than before", runtime.NumGoroutine()-goroutines)
	}
	return nil
}

// withClients shuts s down, with 100 connections or none, restarts nothing and
// closes the clients' ends.
func (s *serving) withClients(with string) error {
	var clients []*client
	if with != "no connection" {
		var err error
		if clients, err = s.dialMany(100); err != nil {
			return err
		}
	}
	s.r.Step("a server with %s is shut down", with)
	if err := s.shutdown(); err != nil {
		return err
	}
	for _, c := range clients {
		c.Close()
	}
	return nil
}
