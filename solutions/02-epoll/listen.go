package epoll

import (
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	acceptsPerTurn = 64                     // connections taken before others have a turn
	acceptPause    = 100 * time.Millisecond // rest after an accept that cannot succeed now
)

// Listen opens the listening socket on addr, "host:port", with SO_REUSEADDR, so
// that a restart does not fail on connections of the last run in TIME_WAIT. It
// returns the address it got: with port 0 the kernel chooses a free one. An
// empty host means every IPv4 address. Call it once, before Run.
func (s *Server) Listen(addr string) (net.Addr, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping || s.started {
		return nil, fmt.Errorf("listen %s: call Listen before Run and Shutdown: %w", addr, net.ErrClosed)
	}
	if s.listenFD >= 0 {
		return nil, fmt.Errorf("listen %s: this server listens already: make a second one", addr)
	}
	fd, bound, err := listen(addr)
	if err != nil {
		return nil, fmt.Errorf("listen %s: %w", addr, err)
	}
	if err := s.control(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("listen %s: watch the socket: %w", addr, err)
	}
	s.listenFD = fd
	return bound, nil
}

// listen is socket, bind, listen, getsockname. The caller owns fd.
func listen(addr string) (fd int, bound net.Addr, err error) {
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return -1, nil, err
	}
	family, sa := sockaddr(tcp)
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, nil, os.NewSyscallError("socket", err)
	}
	if bound, err = bindListen(fd, sa); err != nil {
		unix.Close(fd)
		return -1, nil, err
	}
	return fd, bound, nil
}

func bindListen(fd int, sa unix.Sockaddr) (net.Addr, error) {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return nil, os.NewSyscallError("setsockopt SO_REUSEADDR", err)
	}
	if err := unix.Bind(fd, sa); err != nil {
		return nil, fmt.Errorf("bind: %w (is another server running? port 0 takes a free one)", err)
	}
	if err := unix.Listen(fd, unix.SOMAXCONN); err != nil { // the kernel caps it at net.core.somaxconn
		return nil, os.NewSyscallError("listen", err)
	}
	got, err := unix.Getsockname(fd)
	return tcpAddr(got), os.NewSyscallError("getsockname", err)
}

// accept takes the connections that wait in the backlog, and no more than
// acceptsPerTurn: level-triggered epoll will tell again of the rest.
func (s *Server) accept() {
	for range acceptsPerTurn {
		fd, _, err := unix.Accept4(s.listenFD, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
			s.add(fd)
		case unix.EAGAIN: // the backlog is empty
			return
		case unix.EINTR, unix.ECONNABORTED: // the client left before its turn
		default:
			// EMFILE, ENFILE, ENOBUFS, ENOMEM: not the client's fault, and its
			// connection stays in the backlog, so the listener stays readable.
			// To try at once would spin; to give up would end the server.
			s.pauseAccept()
			return
		}
	}
}

// pauseAccept disarms the listener until a connection closes, which frees a
// descriptor, or acceptPause has passed.
func (s *Server) pauseAccept() {
	s.control(unix.EPOLL_CTL_MOD, s.listenFD, 0)
	s.acceptPaused, s.acceptAgainAt = true, time.Now().Add(acceptPause)
}

func (s *Server) resumeAccept() {
	s.acceptPaused = false
	if s.listenFD >= 0 {
		s.control(unix.EPOLL_CTL_MOD, s.listenFD, unix.EPOLLIN)
	}
}

// closeListener closes the listening socket, which also removes it from epoll.
func (s *Server) closeListener() {
	if s.listenFD >= 0 {
		unix.Close(s.listenFD)
		s.listenFD = -1
	}
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

// tcpAddr is the way back.
func tcpAddr(sa unix.Sockaddr) net.Addr {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
	case *unix.SockaddrInet6:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
	}
	return nil
}
