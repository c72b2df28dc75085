package zerocopy

import (
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// wait blocks until the socket has room, where events asks for that
// (POLLOUT), or completions have come, and collects those. It blocks the
// thread, in poll(2).
func (s *Sender) wait(events int16) error {
	fds := []unix.PollFd{{Fd: int32(s.fd), Events: events}} // POLLERR need not be asked for
	n, err := ignoringEINTR(func() (int, error) { return unix.Poll(fds, int(s.timeout/time.Millisecond)+1) })
	switch {
	case err != nil:
		return os.NewSyscallError("poll", err)
	case n == 0:
		return fmt.Errorf("%w for %v", ErrStalled, s.timeout)
	case fds[0].Revents&unix.POLLERR != 0:
		return s.collect()
	}
	return nil
}

// collect reads all completions there are from the socket's error queue. Where
// there are none, an error of the socket itself may be the reason for POLLERR.
func (s *Sender) collect() error {
	control := make([]byte, 256)
	for {
		var size int // of the control data
		_, err := ignoringEINTR(func() (n int, err error) {
			n, size, _, _, err = unix.Recvmsg(s.fd, nil, control, unix.MSG_ERRQUEUE)
			return n, err
		})
		if err == unix.EAGAIN {
			return s.socketError()
		}
		if err != nil {
			return os.NewSyscallError("recvmsg", err)
		}
		notes, err := unix.ParseSocketControlMessage(control[:size])
		if err != nil {
			return fmt.Errorf("zerocopy: a completion: %w", err)
		}
		for _, note := range notes {
			s.note(note)
		}
	}
}

// note takes in one completion: a struct sock_extended_err (linux/errqueue.h).
// It stands for a range of calls, both ends included: the kernel joins
// completions that follow on each other. See msg_zerocopy.rst.
func (s *Sender) note(n unix.SocketControlMessage) {
	if len(n.Data) < 16 {
		return
	}
	origin, code := n.Data[4], n.Data[6]
	first, last := binary.NativeEndian.Uint32(n.Data[8:]), binary.NativeEndian.Uint32(n.Data[12:])
	if origin != unix.SO_EE_ORIGIN_ZEROCOPY {
		return
	}
	for id := first; ; id++ { // the numbers wrap around: only "is it the last" holds
		if m := s.calls[id]; m != nil {
			delete(s.calls, id)
			if code&unix.SO_EE_CODE_ZEROCOPY_COPIED != 0 {
				s.stats.Copied++
			}
			s.complete(m)
		}
		if id == last {
			return
		}
	}
}

// socketError returns what has broken the connection, nil for nothing.
func (s *Sender) socketError() error {
	errno, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && errno != 0 {
		err = unix.Errno(errno)
	}
	return os.NewSyscallError("send", err)
}
