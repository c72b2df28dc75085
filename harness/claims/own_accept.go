package claims

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
)

// accepts measures from a client's arrival to the first byte it gets, with the
// article's acceptor and with one that waits in the kernel.
func accepts(ctx context.Context, quick bool) (Taken, error) {
	clients := 200
	if quick {
		clients = 20
	}
	taken := Taken{}
	for key, wait := range map[string]func(fd int){ownSleeping: sleep, ownPolling: poll} {
		h, err := greeted(ctx, clients, wait)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		text, err := meter.EncodeHistogram(h)
		if err != nil {
			return nil, err
		}
		ms := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1000 }
		taken[key] = spec.Sample{Value: ms(99), Latency: text, Also: map[string]float64{"p50 ms": ms(50), "p99 ms": ms(99)}}
	}
	return taken, nil
}

// sleep is the article's answer to EAGAIN.
func sleep(int) { time.Sleep(10 * time.Millisecond) }

// poll waits until somebody comes; it looks for the end ten times a second.
func poll(fd int) { unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 100) }

// greeted has clients come one by one at moments that know nothing of the
// acceptor's, and returns how long each waited, in microseconds.
func greeted(ctx context.Context, clients int, wait func(fd int)) (*hdrhistogram.Histogram, error) {
	ctx, cancel := context.WithCancel(ctx)
	fd, addr, err := nonblocking()
	if err != nil {
		cancel()
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		acceptor(ctx, fd, wait)
	}()
	defer func() { cancel(); <-ended; unix.Close(fd) }()
	h, random := meter.NewHistogram(), rand.New(rand.NewPCG(1, 2))
	due := time.Now()
	for range clients {
		due = due.Add(time.Duration(random.ExpFloat64() * 8e6)) // 8 ms on average
		if err := until(ctx, due); err != nil {
			return nil, err
		}
		began := time.Now()
		if err := firstByte(ctx, addr); err != nil {
			return nil, err
		}
		h.RecordValue(max(1, time.Since(began).Microseconds()))
	}
	return h, nil
}

func until(ctx context.Context, due time.Time) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Until(due)):
		return nil
	}
}

// acceptor greets whoever comes, and waits when nobody does.
func acceptor(ctx context.Context, fd int, wait func(fd int)) {
	for ctx.Err() == nil {
		c, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
		switch {
		case err == nil:
			unix.Write(c, []byte{'h'})
			unix.Close(c)
		case errors.Is(err, unix.EAGAIN):
			wait(fd)
		}
	}
}

func nonblocking() (fd int, addr string, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, "", fmt.Errorf("socket: %w", err)
	}
	var name unix.Sockaddr
	if err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err == nil {
		if err = unix.Listen(fd, 128); err == nil {
			name, err = unix.Getsockname(fd)
		}
	}
	if err != nil {
		unix.Close(fd)
		return 0, "", fmt.Errorf("listen on 127.0.0.1: %w", err)
	}
	return fd, fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port), nil
}

func firstByte(ctx context.Context, addr string) error {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	_, err = io.ReadFull(c, make([]byte, 1))
	return err
}
