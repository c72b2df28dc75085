package reactortest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/asynclab/asynclab/harness/spec"
)

const drainSection = "Step 8: drain"

var drainRules = []spec.Rule[Subject]{
	{
		Name: "BacklogIsServed", Group: "drain", Points: 3, Section: drainSection,
		Why: "A client whose connect has returned is connected, whether your program has heard of it or not. When Shutdown begins some of them are in the backlog, and some between the acceptor and their loop. They sent their request; it is answered.",
		Hints: [3]string{
			"At the moment of Shutdown, where can connections be that no loop knows of?",
			"In the backlog of each listener, and in the loops' inboxes. Empty the backlog first, then let the loops drain: in the other order Adopt finds loops that take none.",
			"Shutdown: wake the acceptor; it accepts until EAGAIN, hands off, closes the listeners and ends; then Shutdown of all loops.",
		},
		Check: backlogIsServed,
	},
	{
		Name: "QueuesAreSentSideBySide", Group: "drain", Points: 4, Section: drainSection,
		Why: "Every loop sends what it owes, and all at the same time: they share one deadline. One after the other, a single slow client of the first loop uses up the time of all.",
		Hints: [3]string{
			"You call Shutdown of loop 0 and wait. What do the clients of loop 3 see meanwhile?",
			"Start all Shutdowns with the same context, then wait for all.",
			"for each loop: go func() { errs <- l.events.Shutdown(ctx) }(); then receive as many.",
		},
		Check: queuesAreSentSideBySide,
	},
	{
		Name: "ShutdownForcesAtItsDeadline", Group: "drain", Points: 2, Section: drainSection,
		Why: "A client that does not read must not hold up a deploy, on whichever loop it is. When the context ends everything is closed at once, and the caller learns that it was not in order.",
		Hints: [3]string{
			"Which of the loops' Shutdowns returns an error, and what do you do with it?",
			"All get the same context, so each ends by itself. Return the context's error if any of them did.",
			"for range loops { if e := <-errs; e != nil { err = e } }; <-done; return err.",
		},
		Check: shutdownForces,
	},
}

func backlogIsServed(r *spec.Run, s Subject) error {
	if err := backlogOfBusyLoops(r, s); err != nil {
		return err
	}
	for _, strategy := range []string{"round-robin", "least"} {
		r.Step("Accept is %q", strategy)
		if err := backlogOfAnIdleAcceptor(r, s, strategy); err != nil {
			return in(strategy, err)
		}
	}
	return nil
}

// backlogOfAnIdleAcceptor has clients whom the acceptor could not take, for want
// of descriptors, when Shutdown begins: then there are some.
func backlogOfAnIdleAcceptor(r *spec.Run, s Subject, strategy string) error {
	const n = 60
	lowest, err := lowestFree()
	if err != nil {
		return err
	}
	d := newDiary(r)
	sv, err := serve(r, s, d.options(2, strategy))
	if err != nil {
		return err
	}
	if _, err := d.onEachLoop(sv, 1); err != nil {
		return err
	}
	before, _ := d.count()
	fds, err := sockets(r, n)
	if err != nil {
		return err
	}
	raise, err := lowerLimit(r, lowest)
	if err != nil {
		return err
	}
	r.Step("there is no descriptor left, and %d clients connect and send a request; then there are some, and Shutdown is called", n)
	for i, fd := range fds {
		if err := connect(fd, sv.addr); err != nil {
			return err
		}
		if _, err := unix.Write(fd, appendFrame(nil, pattern(i, 50))); err != nil {
			return err
		}
	}
	pause(r, 20*time.Millisecond) // the acceptor looks, and finds that it can do nothing
	raise()
	down := r.Go(func() error { return sv.Shutdown(r.Context()) })
	for i, fd := range fds {
		want := appendFrame(nil, pattern(i, 50))
		got := make([]byte, len(want))
		if _, err := readFull(r, fd, got); err != nil || !bytes.Equal(got, want) {
			return spec.Fail("a client that was connected when Shutdown began to be served", "client %d of %d: %v", i+1, n, err)
		}
	}
	err, late := spec.Wait(r, "Shutdown to return when nothing is owed any more", down)
	if err := errors.Join(err, late); err != nil {
		return err
	}
	if opened, closed := d.count(); opened != before+n || closed != opened {
		return spec.Fail(fmt.Sprintf("OnOpen and OnClose for all of %d", before+n), "%d and %d", opened, closed)
	}
	return sv.runEnded()
}

// backlogOfBusyLoops has clients that no loop has heard of yet when Shutdown
// begins.
func backlogOfBusyLoops(r *spec.Run, s Subject) error {
	const loops, n = 3, 90
	return inEach(r, func(strategy string) error {
		d := newDiary(r)
		sv, err := serve(r, s, d.options(loops, strategy))
		if err != nil {
			return err
		}
		release, err := sv.holdAll()
		if err != nil {
			return err
		}
		r.Step("all loops are busy; %d clients connect and send a request", n)
		var clients []*client
		for i := range n {
			c, err := dial(r, sv.addr)
			if err != nil {
				return err
			}
			if err := c.send(pattern(i, 50)); err != nil {
				return err
			}
			clients = append(clients, c)
		}
		for _, c := range clients { // acknowledged: so it is connected on both sides
			if err := c.delivered(); err != nil {
				return err
			}
		}
		down := sv.beginShutdown(r.Context())
		release()
		for i, c := range clients {
			if err := c.expect(pattern(i, 50)); err != nil {
				return spec.Fail("a client that was connected when Shutdown began to be served", "client %d of %d: %v", i+1, n, err)
			}
			if err := c.expectEnd(); err != nil {
				return err
			}
		}
		err, late := spec.Wait(r, "Shutdown to return when nothing is owed any more", down)
		if err := errors.Join(err, late); err != nil {
			return err
		}
		if opened, closed := d.count(); opened != n || closed != n {
			return spec.Fail(fmt.Sprintf("OnOpen and OnClose for all of %d", n), "%d and %d", opened, closed)
		}
		if err := sv.runEnded(); err != nil {
			return err
		}
		return d.orderly()
	})
}

// beginShutdown calls Shutdown, and gives it a moment to show; if it cannot yet,
// as the loops are busy, the check goes on all the same.
func (s *serving) beginShutdown(ctx context.Context) <-chan error {
	s.r.Step("Shutdown is called")
	down := s.r.Go(func() error { return s.Shutdown(ctx) })
	for range 100 {
		if s.Post(0, func() {}) != nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	return down
}

// oweEach makes every loop owe 12 MiB to a client that does not read, and
// returns these clients by loop.
func oweEach(r *spec.Run, d *diary, sv *serving, large []byte) (slow []*client, err error) {
	byLoop, err := d.onEachLoop(sv, 1)
	if err != nil {
		return nil, err
	}
	r.Step("each loop owes 12 MiB to a client that does not read yet")
	for i, clients := range byLoop {
		conn := d.of(clients[0]).conn
		if _, err := conn.Write(large); err != nil {
			return nil, err
		}
		if err := sv.on(i, func() {}); err != nil {
			return nil, err
		}
		slow = append(slow, clients[0])
	}
	return slow, nil
}

func queuesAreSentSideBySide(r *spec.Run, s Subject) error {
	const loops = 3
	large := pattern(1, unread)
	return inEach(r, func(strategy string) error {
		d := newDiary(r)
		o := d.options(loops, strategy)
		o.MaxQueued = 2 * unread
		sv, err := serve(r, s, o)
		if err != nil {
			return err
		}
		slow, err := oweEach(r, d, sv, large)
		if err != nil {
			return err
		}
		down := sv.beginShutdown(r.Context())
		for _, i := range []int{2, 0, 1} {
			r.Step("the client of loop %d reads", i)
			select {
			case err := <-down:
				return spec.Fail("Shutdown to wait for what is owed", "it returned %v while a client of loop %d had not read its 12 MiB", err, i)
			default:
			}
			if err := slow[i].expectBytes(large); err != nil {
				return spec.Fail(fmt.Sprintf("what loop %d had queued to be sent", i), "%v", err)
			}
			if err := slow[i].expectEnd(); err != nil {
				return spec.Fail(fmt.Sprintf("the connection of loop %d to end when it is owed nothing, whatever the other loops still owe", i), "%v", err)
			}
		}
		err, late := spec.Wait(r, "Shutdown to return when nothing is owed any more", down)
		if err := errors.Join(err, late); err != nil {
			return err
		}
		for _, l := range d.all() {
			if l.closed != 1 || l.err != nil {
				return spec.Fail("OnClose once for each connection, with nil, before Shutdown returns", "%d times for %s, with: %v", l.closed, l.peer, l.err)
			}
		}
		return sv.runEnded()
	})
}

func shutdownForces(r *spec.Run, s Subject) error {
	const loops = 3
	large := make([]byte, unread)
	return inEach(r, func(strategy string) error {
		d := newDiary(r)
		o := d.options(loops, strategy)
		o.MaxQueued = 2 * unread
		sv, err := serve(r, s, o)
		if err != nil {
			return err
		}
		if _, err := oweEach(r, d, sv, large); err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		r.Step("Shutdown; when nobody is accepted any more, its context ends")
		down := r.Go(func() error { return sv.Shutdown(ctx) })
		if err := r.Until("Shutdown to stop accepting", func() bool { return refused(sv.addr) }); err != nil {
			return err
		}
		select {
		case err := <-down:
			return spec.Fail("Shutdown to wait for what is owed until its context ends", "it returned %v before", err)
		default:
		}
		cancel()
		err, late := spec.Wait(r, "Shutdown to return when its context has ended", down)
		if late != nil {
			return late
		}
		if !errors.Is(err, context.Canceled) {
			return spec.Fail("Shutdown to return ctx's error", "it returned: %v", err)
		}
		if err := sv.runEnded(); err != nil {
			return err
		}
		for _, l := range d.all() {
			if l.closed != 1 {
				return spec.Fail("OnClose once for each connection when Run has returned", "%d times for one of loop %d", l.closed, l.loop)
			}
		}
		return nil
	})
}
