package costs

import (
	"golang.org/x/sys/unix"
)

var ofTheKernel = []Cost{
	loop("system calls", "a system call that does nothing", "getppid, raw: into the kernel and out again", func() { unix.RawSyscall(unix.SYS_GETPPID, 0, 0, 0) }),
	loop("system calls", "the same, told to the scheduler", "what package net and os pay, too: the call might block", func() { unix.Syscall(unix.SYS_GETPPID, 0, 0, 0) }),
	withPipe("write and read 64 bytes, pipe", "two calls", func(r, w int) error { return writeRead(r, w, small) }),
	withPipe("write and read 64 KiB, pipe", "two calls and two copies", func(r, w int) error { return writeRead(r, w, large) }),
	withEpoll("epoll_wait that finds one event", "level-triggered: it is found each time", func(ep, _ int) error {
		_, err := unix.EpollWait(ep, events[:], 0)
		return err
	}),
	withEpoll("epoll_ctl that changes an interest", "EPOLL_CTL_MOD", func(ep, fd int) error {
		return unix.EpollCtl(ep, unix.EPOLL_CTL_MOD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
	}),
	{Group: "system calls", Name: "wake a loop by its eventfd", Unit: CPU, Note: "write, epoll_wait and read on one thread: nobody sleeps", run: wakeByEventfd},
}

var events [16]unix.EpollEvent

// buffer is where everything is read into.
var buffer = make([]byte, 256<<10)

func writeRead(r, w int, p []byte) error {
	if _, err := unix.Write(w, p); err != nil {
		return err
	}
	_, err := unix.Read(r, buffer[:len(p)])
	return err
}

func withPipe(name, note string, op func(r, w int) error) Cost {
	return Cost{Group: "system calls", Name: name, Unit: CPU, Note: note, run: func(n int) (float64, error) {
		var p [2]int
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			return 0, err
		}
		defer unix.Close(p[0])
		defer unix.Close(p[1])
		return 0, repeat(n, func() error { return op(p[0], p[1]) })
	}}
}

// withEpoll has an epoll set with one eventfd in it, which is readable.
func withEpoll(name, note string, op func(ep, fd int) error) Cost {
	return Cost{Group: "system calls", Name: name, Unit: CPU, Note: note, run: func(n int) (float64, error) {
		ep, fd, err := epollSet(1)
		if err != nil {
			return 0, err
		}
		defer unix.Close(ep)
		defer unix.Close(fd)
		return 0, repeat(n, func() error { return op(ep, fd) })
	}}
}

func epollSet(value uint) (ep, fd int, err error) {
	if ep, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return 0, 0, err
	}
	if fd, err = unix.Eventfd(value, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		unix.Close(ep)
		return 0, 0, err
	}
	return ep, fd, unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

func wakeByEventfd(n int) (float64, error) {
	ep, fd, err := epollSet(0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(ep)
	defer unix.Close(fd)
	one := []byte{1, 0, 0, 0, 0, 0, 0, 0}
	return 0, repeat(n, func() error {
		if _, err := unix.Write(fd, one); err != nil {
			return err
		}
		if _, err := unix.EpollWait(ep, events[:], -1); err != nil {
			return err
		}
		_, err := unix.Read(fd, buffer[:8])
		return err
	})
}

func repeat(n int, op func() error) error {
	for range n {
		if err := op(); err != nil && err != unix.EINTR {
			return err
		}
	}
	return nil
}
