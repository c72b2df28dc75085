package eventlooptest

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
)

const openSection = "Step 1: a loop that accepts"

var openRules = []spec.Rule[New]{
	{
		Name: "RefusesImpossibleOptions", Group: "open", Points: 1, Section: openSection,
		Why: "A loop with neither OnMessage nor OnData throws away what arrives, and one with both has to guess. A mistake in the configuration must show where it is made, not as silence in production.",
		Hints: [3]string{
			"Which combinations of the fields of Options make no sense?",
			"Exactly one of OnMessage and OnData; no negative bound. 0 means the default.",
			"At the top of New: if (o.OnMessage == nil) == (o.OnData == nil) { return nil, errors.New(...) }, and the same for MaxMessage < 0 and MaxQueued < 0.",
		},
		Check: refusesImpossibleOptions,
	},
	{
		Name: "OpensEveryConnection", Group: "open", Points: 1, Section: openSection,
		Why: "Clients come in bursts, and a backlog is reported as one event. Accept until there is none left, or stay level-triggered on the listener, and call OnOpen once for each.",
		Hints: [3]string{
			"One event on the listener: how many clients may be waiting?",
			"Leave the listener level-triggered, accept some per turn, and stop at EAGAIN. The event data must tell a listener from a connection.",
			"for range 64 { fd, sa, err := unix.Accept4(listener, SOCK_NONBLOCK|SOCK_CLOEXEC); EAGAIN: return; EINTR, ECONNABORTED: continue; register(fd, sa) }.",
		},
		Check: opensEveryConnection,
	},
	{
		Name: "OutlivesEMFILE", Group: "open", Points: 1, Section: openSection,
		Why: "With no descriptor left, accept4 fails and the client stays in the backlog, so a level-triggered listener is reported again at once, for ever: a core burns exactly when the machine is short of everything. Stop listening for a while, and begin again.",
		Hints: [3]string{
			"accept4 has failed with EMFILE and the client is still in the backlog. What will the next epoll_wait report?",
			"Take the listener's interest away (EPOLL_CTL_MOD with no events), and give it back after a while or when a connection closes.",
			"On EMFILE, ENFILE, ENOBUFS, ENOMEM: disarm, and AfterFunc(100 ms, rearm). Until timers are there (step 6), rearm where a connection closes.",
		},
		Check: outlivesEMFILE,
	},
}

func refusesImpossibleOptions(r *spec.Run, new New) error {
	onMessage := func(Conn, []byte) {}
	onData := func(_ Conn, data []byte) int { return len(data) }
	for what, o := range map[string]Options[Conn]{
		"neither OnMessage nor OnData": {},
		"both OnMessage and OnData":    {OnMessage: onMessage, OnData: onData},
		"MaxMessage -1":                {OnMessage: onMessage, MaxMessage: -1},
		"MaxQueued -1":                 {OnMessage: onMessage, MaxQueued: -1},
	} {
		r.Step("New with %s", what)
		if _, err := new(o); err == nil {
			return spec.Fail("an error from New with "+what, "it returned nil")
		}
	}
	return nil
}

func opensEveryConnection(r *spec.Run, new New) error {
	d := newDiary(r)
	s, err := serve(r, new, d.options())
	if err != nil {
		return err
	}
	r.Step("a second loop wants the same address")
	other, err := new(d.options())
	if err != nil {
		return err
	}
	if addr, err := other.Listen(s.addr); err == nil {
		return spec.Fail("an error from Listen on an address that is taken", "it returned %v", addr)
	}
	const n = 200
	r.Step("%d clients connect", n)
	peers := map[string]bool{}
	for range n {
		c, err := dial(r, s.addr)
		if err != nil {
			return err
		}
		peers[c.LocalAddr().String()] = true
	}
	if err := r.Until(fmt.Sprintf("OnOpen for all %d", n), func() bool { return len(d.all()) >= n }); err != nil {
		return spec.Fail(fmt.Sprintf("OnOpen for each of %d clients", n), "it was called for %d", len(d.all()))
	}
	for _, l := range d.all() {
		if !peers[l.peer] {
			return spec.Fail("RemoteAddr to be the client's address", "%s is none of theirs", l.peer)
		}
	}
	return d.orderly()
}

// outlivesEMFILE takes away all descriptors but a few, and counts what the loop
// does while clients wait in the backlog.
func outlivesEMFILE(r *spec.Run, new New) error {
	const clients, room = 12, 4
	d := newDiary(r)
	s, err := serve(r, new, d.options())
	if err != nil {
		return err
	}
	first, err := dial(r, s.addr) // the loop has all descriptors it needs
	if err != nil {
		return err
	}
	if _, err := d.waitOpen(first); err != nil {
		return err
	}
	fds, err := sockets(r, clients)
	if err != nil {
		return err
	}
	giveBack, err := leaveDescriptors(r, room)
	if err != nil {
		return err
	}
	r.Step("%d descriptors are left, and %d clients connect", room, clients)
	for _, fd := range fds {
		if err := connect(fd, s.addr); err != nil {
			return err
		}
	}
	if err := r.Until("the loop to take as many as it can", func() bool { return len(d.all()) >= 1+room }); err != nil {
		return err
	}
	r.Step("the others wait in the backlog; the loop must sleep")
	if err := idle(r, "while no descriptor is left"); err != nil {
		return err
	}
	r.Step("the limit is lifted; nobody has left")
	giveBack()
	return r.Until(fmt.Sprintf("OnOpen for all %d clients, now that there are descriptors", 1+clients),
		func() bool { return len(d.all()) >= 1+clients })
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
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil, err
	}
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
	low := unix.Rlimit{Cur: uint64(highest + 1), Max: limit.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		return nil, err
	}
	for _, fd := range fill[:room] {
		unix.Close(fd)
	}
	var given atomic.Bool
	giveBack = func() {
		if given.CompareAndSwap(false, true) {
			unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
			for _, fd := range fill[room:] {
				unix.Close(fd)
			}
		}
	}
	r.Cleanup(giveBack)
	return giveBack, nil
}

func connect(fd int, addr string) error {
	host, port, _ := strings.Cut(addr, ":")
	if host != "127.0.0.1" {
		return errors.New("not a loopback address: " + addr)
	}
	sa := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	fmt.Sscan(port, &sa.Port)
	if err := unix.Connect(fd, sa); err != nil {
		return spec.Fail("a connection to the loop's listener", "%v", err)
	}
	return nil
}

// idle expects the process to come to rest: four windows of 100 ms in a row in
// which it uses almost no CPU time, and then one beside a rival, for on a busy
// machine a loop that spins does not get much either. What else the machine is busy
// with makes the wait longer, not the verdict harder. It needs no descriptor.
func idle(r *spec.Run, when string) error {
	busy, quiet := 0.0, 0
	for range 60 {
		busy = meter.IdleCores(100 * time.Millisecond)
		quiet++
		if busy > 0.05 {
			quiet = 0
		}
		if quiet == 4 {
			var spins bool
			if busy, spins = meter.Spins(300 * time.Millisecond); !spins {
				return nil
			}
			quiet = 0
		}
		if r.Context().Err() != nil {
			break
		}
	}
	return spec.Fail("a loop that sleeps "+when, "it spins: it keeps %.0f%% busy of the core that it gets, with nothing to do", 100*busy)
}
