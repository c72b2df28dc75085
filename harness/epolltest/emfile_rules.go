package epolltest

import (
	"fmt"
	"net/netip"

	"github.com/asynclab/asynclab/harness/spec"
	"golang.org/x/sys/unix"
)

var emfileRules = []spec.Rule[New]{
	{
		Name: "AcceptPausesWithoutDescriptors", Group: "accept", Points: 4, Section: "Step 8: no descriptor left",
		Why: "With no descriptor left, accept4 fails with EMFILE and the client stays in the backlog, so the listener stays readable: a loop that goes on burns a core, one that gives up is down because it was popular. Stop watching the listener for a moment, serve the others, try again.",
		Hints: [3]string{
			"accept4 fails with EMFILE. What will the next epoll_wait say about the listener?",
			"Disarm the listener (EPOLL_CTL_MOD with no events) and arm it again 100 ms later, or when a connection closes: epoll_wait has a timeout.",
			"default: EpollCtl(MOD, listener, 0); s.acceptAgainAt = now + 100 ms. epoll_wait's timeout is 100 while that is set; after each turn: if the time has come, MOD with EPOLLIN.",
		},
		Check: acceptPausesWithoutDescriptors,
	},
}

// acceptPausesWithoutDescriptors takes every descriptor there is, so that the
// server finds a client in its backlog and cannot accept it.
func acceptPausesWithoutDescriptors(r *spec.Run, new New) error {
	s, err := serve(r, new, Options{})
	if err != nil {
		return err
	}
	old, err := s.dial()
	if err != nil {
		return err
	}
	if err := old.pingPong(); err != nil {
		return err
	}
	waiting, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0) // blocking, bounded by the receive timeout
	if err != nil {
		return err
	}
	defer unix.Close(waiting)
	r.Step("one client is connected; then this process uses up its descriptors, and another client connects")
	give, err := exhaust()
	if err != nil {
		return err
	}
	defer give()
	if err := unix.Connect(waiting, s.sockaddr()); err != nil {
		return fmt.Errorf("connect to %s: %w", s.addr, err)
	}
	if err := s.sleeps("no descriptor is left and a client waits in the backlog"); err != nil {
		return err
	}
	r.Step("the first client gets an echo meanwhile")
	if err := old.echo(pattern(1, 100_000)); err != nil {
		return err
	}
	r.Step("descriptors are there again; the waiting client sends 4 bytes")
	give()
	return s.rawPingPong(waiting)
}

// exhaust takes every free descriptor below a lowered limit. give returns them
// and puts the limit back; it may be called twice.
func exhaust() (give func(), err error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil, fmt.Errorf("getrlimit: %w", err)
	}
	highest := 0
	for _, fd := range openFiles() {
		highest = max(highest, fd)
	}
	lowered := unix.Rlimit{Cur: uint64(highest + 2), Max: limit.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lowered); err != nil {
		return nil, fmt.Errorf("setrlimit: %w", err)
	}
	var taken []int
	for {
		fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			break // EMFILE
		}
		taken = append(taken, fd)
	}
	return func() {
		unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
		for _, fd := range taken {
			unix.Close(fd)
		}
		taken = nil
	}, nil
}

func (s *serving) sockaddr() unix.Sockaddr {
	a := netip.MustParseAddrPort(s.addr)
	return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().Unmap().As4()}
}

// rawPingPong is pingPong on a descriptor.
func (s *serving) rawPingPong(fd int) error {
	if _, err := unix.Write(fd, []byte("ping")); err != nil {
		return s.explain(spec.Fail("the waiting client to be accepted", "%v", err))
	}
	unix.SetNonblock(fd, true)
	got := make([]byte, 4)
	var n int
	var err error
	late := s.r.Until("the waiting client to be accepted and get its echo, now that there are descriptors", func() bool {
		n, err = unix.Read(fd, got)
		return err != unix.EAGAIN && err != unix.EINTR
	})
	if late != nil {
		return s.explain(late)
	}
	if err != nil || string(got[:max(n, 0)]) != "ping" {
		return s.explain(spec.Fail("the waiting client to get its echo", "read gave %d bytes, %v", n, err))
	}
	return nil
}
