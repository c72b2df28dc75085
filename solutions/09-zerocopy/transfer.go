package zerocopy

import (
	"io/fs"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// atOnce is the most that one system call is asked to move, in bytes. The file
// is looked at before each, so that is also the most that can be sent of a file
// that has changed meanwhile. The kernel's own bound is 2,147,479,552.
const atOnce = 1 << 20

// A transfer is a file on its way to a socket. One goroutine uses it.
type transfer struct {
	conn    *net.TCPConn
	out     syscall.RawConn // of conn
	file    *os.File
	timeout time.Duration // for the peer to take something; 0: the caller's deadline stays

	// The file when what is to be sent was decided.
	size     int64
	modified time.Time
}

// newTransfer is for a file that looked like info when what is to be sent was
// decided.
func newTransfer(c *net.TCPConn, f *os.File, info fs.FileInfo) (*transfer, error) {
	out, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &transfer{conn: c, out: out, file: f, size: info.Size(), modified: info.ModTime()}, nil
}

// unchanged returns ErrChanged when the file is not what it was: an fstat(2),
// 0.2 µs.
func (t *transfer) unchanged() error {
	info, err := t.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() != t.size || !info.ModTime().Equal(t.modified) {
		return ErrChanged
	}
	return nil
}

// some has the kernel take some bytes: it calls move with the socket and the
// file, and again when the socket has room, for as long as move finds none.
//
// RawConn.Write is how a system call of one's own waits in the runtime's
// poller: false means "not yet", and the goroutine sleeps until the socket is
// writable or the write deadline passes. The socket stays non-blocking;
// TCPConn.File().Fd() would make it a blocking one, whose thread waits with it
// and which no deadline wakes.
func (t *transfer) some(move func(socket, file int) (int, error)) (n int, err error) {
	if t.timeout > 0 {
		t.conn.SetWriteDeadline(time.Now().Add(t.timeout)) // anew whenever something was taken
	}
	waited := t.out.Write(func(socket uintptr) bool {
		// Looked at each time: the file may change while the peer is slow.
		if err = t.unchanged(); err != nil {
			return true
		}
		n, err = ignoringEINTR(func() (int, error) { return move(int(socket), int(t.file.Fd())) })
		return err != unix.EAGAIN
	})
	runtime.KeepAlive(t.file)
	if waited != nil {
		return 0, waited // the deadline, or the connection was closed
	}
	if err != nil {
		return 0, err
	}
	return n, nil
}

// all calls some until n bytes have been moved: each call is told where to go
// on and how much is left.
func (t *transfer) all(off, n int64, move func(socket, file int, off int64, n int) (int, error)) (sent int64, err error) {
	for sent < n {
		k, err := t.some(func(socket, file int) (int, error) {
			return move(socket, file, off+sent, int(min(n-sent, atOnce)))
		})
		sent += int64(k) // less than asked for is the rule, not the exception
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// ignoringEINTR calls f again while a signal has interrupted it.
func ignoringEINTR(f func() (int, error)) (int, error) {
	for {
		n, err := f()
		if err != unix.EINTR {
			return max(n, 0), err // x/sys returns -1 with an error
		}
	}
}
