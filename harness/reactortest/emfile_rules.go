package reactortest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
)

const emfileSection = "Step 7: no descriptor left"

var emfileRules = []spec.Rule[Subject]{
	{
		Name: "OutlivesEMFILE", Group: "emfile", Points: 4, Section: emfileSection,
		Why: "With no descriptor left accept4 fails, and the client stays in the backlog, so the listener is readable at once again. Retried at once, that burns a core when the machine is short of everything. Pause, or keep a descriptor in reserve and send clients away with it; and take clients again when there is room.",
		Hints: [3]string{
			"accept4 has failed with EMFILE. What will poll say about the listener, and when?",
			"Either rest for a while before you look again, or close a descriptor kept for this, accept, close what you got, and reserve it again.",
			"case EMFILE, ENFILE: close(spare); fd := accept4(...); close(fd); spare = open(\"/dev/null\"). If the spare could not be had again: poll the wake-up eventfd alone, for 100 ms.",
		},
		Check: outlivesEMFILE,
	},
}

// outlivesEMFILE takes away all descriptors but a few, and watches what the
// reactor does while clients wait in the backlog.
func outlivesEMFILE(r *spec.Run, s Subject) error {
	const clients, room = 16, 4
	for _, strategy := range []string{"round-robin", "reuseport"} {
		r.Step("Accept is %q", strategy)
		d := newDiary(r)
		sv, err := serve(r, s, d.options(2, strategy))
		if err != nil {
			return in(strategy, err)
		}
		if _, err := d.onEachLoop(sv, 1); err != nil { // everything it needs is open
			return in(strategy, err)
		}
		if err := shortOfDescriptors(r, d, sv, clients, room); err != nil {
			return in(strategy, err)
		}
		if err := withoutReserve(r, s, strategy, clients); err != nil {
			return in(strategy, err)
		}
	}
	return nil
}

func shortOfDescriptors(r *spec.Run, d *diary, sv *serving, clients, room int) error {
	fds, err := sockets(r, clients)
	if err != nil {
		return err
	}
	runtime.GC() // not while it is watched
	before, _ := d.count()
	giveBack, err := leaveDescriptors(r, room)
	if err != nil {
		return err
	}
	r.Step("%d descriptors are left, and %d clients connect", room, clients)
	for _, fd := range fds {
		if err := connect(fd, sv.addr); err != nil {
			return err
		}
	}
	if err := r.Until("the reactor to take one or more of them", func() bool { opened, _ := d.count(); return opened > before }); err != nil {
		return err
	}
	if err := sleeps(r, "with no descriptor left and clients in the backlog"); err != nil {
		return err
	}
	giveBack()
	return takesClientsAgain(r, sv, fds)
}

// withoutReserve takes away more than there is: a descriptor that is given up
// cannot be had again, nor one in its place.
func withoutReserve(r *spec.Run, s Subject, strategy string, clients int) error {
	lowest, err := lowestFree() // before the reactor has any: all of its numbers are above
	if err != nil {
		return err
	}
	d := newDiary(r)
	sv, err := serve(r, s, d.options(2, strategy))
	if err != nil {
		return err
	}
	if _, err := d.onEachLoop(sv, 1); err != nil {
		return err
	}
	fds, err := sockets(r, clients)
	if err != nil {
		return err
	}
	runtime.GC()
	raise, err := lowerLimit(r, lowest)
	if err != nil {
		return err
	}
	r.Step("the limit of open files falls below all that is open, and %d clients connect", clients)
	for _, fd := range fds {
		if err := connect(fd, sv.addr); err != nil {
			return err
		}
	}
	if err := sleeps(r, "with no descriptor left, and none to be had in place of one given up"); err != nil {
		return err
	}
	raise()
	return takesClientsAgain(r, sv, fds)
}

// lowestFree is the number that the next descriptor gets.
func lowestFree() (int, error) {
	fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
	}
	return fd, err
}

// takesClientsAgain looks at those who waited, and at newcomers.
func takesClientsAgain(r *spec.Run, sv *serving, fds []int) error {
	r.Step("there are descriptors again: each client is served, or learns that it is not")
	for i, fd := range fds {
		if err := answeredOrEnded(r, fd); err != nil {
			return spec.Fail("each client that connected while there was no descriptor to have an echo or an end", "client %d of %d: %v", i+1, len(fds), err)
		}
	}
	r.Step("new clients come, and are served")
	for range 8 {
		c, err := dial(r, sv.addr)
		if err != nil {
			return err
		}
		if err := c.send([]byte("hello")); err != nil {
			return err
		}
		if err := c.expect([]byte("hello")); err != nil {
			return spec.Fail("the reactor to accept again when there are descriptors", "%v", err)
		}
	}
	return nil
}

// sleeps expects the process to come to rest.
func sleeps(r *spec.Run, when string) error {
	share, rests := meter.Rests(r.Context())
	if rests {
		return nil
	}
	return spec.Fail("the reactor to sleep "+when, "it spins: with nothing it can do it runs %.0f%% as much as a thread that only spins", 100*share)
}

// answeredOrEnded sends a frame and waits for its echo, or for the end.
func answeredOrEnded(r *spec.Run, fd int) error {
	if _, err := unix.Write(fd, appendFrame(nil, []byte("hello"))); err != nil {
		return ended(err)
	}
	_, err := readFull(r, fd, make([]byte, 4+len("hello")))
	return ended(err)
}

// ended makes nil of those errors by which a connection says that it is over.
func ended(err error) error {
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// readFull reads from a socket of the judge that is not in Go's poller, until p
// is full or the check's deadline.
func readFull(r *spec.Run, fd int, p []byte) (n int, err error) {
	for n < len(p) {
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 50)
		switch {
		case err != nil && err != unix.EINTR:
			return n, err
		case ready <= 0 && r.Context().Err() != nil:
			return n, fmt.Errorf("nothing came: after %d of %d bytes: %w", n, len(p), r.Context().Err())
		case ready <= 0:
			continue
		}
		got, err := unix.Read(fd, p[n:])
		if err != nil {
			return n, err
		}
		if got == 0 {
			return n, io.EOF
		}
		n += got
	}
	return n, nil
}

// sockets makes n sockets that are not connected yet.
func sockets(r *spec.Run, n int) (fds []int, err error) {
	for range n {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		r.Cleanup(func() { unix.Close(fd) })
		fds = append(fds, fd)
	}
	return fds, nil
}

// leaveDescriptors lowers the limit of open files so that room more can be
// opened. Every number below the limit is taken, or room would be a guess.
func leaveDescriptors(r *spec.Run, room int) (giveBack func(), err error) {
	highest := 0
	var fill []int
	for {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		fill = append(fill, fd)
		if highest = max(highest, fd); len(fill) > 64 && fill[len(fill)-1] == fill[len(fill)-2]+1 {
			break // no holes below
		}
	}
	raise, err := lowerLimit(r, highest+1)
	if err != nil {
		return nil, err
	}
	for _, fd := range fill[:room] {
		unix.Close(fd)
	}
	var given atomic.Bool
	giveBack = func() {
		if given.CompareAndSwap(false, true) {
			raise()
			for _, fd := range fill[room:] {
				unix.Close(fd)
			}
		}
	}
	r.Cleanup(giveBack)
	return giveBack, nil
}

// lowerLimit sets the soft limit of open files, which bounds the numbers of new
// descriptors, until raise is called or the check ends.
func lowerLimit(r *spec.Run, to int) (raise func(), err error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil, err
	}
	low := unix.Rlimit{Cur: uint64(to), Max: limit.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		return nil, err
	}
	raise = func() { unix.Setrlimit(unix.RLIMIT_NOFILE, &limit) }
	r.Cleanup(raise)
	return raise, nil
}

func connect(fd int, addr string) error {
	at, err := netip.ParseAddrPort(addr)
	if err != nil || !at.Addr().Is4() {
		return &net.AddrError{Err: "not an IPv4 address", Addr: addr}
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())}); err != nil {
		return spec.Fail("a connection to the reactor's listener", "%v", err)
	}
	return nil
}
