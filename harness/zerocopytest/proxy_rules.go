package zerocopytest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
)

var proxyRules = []spec.Rule[lab]{
	{
		Name: "RelaysBothWays", Group: "proxy", Points: 2, Section: step5,
		Why: "Both sides talk at once, and each gets what the other said: all of it, in order.",
		Hints: [3]string{
			"Does one direction wait for the other?",
			"A goroutine and a pipe for each. What is in the pipe goes out before more is taken in.",
			"for p.held > 0 { splice to the socket }",
		},
		Check: relaysBothWays,
	},
	{
		Name: "HalfCloseGoesThrough", Group: "proxy", Points: 2, Section: step5,
		Why: "A client says that its request is complete by ending its side. The answer is still to come.",
		Hints: [3]string{
			"splice returns 0 from the client's socket. What do you do to the target?",
			"CloseWrite, and let the other direction go on.",
			"dst.CloseWrite()",
		},
		Check: halfClose,
	},
	{
		Name: "ResetGoesThrough", Group: "proxy", Points: 2, Section: step5,
		Why: "A connection that broke, passed on as a regular end: half a file looks like a whole one.",
		Hints: [3]string{
			"One direction has an error. What does the other side see?",
			"Reset both: SO_LINGER 0, then close.",
			"c.SetLinger(0); c.Close()",
		},
		Check: resetGoesThrough,
	},
	{
		Name: "NoTargetIsAReset", Group: "proxy", Points: 1, Section: step5,
		Why: "The target is away for a moment. Clients learn it at once, and the proxy is there when it comes back.",
		Hints: [3]string{
			"What becomes of the client when dialing fails?",
			"Reset it. Serve goes on.",
			"if err != nil { reset(client); return }",
		},
		Check: noTarget,
	},
	{
		Name: "HoldsLittle", Group: "proxy", Points: 2, Section: step5,
		Why: "A fast client and a slow target: what is read and not written is somebody's memory. And EAGAIN may mean a full pipe, which no socket event ends.",
		Hints: [3]string{
			"When do you read on? And what do you wait for, when splice says EAGAIN?",
			"Only when the pipe is empty: then EAGAIN from a socket means that it has nothing, and to a socket that it has no room.",
			"for { fill; for p.held > 0 { drain } }",
		},
		Check: holdsLittle,
	},
	{
		Name: "QuietPairsEnd", Group: "proxy", Points: 2, Section: step5,
		Why: "A peer whose machine has lost its power says nothing any more. But a download is quiet in one direction, and alive.",
		Hints: [3]string{
			"Which direction's silence ends the pair?",
			"Only when both are silent: count what moves, and look before you give up.",
			"if errors.Is(err, os.ErrDeadlineExceeded) && moved.Load() != before { continue }",
		},
		Check: quietPairs,
	},
	{
		Name: "ProxyLeavesNothing", Group: "proxy", Points: 2, Section: step5,
		Why: "Two connections and two pipes for each client are six descriptors.",
		Hints: [3]string{
			"Which of the six stays open, and at which end?",
			"Both connections when both directions have ended, both pipes always; Shutdown resets what is left when ctx ends.",
			"defer target.Close(); defer pipe.giveBack()",
		},
		Check: proxyLeavesNothing,
	},
}

// relayed is a proxy under a check, and its target's listener.
type relayed struct {
	Server
	r      *spec.Run
	addr   string
	target net.Listener
	ended  <-chan error
}

func relay(r *spec.Run, l lab, way string, idle time.Duration) (*relayed, error) {
	target, err := listen(small)
	if err != nil {
		return nil, err
	}
	r.Cleanup(func() { target.Close() })
	p, err := l.NewProxy(ProxyOptions{Target: target.Addr().String(), Way: way, DialTimeout: 10 * time.Second, IdleTimeout: idle})
	if err != nil {
		return nil, err
	}
	addr, ended, err := serve(r, p)
	return &relayed{p, r, addr, target, ended}, err
}

// through is a client and, behind the proxy, its target.
func (p *relayed) through() (client, target *net.TCPConn, err error) {
	if client, err = dial(p.addr, small); err != nil {
		return nil, nil, err
	}
	p.target.(*net.TCPListener).SetDeadline(deadline(p.r))
	c, err := p.target.Accept()
	if err != nil {
		client.Close()
		return nil, nil, spec.Fail("the proxy to connect to its target", "%v", err)
	}
	target = c.(*net.TCPConn)
	client.SetDeadline(deadline(p.r))
	target.SetDeadline(deadline(p.r))
	p.r.Cleanup(func() { client.Close(); target.Close() })
	return client, target, nil
}

// both does a check by splice and by copy, at once.
func both(r *spec.Run, check func(way string) error) error {
	return atOnce(r, []string{bySplice, byCopy}, check)
}

// bothInTurns is for what is about this whole process.
func bothInTurns(r *spec.Run, check func(way string) error) error {
	for _, way := range []string{bySplice, byCopy} {
		r.Step("way: %s", way)
		if err := in(way, check(way)); err != nil {
			return err
		}
	}
	return nil
}

// numbers is n bytes as at says them.
type numbers struct{ off, n int64 }

func (s *numbers) Read(p []byte) (int, error) {
	if s.off >= s.n {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), s.n-s.off)]
	fill(p, s.off)
	s.off += int64(len(p))
	return len(p), nil
}

// says writes n bytes and ends that side.
func says(r *spec.Run, c *net.TCPConn, n int64) <-chan error {
	return r.Go(func() error {
		buf := make([]byte, 50_001)
		if _, err := io.CopyBuffer(struct{ io.Writer }{c}, struct{ io.Reader }{&numbers{n: n}}, buf); err != nil {
			return err
		}
		return c.CloseWrite()
	})
}

// hears expects n bytes and the end.
func hears(r *spec.Run, who string, read <-chan got, n int64) error {
	g, err := spec.Wait(r, who+" to read to the end", read)
	if err != nil {
		return err
	}
	if g.n != n || g.bad >= 0 || g.err != nil {
		return spec.Fail(fmt.Sprintf("%s to get the %d bytes of the other side, then the end", who, n), "%s", g)
	}
	return nil
}

func relaysBothWays(r *spec.Run, l lab) error {
	return both(r, func(way string) error {
		p, err := relay(r, l, way, 5*time.Minute)
		if err != nil {
			return err
		}
		client, target, err := p.through()
		if err != nil {
			return err
		}
		r.Step("the target speaks first")
		if _, err := target.Write(make([]byte, 100)); err != nil {
			return err
		}
		if _, err := io.ReadFull(client, make([]byte, 100)); err != nil {
			return spec.Fail("100 bytes from the target while the client has said nothing", "%v", err)
		}
		r.Step("5 MiB in one direction and 4 MiB in the other, at once")
		atTarget, atClient := receiving(r, target, 0, 7001), receiving(r, client, 0, 100_000)
		says(r, client, 5<<20+1)
		says(r, target, 4<<20+3)
		if err := hears(r, "the target", atTarget, 5<<20+1); err != nil {
			return err
		}
		return hears(r, "the client", atClient, 4<<20+3)
	})
}

func halfClose(r *spec.Run, l lab) error {
	return both(r, func(way string) error {
		p, err := relay(r, l, way, 5*time.Minute)
		if err != nil {
			return err
		}
		for _, turned := range []bool{false, true} {
			first, second, err := p.through()
			if err != nil {
				return err
			}
			names := []string{"the client", "the target"}
			if turned {
				first, second, names = second, first, []string{"the target", "the client"}
			}
			r.Step("%s says something and ends its side; only then %s answers", names[0], names[1])
			says(r, first, 100_000)
			if err := hears(r, names[1], receiving(r, second, 0, 4096), 100_000); err != nil {
				return err
			}
			says(r, second, 200_000)
			if err := hears(r, names[0], receiving(r, first, 0, 4096), 200_000); err != nil {
				return err
			}
		}
		return nil
	})
}

func resetGoesThrough(r *spec.Run, l lab) error {
	return both(r, func(way string) error {
		p, err := relay(r, l, way, 5*time.Minute)
		if err != nil {
			return err
		}
		for _, turned := range []bool{false, true} {
			first, second, err := p.through()
			if err != nil {
				return err
			}
			if turned {
				first, second = second, first
			}
			if _, err := first.Write(make([]byte, 100)); err != nil {
				return err
			}
			if _, err := io.ReadFull(second, make([]byte, 100)); err != nil {
				return spec.Fail("100 bytes to go through", "%v", err)
			}
			r.Step("one side resets the connection (the target: %t)", turned)
			gone(first)
			if _, err := second.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				return spec.Fail("the other side to see a reset", "it saw %v", err)
			}
		}
		return nil
	})
}

func noTarget(r *spec.Run, l lab) error {
	p, err := relay(r, l, bySplice, 5*time.Minute)
	if err != nil {
		return err
	}
	addr := p.target.Addr().String()
	p.target.Close()
	r.Step("nobody listens at the target's address")
	for range 3 {
		c, err := dial(p.addr, 0)
		if errors.Is(err, syscall.ECONNRESET) {
			continue // the reset was as quick as that
		}
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(deadline(r))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			return spec.Fail("the client to be reset", "it saw %v", err)
		}
	}
	r.Step("the target is back")
	if p.target, err = net.Listen("tcp", addr); err != nil {
		return nil // somebody else has the port: nothing to see
	}
	r.Cleanup(func() { p.target.Close() })
	client, target, err := p.through()
	if err != nil {
		return err
	}
	says(r, client, 1000)
	return hears(r, "the target", receiving(r, target, 0, 100), 1000)
}

func holdsLittle(r *spec.Run, l lab) error {
	const n = 32 << 20
	return bothInTurns(r, func(way string) error {
		p, err := relay(r, l, way, 5*time.Minute)
		if err != nil {
			return err
		}
		client, target, err := p.through()
		if err != nil {
			return err
		}
		client.SetWriteBuffer(small)
		before := meter.UserMemory()
		r.Step("the client writes 32 MiB, the target reads nothing")
		written := says(r, client, n)
		if err := stalled(r, target); err != nil {
			return err
		}
		if err := sleeps(r, "while its target does not read"); err != nil {
			return err
		}
		select {
		case err := <-written:
			return spec.Fail("the client to be held back when its target does not read", "all 32 MiB were taken from it (%v)", err)
		default:
		}
		if more := meter.UserMemory() - before; more > 8<<20 {
			return spec.Fail("a bounded amount in the proxy", "it holds %d KiB more", more>>10)
		}
		r.Step("the target reads")
		return hears(r, "the target", receiving(r, target, 0, 64<<10), n)
	})
}

func quietPairs(r *spec.Run, l lab) error {
	const idle = 2 * time.Second
	return both(r, func(way string) error {
		p, err := relay(r, l, way, idle)
		if err != nil {
			return err
		}
		quiet, quietTarget, err := p.through()
		if err != nil {
			return err
		}
		client, target, err := p.through()
		if err != nil {
			return err
		}
		r.Step("nothing moves on one pair; on another the target says something now and then")
		said := r.Go(func() error {
			for range 20 {
				if _, err := target.Write(make([]byte, 10)); err != nil {
					return err
				}
				time.Sleep(idle / 12) // a slow talker, not a wait for something
			}
			return target.CloseWrite()
		})
		all, err := io.ReadAll(client)
		if err != nil || len(all) != 200 {
			return spec.Fail("a pair on which one direction moves to go on", "%d of 200 bytes came, then %v", len(all), err)
		}
		if err := <-said; err != nil {
			return err
		}
		for _, c := range []*net.TCPConn{quiet, quietTarget} {
			_, err := c.Read(make([]byte, 1))
			var timeout net.Error
			if err == nil || errors.As(err, &timeout) && timeout.Timeout() {
				return spec.Fail("a pair on which nothing moves for IdleTimeout to end", "it is there still (%v)", err)
			}
		}
		return nil
	})
}

func proxyLeavesNothing(r *spec.Run, l lab) error {
	return bothInTurns(r, func(way string) error {
		p, err := relay(r, l, way, 5*time.Minute)
		if err != nil {
			return err
		}
		before := descriptors()
		r.Step("180 clients come and go, in several manners")
		for i := range 180 {
			client, target, err := p.through()
			if err != nil {
				return err
			}
			if _, err := client.Write(make([]byte, 1000)); err != nil {
				return err
			}
			switch i % 3 {
			case 0:
				gone(client)
				target.Close()
			case 1:
				gone(target)
				client.Close()
			default:
				client.CloseWrite()
				io.Copy(io.Discard, target)
				target.Close()
				io.Copy(io.Discard, client)
				client.Close()
			}
		}
		if err := settles(r, before); err != nil {
			return err
		}
		client, target, err := p.through()
		if err != nil {
			return err
		}
		if _, err := client.Write([]byte("x")); err != nil {
			return err
		}
		if _, err := io.ReadFull(target, make([]byte, 1)); err != nil { // the proxy's dial has returned
			return spec.Fail("a byte to go through", "%v", err)
		}
		ctx, cancel := context.WithCancel(r.Context())
		cancel()
		r.Step("Shutdown with a ctx that has ended, and one pair open")
		ended := r.Go(func() error { return p.Shutdown(ctx) })
		if err := result(r, "Shutdown to return ctx's error", ended, context.Canceled); err != nil {
			return err
		}
		for _, c := range []*net.TCPConn{client, target} {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				return spec.Fail("what is left to be reset when ctx ends", "a side saw %v", err)
			}
		}
		return result(r, "Serve to return nil after Shutdown", p.ended, nil)
	})
}
