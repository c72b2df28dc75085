package epolltest

import (
	"os"
	"runtime"

	"github.com/asynclab/asynclab/harness/spec"
	"golang.org/x/sys/unix"
)

var echoRules = []spec.Rule[New]{
	{
		Name: "EchoesEveryByte", Group: "echo", Points: 5, Section: "Step 2: the loop",
		Why: "TCP is a stream: one read may bring a part of a write or several together. Echo exactly the n bytes that read returned. A read of 0 bytes is the peer's end: it has finished sending, may still be reading, and the close comes after the last byte owed.",
		Hints: [3]string{
			"What do the three results of read(2) mean: n > 0, n == 0, EAGAIN?",
			"Write buf[:n], not buf. EAGAIN means: nothing now, epoll will tell. 0 means: the peer has ended its side.",
			"n, err := unix.Read(fd, buf); switch { case err == unix.EAGAIN: return; case err != nil: close; case n == 0: close when nothing is owed; default: write buf[:n] }.",
		},
		Check: echoesEveryByte,
	},
	{
		Name: "OneGoroutineServesAll", Group: "echo", Points: 3, Section: "Step 2: the loop",
		Why: "This is what the loop is for: a connection is a few fields in a map, not a goroutine with a stack. 1,000 connections must cost no goroutine and no thread.",
		Hints: [3]string{
			"Who reads from a connection here? Who wrote the word go?",
			"One goroutine, the one that called Run, waits in epoll_wait for all of them.",
			"for { n, err := unix.EpollWait(epfd, events, -1); for each event: serve that connection } and not one go statement.",
		},
		Check: oneGoroutineServesAll,
	},
	{
		Name: "InterruptionsAreNotErrors", Group: "echo", Points: 3, Section: "Step 2: the loop",
		Why: "epoll_wait is never restarted after a signal (signal(7)), and Go's own scheduler sends SIGURG to its threads when it likes. EINTR means: call again.",
		Hints: [3]string{
			"Which error of epoll_wait says nothing about epoll?",
			"On EINTR n is -1: do not range over the events, call again.",
			"n, err := unix.EpollWait(...); if err == unix.EINTR { continue }; if err != nil { return err }.",
		},
		Check: interruptionsAreNotErrors,
	},
}

func echoesEveryByte(r *spec.Run, new New) error {
	s, err := serve(r, new, Options{})
	if err != nil {
		return err
	}
	for _, size := range []int{1, 100, 4096, 65535, 65537, 1 << 20} {
		c, err := s.dial()
		if err != nil {
			return err
		}
		r.Step("send %d bytes while reading, then send 1 byte, then end the sending side", size)
		if err := c.echo(pattern(size, size)); err != nil {
			return err
		}
		if err := c.echo([]byte{'x'}); err != nil {
			return err
		}
		c.CloseWrite()
		if err := c.expectEnd(); err != nil {
			return err
		}
	}
	return nil
}

func oneGoroutineServesAll(r *spec.Run, new New) error {
	const n = 1000
	s, err := serve(r, new, Options{})
	if err != nil {
		return err
	}
	if _, err := s.dialMany(1); err != nil {
		return err
	}
	goroutines, threads := runtime.NumGoroutine(), len(threadIDs())
	r.Step("%d clients connect and get an echo each", n)
	if _, err := s.dialMany(n); err != nil {
		return err
	}
	if grown := runtime.NumGoroutine() - goroutines; grown > n/100 {
		return spec.Fail("no goroutine per connection", "%d connections brought %d goroutines", n, grown)
	}
	if grown := len(threadIDs()) - threads; grown > n/20 {
		return spec.Fail("no thread per connection", "%d connections brought %d threads", n, grown)
	}
	return nil
}

// threadIDs lists this process's threads.
func threadIDs() (ids []int) { return numbers("/proc/self/task") }

func interruptionsAreNotErrors(r *spec.Run, new New) error {
	s, err := serve(r, new, Options{})
	if err != nil {
		return err
	}
	c, err := s.dial()
	if err != nil {
		return err
	}
	r.Step("200 times: an echo, then SIGURG to every thread while the loop waits")
	for range 200 {
		if err := c.pingPong(); err != nil {
			return err
		}
		for _, id := range threadIDs() {
			unix.Tgkill(os.Getpid(), id, unix.SIGURG) // a thread that has ended since is no loss
		}
	}
	r.Step("and one more echo")
	return c.pingPong()
}
