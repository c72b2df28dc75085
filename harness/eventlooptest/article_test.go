package eventlooptest

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// article is the article's EventLoop, in our own code: one epoll, connections
// by descriptor under a RWMutex, edge-triggered; read into a fresh 4 KB buffer
// until EAGAIN and parse the growing buffer; Send queues and arms EPOLLOUT;
// each event is looked at for IN, then OUT, then ERR or HUP. It has no Post,
// timers, bounds or end of its own: what the contract asks for beyond that is
// the least that lets it be run.
type article struct {
	o    Options[Conn]
	ep   int
	ln   int
	mu   sync.RWMutex
	by   map[int]*articleConn
	down bool
}

type articleConn struct {
	a        *article
	fd       int
	remote   net.Addr
	readBuf  []byte
	writeBuf []byte
}

func newArticle(o Options[Conn]) (Loop, error) {
	ep, err := unix.EpollCreate1(0)
	return &article{o: o, ep: ep, ln: -1, by: map[int]*articleConn{}}, err
}

func (a *article) Listen(addr string) (net.Addr, error) {
	tcp, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return nil, err
	}
	if a.ln, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0); err != nil {
		return nil, err
	}
	sa := &unix.SockaddrInet4{Port: tcp.Port}
	copy(sa.Addr[:], tcp.IP.To4())
	if err := errors.Join(unix.Bind(a.ln, sa), unix.Listen(a.ln, 128), unix.SetNonblock(a.ln, true)); err != nil {
		return nil, err
	}
	bound, err := unix.Getsockname(a.ln)
	if err != nil {
		return nil, err
	}
	return tcpAddr(bound), unix.EpollCtl(a.ep, unix.EPOLL_CTL_ADD, a.ln, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(a.ln)})
}

func (a *article) Run() error {
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
			if int(e.Fd) == a.ln {
				a.accept()
				continue
			}
			a.mu.RLock()
			c := a.by[int(e.Fd)]
			a.mu.RUnlock()
			if c == nil {
				continue
			}
			if e.Events&unix.EPOLLIN != 0 {
				c.handleRead()
			}
			if e.Events&unix.EPOLLOUT != 0 {
				c.handleWrite()
			}
			if e.Events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
				c.handleClose()
			}
		}
	}
}

func (a *article) accept() {
	for {
		fd, sa, err := unix.Accept(a.ln)
		if err != nil {
			return
		}
		unix.SetNonblock(fd, true)
		a.add(fd, tcpAddr(sa))
	}
}

func (a *article) add(fd int, remote net.Addr) error {
	c := &articleConn{a: a, fd: fd, remote: remote}
	a.mu.Lock()
	a.by[fd] = c
	a.mu.Unlock()
	if a.o.OnOpen != nil {
		a.o.OnOpen(c)
	}
	return unix.EpollCtl(a.ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(fd)})
}

func (c *articleConn) handleRead() {
	for {
		buf := make([]byte, 4096)
		n, err := unix.Read(c.fd, buf)
		if err == unix.EAGAIN {
			return
		}
		if err != nil || n == 0 {
			c.handleClose()
			return
		}
		c.readBuf = append(c.readBuf, buf[:n]...)
		c.parse()
	}
}

func (c *articleConn) parse() {
	at := 0
	for len(c.readBuf)-at >= 4 {
		size := int(binary.BigEndian.Uint32(c.readBuf[at:]))
		if len(c.readBuf)-at < 4+size {
			break
		}
		c.a.o.OnMessage(c, c.readBuf[at+4:at+4+size])
		at += 4 + size
	}
	c.readBuf = c.readBuf[at:]
}

func (c *articleConn) Send(msg []byte) error {
	c.writeBuf = appendFrame(c.writeBuf, msg)
	return c.interest(unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLET)
}

func (c *articleConn) Write(p []byte) (int, error) {
	c.writeBuf = append(c.writeBuf, p...)
	return len(p), c.interest(unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLET)
}

func (c *articleConn) interest(events uint32) error {
	return unix.EpollCtl(c.a.ep, unix.EPOLL_CTL_MOD, c.fd, &unix.EpollEvent{Events: events, Fd: int32(c.fd)})
}

func (c *articleConn) handleWrite() {
	if len(c.writeBuf) == 0 {
		c.interest(unix.EPOLLIN | unix.EPOLLET)
		return
	}
	for len(c.writeBuf) > 0 {
		n, err := unix.Write(c.fd, c.writeBuf)
		if err == unix.EAGAIN {
			return
		}
		if err != nil {
			c.handleClose()
			return
		}
		c.writeBuf = c.writeBuf[n:]
	}
}

func (c *articleConn) handleClose() {
	unix.EpollCtl(c.a.ep, unix.EPOLL_CTL_DEL, c.fd, nil)
	unix.Close(c.fd)
	c.a.mu.Lock()
	delete(c.a.by, c.fd)
	c.a.mu.Unlock()
	if c.a.o.OnClose != nil {
		c.a.o.OnClose(c, nil)
	}
}

func (c *articleConn) Close() error         { c.handleClose(); return nil }
func (c *articleConn) Abort(error)          { c.handleClose() }
func (c *articleConn) RemoteAddr() net.Addr { return c.remote }

// What the article has no word of.

func (c *articleConn) WriteNow(p []byte) (int, error) { return c.Write(p) }
func (c *articleConn) Queued() int                    { return len(c.writeBuf) }
func (c *articleConn) SetValue(any)                   {}
func (c *articleConn) Value() any                     { return nil }

func (a *article) Adopt(fd int) error   { return a.add(fd, &net.UnixAddr{Net: "unix"}) }
func (a *article) Post(fn func()) error { go fn(); return nil }

func (a *article) AfterFunc(d time.Duration, fn func()) (stop func() bool) {
	return time.AfterFunc(d, fn).Stop
}

// Shutdown closes the epoll descriptor, which does not wake epoll_wait.
func (a *article) Shutdown(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.down {
		a.down = true
		unix.Close(a.ep)
		unix.Close(a.ln)
	}
	return nil
}
