// Command nagle sends a hundred small messages over loopback TCP in five ways,
// and counts system calls and segments: with Nagle's algorithm, with
// TCP_NODELAY, with TCP_CORK, with MSG_MORE, and through this lab's writer.
//
//	go run ./solutions/11-batching/cmd/nagle
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	batching "github.com/asynclab/asynclab/solutions/11-batching"
	"golang.org/x/sys/unix"
)

const (
	messages = 100
	size     = 20
)

// way is how a message is sent. It returns the system calls that it has made.
type way struct {
	name string
	send func(c *net.TCPConn, fd int, message []byte) (calls int, err error)
}

var ways = []way{
	{"Nagle (the kernel's default)", func(c *net.TCPConn, fd int, m []byte) (int, error) {
		c.SetNoDelay(false)
		return each(fd, m, 0)
	}},
	{"TCP_NODELAY (Go's default)", func(c *net.TCPConn, fd int, m []byte) (int, error) { return each(fd, m, 0) }},
	{"TCP_CORK, taken off at the end", func(_ *net.TCPConn, fd int, m []byte) (int, error) {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_CORK, 1); err != nil {
			return 0, err
		}
		n, err := each(fd, m, 0)
		if err != nil {
			return n, err
		}
		return n + 2, unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_CORK, 0)
	}},
	{"MSG_MORE, but for the last", func(_ *net.TCPConn, fd int, m []byte) (int, error) { return each(fd, m, unix.MSG_MORE) }},
	{"this lab's writer", throughWriter},
}

// each sends every message by itself; all but the last with flags.
func each(fd int, message []byte, flags int) (calls int, err error) {
	for i := range messages {
		if i == messages-1 {
			flags = 0
		}
		if err := unix.Sendto(fd, message, flags, nil); err != nil {
			return i, fmt.Errorf("send: %w", err)
		}
	}
	return messages, nil
}

func throughWriter(c *net.TCPConn, _ int, message []byte) (int, error) {
	w, err := batching.New(batching.Conn(c), batching.Options{MaxDelay: time.Millisecond})
	if err != nil {
		return 0, err
	}
	for range messages {
		if err := w.Write(context.Background(), message, nil); err != nil {
			return 0, err
		}
	}
	if err := w.Close(context.Background()); err != nil {
		return 0, err
	}
	return int(w.Stats().Writes), nil
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "nagle:", err)
		os.Exit(1)
	}
}

func run() error {
	fmt.Printf("%d messages of %d bytes\n%-34s %6s %9s\n", messages, size, "", "calls", "segments")
	for _, w := range ways {
		calls, segments, err := count(w)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		fmt.Printf("%-34s %6d %9d\n", w.name, calls, segments)
	}
	return nil
}

// count sends over a new connection, and asks the kernel how many segments with
// data it has sent.
func count(w way) (calls int, segments uint32, err error) {
	client, server, err := pair()
	if err != nil {
		return 0, 0, err
	}
	defer client.Close()
	defer server.Close()
	raw, err := server.SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	var info *unix.TCPInfo
	failed := raw.Control(func(fd uintptr) {
		if calls, err = w.send(server, int(fd), make([]byte, size)); err != nil {
			return
		}
		if _, err = io.ReadFull(client, make([]byte, messages*size)); err != nil {
			return
		}
		info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return 0, 0, err
	}
	return calls, info.Data_segs_out, nil
}

// pair is a connection over loopback.
func pair() (client net.Conn, server *net.TCPConn, err error) {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		return nil, nil, err
	}
	server, err = l.AcceptTCP()
	return client, server, err
}
