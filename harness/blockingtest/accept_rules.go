package blockingtest

import (
	"errors"
	"net"
	"slices"
	"syscall"
	"testing/synctest"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var acceptRules = []spec.Rule[New]{
	{
		Name: "CapHolds", Group: "admission", Points: 8, Section: "Step 3: admission",
		Why: "A server that accepts everyone serves no one when they all come. At MaxConns it stops accepting; the kernel's backlog keeps the others waiting in order, and each connection that ends lets one in.",
		Hints: [3]string{
			"Which call lets a client in, and what has to be true before you make it?",
			"A buffered channel is a counting semaphore: sending takes a slot, receiving gives one back.",
			"Take a slot before Accept, give it back where the connection ends (and when Accept fails). With MaxConns 0 there is no channel.",
		},
		Check: capHolds,
	},
	{
		Name: "AcceptErrorsPause", Group: "admission", Points: 8, Section: "Step 4: accept errors",
		Why: "With no descriptor left (EMFILE), Accept fails at once and the client stays in the backlog: a loop that tries again at once burns a core, one that returns is a server that went down because it was popular. Pause, longer each time, and begin anew after a success.",
		Hints: [3]string{
			"Which errors of accept(2) are the listener's end, and which pass?",
			"errors.Is(err, syscall.EMFILE) works through net.OpError. Sleep between tries, and double the pause up to a second.",
			"for pause := 5*time.Millisecond; ; pause = min(2*pause, time.Second) { c, err := ln.Accept(); success: return c; lasting: return err; otherwise wait pause, or for Shutdown }.",
		},
		Check: acceptErrorsPause,
	},
	{
		Name: "LastingErrorEndsServe", Group: "admission", Points: 4, Section: "Step 4: accept errors",
		Why: "An error that does not pass must reach the caller of Serve: a server that cannot accept and says nothing is down without anyone knowing.",
		Hints: [3]string{
			"What should the caller of Serve learn when the listener is broken for good?",
			"Return the error, wrapped with %w so that errors.Is still finds it.",
			"Only the errors named in Serve's comment are tried again; return every other one.",
		},
		Check: lastingErrorEndsServe,
	},
}

func capHolds(r *spec.Run, new New) error {
	return r.Bubble(func(r *spec.Run) error {
		const limit = 2
		ln := listen(r)
		if _, err := serve(r, new, Options{MaxConns: limit}, ln); err != nil {
			return err
		}
		r.Step("6 clients connect; MaxConns is %d", limit)
		var clients []net.Conn
		for range 6 {
			c := ln.dial()
			clients = append(clients, c)
		}
		synctest.Wait()
		for i, c := range clients {
			if accepted, _ := ln.counts(); accepted != min(i+limit, len(clients)) {
				return spec.Fail("one client to be let in for each that leaves, with 2 at a time", "after %d left, %d were let in", i, accepted)
			}
			r.Step("client %d gets its echo and leaves", i+1)
			if err := pingPong(c); err != nil {
				return err
			}
			c.Close()
			synctest.Wait()
		}
		return nil
	})
}

func acceptErrorsPause(r *spec.Run, new New) error {
	return r.Bubble(func(r *spec.Run) error {
		const tries = 12
		var script []error
		for range tries {
			script = append(script, syscall.EMFILE)
		}
		ln := listen(r, script...)
		s, err := serve(r, new, Options{MaxConns: 1}, ln)
		if err != nil {
			return err
		}
		c := ln.dial()
		r.Step("Accept fails %d times with EMFILE, then a client is there", tries)
		if err := served(r, s, c); err != nil {
			return err
		}
		if err := growing(ln.pauses()[:tries]); err != nil {
			return err
		}
		r.Step("after that success: ENFILE, ENOBUFS, ENOMEM, ECONNABORTED and EINTR, one client after each")
		c.Close()
		for _, errno := range []error{syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EINTR} {
			ln.fail(errno)
			c := ln.dial()
			if err := served(r, s, c); err != nil {
				return spec.Fail("Serve to go on after "+errno.Error(), "%v", err)
			}
			c.Close()
			synctest.Wait()
		}
		if longest := slices.Max(ln.pauses()[tries:]); longest > 500*time.Millisecond {
			return spec.Fail("the pause to begin at 5 ms again after a success", "it was %v", longest)
		}
		return nil
	})
}

// served expects an echo on c, or says why Serve has ended.
func served(r *spec.Run, s *serving, c net.Conn) error {
	echoed := r.Go(func() error {
		if _, err := c.Write([]byte{'x'}); err != nil {
			return err
		}
		return expect(c, []byte{'x'})
	})
	select {
	case err := <-echoed:
		return err
	case err := <-s.ended:
		if errors.Is(err, errSpinning) {
			return spec.Fail("a pause between two tries", "Accept was called 10,000 times in no time: the loop spins")
		}
		return spec.Fail("Serve to try again", "it returned %v", err)
	}
}

// growing expects pauses that double, more or less, from 5 ms to 1 s.
func growing(pauses []time.Duration) error {
	what := "pauses of 5 ms, 10, 20 and so on, to at most 1 s"
	want := 5 * time.Millisecond
	for _, p := range pauses {
		if p < want*3/4 || p > want*5/4 { // a little chance in it is no fault
			return spec.Fail(what, "they were %v", pauses)
		}
		want = min(2*want, time.Second)
	}
	return nil
}

func lastingErrorEndsServe(r *spec.Run, new New) error {
	return r.Bubble(func(r *spec.Run) error {
		broken := errors.New("the network card is on fire")
		ln := listen(r)
		s, err := serve(r, new, Options{MaxConns: 2}, ln)
		if err != nil {
			return err
		}
		r.Step("a client is connected, and another one leaves")
		c := ln.dial()
		if err := pingPong(c); err != nil {
			return err
		}
		ln.fail(broken)
		other := ln.dial()
		if err := pingPong(other); err != nil {
			return err
		}
		other.Close()
		r.Step("Accept fails with an error that does not pass")
		time.Sleep(time.Hour)
		synctest.Wait()
		select {
		case err := <-s.ended:
			if !errors.Is(err, broken) {
				return spec.Fail("Serve to return the listener's error", "it returned %v", err)
			}
			r.Step("the client that was there goes on")
			if err := pingPong(c); err != nil {
				return spec.Fail("connections to go on when Serve has ended with an error", "%v", err)
			}
			return nil
		default:
			return spec.Fail("Serve to return the listener's error", "an hour later it has not returned")
		}
	})
}
