package reactortest

import (
	"bytes"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/asynclab/asynclab/harness/spec"
)

const tableSection = "Step 9: a descriptor table for each loop"

var tableRules = []spec.Rule[Subject]{
	{
		Name: "TablesHoldMoreThanTheLimit", Group: "tables", Points: 4, Section: tableSection,
		Why: "RLIMIT_NOFILE bounds a descriptor table, and Linux gives a thread one of its own when it asks. With OwnTables each loop has the whole limit for itself: that is how one process holds 100,000 connections where 20,000 descriptors are allowed.",
		Hints: [3]string{
			"Which thread does unshare(2) change, and which goroutines run on it?",
			"Lock the loop's goroutine to its thread for good, unshare there, and make the loop, its epoll and its listener on that goroutine. What others use, such as the eventfd, is made before and lent.",
			"go func() { runtime.LockOSThread(); unix.Unshare(unix.CLONE_FILES); l.events, err = eventloop.New(Options{ReusePort: true, WakeFD: wakefd}); ... }(). Before that: a read with a deadline on an os.Pipe, so that Go's own epoll exists.",
		},
		Check: tablesHoldMoreThanTheLimit,
	},
}

// tablesHoldMoreThanTheLimit connects more clients than the limit of open files
// lets one table hold. The clients' sockets are there before the limit is
// lowered: it bounds new descriptors only.
func tablesHoldMoreThanTheLimit(r *spec.Run, s Subject) error {
	const loops, n, limit = 4, 1000, 400
	d := newDiary(r)
	o := d.options(loops, "reuseport")
	o.OwnTables = true
	o.OnOpen = func(c Conn) { d.opened(c); c.SetTimeout(1) }
	r.Step("New with OwnTables and %d loops, Listen, Run; one client per loop is served", loops)
	sv, err := serve(r, s, o)
	if err != nil {
		return err
	}
	if _, err := d.onEachLoop(sv, 1); err != nil {
		return err
	}
	before, _ := d.count()
	fds, err := sockets(r, n)
	if err != nil {
		return err
	}
	raise, err := lowerLimit(r, limit)
	if err != nil {
		return err
	}
	r.Step("%d sockets are made; then the limit of open files becomes %d, and they connect", n, limit)
	for _, fd := range fds {
		if err := connect(fd, sv.addr); err != nil {
			return err
		}
	}
	if err := r.Until("OnOpen for each", func() bool { opened, _ := d.count(); return opened == before+n }); err != nil {
		opened, _ := d.count()
		return spec.Fail(fmt.Sprintf("all of %d clients to be accepted where a table holds %d", n, limit), "OnOpen was called for %d", opened-before)
	}
	if got := sv.Connections(); sum(got) != before+n || slices.Max(got) == sum(got) {
		return spec.Fail(fmt.Sprintf("Connections to tell of %d on several loops", before+n), "it is %v", got)
	}
	r.Step("each has an echo; loops wake each other; each has had its timeout")
	for i, fd := range fds {
		if err := echoOn(r, fd, pattern(i, 50)); err != nil {
			return spec.Fail("each client to have its echo", "client %d of %d: %v", i+1, n, err)
		}
	}
	if err := postAcross(r, sv); err != nil {
		return err
	}
	err = r.Until("OnTimeout for each", func() bool {
		for _, l := range d.all() {
			if l.timeouts != 1 {
				return false
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	raise()
	r.Step("half of them leave, then Shutdown")
	for _, fd := range fds[:n/2] {
		unix.Shutdown(fd, unix.SHUT_WR)
	}
	if err := r.Until("Connections to tell that half have left", func() bool { return sum(sv.Connections()) == before+n/2 }); err != nil {
		return spec.Fail(fmt.Sprintf("Connections to tell of %d when half have left", before+n/2), "it is %v", sv.Connections())
	}
	if err := sv.shutdown(); err != nil {
		return err
	}
	for i, fd := range fds {
		if got, err := readFull(r, fd, make([]byte, 1)); got != 0 || ended(err) != nil {
			return spec.Fail("every connection to end with the reactor", "client %d of %d: %d bytes, %v", i+1, n, got, err)
		}
	}
	return d.orderly()
}

func echoOn(r *spec.Run, fd int, p []byte) error {
	p = appendFrame(nil, p)
	if _, err := unix.Write(fd, p); err != nil {
		return err
	}
	got := make([]byte, len(p))
	if _, err := readFull(r, fd, got); err != nil {
		return err
	}
	if !bytes.Equal(got, p) {
		return fmt.Errorf("other bytes came back")
	}
	return nil
}

// postAcross sends a function round the loops: each posts it to the next, and
// so uses the descriptor by which the next is woken.
func postAcross(r *spec.Run, sv *serving) error {
	const rounds = 50
	done := make(chan struct{})
	var hop func(i int)
	hop = func(i int) {
		if i == rounds*sv.loops {
			close(done)
			return
		}
		sv.Post((i+1)%sv.loops, func() { hop(i + 1) })
	}
	if err := sv.Post(0, func() { hop(0) }); err != nil {
		return err
	}
	_, err := spec.Wait(r, "a function that each loop posts to the next to come round 50 times", done)
	return err
}

func sum(ns []int) (total int) {
	for _, n := range ns {
		total += n
	}
	return total
}
