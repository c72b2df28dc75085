// Package zerocopy moves bytes from files and sockets to sockets without
// taking them through the program's memory, where that is possible, and shows
// what each way costs.
//
// There are three parts: a file server ([Server], on [Send] and its four ways),
// a proxy ([Proxy]) and a sender of memory that the kernel does not copy
// ([Sender]). Connections have a goroutine each; the runtime's poller, which is
// lab 03's loop written by others, waits for their sockets.
package zerocopy

import (
	"errors"
	"net"
	"os"
)

// The ways to send a file.
const (
	Copy     = "copy"     // pread(2) into a buffer, write(2) from it: two copies
	Mmap     = "mmap"     // map the file, write(2) from the mapping: one copy
	Sendfile = "sendfile" // sendfile(2): the socket refers to the page cache
	Splice   = "splice"   // splice(2) through a pipe: the same in two steps
)

// ErrChanged says that a file was truncated, or written to, while it was being
// sent. What was promised can not be sent any more, and what was sent is
// perhaps part old and part new: end the connection.
var ErrChanged = errors.New("zerocopy: the file changed while it was being sent")

// Send writes n bytes of f, from offset off on, to c, in one of the four ways.
// It returns how many bytes the kernel has taken, which is n exactly when the
// error is nil. The error is [ErrChanged], also where f ends before off+n; or the
// socket's, or c's write deadline ([os.ErrDeadlineExceeded]).
//
// It blocks the goroutine, not the thread, while the peer does not take what
// is sent; reading f from a disk does block a thread. f's own offset is neither
// used nor moved, so that several goroutines may send one file at once. c must
// not be written to by others meanwhile. f and c stay the caller's.
//
// What the kernel has taken of Sendfile and Splice are references to the page
// cache: who writes to the file later changes what is still in the socket.
func Send(c *net.TCPConn, f *os.File, off, n int64, way string) (int64, error) {
	return 0, errors.New("not implemented: start at README.md, step 1")
}
