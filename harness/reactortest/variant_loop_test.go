package reactortest

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

func newVloop(v *variant, index int) (*vloop, error) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		return nil, err
	}
	return &vloop{v: v, index: index, wakeR: pipe[0], wakeW: pipe[1], before: make(chan func()), discarded: make(chan struct{}),
		ended: make(chan struct{}), conns: map[int]*vconn{}, byNumber: map[int]time.Time{}, buf: make([]byte, 64<<10)}, nil
}

// work is the loop's goroutine.
func (l *vloop) work() {
	if !l.v.o.OwnTables || l.v.fault == "OwnTables is ignored" {
		l.rest()
		return
	}
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		unix.Unshare(unix.CLONE_FILES)
		l.rest()
		return
	}
	other := make(chan struct{}) // the process's first thread never ends: not this one
	go func() {
		runtime.LockOSThread()
		close(other)
		unix.Unshare(unix.CLONE_FILES)
		l.rest()
	}()
	<-other
	runtime.UnlockOSThread()
}

// rest does what it is told to before it runs, and runs.
func (l *vloop) rest() {
	defer func() {
		close(l.ended)
		l.v.working.Done()
		if l.v.o.OwnTables && l.v.fault == "a thread with its table stays" || l.v.fault == "leaves a goroutine" {
			select {}
		}
	}()
	for {
		select {
		case fn, wait := <-l.before:
			if !wait {
				l.run()
				return
			}
			fn()
		case <-l.discarded:
			return
		}
	}
}

// do runs fn on the loop's goroutine before it runs the loop.
func (l *vloop) do(fn func()) {
	done := make(chan struct{})
	l.before <- func() { fn(); close(done) }
	<-done
}

func (l *vloop) begin() {
	l.ep, _ = unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	l.watch(unix.EPOLL_CTL_ADD, l.wakeR, unix.EPOLLIN)
	if l.v.fault == "forgets whom it sends away" || l.v.fault == "trusts in its reserve" {
		l.spare, _ = unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
}

func (l *vloop) watch(op, fd int, events uint32) error {
	return unix.EpollCtl(l.ep, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

func (l *vloop) listen(addr string) (net.Addr, error) {
	a, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if l.v.o.Accept == "reuseport" || l.v.fault == "SO_REUSEPORT always" {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}
	sa := &unix.SockaddrInet4{Port: a.Port}
	copy(sa.Addr[:], a.IP.To4())
	if err := unix.Bind(fd, sa); err != nil {
		if l.v.fault != "leaks when Listen fails" {
			unix.Close(fd)
		}
		return nil, err
	}
	unix.Listen(fd, 4096)
	name, _ := unix.Getsockname(fd)
	l.listeners = append(l.listeners, fd)
	if len(l.listeners) == 1 || l.v.fault != "only the first address is served" {
		l.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN)
	}
	bound := name.(*unix.SockaddrInet4)
	return &net.TCPAddr{IP: net.IP(bound.Addr[:]), Port: bound.Port}, nil
}

// post queues fn and wakes the loop, once for a batch.
func (l *vloop) post(fn func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.inbox = append(l.inbox, fn)
	if !l.woken || l.v.fault == "wakes for each Send" {
		l.woken = true
		unix.Write(l.wakeW, []byte{1})
	}
	return true
}

func (l *vloop) run() {
	events := make([]unix.EpollEvent, 128)
	for !l.finished() {
		timeout := -1
		if l.ticking || l.draining || !l.paused.IsZero() {
			timeout = 10
		}
		n, _ := unix.EpollWait(l.ep, events, timeout)
		for _, e := range events[:max(n, 0)] {
			l.handle(int(e.Fd), e.Events)
		}
		l.runInbox()
		l.tick(time.Now())
		if l.force.Load() && l.v.fault != "ignores force" {
			l.endAll(errors.New("forced"))
		}
	}
	l.close()
}

// finished also closes the inbox, in one step with seeing it empty.
func (l *vloop) finished() bool {
	if !l.draining && !l.force.Load() || len(l.conns) > 0 {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = len(l.inbox) == 0
	return l.closed
}

func (l *vloop) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	for _, fd := range l.listeners {
		unix.Close(fd)
	}
	unix.Close(l.ep)
}

func (l *vloop) endAll(err error) {
	for _, c := range l.conns {
		c.end(err)
	}
}

func (l *vloop) handle(fd int, events uint32) {
	if fd == l.wakeR {
		unix.Read(fd, l.buf)
		return
	}
	for _, listener := range l.listeners {
		if fd == listener {
			l.accept(fd, 64)
			return
		}
	}
	if c := l.conns[fd]; c != nil {
		c.handle(events)
	}
}

func (l *vloop) runInbox() {
	l.mu.Lock()
	work := l.inbox
	l.inbox, l.woken = nil, false
	l.mu.Unlock()
	for _, fn := range work {
		l.posted(fn)
	}
}

// posted runs what was given to Post. A panic in it ends the reactor.
func (l *vloop) posted(fn func()) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if l.v.fault != "a failure is not told" {
			l.v.fail(fmt.Errorf("panic: %v", p))
		}
		failed := l.v.loops
		if l.v.fault == "a loop fails alone" {
			failed = []*vloop{l}
		}
		for _, other := range failed {
			other.force.Store(true)
			if other != l {
				other.post(func() {})
			}
		}
	}()
	fn()
}

func (l *vloop) accept(listener, most int) {
	for range most {
		fd, sa, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
			l.handOff(fd, sa)
		case unix.EAGAIN:
			if l.v.fault == "accept sleeps 10 ms" {
				unix.Poll(nil, 10)
				l.disarm(10 * time.Millisecond)
			}
			return
		case unix.EINTR, unix.ECONNABORTED:
		default:
			switch l.v.fault {
			case "spins at EMFILE":
			case "trusts in its reserve":
				unix.Close(l.spare)
				if fd, _, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC); err == nil {
					unix.Close(fd)
				}
				l.spare, _ = unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
			case "gives up accepting at EMFILE":
				l.disarm(time.Hour)
			case "forgets whom it sends away": // gives up a descriptor for him, and keeps it
				unix.Close(l.spare)
				unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
				l.disarm(50 * time.Millisecond)
			default:
				l.disarm(50 * time.Millisecond)
			}
			return
		}
	}
}

// disarm stops looking at the listeners for a while.
func (l *vloop) disarm(d time.Duration) {
	l.paused = time.Now().Add(d)
	for _, fd := range l.listeners {
		l.watch(unix.EPOLL_CTL_MOD, fd, 0)
	}
}

func (l *vloop) handOff(fd int, sa unix.Sockaddr) {
	to := l
	if l.v.o.Accept != "reuseport" || l.v.fault == "all connections on one loop" && !l.v.o.OwnTables {
		to = l.v.pick()
	}
	to.given.Add(1)
	switch l.v.fault {
	case "the hand-off drops when a loop is busy":
		to.mu.Lock()
		full := len(to.inbox) > 8
		to.mu.Unlock()
		if full {
			unix.Close(fd)
			return
		}
	case "the acceptor waits for a busy loop":
		if to != l {
			taken := make(chan struct{})
			to.post(func() { to.register(fd, sa); close(taken) })
			<-taken
			return
		}
	case "OnOpen runs on the acceptor":
		to.register(fd, sa)
		return
	case "lost between accept and registration":
		to.mu.Lock()
		if to.woken && to != l { // "somebody else has woken it, and will take mine with his"
			to.mu.Unlock()
			return
		}
		to.mu.Unlock()
	}
	switch {
	case to == l:
		l.register(fd, sa)
	case !to.post(func() { to.register(fd, sa) }): // it takes none any more
		unix.Close(fd)
	}
}

func (l *vloop) register(fd int, sa unix.Sockaddr) {
	from := sa.(*unix.SockaddrInet4)
	c := &vconn{l: l, fd: fd, peer: &net.TCPAddr{IP: net.IP(from.Addr[:]), Port: from.Port}, heard: time.Now(), look: time.Now().Add(l.v.o.IdleTimeout)}
	if l.v.fault == "who has sent already is not heard" {
		if n, _ := unix.IoctlGetInt(fd, unix.TIOCINQ); n > 0 {
			c.deaf = true
		}
	}
	c.interest = c.wants()
	if err := l.watch(unix.EPOLL_CTL_ADD, fd, c.interest); err != nil {
		unix.Close(fd)
		return
	}
	if l.v.fault == "the client who has left already is dropped" {
		set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		if unix.Poll(set, 0); set[0].Revents != 0 {
			unix.Close(fd)
			return
		}
	}
	l.conns[fd] = c
	if l.v.fault == "a timer holds its connection" {
		time.AfterFunc(time.Hour, func() { c.value = nil })
	}
	l.open.Add(1)
	l.ticking = l.ticking || l.v.o.IdleTimeout > 0
	if l.v.o.OnOpen != nil {
		l.v.call(c, func() { l.v.o.OnOpen(c) })
	}
}

// tick looks at every connection: for timeouts, and for those that wait for
// their last byte to be acknowledged.
func (l *vloop) tick(now time.Time) {
	if !l.paused.IsZero() && now.After(l.paused) {
		l.paused = time.Time{}
		for _, fd := range l.listeners {
			l.watch(unix.EPOLL_CTL_MOD, fd, unix.EPOLLIN)
		}
	}
	if !l.ticking && !l.draining || l.asleep {
		return
	}
	l.ticking = false
	for _, c := range l.conns {
		c.tick(now)
	}
	for fd, due := range l.byNumber {
		l.ticking = true
		if now.After(due) {
			delete(l.byNumber, fd)
			if c := l.conns[fd]; c != nil {
				l.v.call(c, func() { l.v.o.OnTimeout(c) })
			}
		}
	}
	l.asleep = l.v.fault == "who sleeps is not woken" && !l.ticking && !l.draining
}

// stopAccepting takes what is in the backlog, and closes the listeners.
func (l *vloop) stopAccepting() {
	for _, fd := range l.listeners {
		if l.v.fault != "the backlog is dropped" && !(l.v.fault == "who rests drops the backlog" && !l.paused.IsZero()) {
			l.accept(fd, 1<<20)
		}
		unix.Close(fd)
	}
	l.listeners, l.paused = nil, time.Time{}
}

// drain begins the end: what has arrived is delivered, what is queued is sent.
func (l *vloop) drain() {
	l.stopAccepting()
	l.draining = true
	if l.v.fault == "drain drops queued bytes" {
		l.endAll(nil)
		return
	}
	for _, c := range l.conns {
		c.drain()
	}
}
