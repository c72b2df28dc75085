package eventlooptest

import (
	"bytes"

	"golang.org/x/sys/unix"

	"github.com/asynclab/asynclab/harness/spec"
)

// pinger is a client outside Go's poller, whose system calls would be counted
// with the loop's: a blocking socket, and no allocation.
type pinger struct {
	fd   int
	out  []byte
	back []byte
}

func newPinger(addr string) (*pinger, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := connect(fd, addr); err != nil {
		unix.Close(fd)
		return nil, err
	}
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 20})
	return &pinger{fd: fd, out: appendFrame(nil, pattern(1, 64)), back: make([]byte, 68*16)}, nil
}

func (p *pinger) close() { unix.Close(p.fd) }

// depth makes p send and expect n frames at a time.
func (p *pinger) depth(n int) {
	p.out = bytes.Repeat(p.out[:68], n)
}

// rounds sends and expects n times.
func (p *pinger) rounds(n int) error {
	for range n {
		if _, err := unix.Write(p.fd, p.out); err != nil {
			return spec.Fail("the loop to take a request", "write: %v", err)
		}
		for got := 0; got < len(p.out); {
			n, err := unix.Read(p.fd, p.back[got:len(p.out)])
			if err == unix.EINTR {
				continue
			}
			if err != nil || n == 0 {
				return spec.Fail("an echo", "after %d of %d bytes: %v", got, len(p.out), err)
			}
			got += n
		}
		if !bytes.Equal(p.back[:len(p.out)], p.out) {
			return spec.Fail("an echo of the same bytes", "other bytes came")
		}
	}
	return nil
}
