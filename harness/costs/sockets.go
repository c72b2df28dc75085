package costs

import (
	"io"
	"net"

	"golang.org/x/sys/unix"
)

var ofSockets = []Cost{
	withPair("write and read 64 bytes, TCP on loopback", "both ends, so with all that the kernel does between them", func(a, b int) error { return writeRead(b, a, small) }),
	withPair("write and read 16 times 64 bytes at once", "the same for 16 messages: one write for a turn is the course's main idea", func(a, b int) error { return writeRead(b, a, page[:1024]) }),
	withPair("write and read 64 KiB, TCP on loopback", "bytes are cheap, calls are not", func(a, b int) error { return writeRead(b, a, large) }),
	{Group: "sockets", Name: "the 64 bytes with package net", Unit: CPU, Note: "two goroutines and the runtime's netpoller: a round trip, halved", run: withNet},
	{Group: "sockets", Name: "open and close a connection", Unit: CPU, Note: "connect, accept and close on loopback, both ends", run: connections},
}

func withPair(name, note string, op func(a, b int) error) Cost {
	return Cost{Group: "sockets", Name: name, Unit: CPU, Note: note, run: func(n int) (float64, error) {
		l, addr, err := listener()
		if err != nil {
			return 0, err
		}
		defer unix.Close(l)
		a, b, err := pair(l, addr)
		if err != nil {
			return 0, err
		}
		defer unix.Close(a)
		defer unix.Close(b)
		return 0, repeat(n, func() error { return op(a, b) })
	}}
}

func listener() (fd int, addr unix.Sockaddr, err error) {
	if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return 0, nil, err
	}
	if err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err == nil {
		if err = unix.Listen(fd, 16); err == nil {
			addr, err = unix.Getsockname(fd)
		}
	}
	if err != nil {
		unix.Close(fd)
	}
	return fd, addr, err
}

// pair is a TCP connection, both of its ends here.
func pair(l int, addr unix.Sockaddr) (a, b int, err error) {
	if a, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return 0, 0, err
	}
	if err = unix.Connect(a, addr); err == nil {
		b, _, err = unix.Accept4(l, unix.SOCK_CLOEXEC)
	}
	if err != nil {
		unix.Close(a)
		return 0, 0, err
	}
	unix.SetsockoptInt(a, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	return a, b, nil
}

func connections(n int) (float64, error) {
	l, addr, err := listener()
	if err != nil {
		return 0, err
	}
	defer unix.Close(l)
	reset := &unix.Linger{Onoff: 1} // or thousands would stay in TIME_WAIT
	return 0, repeat(n, func() error {
		a, b, err := pair(l, addr)
		if err != nil {
			return err
		}
		unix.SetsockoptLinger(a, unix.SOL_SOCKET, unix.SO_LINGER, reset)
		unix.Close(a)
		return unix.Close(b)
	})
}

// withNet sends there and back, n/2 times, between two goroutines.
func withNet(n int) (float64, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			defer c.Close()
			io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c}) // or it would be splice(2)
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return 0, err
	}
	defer c.Close()
	return 0, repeat((n+1)/2, func() error {
		if _, err := c.Write(small); err != nil {
			return err
		}
		_, err := io.ReadFull(c, buffer[:len(small)])
		return err
	})
}
