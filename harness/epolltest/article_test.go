package epolltest

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// article is the article's event loop, in our own code, as far as this lab goes:
// one epoll, edge-triggered; a map of connections under a lock; each event
// looked at for reading, then writing, then errors; every reply through the
// write buffer and EPOLLOUT. Its handler echoes. Listening, and a Shutdown that
// does what the design allows, are ours: without them it cannot be tested.
type article struct {
	ep, ln int

	mu    sync.RWMutex // guards conns
	conns map[int]*articleConn

	ended chan struct{}
	ran   atomic.Bool
}

type articleConn struct {
	fd       int
	writeBuf []byte
	written  int // of writeBuf
}

func newArticle(Options) (Server, error) {
	ep, err := unix.EpollCreate1(0)
	return &article{ep: ep, ln: -1, conns: map[int]*articleConn{}, ended: make(chan struct{})}, err
}

func (a *article) control(op, fd int, events uint32) {
	unix.EpollCtl(a.ep, op, fd, &unix.EpollEvent{Events: events | 1<<31 /* EPOLLET */, Fd: int32(fd)})
}

func (a *article) Listen(addr string) (net.Addr, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	to := netip.MustParseAddrPort(addr)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
		unix.Close(fd)
		return nil, err
	}
	unix.Listen(fd, 1024)
	a.ln = fd
	a.control(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN)
	sa, err := unix.Getsockname(fd)
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: sa.(*unix.SockaddrInet4).Port}, err
}

func (a *article) Run() error {
	a.ran.Store(true)
	defer close(a.ended)
	events := make([]unix.EpollEvent, 128)
	for {
		n, err := unix.EpollWait(a.ep, events, -1)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		for _, e := range events[:n] {
			a.event(int(e.Fd), e.Events)
		}
	}
}

func (a *article) event(fd int, events uint32) {
	if fd == a.ln {
		a.accept()
		return
	}
	a.mu.RLock()
	c := a.conns[fd]
	a.mu.RUnlock()
	if c == nil {
		return
	}
	if events&unix.EPOLLIN != 0 {
		a.readable(c)
	}
	if events&unix.EPOLLOUT != 0 {
		a.writable(c)
	}
	if events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		a.close(c)
	}
}

func (a *article) accept() {
	for {
		fd, _, err := unix.Accept4(a.ln, unix.SOCK_NONBLOCK)
		if err != nil {
			return
		}
		a.mu.Lock()
		a.conns[fd] = &articleConn{fd: fd}
		a.mu.Unlock()
		a.control(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN)
	}
}

func (a *article) readable(c *articleConn) {
	for {
		buf := make([]byte, 4096)
		n, err := unix.Read(c.fd, buf)
		if err == unix.EAGAIN {
			return
		}
		if err != nil || n == 0 {
			a.close(c)
			return
		}
		a.send(c, buf[:n])
	}
}

func (a *article) send(c *articleConn, p []byte) {
	c.writeBuf = append(c.writeBuf, p...)
	a.control(unix.EPOLL_CTL_MOD, c.fd, unix.EPOLLIN|unix.EPOLLOUT)
}

func (a *article) writable(c *articleConn) {
	if len(c.writeBuf) == 0 {
		a.control(unix.EPOLL_CTL_MOD, c.fd, unix.EPOLLIN)
		return
	}
	for c.written < len(c.writeBuf) {
		n, err := unix.Write(c.fd, c.writeBuf[c.written:])
		if err == unix.EAGAIN {
			return
		}
		if err != nil {
			a.close(c)
			return
		}
		c.written += n
	}
	c.writeBuf, c.written = c.writeBuf[:0], 0
}

func (a *article) close(c *articleConn) {
	unix.EpollCtl(a.ep, unix.EPOLL_CTL_DEL, c.fd, nil)
	unix.Close(c.fd)
	a.mu.Lock()
	delete(a.conns, c.fd)
	a.mu.Unlock()
}

// Shutdown closes what there is to close, and waits for a Run that nothing
// wakes.
func (a *article) Shutdown(ctx context.Context) error {
	unix.Close(a.ep)
	unix.Close(a.ln)
	if !a.ran.Load() {
		return nil
	}
	select {
	case <-a.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
