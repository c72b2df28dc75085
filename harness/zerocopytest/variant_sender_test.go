package zerocopytest

import (
	"encoding/binary"
	"errors"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// variantSender keeps its calls in a slice, in order of their numbers.
type variantSender struct {
	fd      int
	timeout time.Duration
	fault   fault
	base    uint32   // the number of calls[0]
	calls   []*vsend // nil: completed
	err     error
	began   time.Time // of Send, for a fault
	n       SenderStats
}

type vsend struct {
	p    []byte
	left int
	all  bool // nothing is added any more
	err  error
	done func(error)
	told bool
}

func newVariantSender(c *net.TCPConn, timeout time.Duration, f fault) (counting, error) {
	defer c.Close()
	if timeout <= 0 && f != "accepts anything" {
		return nil, errors.New("nonsense")
	}
	file, err := c.File()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	fd, err := unix.Dup(int(file.Fd()))
	if err != nil {
		return nil, err
	}
	unix.SetNonblock(fd, true)
	unix.CloseOnExec(fd)
	return &variantSender{fd: fd, timeout: timeout, fault: f}, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ZEROCOPY, 1)
}

func (s *variantSender) Stats() SenderStats { return s.n }

func (s *variantSender) Send(p []byte, done func(error)) error {
	m := &vsend{p: p, done: done}
	s.began = time.Now()
	if s.fault == "an error is forgotten" {
		s.err = nil
	}
	defer func() {
		m.all = true
		if m.left == 0 {
			s.tell(m)
		}
	}()
	if s.err != nil {
		m.err = s.err
		if s.fault == "an error is told once" {
			return nil
		}
		return s.err
	}
	for len(p) > 0 {
		n, err := s.once(m, p)
		switch {
		case err == nil:
			p = p[n:]
			if s.fault == "a short send is whole" {
				p = nil
			}
			continue
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN && s.fault != "full is broken":
			if err = s.wait(unix.POLLOUT); err == nil {
				continue
			}
		}
		if s.err = err; s.fault != "a part is told nil" {
			m.err = err
		}
		return err
	}
	if s.fault == "done at once" {
		s.tell(m)
	}
	return nil
}

func (s *variantSender) once(m *vsend, p []byte) (int, error) {
	least := 16 << 10
	switch s.fault {
	case "everything is pinned":
		least = 1
	case "nothing is pinned":
		least = 1 << 40
	}
	if len(p) >= least {
		n, err := unix.SendmsgN(s.fd, p, nil, nil, unix.MSG_ZEROCOPY|unix.MSG_NOSIGNAL)
		if err == nil {
			s.n.Pinned++
			m.left++
			s.calls = append(s.calls, m)
			return n, nil
		}
		if err != unix.ENOBUFS {
			return max(n, 0), err
		}
	}
	n, err := unix.SendmsgN(s.fd, p, nil, nil, unix.MSG_NOSIGNAL)
	if err == nil {
		s.n.Plain++
		if s.fault == "copies have numbers" {
			s.calls = append(s.calls, m)
			m.left++
		}
	}
	return max(n, 0), err
}

func (s *variantSender) tell(m *vsend) {
	if m.told && s.fault != "done twice" {
		return
	}
	m.told = true
	m.p = nil
	m.done(m.err)
}

func (s *variantSender) wait(events int16) error {
	timeout := int(s.timeout.Milliseconds()) + 1
	if s.fault == "waits for ever" {
		timeout = -1
	}
	if s.fault == "the timeout is for all of Send" && time.Since(s.began) > s.timeout {
		return errStalled
	}
	fds := []unix.PollFd{{Fd: int32(s.fd), Events: events}}
	n, err := unix.Poll(fds, timeout)
	switch {
	case err == unix.EINTR:
		return nil
	case err != nil:
		return err
	case n == 0:
		return errStalled
	}
	if fds[0].Revents&unix.POLLERR == 0 {
		return nil
	}
	return s.drain()
}

// drain takes in what is in the error queue.
func (s *variantSender) drain() error {
	oob := make([]byte, 512)
	for {
		_, k, _, _, err := unix.Recvmsg(s.fd, nil, oob, unix.MSG_ERRQUEUE)
		if err == unix.EINTR {
			continue
		}
		if err == unix.EAGAIN {
			break
		}
		if err != nil {
			return err
		}
		all, err := unix.ParseSocketControlMessage(oob[:k])
		if err != nil {
			return err
		}
		for _, c := range all {
			if len(c.Data) >= 16 && c.Data[4] == unix.SO_EE_ORIGIN_ZEROCOPY {
				if c.Data[6]&unix.SO_EE_CODE_ZEROCOPY_COPIED != 0 {
					s.n.Copied++
					if s.fault != "Copied counts notes" {
						s.n.Copied += int(binary.NativeEndian.Uint32(c.Data[12:]) - binary.NativeEndian.Uint32(c.Data[8:]))
					}
				}
				s.completed(binary.NativeEndian.Uint32(c.Data[8:]), binary.NativeEndian.Uint32(c.Data[12:]))
			}
		}
	}
	e, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && e != 0 {
		err = unix.Errno(e)
	}
	if s.fault == "errors of the socket are not asked for" {
		return nil
	}
	return err
}

func (s *variantSender) completed(first, last uint32) {
	if s.fault == "a note is for one call" {
		first = last
	}
	for i := range last - first + 1 {
		at := first + i - s.base
		if at >= uint32(len(s.calls)) || s.calls[at] == nil {
			continue
		}
		m := s.calls[at]
		s.calls[at] = nil
		m.left--
		if m.left == 0 && m.all || s.fault == "done with the first call" || s.fault == "done twice" {
			s.tell(m)
		}
	}
	for len(s.calls) > 0 && s.calls[0] == nil {
		s.calls = s.calls[1:]
		s.base++
	}
}

func (s *variantSender) Settle() error {
	for len(s.calls) > 0 && s.err == nil {
		s.err = s.wait(0)
	}
	if s.fault == "settled is well" {
		return nil
	}
	return s.err
}

func (s *variantSender) Close() error {
	if s.fd < 0 {
		return nil
	}
	if len(s.calls) > 0 && s.fault != "Close leaves it to the kernel" {
		unix.SetsockoptLinger(s.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	err := unix.Close(s.fd)
	s.fd = -1
	if s.err == nil {
		s.err = errClosed
	}
	for _, m := range s.calls {
		if m != nil && s.fault != "Close forgets" {
			if m.err == nil {
				m.err = errClosed
			}
			s.tell(m)
		}
	}
	s.calls = nil
	return err
}
