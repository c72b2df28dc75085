package reactor

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Linux keeps a descriptor table for each task, not for each process: threads
// share one because they are created so (clone(2), CLONE_FILES). A thread can
// leave the common table and go on with a copy (unshare(2)), and RLIMIT_NOFILE
// bounds each table by itself. What follows from it:
//
//   - The thread must run one goroutine for ever, and that goroutine no other
//     thread: runtime.LockOSThread. When the goroutine ends without unlocking,
//     the runtime ends the thread, and the kernel closes the table.
//   - A descriptor of one table means nothing in another. What several threads
//     use, as the eventfds by which the loops wake each other, is made before
//     the first copy: to write to a number that another table gave out is to
//     write into a stranger's connection.
//   - The copy holds everything that was open. A socket closed elsewhere stays
//     open here, and its peer sees no end: so copy early, when little is open.
//     To close the copies would be worse: Go's own epoll is among them, and the
//     runtime may wait on it in this thread, too.
//   - Nothing of packages os and net may be used on that goroutine: their
//     descriptors are registered in the runtime's epoll by number.

// startNetpoller makes the runtime create its epoll instance, which it does at
// the first use. Made by another thread after the copy, it would be a number
// without meaning here, and the runtime would crash.
var startNetpoller = sync.OnceFunc(func() {
	r, w, err := os.Pipe()
	if err != nil {
		return
	}
	defer r.Close()
	defer w.Close()
	r.SetReadDeadline(time.Now().Add(-time.Second))
	r.Read(make([]byte, 1)) // fails at once
})

// onOwnThread runs fn on a thread that no other goroutine uses, and that ends
// with it. The process's first thread will not do: it never ends, and
// /proc/PID/fd is its table. Call it with go.
func onOwnThread(fn func()) {
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		fn()
		return // locked: the thread ends
	}
	other := make(chan struct{})
	go func() {
		runtime.LockOSThread() // while we hold the first thread, this is not it
		close(other)
		fn()
	}()
	<-other
	runtime.UnlockOSThread()
}

// ownTable gives the calling thread a descriptor table of its own.
func ownTable() error {
	if err := unix.Unshare(unix.CLONE_FILES); err != nil {
		return fmt.Errorf("unshare the descriptor table: %w", err)
	}
	return nil
}
