package blockingtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing/synctest"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var shutdownRules = []spec.Rule[New]{
	{
		Name: "ShutdownFinishesWhatIsInFlight", Group: "shutdown", Points: 8, Section: "Step 5: shutdown",
		Why: "A deploy must not cost anyone an answer: what the server has read, it owes. Shutdown ends reading, and lets each Write come to its end.",
		Hints: [3]string{
			"What is a connection doing when it owes its peer something, and when it owes nothing?",
			"A goroutine in Write owes; one in Read does not. Wake the readers and leave the writers alone.",
			"SetReadDeadline with a time in the past makes a blocked Read return at once and does not touch Write.",
		},
		Check: shutdownFinishes,
	},
	{
		Name: "ShutdownEndsIdleConnections", Group: "shutdown", Points: 5, Section: "Step 5: shutdown",
		Why: "Idle peers would keep a server alive for ever. Nothing is owed to them: their connections end at once.",
		Hints: [3]string{
			"Shutdown waits for a goroutine that waits for a peer that says nothing. Who ends this?",
			"Keep a set of the open connections, so that Shutdown can reach them.",
			"For each connection SetReadDeadline(time.Unix(1, 0)). Take care that the goroutine does not set a later deadline right after.",
		},
		Check: shutdownEndsIdle,
	},
	{
		Name: "ShutdownForcesAtItsDeadline", Group: "shutdown", Points: 6, Section: "Step 5: shutdown",
		Why: "A peer that never reads must not be able to stop a deploy. When ctx ends, every connection is closed, and the caller is told that something was cut off.",
		Hints: [3]string{
			"What does Shutdown wait for, and what else has to end that wait?",
			"select between 'everything has ended' and ctx.Done().",
			"On ctx.Done: close every connection, wait for the goroutines (they end now), return ctx.Err().",
		},
		Check: shutdownForces,
	},
	{
		Name: "ShutdownIsRepeatable", Group: "shutdown", Points: 4, Section: "Step 5: shutdown",
		Why: "Two signals, a signal during a deferred Shutdown, a Shutdown before Serve got its turn: all of these happen, and none may panic or hang.",
		Hints: [3]string{
			"What happens when a channel is closed twice? And when Serve starts after Shutdown?",
			"Remember, under the lock, that the server is draining; the second call has nothing to do but wait.",
			"Serve begins with: lock; if draining, close ln and return nil. Shutdown closes its channel only when draining was false.",
		},
		Check: shutdownIsRepeatable,
	},
	{
		Name: "NothingIsLeft", Group: "shutdown", Points: 5, Section: "Step 5: shutdown",
		Why: "A goroutine or descriptor lost with each connection is a server that must be restarted every week. Whatever way a connection ends, it gives back all it had.",
		Hints: [3]string{
			"In which ways can a connection end, and does each of them pass through the same place?",
			"Put what has to be given back in one function, and defer it.",
			"defer the close of the connection, its removal from the set and the slot in the goroutine that serves it; start no second goroutine that nobody ends.",
		},
		Deadline: 30 * time.Second,
		Check:    nothingIsLeft,
	},
}

// stuck connects, sends n bytes and reads none, so that the server has read
// them and cannot write them.
func stuck(r *spec.Run, ln *pipes, n int) (net.Conn, []byte, error) {
	c := ln.dial()
	r.Cleanup(func() { c.Close() })
	sent := pattern(n, n)
	r.Step("a client sends %d bytes and reads nothing yet", n)
	r.Go(func() error { _, err := c.Write(sent); return err }) // a small buffer does not take all of it
	synctest.Wait()
	if ln.taken() == 0 {
		return nil, nil, spec.Fail("the server to read what a client sends", "it has read nothing")
	}
	return c, sent, nil
}

func shutdownFinishes(r *spec.Run, new New) error {
	return r.Bubble(func(r *spec.Run) error {
		ln := listen(r)
		s, err := serve(r, new, Options{IdleTimeout: time.Hour, WriteTimeout: time.Hour}, ln)
		if err != nil {
			return err
		}
		c, sent, err := stuck(r, ln, 1000)
		if err != nil {
			return err
		}
		r.Step("Shutdown is called, with a minute to do it in")
		ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
		defer cancel()
		down := r.Go(func() error { return s.Shutdown(ctx) })
		again := r.Go(func() error { return s.Shutdown(ctx) })
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for i, d := range []<-chan error{down, again} {
			select {
			case err := <-d:
				return spec.Fail("each Shutdown to wait for what is still owed", "number %d returned %v while %d bytes were not written yet", i+1, err, ln.taken())
			default:
			}
		}
		r.Step("10 s later the client reads, until the end")
		got, err := io.ReadAll(c)
		if err != nil {
			return spec.Fail("the server to end the connection in order", "%v", err)
		}
		if read := ln.taken(); len(got) != read || !bytes.Equal(got, sent[:min(read, len(sent))]) {
			return spec.Fail("what the server had read to be written back", "it had read %d bytes, and wrote %d; are they the same: %v", read, len(got), bytes.HasPrefix(sent, got))
		}
		for _, d := range []<-chan error{down, again} {
			if err, late := spec.Wait(r, "Shutdown to return", d); err != nil || late != nil {
				return spec.Fail("Shutdown to return nil when everything was written", "it returned %v", errors.Join(err, late))
			}
		}
		return nil
	})
}

func shutdownEndsIdle(r *spec.Run, new New) error {
	return r.Bubble(func(r *spec.Run) error {
		ln := listen(r)
		s, err := serve(r, new, Options{IdleTimeout: time.Hour}, ln)
		if err != nil {
			return err
		}
		r.Step("3 clients are connected and silent")
		for range 3 {
			c := ln.dial()
			r.Cleanup(func() { c.Close() })
			if err := pingPong(c); err != nil {
				return err
			}
		}
		synctest.Wait()
		began := time.Now()
		if err := s.shutdown(10 * time.Minute); err != nil {
			return err
		}
		if took := time.Since(began); took > 5*time.Second {
			return spec.Fail("idle connections to be closed at once", "Shutdown took %v", took)
		}
		if _, open := ln.counts(); open > 0 {
			return spec.Fail("every connection to be closed", "%d are open", open)
		}
		return nil
	})
}

func shutdownForces(r *spec.Run, new New) error {
	return r.Bubble(func(r *spec.Run) error {
		ln := listen(r)
		s, err := serve(r, new, Options{}, ln)
		if err != nil {
			return err
		}
		if _, _, err := stuck(r, ln, 1000); err != nil {
			return err
		}
		r.Step("Shutdown with 5 s to do it in; the client never reads")
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		began := time.Now()
		down := r.Go(func() error { return s.Shutdown(ctx) })
		time.Sleep(time.Minute)
		synctest.Wait()
		select {
		case err := <-down:
			if !errors.Is(err, context.DeadlineExceeded) {
				return spec.Fail("Shutdown to return ctx's error", "it returned %v", err)
			}
		default:
			return spec.Fail("Shutdown to return when its context ends", "%v later it has not", time.Since(began))
		}
		if _, open := ln.counts(); open > 0 {
			return spec.Fail("every connection to be closed by force", "%d are open", open)
		}
		return nil
	})
}

func shutdownIsRepeatable(r *spec.Run, new New) error {
	r.Step("Shutdown before Serve, then Serve")
	early, err := new(Options{})
	if err != nil {
		return err
	}
	if err := r.Call("Shutdown before Serve to return", func() error { return early.Shutdown(r.Context()) }); err != nil {
		return spec.Fail("Shutdown before Serve to return nil", "%v", err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	err, late := spec.Wait(r, "Serve to return nil when the server is shut down already", r.Go(func() error { return early.Serve(ln) }))
	if late != nil || err != nil {
		ln.Close()
		return errors.Join(late, err)
	}
	if c, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		c.Close()
		ln.Close()
		return spec.Fail("Serve to close its listener", "it still takes connections")
	}
	r.Step("Shutdown four times, two of them at once")
	s, addr, err := serveTCP(r, new, Options{})
	if err != nil {
		return err
	}
	if _, err := dialTCP(r, addr); err != nil {
		return err
	}
	down := func() error { return s.Shutdown(r.Context()) }
	first := r.Go(down)
	if err := r.Call("Shutdown to return when two are called at once", down); err != nil {
		return err
	}
	if err := <-first; err != nil {
		return err
	}
	if err := r.Call("a third Shutdown to return", down); err != nil {
		return err
	}
	if _, err := net.Dial("tcp", addr); err == nil {
		return spec.Fail("the listener to be closed", "it still takes connections")
	}
	return s.shutdown(time.Minute)
}

// nothingIsLeft ends 300 connections in every way there is, and counts.
func nothingIsLeft(r *spec.Run, new New) error {
	goroutines, files := runtime.NumGoroutine(), descriptors()
	s, addr, err := serveTCP(r, new, Options{IdleTimeout: 50 * time.Millisecond})
	if err != nil {
		return err
	}
	r.Step("300 connections: a third end in order, a third by reset, a third say nothing until the server ends them")
	var silent []net.Conn
	for i := range 300 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		switch i % 3 {
		case 0:
			c.Write([]byte("x"))
			c.Close()
		case 1:
			c.(*net.TCPConn).SetLinger(0) // Close sends a reset
			c.Write([]byte("x"))
			c.Close()
		default:
			silent = append(silent, c)
		}
	}
	deadline, _ := r.Context().Deadline()
	for _, c := range silent {
		c.SetReadDeadline(deadline)
		if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			return spec.Fail("a silent connection to be ended after IdleTimeout", "it is still there")
		}
		c.Close()
	}
	if err := r.Until("the connections' goroutines to end while the server goes on", func() bool { return runtime.NumGoroutine() <= goroutines+5 }); err != nil {
		return spec.Fail("each connection's goroutines to end with it", "%d more than before, after 300 connections", runtime.NumGoroutine()-goroutines)
	}
	if err := s.shutdown(time.Minute); err != nil {
		return err
	}
	if err := r.Until("every descriptor to be closed", func() bool { return descriptors() <= files }); err != nil {
		return spec.Fail("every descriptor to be closed", "%d more are open than before", descriptors()-files)
	}
	return nil
}

// descriptors counts this process's open files.
func descriptors() int {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(names)
}
