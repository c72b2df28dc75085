package epolltest

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/asynclab/asynclab/harness/spec"
	"golang.org/x/sys/unix"
)

var endRules = []spec.Rule[New]{
	{
		Name: "ResetIsOnePeersAffair", Group: "endings", Points: 4, Section: "Step 7: endings",
		Why: "A peer that resets its connection (RST) makes read or write fail with ECONNRESET or EPIPE, or is reported as EPOLLERR and EPOLLHUP while you watch neither reading nor writing. That connection ends; the server and all others go on.",
		Hints: [3]string{
			"Which events does epoll report although nobody asked, and what does your code do with them?",
			"EPOLLERR and EPOLLHUP come even with no interest armed: a paused connection must end on them. An error of read or write ends that connection, never Run.",
			"if events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 { s.close(c); return } before anything else.",
		},
		Check: resetIsOnePeersAffair,
	},
	{
		Name: "EveryEndingFreesItsDescriptor", Group: "endings", Points: 3, Section: "Step 7: endings",
		Why: "A descriptor lost with each connection is a server that stops accepting after 20,000 clients. However a connection ends, it passes through the one place that closes it.",
		Hints: [3]string{
			"In how many places does your code give up a connection, and do all of them close it?",
			"Have one function that ends a connection: it takes it out of the map and closes the descriptor. Everything else calls it.",
			"func (s *Server) close(c *conn) { delete(s.conns, c.fd); unix.Close(c.fd) }: on EOF with nothing owed, on every error but EAGAIN and EINTR, on EPOLLERR and EPOLLHUP, and where EPOLL_CTL_ADD fails.",
		},
		Check: everyEndingFreesItsDescriptor,
	},
	{
		Name: "DescriptorsAreClosedOnce", Group: "endings", Points: 5, Section: "Step 7: endings",
		Why: "The kernel gives a closed descriptor's number to whoever opens next. A second close of it closes a stranger's file: another client, a log, a database. No error tells you.",
		Hints: [3]string{
			"One event says EPOLLIN, EPOLLERR and EPOLLHUP together. How many of your branches close the connection?",
			"After a close the event is finished: return, and let the callers know. Taking the connection out of the map first makes a second look-up fail.",
			"Let read and flush return whether the connection is still open: if events&unix.EPOLLOUT != 0 && !s.flush(c) { return }.",
		},
		Check: descriptorsAreClosedOnce,
	},
}

func resetIsOnePeersAffair(r *spec.Run, new New) error {
	s, err := prepare(r, new, Options{MaxUnsent: 64 << 10})
	if err != nil {
		return err
	}
	r.Step("a client connects and resets before the server has accepted it")
	early, err := s.dial()
	if err != nil {
		return err
	}
	early.reset()
	s.run()
	witness, err := s.dial()
	if err != nil {
		return err
	}
	if err := witness.pingPong(); err != nil {
		return err
	}
	before := descriptors()
	r.Step("a client resets while nothing is owed to it")
	idle, err := s.dial()
	if err != nil {
		return err
	}
	if err := idle.pingPong(); err != nil {
		return err
	}
	idle.reset()
	st, err := s.stall(1, 16<<20)
	if err != nil {
		return err
	}
	r.Step("this one resets")
	st.reset()
	if err := s.freed(before); err != nil {
		return err
	}
	r.Step("a client that connected before gets an echo")
	return witness.echo(pattern(2, 100_000))
}

// freed waits until no more descriptors are open than before.
func (s *serving) freed(before int) error {
	err := s.r.Until("the server to close the descriptors of ended connections", func() bool { return descriptors() <= before })
	if err != nil {
		return s.explain(spec.Fail("the server to close the descriptors of ended connections", "%d more are open than before", descriptors()-before))
	}
	return s.explain(nil)
}

func everyEndingFreesItsDescriptor(r *spec.Run, new New) error {
	const rounds = 100
	s, err := serve(r, new, Options{MaxUnsent: 64 << 10})
	if err != nil {
		return err
	}
	if _, err := s.dialMany(1); err != nil {
		return err
	}
	before := descriptors()
	for _, e := range endings {
		r.Step("%d clients end like this: %s", rounds, e.how)
		for range rounds {
			c, err := s.dial()
			if err != nil {
				return err
			}
			if err := e.end(c); err != nil {
				return s.explain(spec.Fail("a client that ends like this to be served first: "+e.how, "%v", plain(err)))
			}
		}
		if err := s.freed(before); err != nil {
			return err
		}
	}
	return nil
}

// endings are the ways in which a client leaves. Each closes c.
var endings = []struct {
	how string
	end func(c *client) error
}{
	{"close at once", func(c *client) error { return c.Close() }},
	{"an echo, then close", func(c *client) error {
		err := c.pingPong()
		c.Close()
		return err
	}},
	{"end the sending side, read the end, close", func(c *client) error {
		c.CloseWrite()
		err := c.expectEnd()
		c.Close()
		return err
	}},
	{"reset at once", func(c *client) error { c.reset(); return nil }},
	{"send, then reset", func(c *client) error {
		c.Write(make([]byte, 1000))
		c.reset()
		return nil
	}},
	{"end the sending side, then reset", func(c *client) error {
		c.Write(make([]byte, 1000))
		c.CloseWrite()
		c.reset()
		return nil
	}},
	{"close with the echo unread, which resets", func(c *client) error {
		c.Write(make([]byte, 1000))
		c.Read(make([]byte, 1))
		return c.Close()
	}},
}

// descriptorsAreClosedOnce lets many connections end in every way while two
// threads open and close files of their own without pause, so that a number
// the server has closed is soon one of theirs. A file of theirs that is gone,
// or another one, was closed by the server.
func descriptorsAreClosedOnce(r *spec.Run, new New) error {
	const rounds = 200
	s, err := serve(r, new, Options{MaxUnsent: 64 << 10})
	if err != nil {
		return err
	}
	if err := s.alive(); err != nil {
		return err
	}
	r.Step("%d clients end in each of %d ways, while files are opened and closed beside the server", rounds, len(endings))
	w := watch(2)
	defer w.stop()
	ended := r.Go(func() error { return s.comeAndGo(r, rounds) })
	select {
	case <-w.hit:
	case err = <-ended:
	}
	w.stop()
	return w.explain(s.explain(err))
}

// comeAndGo connects clients that end in every way, rounds times. One that
// fails does not stop the others: it may be the canary.
func (s *serving) comeAndGo(r *spec.Run, rounds int) (first error) {
	deadline, _ := r.Context().Deadline()
	for range rounds {
		for _, e := range endings {
			c, err := net.Dial("tcp", s.addr)
			if err == nil {
				c.SetDeadline(deadline)
				err = e.end(&client{c.(*net.TCPConn), s})
			}
			if first == nil {
				first = err
			}
		}
	}
	return errors.Join(first, s.alive())
}

// alive expects an echo on a new connection.
func (s *serving) alive() error {
	c, err := s.dial()
	if err != nil {
		return err
	}
	return c.pingPong()
}

// canaries opens and closes files of its own, and notices when one was closed
// behind its back.
type canaries struct {
	quit  atomic.Bool
	done  sync.WaitGroup
	found atomic.Pointer[string]
	hit   chan struct{} // closed when found is set
}

func watch(threads int) *canaries {
	w := &canaries{hit: make(chan struct{})}
	for range threads {
		w.done.Go(func() {
			for !w.quit.Load() && w.found.Load() == nil {
				w.round()
			}
		})
	}
	return w
}

func (w *canaries) stop() {
	w.quit.Store(true)
	w.done.Wait()
}

// round opens a few files, each with an inode of its own, and closes them.
func (w *canaries) round() {
	var fds [8]int
	var inodes [8]uint64
	for i := range fds {
		fd, err := unix.MemfdCreate("canary", unix.MFD_CLOEXEC)
		if err != nil {
			fds[i] = -1
			continue
		}
		fds[i] = fd
		if inodes[i], err = inode(fd); err != nil {
			w.lost(fd, "closed")
		}
	}
	for i, fd := range fds {
		if fd < 0 {
			continue
		}
		switch now, err := inode(fd); {
		case err != nil:
			w.lost(fd, "closed")
		case now != inodes[i]:
			w.lost(fd, "replaced by another one")
		default:
			if unix.Close(fd) != nil {
				w.lost(fd, "closed")
			}
		}
	}
}

func inode(fd int) (uint64, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	return st.Ino, err
}

func (w *canaries) lost(fd int, how string) {
	text := fmt.Sprintf("descriptor %d belonged to somebody else's file, and was %s: the server had closed that number before and closed it again", fd, how)
	if w.found.CompareAndSwap(nil, &text) {
		close(w.hit)
	}
}

// explain puts what the canaries found before what a client saw of it.
func (w *canaries) explain(err error) error {
	if text := w.found.Load(); text != nil {
		return spec.Fail("each descriptor to be closed exactly once", "%s", *text)
	}
	return err
}
