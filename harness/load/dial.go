package load

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// portsPerSource is how many connections share one source address. Towards one
// destination it has about 28,000 ephemeral ports, but connect looks at those of
// one parity first (ip_local_port_range in the kernel's ip-sysctl.rst): from
// 14,000 connections on it would find each of these taken, one by one, before it
// tries the others, and take a millisecond.
const portsPerSource = 10_000

// dialer opens connections to one server without waiting for them. On the
// loopback interface it spreads them over source addresses 127.1.0.1,
// 127.1.0.2, ..., so that ports do not run out.
type dialer struct {
	to unix.SockaddrInet4
}

func newDialer(addr string) (*dialer, error) {
	a, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return nil, fmt.Errorf("load: server address %q: %w", addr, err)
	}
	d := &dialer{to: unix.SockaddrInet4{Port: a.Port}}
	if a.IP != nil {
		d.to.Addr = [4]byte(a.IP.To4())
	}
	if !a.IP.IsLoopback() {
		return nil, fmt.Errorf("load: %s is not a loopback address: this load is for your own machine only", addr)
	}
	return d, nil
}

// connect starts connection number id and returns its descriptor. EPOLLOUT, or
// an error, follows. Each try comes from another source address. small gives it
// the smallest receive buffer.
func (d *dialer) connect(id, try int, small bool) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if small {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1)
	}
	if err := d.start(fd, id/portsPerSource+try); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func (d *dialer) start(fd, source int) error {
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	// The port is chosen at connect, when the destination is known: it then
	// need only be free towards that destination (ip(7)).
	unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	from := unix.SockaddrInet4{Addr: [4]byte{127, 1, byte(source >> 8), byte(source)}}
	if err := unix.Bind(fd, &from); err != nil {
		return os.NewSyscallError("bind", err)
	}
	for {
		switch err := unix.Connect(fd, &d.to); err {
		case nil, unix.EINPROGRESS:
			return nil
		case unix.EINTR:
			continue
		default:
			return os.NewSyscallError("connect", err)
		}
	}
}
