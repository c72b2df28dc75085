package blockingtest

import (
	"errors"
	"io"
	"net"
	"testing/synctest"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var deadlineRules = []spec.Rule[New]{
	{
		Name: "IdleConnectionEnds", Group: "deadlines", Points: 6, Section: "Step 2: deadlines",
		Why: "A peer whose machine lost power says nothing, for ever: without a read deadline its goroutine and descriptor are never freed. The deadline counts from the last byte, so it has to be set again before each Read.",
		Hints: [3]string{
			"What ends a Read when the peer is gone without a word?",
			"net.Conn has SetReadDeadline; it takes a point in time, not a duration, and holds until it is set again.",
			"Before each Read: if o.IdleTimeout > 0 { c.SetReadDeadline(time.Now().Add(o.IdleTimeout)) }. An error from Read ends the connection.",
		},
		Check: idleConnectionEnds,
	},
	{
		Name: "StalledPeerEnds", Group: "deadlines", Points: 6, Section: "Step 2: deadlines",
		Why: "A peer that never reads blocks the server's Write once the kernel's buffers are full. Reading has stopped by then, so the read deadline cannot help: writing needs its own.",
		Hints: [3]string{
			"The read deadline does not run while the goroutine is in Write. What does?",
			"SetWriteDeadline, before each Write.",
			"if o.WriteTimeout > 0 { c.SetWriteDeadline(time.Now().Add(o.WriteTimeout)) }, and end the connection when Write fails having written nothing.",
		},
		Check: stalledPeerEnds,
	},
	{
		Name: "SteadySlowReaderStays", Group: "deadlines", Points: 6, Section: "Step 2: deadlines",
		Why: "WriteTimeout is for a peer that takes nothing. One that takes a little all the time must get every byte once: a Write that times out half-way has sent n bytes, and only the rest is still owed.",
		Hints: [3]string{
			"Write returned a timeout and n = 1500 of 4096. How much does the peer still have to get?",
			"When n > 0 there was progress: set the deadline again and write p[n:].",
			"Loop: arm the deadline; n, err := c.Write(p); p = p[n:]; done when p is empty; go on when errors.Is(err, os.ErrDeadlineExceeded) and n > 0; otherwise give up.",
		},
		Check: steadySlowReaderStays,
	},
}

func idleConnectionEnds(r *spec.Run, new New) error {
	const timeout = 30 * time.Second
	return r.Bubble(func(r *spec.Run) error {
		ln := listen(r)
		if _, err := serve(r, new, Options{IdleTimeout: timeout}, ln); err != nil {
			return err
		}
		c := ln.dial()
		for range 10 {
			r.Step("send a byte, read it back, wait 20 s")
			if err := pingPong(c); err != nil {
				return spec.Fail("a connection that sends every 20 s to stay", "%v", err)
			}
			time.Sleep(20 * time.Second)
		}
		r.Step("say nothing more")
		last := time.Now().Add(-20 * time.Second)
		if err := endsWithin(r, c, "the idle connection to end 30 s after its last byte"); err != nil {
			return err
		}
		if silent := time.Since(last); silent < timeout || silent > timeout+200*time.Millisecond {
			return spec.Fail("the connection to end 30 s after its last byte", "it ended after %v", silent)
		}
		return nil
	})
}

func pingPong(c net.Conn) error {
	writing := make(chan error, 1)
	go func() { _, err := c.Write([]byte{'x'}); writing <- err }()
	if err := expect(c, []byte{'x'}); err != nil {
		return err
	}
	return <-writing
}

// endsWithin waits, at most an hour of the bubble's time, for the server to
// close c.
func endsWithin(r *spec.Run, c net.Conn, what string) error {
	c.SetReadDeadline(time.Now().Add(time.Hour))
	_, err := c.Read(make([]byte, 1))
	if !errors.Is(err, io.EOF) {
		return spec.Fail(what, "an hour later it is still there (%v)", err)
	}
	return nil
}

func stalledPeerEnds(r *spec.Run, new New) error {
	return r.Bubble(func(r *spec.Run) error {
		ln := listen(r)
		if _, err := serve(r, new, Options{IdleTimeout: 30 * time.Second, WriteTimeout: 10 * time.Second}, ln); err != nil {
			return err
		}
		c := ln.dial()
		r.Step("send 100 bytes and read nothing, ever")
		began := time.Now()
		r.Go(func() error { _, err := c.Write(pattern(1, 100)); return err }) // a small buffer does not take all of it
		time.Sleep(time.Minute)
		synctest.Wait()
		if _, open := ln.counts(); open > 0 {
			return spec.Fail("the connection to be closed 10 s after its peer stopped taking", "a minute later it is still open")
		}
		if took := ln.firstClose().Sub(began); took < 10*time.Second || took > 10*time.Second+200*time.Millisecond {
			return spec.Fail("the connection to be closed 10 s after its peer stopped taking", "it was closed after %v", took)
		}
		return nil
	})
}

func steadySlowReaderStays(r *spec.Run, new New) error {
	return r.Bubble(func(r *spec.Run) error {
		ln := listen(r)
		if _, err := serve(r, new, Options{WriteTimeout: 10 * time.Second}, ln); err != nil {
			return err
		}
		c := ln.dial()
		sent := pattern(3, 20_000)
		writing := r.Go(func() error { _, err := c.Write(sent); return err })
		r.Step("read 500 bytes every 7 s; WriteTimeout is 10 s")
		for got := 0; got < len(sent); got += 500 {
			time.Sleep(7 * time.Second)
			if err := expect(c, sent[got:got+500]); err != nil {
				return spec.Fail("every byte, once, for a peer that always takes some", "after %d bytes: %v", got, err)
			}
		}
		if err := <-writing; err != nil {
			return err
		}
		c.Close()
		return nil
	})
}
