package eventlooptest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// fault is one way in which a variant is wrong. It is a word for the reader;
// the code says what each does.
type fault string

// variant is a right loop in another style than the solution's: Send writes at
// once, from any goroutine, under the connection's lock; connections are found
// by a number that is never used again; a pipe wakes the loop; timers are a
// sorted slice. With a fault it is a mutant. variant_conn_test.go has the
// connection.
type variant struct {
	o     Options[Conn]
	fault fault

	ep, wakeR, wakeW int            // the same eventfd twice, if one was given
	listeners        map[uint64]int // by event id; loop goroutine only
	conns            map[uint64]*variantConn
	lastID           uint64
	ready, spare     []*variantConn
	timers           []*variantTimer
	failed           error // why Run ends
	buf              []byte
	draining         bool

	mu       sync.Mutex // guards the following
	inbox    []item
	spareBox []item
	woken    bool // a byte is in the pipe, or about to be
	stopping bool
	ran      bool
	released bool

	force atomic.Bool
	done  chan struct{}
}

// item is work from another goroutine: a function or a descriptor to adopt.
type item struct {
	fn func()
	fd int
}

const wakeID = 0

// The second right style: Send queues, and the loop writes at its next turn.
const throughTheLoop fault = "right: sends through the loop"

func newVariant(f fault) New {
	return func(o Options[Conn]) (Loop, error) {
		if (o.OnMessage == nil) == (o.OnData == nil) && f != "takes any options" {
			return nil, errors.New("set one of OnMessage and OnData")
		}
		if o.MaxMessage < 0 || o.MaxQueued < 0 {
			return nil, errors.New("negative bound")
		}
		if o.MaxMessage == 0 {
			o.MaxMessage = 1 << 20
		}
		if o.MaxQueued == 0 {
			o.MaxQueued = 4 << 20
		}
		v := &variant{o: o, fault: f, listeners: map[uint64]int{}, conns: map[uint64]*variantConn{},
			buf: make([]byte, 32<<10), done: make(chan struct{})}
		flags := unix.EPOLL_CLOEXEC
		if f == "descriptors without CLOEXEC" {
			flags = 0
		}
		pipe := [2]int{o.WakeFD, o.WakeFD}
		var err error
		if v.ep, err = unix.EpollCreate1(flags); err != nil {
			return nil, err
		}
		if o.WakeFD == 0 {
			if err := unix.Pipe2(pipe[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
				unix.Close(v.ep)
				return nil, err
			}
		}
		v.wakeR, v.wakeW = pipe[0], pipe[1]
		return v, v.watch(unix.EPOLL_CTL_ADD, v.wakeR, wakeID, unix.EPOLLIN)
	}
}

func (v *variant) watch(op, fd int, id uint64, events uint32) error {
	return unix.EpollCtl(v.ep, op, fd, &unix.EpollEvent{Events: events, Fd: int32(id), Pad: int32(id >> 32)})
}

func (v *variant) newID(fd int) uint64 {
	if v.fault == "handles a stale event after close" {
		return uint64(fd) << 1 // the next owner of fd gets the same
	}
	v.lastID += 2
	return v.lastID
}

func (v *variant) Listen(addr string) (net.Addr, error) {
	a, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if v.o.ReusePort && v.fault != "ReusePort is ignored" || v.fault == "ReusePort always" {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}
	sa := &unix.SockaddrInet4{Port: a.Port}
	copy(sa.Addr[:], a.IP.To4())
	if err := errors.Join(unix.Bind(fd, sa), unix.Listen(fd, 1024)); err != nil {
		if v.fault != "leaks when Listen fails" {
			unix.Close(fd)
		}
		return nil, fmt.Errorf("listen %s: %w", addr, err)
	}
	id := uint64(len(v.listeners))<<1 | 1 // odd: no connection has it
	v.listeners[id] = fd
	bound, _ := unix.Getsockname(fd)
	return tcpAddr(bound), v.watch(unix.EPOLL_CTL_ADD, fd, id, unix.EPOLLIN)
}

func tcpAddr(sa unix.Sockaddr) net.Addr {
	if in, ok := sa.(*unix.SockaddrInet4); ok {
		return &net.TCPAddr{IP: net.IP(in.Addr[:]), Port: in.Port}
	}
	return &net.UnixAddr{Net: "unix"}
}

func (v *variant) Adopt(fd int) error {
	peer, err := unix.Getpeername(fd)
	if err == nil && v.fault != "leaves an adopted socket blocking" {
		err = unix.SetNonblock(fd, true)
	}
	if err == nil {
		unix.CloseOnExec(fd)
		err = v.post(item{fn: func() { v.open(fd, tcpAddr(peer)) }, fd: fd}, false)
	}
	if err != nil && v.fault != "leaks what it cannot adopt" {
		unix.Close(fd)
	}
	return err
}

func (v *variant) Run() error {
	v.mu.Lock()
	if v.stopping {
		v.mu.Unlock()
		return nil
	}
	v.ran = true
	v.mu.Unlock()
	err := v.loop()
	v.release() // not deferred: a panic that nobody recovers ends the process
	return err
}

func (v *variant) loop() error {
	events := make([]unix.EpollEvent, 64)
	for !v.force.Load() && v.failed == nil && !(v.draining && len(v.conns) == 0) {
		n, err := unix.EpollWait(v.ep, events, v.timeout())
		if err == unix.EINTR && v.fault != "a signal ends Run" {
			n, err = 0, nil
		}
		if err != nil {
			return err
		}
		for _, e := range events[:n] {
			v.dispatch(uint64(uint32(e.Fd))|uint64(uint32(e.Pad))<<32, e.Events)
		}
		v.goOn()
		v.runTimers()
		v.runInbox()
	}
	if v.fault == "Run returns an error after Shutdown" {
		return net.ErrClosed
	}
	return v.failed
}

func (v *variant) timeout() int {
	switch {
	case len(v.ready) > 0:
		return 0
	case len(v.timers) == 0 || v.fault == "a timer does not wake an idle loop":
		return -1
	}
	d := time.Until(v.timers[0].when)
	if v.fault == "rounds its sleep down" {
		return max(0, int(d/time.Millisecond))
	}
	return max(0, int((d+time.Millisecond-1)/time.Millisecond))
}

func (v *variant) dispatch(id uint64, events uint32) {
	if id == wakeID {
		var b [64]byte
		unix.Read(v.wakeR, b[:])
		if v.fault != "loses a wake-up" {
			v.mu.Lock()
			v.woken = false
			v.mu.Unlock()
		}
		return
	}
	if fd, ok := v.listeners[id]; ok {
		v.accept(fd)
		return
	}
	if c := v.conns[id]; c != nil {
		c.event(events)
	}
}

func (v *variant) accept(fd int) {
	for range 16 {
		conn, sa, err := unix.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
			v.open(conn, tcpAddr(sa))
		case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			if v.fault != "spins on EMFILE" {
				v.pauseAccept()
			}
			return
		case unix.EINTR, unix.ECONNABORTED:
		default:
			return
		}
	}
}

func (v *variant) pauseAccept() {
	for id, fd := range v.listeners {
		v.watch(unix.EPOLL_CTL_MOD, fd, id, 0)
	}
	if v.fault == "gives up accepting at EMFILE" {
		return
	}
	v.AfterFunc(20*time.Millisecond, func() {
		for id, fd := range v.listeners {
			v.watch(unix.EPOLL_CTL_MOD, fd, id, unix.EPOLLIN)
		}
	})
}

// goOn serves the connections that had more to do than one turn allows.
func (v *variant) goOn() {
	now := v.ready
	v.ready = v.spare[:0]
	for _, c := range now {
		c.isReady = false
		c.serve()
	}
	clear(now)
	v.spare = now
}

// post queues work. Work of the loop's own is taken until release.
func (v *variant) post(it item, own bool) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.released || v.stopping && !own {
		return net.ErrClosed
	}
	v.inbox = append(v.inbox, it)
	if !v.woken || v.fault == "wakes for each Send" {
		v.woken = true
		unix.Write(v.wakeW, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // 8 bytes: it may be an eventfd
	}
	return nil
}

func (v *variant) Post(fn func()) error {
	switch v.fault {
	case "Post runs on the caller's goroutine":
		fn()
		return nil
	case "Post runs the last one first":
		v.mu.Lock()
		v.inbox = slices.Insert(v.inbox, 0, item{fn: fn, fd: -1})
		v.mu.Unlock()
		return v.post(item{fn: func() {}, fd: -1}, false)
	}
	err := v.post(item{fn: fn, fd: -1}, false)
	if v.fault == "Post after Shutdown says nil" {
		return nil
	}
	return err
}

func (v *variant) runInbox() {
	v.mu.Lock()
	work := v.inbox
	v.inbox = v.spareBox[:0]
	v.mu.Unlock()
	for _, it := range work {
		v.protect(it.fn)
	}
	clear(work)
	v.mu.Lock()
	v.spareBox = work
	if v.fault == "loses a wake-up" {
		v.woken = false // what came while the work was done is not seen
	}
	v.mu.Unlock()
}

func (v *variant) Shutdown(ctx context.Context) error {
	v.mu.Lock()
	again, ran := v.stopping, v.ran
	v.stopping = true
	v.mu.Unlock()
	if again && v.fault == "second Shutdown panics" {
		panic("close of closed channel")
	}
	if !ran {
		if v.fault == "Shutdown before Run waits for ever" {
			select {}
		}
		v.release()
		return nil
	}
	if !again {
		v.post(item{fn: v.drain, fd: -1}, true)
	}
	if v.fault == "Shutdown does not wait" {
		return nil
	}
	if v.fault == "leaves a goroutine" {
		go func() { <-make(chan int) }()
	}
	if v.fault == "Shutdown ignores its context" {
		ctx = context.Background()
	}
	select {
	case <-v.done:
		return nil
	case <-ctx.Done():
	}
	v.force.Store(true)
	v.post(item{fn: func() {}, fd: -1}, true)
	<-v.done
	if v.fault == "hides that it used force" {
		return nil
	}
	return ctx.Err()
}

// drain reads what has arrived on every connection, and ends it.
func (v *variant) drain() {
	for _, fd := range v.listeners {
		for range 256 { // 16 each
			if v.fault != "the backlog is dropped" {
				v.accept(fd)
			}
		}
	}
	v.draining = true
	if v.fault != "leaves the listener open" {
		v.closeListeners()
	}
	for _, c := range v.conns {
		switch v.fault {
		case "Shutdown loses what has arrived":
			c.end(nil)
		case "Shutdown loses what is queued":
			c.teardown(nil)
		default:
			c.drain()
		}
	}
}

func (v *variant) closeListeners() {
	for _, fd := range v.listeners {
		unix.Close(fd)
	}
	clear(v.listeners)
}

func (v *variant) release() {
	v.mu.Lock()
	first := !v.released
	v.released, v.stopping = true, true
	left := v.inbox
	v.mu.Unlock()
	if !first {
		return
	}
	for _, it := range left {
		if it.fd >= 0 && v.fault != "what was adopted before Run stays open" {
			unix.Close(it.fd)
		}
	}
	if v.fault != "leaves connections open by force" {
		for _, c := range v.conns {
			c.teardown(errors.New("closed by force"))
		}
	}
	v.closeListeners()
	if v.o.WakeFD == 0 || v.fault == "closes an eventfd that was lent" {
		v.mu.Lock() // no post writes to the pipe any more
		unix.Close(v.wakeW)
		v.mu.Unlock()
		unix.Close(v.wakeR)
	}
	if v.fault != "leaks the epoll descriptor" {
		unix.Close(v.ep)
	}
	close(v.done)
}

type variantTimer struct {
	when time.Time
	fn   func()
	out  bool // fired or stopped
}

func (v *variant) AfterFunc(d time.Duration, fn func()) (stop func() bool) {
	t := &variantTimer{when: time.Now().Add(d), fn: fn}
	at, _ := slices.BinarySearchFunc(v.timers, t, func(a, b *variantTimer) int {
		if c := a.when.Compare(b.when); c != 0 {
			return c
		}
		return -1 // equal ones in the order they were made
	})
	if v.fault == "timers fire in the order they were made" {
		at = len(v.timers)
	}
	v.timers = slices.Insert(v.timers, at, t)
	return func() bool {
		if v.fault == "stop is ignored" {
			return true
		}
		before := t.out
		t.out = true
		return !before || v.fault == "stop always says true"
	}
}

// protect runs what belongs to no connection. A panic in it ends Run.
func (v *variant) protect(fn func()) {
	defer func() {
		p := recover()
		switch {
		case p == nil || v.failed != nil:
		case v.fault == "a panic in a posted function is nobody's":
		default:
			v.failed = fmt.Errorf("panic: %v", p)
		}
	}()
	fn()
}

func (v *variant) runTimers() {
	now := time.Now()
	if v.fault == "a timer fires early" {
		now = now.Add(3 * time.Millisecond)
	}
	for len(v.timers) > 0 && (v.timers[0].out || !v.timers[0].when.After(now)) {
		t := v.timers[0]
		v.timers = slices.Delete(v.timers, 0, 1)
		if !t.out {
			t.out = true
			v.protect(t.fn)
		}
	}
}
