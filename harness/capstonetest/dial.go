package capstonetest

import (
	"context"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// smallDialer opens connections with the smallest receive buffer, so that a
// server soon notices that nobody reads.
type smallDialer struct{}

func (smallDialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 1) })
	}}
	return d.DialContext(ctx, network, addr)
}
