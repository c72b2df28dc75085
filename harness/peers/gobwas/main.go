// Command gobwas is gobwas/ws in its usual pattern for many connections: one
// epoll, a pool of goroutines that read the connections it reports, and writes
// from those.
package main

import (
	"net"
	"runtime"
	"sync"
	"syscall"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"golang.org/x/sys/unix"

	"github.com/asynclab/asynclab/harness/peers/peer"
)

type client struct {
	net.Conn
	fd   int
	room string
	mu   sync.Mutex // one writer at a time
}

var (
	rooms   peer.Rooms[*client]
	clients sync.Map // descriptor -> *client
	epfd    int
)

func main() {
	l := peer.Listen()
	var err error
	epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	peer.Check(err)
	work := make(chan *client, 1024)
	for range 16 * runtime.GOMAXPROCS(0) {
		go read(work)
	}
	go wait(work)
	go accept(l)
	peer.Ready(l.Addr().String())
}

func accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go open(c)
	}
}

func open(conn net.Conn) {
	c := &client{Conn: conn}
	up := ws.Upgrader{OnRequest: func(uri []byte) error {
		c.room = peer.Room(string(uri))
		return nil
	}}
	if _, err := up.Upgrade(conn); err != nil {
		conn.Close()
		return
	}
	raw, _ := conn.(syscall.Conn).SyscallConn()
	raw.Control(func(fd uintptr) { c.fd = int(fd) })
	clients.Store(c.fd, c)
	if c.room != "" {
		rooms.Join(c.room, c)
	}
	unix.EpollCtl(epfd, unix.EPOLL_CTL_ADD, c.fd, event(c))
}

func event(c *client) *unix.EpollEvent {
	return &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLONESHOT, Fd: int32(c.fd)}
}

func wait(work chan<- *client) {
	events := make([]unix.EpollEvent, 256)
	for {
		n, err := unix.EpollWait(epfd, events, -1)
		if err != nil && err != unix.EINTR {
			return
		}
		for i := range max(n, 0) {
			if c, ok := clients.Load(int(events[i].Fd)); ok {
				work <- c.(*client)
			}
		}
	}
}

func read(work <-chan *client) {
	for c := range work {
		p, op, err := wsutil.ReadClientData(c)
		if err != nil {
			clients.Delete(c.fd)
			rooms.Leave(c.room, c)
			c.Close()
			continue
		}
		if c.room == "" {
			c.write(op, p)
		} else {
			rooms.Each(c.room, func(m *client) { m.write(op, p) })
		}
		unix.EpollCtl(epfd, unix.EPOLL_CTL_MOD, c.fd, event(c))
	}
}

func (c *client) write(op ws.OpCode, p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wsutil.WriteServerMessage(c, op, p)
}
