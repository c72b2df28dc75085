package epolltest

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/asynclab/asynclab/harness/spec"
	"golang.org/x/sys/unix"
)

var listenRules = []spec.Rule[New]{
	{
		Name: "ListenGivesAnAddress", Group: "listen", Points: 2, Section: "Step 1: the listening socket",
		Why: "A client needs to know where the server is. With port 0 the kernel chooses, and only getsockname(2) tells what; an address that is taken must say so, for the reader of the log.",
		Hints: [3]string{
			"Which four system calls make a listening socket, and which fifth one tells its port?",
			"socket, setsockopt SO_REUSEADDR, bind, listen, getsockname. Wrap each error with %w and say what was being done.",
			"fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); after listen: sa, err := unix.Getsockname(fd); a := sa.(*unix.SockaddrInet4); &net.TCPAddr{IP: a.Addr[:], Port: a.Port}.",
		},
		Check: listenGivesAnAddress,
	},
	{
		Name: "OptionsAreChecked", Group: "listen", Points: 1, Section: "Step 1: the listening socket",
		Why: "A bound below zero would stop every connection from being read, silently. What cannot work is refused where it is written down: in New.",
		Hints: [3]string{
			"Which values of MaxUnsent make no sense?",
			"New returns an error for a negative one, and takes 1 MiB for 0.",
			`if o.MaxUnsent < 0 { return nil, fmt.Errorf("epoll: MaxUnsent is %d: ...", o.MaxUnsent) }, before anything is opened.`,
		},
		Check: optionsAreChecked,
	},
	{
		Name: "DescriptorsStayHere", Group: "listen", Points: 3, Section: "Step 2: the loop",
		Why: "A descriptor without CLOEXEC goes on living in every program this process starts, and a connection whose last copy is in a stranger never ends. A socket that may block stops the loop, and with it everyone.",
		Hints: [3]string{
			"What does a child process inherit, and what does a socket do by itself when there is nothing to read?",
			"Each call that makes a descriptor has a flag for it: SOCK_CLOEXEC, SOCK_NONBLOCK, EPOLL_CLOEXEC, EFD_CLOEXEC. accept4 does not copy the listener's flags.",
			"unix.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC), unix.EpollCreate1(unix.EPOLL_CLOEXEC), unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC).",
		},
		Check: descriptorsStayHere,
	},
}

func listenGivesAnAddress(r *spec.Run, new New) error {
	a, err := prepare(r, new, Options{})
	if err != nil {
		return err
	}
	r.Step("Listen on 127.0.0.1:0 returned %s; connect to it", a.addr)
	tcp, err := net.ResolveTCPAddr("tcp", a.addr)
	if err != nil || tcp.Port == 0 || !tcp.IP.IsLoopback() {
		return spec.Fail("Listen to return 127.0.0.1 and the port the kernel chose", "it returned %q", a.addr)
	}
	if _, err := a.dial(); err != nil {
		return err
	}
	r.Step("a second server listens on the same address")
	b, err := new(Options{})
	if err != nil {
		return err
	}
	r.Cleanup((&serving{Server: b}).stop)
	if _, err := b.Listen(a.addr); err == nil {
		return spec.Fail("the second Listen on a taken address to fail", "it returned nil")
	} else if !strings.Contains(err.Error(), "address already in use") {
		return spec.Fail(`an error that contains "address already in use"`, "it is %q", err)
	}
	return nil
}

func optionsAreChecked(r *spec.Run, new New) error {
	before := descriptors()
	r.Step("New with MaxUnsent -1")
	if s, err := new(Options{MaxUnsent: -1}); err == nil {
		(&serving{Server: s}).stop()
		return spec.Fail("New to refuse a negative MaxUnsent", "it returned a server and no error")
	}
	if lost := descriptors() - before; lost > 0 {
		return spec.Fail("a New that fails to leave no descriptor open", "%d more are open", lost)
	}
	return nil
}

func descriptorsStayHere(r *spec.Run, new New) error {
	before := map[int]bool{}
	for _, fd := range openFiles() {
		before[fd] = true
	}
	s, err := serve(r, new, Options{})
	if err != nil {
		return err
	}
	r.Step("three clients connect; look at every descriptor that is new in this process")
	if _, err := s.dialMany(3); err != nil {
		return err
	}
	for _, fd := range openFiles() {
		if before[fd] {
			continue
		}
		target, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		if flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); flags&unix.FD_CLOEXEC == 0 {
			return spec.Fail("every descriptor to be closed on exec", "descriptor %d (%s) would be inherited by a child process", fd, target)
		}
		if flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); strings.HasPrefix(target, "socket:") && flags&unix.O_NONBLOCK == 0 {
			return spec.Fail("every socket to be non-blocking", "descriptor %d (%s) may block the loop", fd, target)
		}
	}
	return nil
}

// openFiles lists this process's descriptors.
func openFiles() []int {
	return slices.DeleteFunc(numbers("/proc/self/fd"), func(fd int) bool {
		_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		return err != nil // the one that listed them, closed since
	})
}

func descriptors() int { return len(openFiles()) }

// numbers lists the entries of dir whose names are numbers.
func numbers(dir string) (all []int) {
	names, _ := os.ReadDir(dir)
	for _, n := range names {
		if i, err := strconv.Atoi(n.Name()); err == nil {
			all = append(all, i)
		}
	}
	return all
}
