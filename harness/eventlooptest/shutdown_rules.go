package eventlooptest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/asynclab/asynclab/harness/spec"
)

const shutdownSection = "Step 7: shutdown"

var shutdownRules = []spec.Rule[New]{
	{
		Name: "ShutdownOwesNothing", Group: "shutdown", Points: 3, Section: shutdownSection,
		Why: "A deploy is a Shutdown. What has arrived was accepted by your kernel and its sender believes it delivered: hand it to the handlers, send what is queued, then close. Read no more than what had arrived, or a busy peer holds the server up for ever.",
		Hints: [3]string{
			"At the moment of Shutdown, where can bytes be that somebody still expects something of?",
			"In the socket's receive queue (SIOCINQ tells how many), in the connection's tail, in its queue, in the kernel's send queue.",
			"For each connection: quota = SIOCINQ; read that many and call back; then the same end as Close. Run ends when no connection is left.",
		},
		Check: shutdownOwesNothing,
	},
	{
		Name: "ShutdownForcesAtItsDeadline", Group: "shutdown", Points: 1, Section: shutdownSection,
		Why: "A peer that does not read must not hold up a deploy. When the context ends, everything is closed at once, and the caller learns that it was not in order.",
		Hints: [3]string{
			"What does Shutdown wait for, and what else must end that wait?",
			"Wait for done or ctx.Done(). In the second case set a flag that the loop looks at every turn, wake it, and wait for done again.",
			"select { case <-l.done: return nil; case <-ctx.Done(): }; l.force.Store(true); l.wake(); <-l.done; return ctx.Err().",
		},
		Check: shutdownForces,
	},
	{
		Name: "ShutdownIsRepeatable", Group: "shutdown", Points: 1, Section: shutdownSection,
		Why: "A signal handler, a defer and a test may each call Shutdown, before Run too. All return when it is done; Run returns nil; and Post, Adopt and Send afterwards say net.ErrClosed.",
		Hints: [3]string{
			"What happens if Run was never called: who closes the epoll descriptor?",
			"Started and stopping, under one lock. Shutdown releases everything itself if Run has not begun, and Run returns at once if Shutdown came first.",
			"release(): lock; if released { return }; released = true; ...; close(done). Everyone waits for done.",
		},
		Check: shutdownIsRepeatable,
	},
	{
		Name: "NothingIsLeft", Group: "shutdown", Points: 2, Section: shutdownSection,
		Why: "After Shutdown no descriptor and no goroutine of the loop is left, whatever ways its connections ended in. A test suite, and lab 04's many loops, make and end hundreds of them.",
		Hints: [3]string{
			"List the descriptors that a loop opens. Where is each of them closed?",
			"Epoll, eventfd, listeners, connections, and those handed over by Adopt and not registered yet; also when New or Listen fail half-way.",
			"One release() at the end of Run, and of a Shutdown without Run, that closes all of them.",
		},
		Check: nothingIsLeft,
	},
	{
		Name: "ChildrenInheritNothing", Group: "shutdown", Points: 1, Section: shutdownSection,
		Why: "A descriptor without CLOEXEC lives on in every program you start: the port stays taken, and the peer never sees the connection end.",
		Hints: [3]string{
			"What does exec do with your sockets?",
			"Every call that makes a descriptor has a CLOEXEC flag: epoll_create1, eventfd, socket, accept4. What Adopt gets needs unix.CloseOnExec.",
			"EPOLL_CLOEXEC, EFD_CLOEXEC, SOCK_CLOEXEC.",
		},
		Check: childrenInheritNothing,
	},
	{
		Name: "SignalsDoNotMatter", Group: "shutdown", Points: 1, Section: shutdownSection,
		Why: "Go's runtime sends signals to its own threads, and every blocking call may return EINTR for it. It means: nothing has happened, call again.",
		Hints: [3]string{
			"Which calls of yours may return EINTR, and what do you do then?",
			"epoll_wait, accept4, read and write. None of them is an error of the loop or of the connection.",
			"if err == unix.EINTR { return 0, nil } after epoll_wait: the timers and the inbox get their turn, and the loop waits again.",
		},
		Check: signalsDoNotMatter,
	},
}

func shutdownOwesNothing(r *spec.Run, new New) error {
	d, g := newDiary(r), newGate(r)
	large := pattern(1, unread)
	o := d.options()
	o.MaxQueued = 2 * unread
	o.OnMessage = g.guard(func(c Conn, msg []byte) {
		d.message(c, msg)
		if string(msg) == "much" {
			c.Write(large)
		} else {
			c.Send(msg)
		}
	})
	s, err := serve(r, new, o)
	if err != nil {
		return err
	}
	var clients [4]*client
	for i := range clients {
		if clients[i], err = dial(r, s.addr); err != nil {
			return err
		}
		if _, err := d.waitOpen(clients[i]); err != nil {
			return err
		}
	}
	slow, waiting, silent, holder := clients[0], clients[1], clients[2], clients[3]
	var crowd []*client // more than one epoll_wait reports, so that some are unread when the drain begins
	for range 500 {
		c, err := dial(r, s.addr)
		if err != nil {
			return err
		}
		crowd = append(crowd, c)
	}
	if _, err := d.waitOpen(crowd[len(crowd)-1]); err != nil {
		return err
	}
	r.Step("12 MiB are owed to a client that does not read yet")
	if err := slow.pieces(appendFrame(nil, []byte("much"))); err != nil {
		return err
	}
	if err := g.close(holder); err != nil {
		return err
	}
	var frames [][]byte
	for i := range 40 {
		frames = append(frames, pattern(i, 1000))
	}
	r.Step("%d clients' requests have arrived and are not read, as the loop is in a callback; the last one's are 40", len(crowd)+1)
	for _, c := range crowd {
		if err := c.send([]byte("one of many")); err != nil {
			return err
		}
	}
	if err := waiting.send(frames...); err != nil {
		return err
	}
	if err := waiting.delivered(); err != nil {
		return err
	}
	r.Step("150 clients connect and send: they are in the backlog")
	var backlog []*client
	for range 150 {
		c, err := dial(r, s.addr)
		if err != nil {
			return err
		}
		if err := c.send([]byte("late, and in time")); err != nil {
			return err
		}
		backlog = append(backlog, c)
	}
	for _, c := range backlog { // acknowledged: so it is connected on both sides
		if err := c.delivered(); err != nil {
			return err
		}
	}
	r.Step("Shutdown is called, without a deadline that matters")
	down := r.Go(func() error { return s.Shutdown(r.Context()) })
	for range 100 { // until it shows, if it does
		if s.Post(func() {}) != nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	g.open()
	for i, c := range crowd {
		if err := c.expect([]byte("one of many")); err != nil {
			return spec.Fail("what had arrived to be delivered, and its replies to be sent", "client %d of %d: %v", i+1, len(crowd), err)
		}
		c.Close()
	}
	for i, c := range backlog {
		if err := c.expect([]byte("late, and in time")); err != nil {
			return spec.Fail("clients who were connected when Shutdown began to be served", "client %d of %d in the backlog: %v", i+1, len(backlog), err)
		}
		c.Close()
	}
	if err := waiting.expect(frames...); err != nil {
		return spec.Fail("what had arrived to be delivered, and its replies to be sent", "%v", err)
	}
	for what, c := range map[string]*client{"the client that got its replies": waiting, "a silent client": silent} {
		if err := c.expectEnd(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	select {
	case err := <-down:
		return spec.Fail("Shutdown to wait for what is owed", "it returned %v while a client had not read its 12 MiB", err)
	default:
	}
	r.Step("the slow client reads")
	if err := slow.expectBytes(large); err != nil {
		return spec.Fail("what was queued to be sent", "%v", err)
	}
	if err := slow.expectEnd(); err != nil {
		return err
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
	return s.runEnded()
}

func shutdownForces(r *spec.Run, new New) error {
	d := newDiary(r)
	o := d.options()
	o.MaxQueued = 2 * unread
	o.OnMessage = func(c Conn, msg []byte) { c.Write(make([]byte, unread)) }
	s, c, err := serveOne(r, new, o)
	if err != nil {
		return err
	}
	r.Step("12 MiB are owed to a client that never reads")
	if err := c.pieces(appendFrame(nil, []byte("much"))); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r.Step("Shutdown; then its context ends")
	down := r.Go(func() error { return s.Shutdown(ctx) })
	if err := r.Until("Shutdown to stop accepting", func() bool { return refused(s.addr) }); err != nil {
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
	if l := d.of(c); l.closed != 1 {
		return spec.Fail("OnClose once for a connection closed by force, before Shutdown returns", "%d times", l.closed)
	}
	return s.runEnded()
}

// refused reports whether nobody listens on addr.
func refused(addr string) bool {
	c, err := net.Dial("tcp", addr)
	if err == nil {
		c.Close()
	}
	return err != nil
}

func shutdownIsRepeatable(r *spec.Run, new New) error {
	d := newDiary(r)
	r.Step("Shutdown before Run, then Run")
	early, err := new(d.options())
	if err != nil {
		return err
	}
	addr, err := early.Listen("127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := r.Call("Shutdown before Run to return", func() error { return early.Shutdown(r.Context()) }); err != nil {
		return spec.Fail("Shutdown before Run to return nil", "it returned: %v", err)
	}
	if err := r.Call("Run to return at once after Shutdown", early.Run); err != nil {
		return spec.Fail("Run to return nil after Shutdown", "it returned: %v", err)
	}
	if !refused(addr.String()) {
		return spec.Fail("the listener to be closed", "it still takes connections")
	}
	s, err := serve(r, new, d.options())
	if err != nil {
		return err
	}
	c, err := dial(r, s.addr)
	if err != nil {
		return err
	}
	conn, err := d.waitOpen(c)
	if err != nil {
		return err
	}
	r.Step("Shutdown three times at once, and once more")
	var calls []<-chan error
	for range 3 {
		calls = append(calls, r.Go(func() error { return s.Shutdown(r.Context()) }))
	}
	for _, call := range calls {
		err, late := spec.Wait(r, "each of three Shutdowns at once to return", call)
		if err := errors.Join(err, late); err != nil {
			return err
		}
	}
	if err := s.shutdown(); err != nil {
		return err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(pair[1])
	for what, err := range map[string]error{
		"Post":  s.Post(func() {}),
		"Adopt": s.Adopt(pair[0]),
		"Send":  conn.Send([]byte("too late")),
	} {
		if !errors.Is(err, net.ErrClosed) {
			return spec.Fail(what+" to return net.ErrClosed after Shutdown", "it returned: %v", err)
		}
	}
	if isOpen(pair[0], unix.S_IFSOCK) {
		return spec.Fail("Adopt to close the descriptor when it returns an error", "it is still open")
	}
	return nil
}

// nothingIsLeft makes and ends loops whose connections end in every way there
// is, and counts.
func nothingIsLeft(r *spec.Run, new New) error {
	goroutines, files := runtime.NumGoroutine(), descriptors()
	for round := range 4 {
		if err := wholeLife(r, new, round); err != nil {
			return err
		}
	}
	r.Step("a loop that never runs, and one whose Listen fails")
	unused, err := new(Options[Conn]{OnMessage: func(Conn, []byte) {}})
	if err != nil {
		return err
	}
	if _, err := unused.Listen("127.0.0.1:0"); err != nil {
		return err
	}
	unused.Listen("203.0.113.1:1") // an address that is not ours
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unused.Adopt(pair[0]); err != nil {
		return spec.Fail("Adopt before Run to return nil", "it returned: %v", err)
	}
	unix.Close(pair[1])
	if err := r.Call("Shutdown before Run to return", func() error { return unused.Shutdown(r.Context()) }); err != nil {
		return err
	}
	if err := r.Until("every descriptor to be closed", func() bool { return descriptors() <= files }); err != nil {
		return spec.Fail("every descriptor to be closed after Shutdown", "%d more are open than before", descriptors()-files)
	}
	if err := r.Until("every goroutine to end", func() bool { return runtime.NumGoroutine() <= goroutines }); err != nil {
		return spec.Fail("every goroutine to end with its loop", "%d more than before", runtime.NumGoroutine()-goroutines)
	}
	return nil
}

func wholeLife(r *spec.Run, new New, round int) error {
	d := newDiary(r)
	o := d.options()
	o.OnMessage = func(c Conn, msg []byte) {
		ending(c, msg)
		if string(msg) == "panic" {
			panic("on purpose")
		}
	}
	l, err := new(o)
	if err != nil {
		return err
	}
	addr, err := l.Listen("127.0.0.1:0")
	if err != nil {
		return err
	}
	ended := r.Go(l.Run)
	var clients []net.Conn
	for i, way := range []string{"close twice", "abort", "panic", "leave", "reset", "half a frame", "stay", "stay"} {
		c, err := dial(r, addr.String())
		if err != nil {
			return err
		}
		clients = append(clients, c)
		if _, err := d.waitOpen(c); err != nil {
			return err
		}
		r.Step("loop %d, connection %d: %s", round+1, i+1, way)
		switch way {
		case "leave":
			c.CloseWrite()
		case "reset":
			c.reset()
		case "half a frame":
			c.raw([]byte{0, 0, 1})
			c.CloseWrite()
		case "stay":
			continue
		default:
			c.send([]byte(way))
		}
		if _, late := d.waitClosed(c, way); late != nil {
			return late
		}
	}
	if pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err == nil {
		l.Adopt(pair[0])
		defer unix.Close(pair[1])
	}
	ctx, cancel := context.WithCancel(r.Context())
	if round%2 == 1 {
		cancel() // by force
	}
	defer cancel()
	if err := r.Call("Shutdown to return", func() error {
		err := l.Shutdown(ctx)
		if errors.Is(err, context.Canceled) {
			return nil
		}
		return err
	}); err != nil {
		return err
	}
	for _, c := range clients {
		c.Close()
	}
	err, late := spec.Wait(r, "Run to return", ended)
	if err := errors.Join(err, late); err != nil {
		return err
	}
	for _, l := range d.all() {
		if l.closed != l.opened {
			return spec.Fail("OnClose once for each OnOpen", "%d for %d, of %s", l.closed, l.opened, l.peer)
		}
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

func childrenInheritNothing(r *spec.Run, new New) error {
	before := inheritable()
	d := newDiary(r)
	s, err := serve(r, new, d.options())
	if err != nil {
		return err
	}
	c, err := dial(r, s.addr)
	if err != nil {
		return err
	}
	if _, err := d.waitOpen(c); err != nil {
		return err
	}
	r.Step("a loop with a listener and a connection; look at FD_CLOEXEC of every descriptor")
	for fd, what := range inheritable() {
		if _, was := before[fd]; !was {
			return spec.Fail("FD_CLOEXEC on every descriptor", "descriptor %d (%s) has it not", fd, what)
		}
	}
	return nil
}

// inheritable lists the open files that a child would get.
func inheritable() map[int]string {
	found := map[int]string{}
	names, _ := os.ReadDir("/proc/self/fd")
	for _, name := range names {
		fd, _ := strconv.Atoi(name.Name())
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			found[fd], _ = os.Readlink("/proc/self/fd/" + name.Name())
		}
	}
	return found
}

func signalsDoNotMatter(r *spec.Run, new New) error {
	const rounds = 300
	var e echo
	s, err := serve(r, new, Options[Conn]{OnMessage: e.message})
	if err != nil {
		return err
	}
	c, err := dial(r, s.addr)
	if err != nil {
		return err
	}
	r.Step("every thread gets a signal over and over, while a client has %d echoes", rounds)
	stop, storm := signalStorm()
	defer func() { stop(); storm.Wait() }()
	for i := range rounds {
		p := pattern(i, 50)
		if err := c.send(p); err != nil {
			return err
		}
		if err := c.expect(p); err != nil {
			return spec.Fail("the loop to go on after a signal", "%v", err)
		}
	}
	select {
	case err := <-s.ended:
		return spec.Fail("Run to go on after a signal", "it returned: %v", err)
	default:
		return e.verdict()
	}
}

// signalStorm sends SIGURG, which Go's runtime uses itself and survives, to
// every thread of the process until stop is called.
func signalStorm() (stop func(), done *sync.WaitGroup) {
	var stopped atomic.Bool
	var storm sync.WaitGroup
	storm.Go(func() {
		for !stopped.Load() {
			tasks, _ := os.ReadDir("/proc/self/task")
			for _, task := range tasks {
				tid, _ := strconv.Atoi(task.Name())
				unix.Tgkill(os.Getpid(), tid, unix.SIGURG)
			}
			runtime.Gosched()
		}
	})
	return func() { stopped.Store(true) }, &storm
}
