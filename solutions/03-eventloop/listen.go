package eventloop

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	acceptsPerTurn = 64                     // connections taken before others have a turn
	lastAccepts    = 4096                   // connections taken from the backlog when the loop drains
	acceptPause    = 100 * time.Millisecond // rest after an accept that cannot succeed now
)

// listeners are the listening sockets of a loop. They are level-triggered: what
// one turn leaves in the backlog is reported again.
type listeners struct {
	fds    []int
	paused bool // disarmed, until a connection closes or acceptPause has passed
}

// Listen opens a listening socket on addr, "host:port", with SO_REUSEADDR, and
// returns the address it got: with port 0 the kernel chooses a free one. An
// empty host means every IPv4 address. Call it before Run, once for each
// address.
func (l *Loop) Listen(addr string) (net.Addr, error) {
	if err := l.inbox.fresh(); err != nil {
		return nil, fmt.Errorf("listen %s: %w", addr, err)
	}
	fd, bound, err := listen(addr, l.opts.ReusePort)
	if err != nil {
		return nil, fmt.Errorf("listen %s: %w", addr, err)
	}
	if err := l.control(unix.EPOLL_CTL_ADD, fd, 0, unix.EPOLLIN); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("listen %s: watch the socket: %w", addr, err)
	}
	l.listeners.fds = append(l.listeners.fds, fd)
	return bound, nil
}

// listen is socket, bind, listen, getsockname. The caller owns fd.
func listen(addr string, reusePort bool) (fd int, bound net.Addr, err error) {
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return -1, nil, err
	}
	family, sa := sockaddr(tcp)
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, nil, os.NewSyscallError("socket", err)
	}
	if bound, err = bindListen(fd, sa, reusePort); err != nil {
		unix.Close(fd)
		return -1, nil, err
	}
	return fd, bound, nil
}

func bindListen(fd int, sa unix.Sockaddr, reusePort bool) (net.Addr, error) {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return nil, os.NewSyscallError("setsockopt SO_REUSEADDR", err)
	}
	if reusePort {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return nil, os.NewSyscallError("setsockopt SO_REUSEPORT", err)
		}
	}
	if err := unix.Bind(fd, sa); err != nil {
		return nil, fmt.Errorf("bind: %w (is another server running? port 0 takes a free one)", err)
	}
	if err := unix.Listen(fd, unix.SOMAXCONN); err != nil { // the kernel caps it at net.core.somaxconn
		return nil, os.NewSyscallError("listen", err)
	}
	got, err := unix.Getsockname(fd)
	if err != nil {
		return nil, os.NewSyscallError("getsockname", err)
	}
	return net.TCPAddrFromAddrPort(addrPort(got)), nil
}

// acceptFrom takes connections from a listener's backlog. The eventfd comes
// here too and is no listener: that it ended the wait is all it has to do.
func (l *Loop) acceptFrom(fd, most int) {
	if !slices.Contains(l.listeners.fds, fd) {
		return
	}
	for range most {
		conn, peer, err := unix.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
			l.register(newConn(l, conn, addrPort(peer)))
		case unix.EAGAIN: // the backlog is empty
			return
		case unix.EINTR, unix.ECONNABORTED: // the client left before its turn
		default:
			// EMFILE, ENFILE, ENOBUFS, ENOMEM: the connection stays in the
			// backlog and the listener readable, so to go on would spin.
			l.pauseAccept()
			return
		}
	}
}

// pauseAccept disarms the listeners until a connection closes, which frees a
// descriptor, or acceptPause has passed.
func (l *Loop) pauseAccept() {
	if !l.listeners.paused {
		l.armListeners(0)
		l.listeners.paused = true
		l.startTimer(acceptPause, l.resumeAccept)
	}
}

func (l *Loop) resumeAccept() {
	if l.listeners.paused {
		l.listeners.paused = false
		l.armListeners(unix.EPOLLIN)
	}
}

func (l *Loop) armListeners(events uint32) {
	for _, fd := range l.listeners.fds {
		l.control(unix.EPOLL_CTL_MOD, fd, 0, events)
	}
}

func (l *Loop) closeListeners() {
	for _, fd := range l.listeners.fds {
		unix.Close(fd)
	}
	l.listeners = listeners{}
}

// sockaddr translates an address of package net for bind(2).
func sockaddr(a *net.TCPAddr) (family int, sa unix.Sockaddr) {
	if a.IP == nil {
		return unix.AF_INET, &unix.SockaddrInet4{Port: a.Port}
	}
	if ip := a.IP.To4(); ip != nil {
		return unix.AF_INET, &unix.SockaddrInet4{Port: a.Port, Addr: [4]byte(ip)}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: a.Port, Addr: [16]byte(a.IP.To16())}
}

// addrPort is the way back, the zero value for what is not TCP.
func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
	}
	return netip.AddrPort{}
}
