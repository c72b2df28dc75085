package eventloop

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// openPoll makes the epoll instance and the eventfd that wakes it.
func (l *Loop) openPoll() (err error) {
	if l.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("eventloop: create an epoll instance: %w", err)
	}
	if err = l.inbox.openWake(l.opts.WakeFD); err != nil {
		unix.Close(l.epfd)
		return err
	}
	// Edge-triggered, so that it need not be read: each write is a new edge.
	err = l.control(unix.EPOLL_CTL_ADD, l.inbox.wakefd, 0, unix.EPOLLIN|unix.EPOLLET)
	if err != nil {
		unix.Close(l.epfd)
		l.inbox.closeWake()
		return fmt.Errorf("eventloop: watch the eventfd: %w", err)
	}
	return nil
}

// openWake takes the eventfd that was given, or makes one.
func (b *inbox) openWake(given int) (err error) {
	if b.wakefd, b.borrowed = given, given != 0; b.borrowed {
		return nil
	}
	if b.wakefd, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return fmt.Errorf("eventloop: create an eventfd: %w", err)
	}
	return nil
}

func (b *inbox) closeWake() {
	if !b.borrowed {
		unix.Close(b.wakefd)
	}
}

// control is epoll_ctl(2). The kernel gives back fd and generation with every
// event, as they are at this call; 0 is the generation of what is no connection.
func (l *Loop) control(op, fd int, generation int32, events uint32) error {
	return unix.EpollCtl(l.epfd, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd), Pad: generation})
}

// wait returns how many events there are, and blocks while there is nothing at
// all to do: no event, no ready connection, no timer due, an empty inbox.
func (l *Loop) wait() (n int, err error) {
	timeout := l.timeout()
	if timeout != 0 && !l.inbox.sleep() {
		timeout = 0
	}
	n, err = unix.EpollWait(l.epfd, l.events, timeout)
	if timeout != 0 {
		l.inbox.awake()
	}
	if err == unix.EINTR {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("eventloop: wait for events: %w", err)
	}
	return n, nil
}

// timeout is how long epoll_wait may block, in milliseconds, -1 for ever. It is
// rounded up: a timer must not fire early, nor the loop spin through the last
// fraction of a millisecond.
func (l *Loop) timeout() int {
	switch {
	case len(l.ready) > 0:
		return 0
	case len(l.timers) == 0:
		return -1
	}
	d := max(0, time.Until(l.timers[0].when))
	d = min(d, 24*time.Hour) // the kernel takes 32 bits; then it is asked again
	return int((d + time.Millisecond - 1) / time.Millisecond)
}
