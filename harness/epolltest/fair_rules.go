package epolltest

import (
	"errors"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
	"golang.org/x/sys/unix"
)

var fairRules = []spec.Rule[New]{
	{
		Name: "FirehoseDoesNotStarve", Group: "fair", Points: 5, Section: "Step 6: fairness",
		Why: "A loop that reads a connection until EAGAIN stays with it for as long as its peer keeps sending. Everyone else waits. Level-triggered epoll tells again of what is left, so a bounded bite a turn loses nothing.",
		Hints: [3]string{
			"How many bytes can one connection get through in one turn of your loop?",
			"Read a bounded number of bytes from each ready connection, then go back to epoll_wait: it reports the rest again, after the others.",
			"One unix.Read of at most 64 KiB per event, no inner loop.",
		},
		Check: firehoseDoesNotStarve,
	},
}

// firehoseDoesNotStarve lets one client keep the server busy and another one
// ask for short echoes. It counts what the firehose gets between a ping and its
// pong.
//
// All of the clients' side is on this one thread, and a pong is looked for
// before each read from the firehose. So the count does not depend on who is
// scheduled when: it is at most what was under way when the ping was sent, and
// what the server did before the ping's turn.
func firehoseDoesNotStarve(r *spec.Run, new New) error {
	const pings, total = 400, 512 << 20
	s, err := serve(r, new, Options{})
	if err != nil {
		return err
	}
	f, err := s.firehose(8 << 20)
	if err != nil {
		return err
	}
	c, err := s.dial()
	if err != nil {
		return err
	}
	neighbour, err := raw(c)
	if err != nil {
		return err
	}
	defer unix.Close(neighbour)
	defer unix.Close(f.fd)
	limit := f.window + 4<<20
	r.Step("one client sends without pause and reads as fast as it can, with at most %d MiB under way", f.window>>20)
	r.Step("another one sends 4 bytes and waits for their echo, again and again")
	for range pings {
		between, err := f.between(r, neighbour, limit)
		if err != nil {
			return s.explain(err)
		}
		if between > limit {
			return spec.Fail("a pong after a few turns of the loop", "%d MiB of the firehose went by before it came", between>>20)
		}
		if f.received > total {
			break
		}
	}
	return nil
}

// firehose is a connection that sends all the time, a bounded number of bytes
// ahead of what came back.
type firehose struct {
	fd             int
	window         int // bytes
	sent, received int
	buf            []byte
}

func (s *serving) firehose(window int) (*firehose, error) {
	c, err := s.dial()
	if err != nil {
		return nil, err
	}
	fd, err := raw(c)
	return &firehose{fd: fd, window: window, buf: pattern(1, 256<<10)}, err
}

// raw is a second descriptor of c's socket, for system calls; the caller closes
// it. Both are non-blocking.
func raw(c *client) (fd int, err error) {
	conn, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	failed := conn.Control(func(orig uintptr) { fd, err = unix.FcntlInt(orig, unix.F_DUPFD_CLOEXEC, 0) })
	return fd, errors.Join(err, failed)
}

// between sends a ping and returns how many bytes the firehose received until
// the pong came, or until they are more than limit.
func (f *firehose) between(r *spec.Run, neighbour, limit int) (int, error) {
	for f.sent-f.received < f.window { // under way: as much as may be
		if moved, err := f.send(); err != nil || !moved {
			break
		}
	}
	began := f.received
	if _, err := unix.Write(neighbour, []byte("ping")); err != nil {
		return 0, spec.Fail("the server to take 4 bytes", "%v", err)
	}
	pong := make([]byte, 4)
	for {
		n, err := unix.Read(neighbour, pong)
		switch {
		case n == len(pong):
			return f.received - began, nil
		case err != unix.EAGAIN:
			return 0, spec.Fail("4 bytes of echo", "read gave %d bytes, %v", n, err)
		case f.received-began > limit:
			return f.received - began, nil
		case r.Context().Err() != nil:
			return 0, spec.Fail("a pong", "none came until the deadline")
		}
		if err := f.turn(); err != nil {
			return 0, err
		}
	}
}

// turn reads once and sends once.
func (f *firehose) turn() error {
	n, err := unix.Read(f.fd, f.buf)
	switch {
	case n > 0:
		f.received += n
	case err != unix.EAGAIN:
		return spec.Fail("the firehose to be echoed", "after %d bytes: read gave %d, %v", f.received, n, err)
	}
	moved, err := f.send()
	if err == nil && n <= 0 && !moved {
		time.Sleep(50 * time.Microsecond) // let the server have this core
	}
	return err
}

// send writes once, within the window.
func (f *firehose) send() (moved bool, err error) {
	room := min(len(f.buf), f.window-(f.sent-f.received))
	if room <= 0 {
		return false, nil
	}
	n, err := unix.Write(f.fd, f.buf[:room])
	if err == unix.EAGAIN {
		return false, nil
	}
	if err != nil {
		return false, spec.Fail("the server to take the firehose", "after %d bytes: %v", f.sent, err)
	}
	f.sent += n
	return true, nil
}
