package zerocopy

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A relay is one pair of connections: the client's and the target's.
type relay struct {
	opt     ProxyOptions
	client  *net.TCPConn
	dialing context.Context // ends when the relay is aborted
	cancel  context.CancelFunc

	mu     sync.Mutex
	target *net.TCPConn // nil before dialing has succeeded; guarded by mu until then

	moved atomic.Int64 // bytes, both directions: whoever waits sees that the other goes on
}

func (r *relay) serve() {
	defer r.cancel()
	target, err := r.dial()
	if err != nil {
		reset(r.client)
		return
	}
	defer target.Close()
	var both sync.WaitGroup
	both.Go(func() { r.direction(target, r.client) })
	both.Go(func() { r.direction(r.client, target) })
	both.Wait()
}

// dial connects to the target, and keeps the connection where abort finds it.
func (r *relay) dial() (*net.TCPConn, error) {
	d := net.Dialer{Timeout: r.opt.DialTimeout}
	c, err := d.DialContext(r.dialing, "tcp", r.opt.Target)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dialing.Err() != nil {
		reset(c.(*net.TCPConn)) // aborted at this very moment
		return nil, r.dialing.Err()
	}
	r.target = c.(*net.TCPConn)
	return r.target, nil
}

// direction moves bytes from src to dst until src ends, and passes the end on:
// a request may be complete while its answer has not begun. An error in one
// direction ends both, by a reset: neither side may take what it has for whole.
func (r *relay) direction(dst, src *net.TCPConn) {
	move := r.splice
	if r.opt.Way == Copy {
		move = r.copy
	}
	if err := move(dst, src); err != nil {
		reset(src)
		reset(dst)
		return
	}
	dst.CloseWrite()
}

// drain does nothing: a proxy does not know where a conversation ends.
func (r *relay) drain() {}

func (r *relay) abort() {
	r.cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	reset(r.client)
	if r.target != nil {
		reset(r.target)
	}
}

// splice moves references to the pages that the network filled from one socket
// to the other, through a pipe. The program never sees the bytes.
//
// The pipe is empty whenever more is taken in, and that is why EAGAIN has one
// meaning at either end: the socket has nothing, or has no room. With bytes in
// the pipe it could mean that the pipe is full, which no socket event ends.
func (r *relay) splice(dst, src *net.TCPConn) error {
	p, err := takePipe()
	if err != nil {
		return err
	}
	defer func() { p.giveBack() }()
	from, err := src.SyscallConn()
	if err != nil {
		return err
	}
	to, err := dst.SyscallConn()
	if err != nil {
		return err
	}
	for {
		n, err := r.wait(from.Read, src.SetReadDeadline, func(fd int) (int, error) { return p.fill(fd, nil, atOnce) })
		if n == 0 || err != nil {
			return err
		}
		for p.held > 0 {
			if _, err := r.wait(to.Write, dst.SetWriteDeadline, func(fd int) (int, error) { return p.drain(fd, 0) }); err != nil {
				return err
			}
		}
	}
}

// wait makes a system call that moves bytes, again whenever the poller says
// that its socket is ready, until it has moved some or the end has come (0).
// When its own socket has been quiet for the idle timeout, but bytes have
// moved the other way, it waits on.
func (r *relay) wait(ready func(func(uintptr) bool) error, deadline func(time.Time) error, call func(fd int) (int, error)) (n int, err error) {
	for {
		before := r.moved.Load()
		deadline(time.Now().Add(r.opt.IdleTimeout))
		waited := ready(func(fd uintptr) bool {
			n, err = ignoringEINTR(func() (int, error) { return call(int(fd)) })
			return err != unix.EAGAIN
		})
		switch {
		case waited == nil:
			r.moved.Add(int64(n))
			return n, err
		case errors.Is(waited, os.ErrDeadlineExceeded) && r.moved.Load() != before:
			continue
		}
		return 0, waited
	}
}

// copy is the same through a buffer.
func (r *relay) copy(dst, src *net.TCPConn) error {
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	from, err := src.SyscallConn()
	if err != nil {
		return err
	}
	to, err := dst.SyscallConn()
	if err != nil {
		return err
	}
	for {
		n, err := r.wait(from.Read, src.SetReadDeadline, func(fd int) (int, error) { return unix.Read(fd, buf[:]) })
		if n == 0 || err != nil {
			return err
		}
		for p := buf[:n]; len(p) > 0; {
			k, err := r.wait(to.Write, dst.SetWriteDeadline, func(fd int) (int, error) { return unix.Write(fd, p) })
			if err != nil {
				return err
			}
			p = p[k:]
		}
	}
}
