package epolltest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// fault is one way in which a variant is wrong. It is a word for the reader;
// the code below says what each does.
type fault string

// variant is a right server in another style than the solution's: peers in a
// slice indexed by descriptor, what is owed as a queue of chunks, a pipe for
// waking. With a fault it is a mutant.
type variant struct {
	max   int
	fault fault

	ep, ln     int
	wakeR      int
	wakeW      int
	peers      []*peer // by descriptor; loop goroutine only
	buf        [16 << 10]byte
	drained    []int     // loop goroutine only: for fault "closes twice, later"
	quietUntil time.Time // loop goroutine only: the listener is disarmed until then
	draining   bool      // loop goroutine only

	mu    sync.Mutex
	state string // guarded by mu: "", "running", "stopping", "closed"
	force atomic.Bool
	done  chan struct{}
}

type peer struct {
	fd     int
	out    [][]byte // chunks owed
	owed   int      // bytes in out
	eof    bool
	paused bool
	left   int // bytes still to be read; -1: no limit
	armed  uint32
	heard  int    // bytes read
	spare  []byte // for fault "keeps the memory of a burst"
}

func newVariant(f fault) New {
	return func(o Options) (Server, error) {
		if o.MaxUnsent < 0 && f != "takes any MaxUnsent" {
			return nil, errors.New("variant: negative MaxUnsent")
		}
		v := &variant{max: o.MaxUnsent, fault: f, ln: -1, done: make(chan struct{})}
		if v.max == 0 {
			v.max = 1 << 20
		}
		flags := unix.O_CLOEXEC
		if f == "no CLOEXEC" {
			flags = 0
		}
		v.ep, _ = unix.EpollCreate1(flags)
		var pipe [2]int
		unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK)
		v.wakeR, v.wakeW = pipe[0], pipe[1]
		v.watch(unix.EPOLL_CTL_ADD, v.wakeR, unix.EPOLLIN)
		if f == "leaves a goroutine" {
			go func() { select {} }()
		}
		return v, nil
	}
}

func (v *variant) is(f fault) bool { return v.fault == f }

func (v *variant) watch(op, fd int, events uint32) error {
	return unix.EpollCtl(v.ep, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

func (v *variant) Listen(addr string) (net.Addr, error) {
	a := netip.MustParseAddrPort(addr)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if !v.is("no SO_REUSEADDR") {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	if v.is("shares its address") {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}
	err = unix.Bind(fd, &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()})
	if err == nil {
		err = unix.Listen(fd, 1024)
	}
	if err != nil {
		unix.Close(fd)
		if v.is("hides why it cannot listen") {
			return nil, errors.New("listen failed")
		}
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	v.ln = fd
	sa, _ := unix.Getsockname(fd)
	if v.is("returns the port it was asked for") {
		return net.TCPAddrFromAddrPort(a), nil
	}
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: sa.(*unix.SockaddrInet4).Port}, v.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN)
}

func (v *variant) Run() error {
	v.mu.Lock()
	if v.state == "stopping" && !v.is("forgets a Shutdown before Run") {
		v.mu.Unlock()
		v.release()
		return nil
	}
	if v.state == "closed" {
		v.mu.Unlock()
		return nil
	}
	v.state = "running"
	v.mu.Unlock()
	defer v.release()
	var events [64]unix.EpollEvent
	for !v.finished() {
		n, err := unix.EpollWait(v.ep, events[:], v.timeout())
		switch {
		case err == unix.EINTR && v.is("ranges over -1 events"):
		case err == unix.EINTR && !v.is("EINTR ends Run"):
			continue
		case err != nil:
			return err
		}
		for _, e := range events[:n] {
			if err := v.event(int(e.Fd), e.Events); err != nil {
				return err
			}
		}
		if !v.quietUntil.IsZero() && time.Now().After(v.quietUntil) {
			v.quietUntil = time.Time{}
			v.watch(unix.EPOLL_CTL_MOD, v.ln, unix.EPOLLIN)
		}
		for _, fd := range v.drained {
			unix.Close(fd)
		}
		v.drained = v.drained[:0]
	}
	return nil
}

func (v *variant) timeout() int {
	if v.is("never waits") {
		return 0
	}
	if v.quietUntil.IsZero() {
		return -1
	}
	return 20
}

func (v *variant) finished() bool {
	if v.force.Load() && !v.is("ignores the context") {
		return true
	}
	return v.draining && !slices.ContainsFunc(v.peers, func(p *peer) bool { return p != nil })
}

func (v *variant) event(fd int, events uint32) error {
	switch {
	case fd == v.wakeR:
		v.woken()
		return nil
	case fd == v.ln:
		return v.accept()
	case v.peers[fd] == nil:
		return nil
	}
	return v.turn(v.peers[fd], events)
}

func (v *variant) accept() error {
	flags := unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC
	if v.is("sockets that block") {
		flags = unix.SOCK_CLOEXEC
	}
	fd, _, err := unix.Accept4(v.ln, flags)
	switch {
	case err == nil:
		v.admit(fd)
	case err == unix.EAGAIN || err == unix.EINTR || err == unix.ECONNABORTED:
	case v.is("spins at EMFILE"):
	case v.is("EMFILE ends Run"):
		return err
	case v.is("never accepts again after EMFILE"):
		v.watch(unix.EPOLL_CTL_MOD, v.ln, 0)
	case v.is("waits for a descriptor in the loop"):
		for err == unix.EMFILE && !v.force.Load() {
			time.Sleep(10 * time.Millisecond)
			if fd, _, err = unix.Accept4(v.ln, flags); err == nil {
				v.admit(fd)
			}
		}
	default:
		v.watch(unix.EPOLL_CTL_MOD, v.ln, 0)
		v.quietUntil = time.Now().Add(50 * time.Millisecond)
	}
	return nil
}

func (v *variant) admit(fd int) {
	for len(v.peers) <= fd {
		v.peers = append(v.peers, nil)
	}
	p := &peer{fd: fd, left: -1}
	v.peers[fd] = p
	p.armed = v.interest(p)
	v.watch(unix.EPOLL_CTL_ADD, fd, p.armed)
	if v.is("a goroutine per connection") {
		go func() { <-v.done }()
	}
}

// turn handles one event of p: read a bite, write, decide.
func (v *variant) turn(p *peer, events uint32) error {
	if events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		if v.is("a reset ends Run") {
			return syscall.ECONNRESET
		}
		if !v.is("learns of a reset from read only") || v.reads(p) {
			v.end(p, !v.is("leaks a reset connection"))
		}
		return nil
	}
	if events&unix.EPOLLIN != 0 && v.reads(p) {
		for again := true; again; {
			again = v.read(p) && v.is("reads until EAGAIN")
		}
		if v.peers[p.fd] != p {
			return nil
		}
	}
	if !v.write(p) {
		return nil
	}
	v.decide(p)
	return nil
}

func (v *variant) reads(p *peer) bool { return !p.eof && !p.paused && p.left != 0 }

// read takes one bite; false when there was nothing, or no room.
func (v *variant) read(p *peer) bool {
	room := min(len(v.buf), v.max-p.owed)
	switch {
	case v.is("reads whole buffers up to the bound"):
		room = len(v.buf)
	case v.is("no bound"), v.is("keeps the rest in one buffer for all"):
		room = len(v.buf)
	}
	if p.left >= 0 {
		room = min(room, p.left)
	}
	if room <= 0 {
		return false
	}
	n, err := unix.Read(p.fd, v.buf[:room])
	if err == unix.EAGAIN || err == unix.EINTR {
		if v.is("EAGAIN is an error") {
			v.end(p, true)
		}
		return false
	}
	if err != nil {
		v.end(p, !v.is("leaks a reset connection"))
		return false
	}
	if n == 0 {
		p.eof = true
		if v.is("drops what is owed at the end of file") {
			v.end(p, true)
		}
		return false
	}
	p.heard += n
	if p.left >= 0 {
		p.left -= n
	}
	if v.is("loses bytes above 1000") {
		n = min(n, 1000)
	}
	v.owe(p, v.buf[:n])
	if v.is("reads until EAGAIN") {
		return v.write(p)
	}
	return true
}

func (v *variant) owe(p *peer, b []byte) {
	p.owed += len(b)
	switch {
	case v.is("keeps a slice of the read buffer"):
		p.out = append(p.out, b)
	case v.is("a late reply overtakes"):
		p.out = append([][]byte{slices.Clone(b)}, p.out...)
	default:
		p.out = append(p.out, slices.Clone(b))
	}
}

// write sends chunks until the kernel takes no more; false when p has ended.
func (v *variant) write(p *peer) bool {
	for len(p.out) > 0 {
		b := p.out[0]
		n, err := unix.Write(p.fd, b)
		if err == unix.EAGAIN {
			switch v.fault {
			case "EAGAIN is an error":
				v.end(p, true)
				return false
			case "waits until the peer reads":
				unix.Poll([]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLOUT}}, 1000)
				if v.force.Load() {
					return true
				}
				continue
			case "drops what the kernel does not take":
				p.out, p.owed = nil, 0
			}
			return true
		}
		if err != nil {
			v.end(p, !v.is("leaks a reset connection"))
			return false
		}
		switch {
		case n < len(b) && v.is("ignores a short write"):
			n = len(b)
		case n < len(b) && v.is("starts again after a short write"):
			continue
		}
		p.owed -= n
		if p.out[0] = b[n:]; n == len(b) {
			p.out = p.out[1:]
		}
		if v.is("one chunk a turn and no EPOLLOUT") {
			return true
		}
	}
	p.out = nil
	return true
}

// decide follows from p's state: the end, a pause, another interest.
func (v *variant) decide(p *peer) {
	if (p.eof && !v.is("does not end at the end of file") || p.left == 0) && p.owed == 0 {
		v.end(p, true)
		return
	}
	resume := p.owed <= v.max/2
	switch v.fault {
	case "never reads again":
		resume = false
	case "reads again at once":
		resume = p.owed < v.max
	case "reads again when all is sent":
		resume = p.owed == 0
	}
	if p.owed >= v.max && !v.is("no bound") {
		p.paused = true
		if v.is("keeps the memory of a burst") && p.spare == nil {
			p.spare = make([]byte, v.max)
		}
	} else if resume {
		p.paused = false
	}
	if want := v.interest(p); want != p.armed {
		v.watch(unix.EPOLL_CTL_MOD, p.fd, want)
		p.armed = want
	}
}

func (v *variant) interest(p *peer) (events uint32) {
	if v.reads(p) || v.is("EPOLLIN stays armed at the bound") && !p.eof || v.is("EPOLLIN stays armed after the end of file") && p.eof {
		events |= unix.EPOLLIN
	}
	if p.owed > 0 && !v.is("EPOLLOUT is never armed") || v.is("EPOLLOUT is always armed") || v.is("EPOLLOUT is never disarmed") && p.armed&unix.EPOLLOUT != 0 {
		events |= unix.EPOLLOUT
	}
	if v.is("EPOLLRDHUP stays armed") {
		events |= unix.EPOLLRDHUP
	}
	return events
}

// end is where a peer ends. close is false for a mutant that leaks.
func (v *variant) end(p *peer, close bool) {
	if v.peers[p.fd] == p {
		v.peers[p.fd] = nil
	}
	if !close {
		v.watch(unix.EPOLL_CTL_DEL, p.fd, 0)
		return
	}
	unix.Close(p.fd)
	switch v.fault {
	case "closes twice":
		v.watch(unix.EPOLL_CTL_DEL, p.fd, 0)
		unix.Close(p.fd)
	case "closes twice, later":
		v.drained = append(v.drained, p.fd)
	}
}

// woken begins the drain.
func (v *variant) woken() {
	unix.Read(v.wakeR, make([]byte, 16))
	if v.draining {
		return
	}
	v.draining = true
	if v.ln >= 0 && !v.is("leaves the listener open") {
		unix.Close(v.ln)
		v.ln = -1
	}
	for _, p := range v.peers {
		if p == nil {
			continue
		}
		p.left, _ = unix.IoctlGetInt(p.fd, unix.SIOCINQ)
		switch v.fault {
		case "Shutdown leaves what has arrived":
			p.left = 0
		case "Shutdown drops what is owed":
			v.end(p, true)
			continue
		case "Shutdown waits for silent peers", "Shutdown waits for the end of file":
			p.left = -1
		}
		if v.is("Shutdown waits for the end of file") && p.heard < 100 {
			v.end(p, true)
			continue
		}
		v.decide(p)
	}
}

func (v *variant) Shutdown(ctx context.Context) error {
	v.mu.Lock()
	if v.state == "" {
		v.state = "stopping"
		v.mu.Unlock()
		if v.fault != "forgets a Shutdown before Run" && v.fault != "a Shutdown without Run frees nothing" {
			v.release()
		}
		return nil
	}
	if (v.state == "stopping" || v.state == "closed") && v.is("a second Shutdown panics") {
		v.mu.Unlock()
		panic("close of closed channel")
	}
	if v.state == "running" {
		v.state = "stopping"
	}
	v.wake()
	v.mu.Unlock()
	if v.is("Shutdown does not wait") {
		return nil
	}
	select {
	case <-v.done:
		return nil
	case <-ctx.Done():
	}
	v.force.Store(true)
	v.mu.Lock()
	v.wake()
	v.mu.Unlock()
	<-v.done
	if v.is("hides that it used force") {
		return nil
	}
	return ctx.Err()
}

// wake makes epoll_wait return. The caller holds mu.
func (v *variant) wake() {
	if v.state != "closed" {
		unix.Write(v.wakeW, []byte{1})
	}
}

// release closes everything, once.
func (v *variant) release() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.state == "closed" {
		return
	}
	v.state = "closed"
	if v.ln >= 0 && !v.is("leaves the listener open") {
		unix.Close(v.ln)
	}
	for _, p := range v.peers {
		if p != nil {
			v.end(p, !v.is("force leaves connections open"))
		}
	}
	if !v.is("leaves epoll open") {
		unix.Close(v.ep)
	}
	unix.Close(v.wakeR)
	unix.Close(v.wakeW)
	close(v.done)
}
