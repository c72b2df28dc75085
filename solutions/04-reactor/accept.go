package reactor

import (
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	acceptsPerTurn = 256  // connections taken before the loop looks whether it has to stop
	lastAccepts    = 4096 // connections taken from the backlog when it has
	fullPause      = 100  // ms of rest after an accept that cannot succeed now
)

// acceptor takes connections and hands them to the loops. It has a goroutine of
// its own, and reads nothing from a connection.
type acceptor struct {
	loops []*loop       // immutable
	pick  func() *loop  // immutable; acceptor goroutine only
	wake  int           // immutable: an eventfd that stop writes to
	once  sync.Once     // for stop
	ended chan struct{} // closed when the goroutine ends
	fds   []int         // the listeners; the acceptor goroutine's once it runs
	spare int           // a descriptor to give up when there is none left; -1 without
	next  int           // of round robin; acceptor goroutine only
}

func newAcceptor(loops []*loop, strategy string) (*acceptor, error) {
	a := &acceptor{loops: loops, ended: make(chan struct{}), spare: -1}
	a.pick = a.roundRobin
	if strategy == LeastConns {
		a.pick = a.leastConns
	}
	var err error
	if a.wake, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return nil, fmt.Errorf("reactor: create the acceptor's eventfd: %w", err)
	}
	a.reserve()
	return a, nil
}

func (a *acceptor) roundRobin() *loop {
	l := a.loops[a.next]
	a.next = (a.next + 1) % len(a.loops)
	return l
}

func (a *acceptor) leastConns() *loop {
	least := a.loops[0]
	for _, l := range a.loops[1:] {
		if l.load() < least.load() {
			least = l
		}
	}
	return least
}

// listen opens a listening socket, with SO_REUSEADDR.
func (a *acceptor) listen(addr string) (net.Addr, error) {
	fd, bound, err := listen(addr)
	if err != nil {
		return nil, fmt.Errorf("listen %s: %w", addr, err)
	}
	a.fds = append(a.fds, fd)
	return bound, nil
}

// run is the acceptor's goroutine. poll(2) blocks it until a client waits or
// stop is called; with a handful of descriptors epoll would bring nothing.
func (a *acceptor) run() {
	defer close(a.ended)
	for {
		stop, waiting := a.poll()
		for _, fd := range waiting {
			if !a.accept(fd, acceptsPerTurn) {
				stop = a.rest()
			}
		}
		if stop {
			a.takeLast()
			return
		}
	}
}

func (a *acceptor) poll() (stop bool, waiting []int) {
	set := []unix.PollFd{{Fd: int32(a.wake), Events: unix.POLLIN}}
	for _, fd := range a.fds {
		set = append(set, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	if n, err := unix.Poll(set, -1); n <= 0 || err != nil {
		return false, nil // EINTR
	}
	for _, p := range set[1:] {
		if p.Revents != 0 {
			waiting = append(waiting, int(p.Fd))
		}
	}
	return set[0].Revents != 0, waiting
}

// accept takes up to most connections from a listener's backlog. false means
// that it cannot take more now, although some wait.
func (a *acceptor) accept(fd, most int) bool {
	for range most {
		conn, _, err := unix.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
			a.handOff(conn)
		case unix.EAGAIN: // the backlog is empty
			return true
		case unix.EINTR, unix.ECONNABORTED: // the client left before its turn
		case unix.EMFILE, unix.ENFILE:
			if !a.refuse(fd) {
				return false
			}
		default: // ENOBUFS, ENOMEM
			return false
		}
	}
	return true
}

// handOff gives a connection to a loop, which owns it from here on.
func (a *acceptor) handOff(conn int) {
	l := a.pick()
	l.given++
	l.adopt(conn)
}

// refuse makes room for one client by giving up the spare descriptor, and sends
// it away: it learns at once that there is no place, and the listener does not
// stay readable for ever. false means that there was no room even so.
func (a *acceptor) refuse(fd int) bool {
	if a.spare < 0 {
		a.reserve()
		return false
	}
	unix.Close(a.spare)
	a.spare = -1
	conn, _, err := unix.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err == nil {
		unix.Close(conn)
	}
	a.reserve()
	return a.spare >= 0
}

// reserve opens the spare descriptor, if that is possible now.
func (a *acceptor) reserve() {
	fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		fd = -1
	}
	a.spare = fd
}

// rest waits for fullPause, or for stop: to try again at once would spin.
func (a *acceptor) rest() (stop bool) {
	set := []unix.PollFd{{Fd: int32(a.wake), Events: unix.POLLIN}}
	n, _ := unix.Poll(set, fullPause)
	return n > 0
}

// takeLast empties the backlog, for the clients in it believe themselves
// connected, and closes the listeners.
func (a *acceptor) takeLast() {
	for _, fd := range a.fds {
		a.accept(fd, lastAccepts)
		unix.Close(fd)
	}
	a.fds = nil
}

// stop ends the acceptor's goroutine and waits for that. Any goroutine, any
// number of times.
func (a *acceptor) stop() {
	a.once.Do(func() { unix.Write(a.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) })
	<-a.ended
}

// close releases the descriptors. The goroutine has ended, or never ran.
func (a *acceptor) close() {
	for _, fd := range append(a.fds, a.wake, a.spare) {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// listen opens a listening socket by package net, which sets SO_REUSEADDR and
// the longest backlog the kernel allows, and takes a duplicate of it out of the
// runtime's hands. The caller owns fd.
func listen(addr string) (fd int, bound net.Addr, err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return -1, nil, err
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		return -1, nil, err
	}
	defer f.Close()
	fd, err = unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	return fd, l.Addr(), os.NewSyscallError("fcntl", err)
}
