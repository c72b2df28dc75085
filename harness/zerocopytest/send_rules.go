package zerocopytest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
)

const (
	step1 = "Step 1: four ways"
	step2 = "Step 2: files that change"
	step3 = "Step 3: answers"
	step4 = "Step 4: clients as they are"
	step5 = "Step 5: a proxy"
	step6 = "Step 6: memory that is not copied"
)

var sendRules = []spec.Rule[lab]{
	{
		Name: "SendsThePiece", Group: "sending", Points: 3, Section: step1,
		Why: "A piece of a file is what every answer is made of: its bytes, all of them, from where it was asked for.",
		Hints: [3]string{
			"Which of the ways is wrong, and at which offset? Is it a page's?",
			"mmap wants an offset that is a multiple of the page size: map from there, and skip what is before.",
			"skip := off % pageSize; unix.Mmap(fd, off-skip, int(skip+n), ...); p := raw[skip:]",
		},
		Check: sendsThePiece,
	},
	{
		Name: "EmptyIsNothing", Group: "sending", Points: 1, Section: step1,
		Why: "Files without a byte exist, and mmap(2) refuses to map one: the article's server answers 500.",
		Hints: [3]string{
			"What does your way do for n = 0?",
			"There is nothing to send, so no system call is needed.",
			"case n == 0: return 0, nil",
		},
		Check: emptyIsNothing,
	},
	{
		Name: "ShortSendsGoOn", Group: "sending", Points: 3, Section: step1,
		Why: "A socket takes what it has room for. One call is never the whole of a large file: what the article's server calls success was 67 MB short.",
		Hints: [3]string{
			"What does the system call return, and who looks at it?",
			"Go on where it stopped, until n bytes are sent. EAGAIN means: wait until the socket is writable, then the same again.",
			"rawConn.Write(func(fd uintptr) bool { n, err = unix.Sendfile(...); return err != unix.EAGAIN })",
		},
		Check: shortSends,
	},
	{
		Name: "WaitsWithoutSpinning", Group: "sending", Points: 2, Section: step1,
		Why: "A client that does not read can take minutes. Calling again and again until it does costs a core for each.",
		Hints: [3]string{
			"What happens between EAGAIN and the next call?",
			"Return false from the function that you give to RawConn.Write: the poller wakes you when there is room.",
			"return err != unix.EAGAIN",
		},
		Check: waitsAsleep,
	},
	{
		Name: "HoldsNoThread", Group: "sending", Points: 2, Section: step1,
		Why: "TCPConn.File().Fd() makes the socket a blocking one: then each slow client has a thread of its own, for ever, and no deadline ends it.",
		Hints: [3]string{
			"Where does your descriptor come from?",
			"From SyscallConn: it is lent to your function, non-blocking as it is. Never from File.",
			"raw, err := c.SyscallConn(); raw.Write(func(fd uintptr) bool { ... })",
		},
		Check: holdsNoThread,
	},
	{
		Name: "DeadlineEndsIt", Group: "sending", Points: 2, Section: step1,
		Why: "The write deadline is how a caller limits its patience; and how much was sent until then is what it has to tell its books.",
		Hints: [3]string{
			"What does RawConn.Write return when the deadline passes?",
			"An error of its own, beside your function's: return it, with the bytes sent so far.",
			"waited := raw.Write(...); if waited != nil { return sent, waited }",
		},
		Check: deadlineEnds,
	},
	{
		Name: "GoneIsAnError", Group: "sending", Points: 1, Section: step1,
		Why: "Clients leave in the midst of a download. That is an error for this connection, and nothing for the process.",
		Hints: [3]string{
			"Which error do you get, and what do you do with it?",
			"EPIPE or ECONNRESET: return it with what was sent.",
			"if err != nil { return sent, err }",
		},
		Check: goneIsAnError,
	},
	{
		Name: "BeyondTwoGiB", Group: "sending", Points: 2, Section: step1,
		Why:      "2,147,479,552 bytes are the most that one call moves, and offsets do not fit into 32 bits. Both are found out with files nobody tests with.",
		Deadline: 2 * time.Minute,
		Hints: [3]string{
			"Is there an int32, or a single call, somewhere?",
			"Ask for a bounded piece each time, and count in int64.",
			"int(min(n-sent, 1<<20))",
		},
		Check: beyondTwoGiB,
	},
	{
		Name: "SharesTheFile", Group: "sending", Points: 1, Section: step1,
		Why: "One open file may be sent to many at once. Its own offset is one for all of them: who uses it sends a mixture.",
		Hints: [3]string{
			"Do you Seek, or Read, or call sendfile without an offset?",
			"ReadAt, and an offset of your own for sendfile and splice.",
			"unix.Sendfile(socket, file, &off, n)",
		},
		Check: sharesTheFile,
	},
	{
		Name: "LeavesNothing", Group: "sending", Points: 2, Section: step1,
		Why: "A pipe, a mapping, a descriptor left behind by each client that goes too early: that is how a server dies on a Sunday.",
		Hints: [3]string{
			"What is opened for a Send, and what closes it when there is an error?",
			"A pipe with bytes in it must not be used again: they are another client's.",
			"if p.held == 0 { keep it } else { close both ends }",
		},
		Check: leavesNothing,
	},
}

// in says in which way something happened.
func in(way string, err error) error {
	var f *spec.Failure
	if errors.As(err, &f) {
		return spec.Fail(f.Expected, "by %s: %s", way, f.Happened)
	}
	return err
}

// byEach does a check in all four ways, at once: most of it is waiting.
func byEach(r *spec.Run, check func(way string) error) error {
	return atOnce(r, ways, check)
}

func atOnce(r *spec.Run, ways []string, check func(way string) error) error {
	r.Step("at once: by %s", strings.Join(ways, ", by "))
	errs := make([]error, len(ways))
	var all sync.WaitGroup
	for i, way := range ways {
		ended := r.Go(func() error { return check(way) }) // a panic becomes an error
		all.Go(func() { errs[i] = in(way, <-ended) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// inTurns does a check in one way after the other, where it is about what this
// whole process has.
func inTurns(r *spec.Run, check func(way string) error) error {
	for _, way := range ways {
		r.Step("way: %s", way)
		if err := in(way, check(way)); err != nil {
			return err
		}
	}
	return nil
}

func sendsThePiece(r *spec.Run, l lab) error {
	f, err := numbered(3<<20 + 17)
	if err != nil {
		return err
	}
	return byEach(r, func(way string) error {
		for _, piece := range [][2]int64{{0, 1}, {0, 4096}, {1, 4096}, {4095, 2}, {4096, 100}, {12345, 65537}, {0, 3<<20 + 17}, {1<<20 + 3, 2 << 20}, {3<<20 + 16, 1}} {
			off, n := piece[0], piece[1]
			if err := exactly(r, l, f, off, n, way); err != nil {
				return err
			}
		}
		return nil
	})
}

// exactly sends a piece to a reader and compares.
func exactly(r *spec.Run, l lab, f *os.File, off, n int64, way string) error {
	c, peer, err := pair(r, 0)
	if err != nil {
		return err
	}
	read := receiving(r, peer, off, 64<<10)
	s, err := spec.Wait(r, fmt.Sprintf("Send of %d bytes from %d to return", n, off), sending(r, l, c, f, off, n, way, true))
	if err != nil {
		return err
	}
	g, err := spec.Wait(r, "the receiver to read to the end", read)
	if err != nil {
		return err
	}
	want := fmt.Sprintf("Send to return (%d, nil), and those %d bytes from offset %d to come", n, n, off)
	if s.err != nil || s.n != n {
		return spec.Fail(want, "it returned (%d, %v)", s.n, s.err)
	}
	if g.n != n || g.bad >= 0 || g.err != nil {
		return spec.Fail(want, "%s", g)
	}
	return nil
}

func emptyIsNothing(r *spec.Run, l lab) error {
	empty, err := numbered(0)
	if err != nil {
		return err
	}
	some, err := numbered(4096)
	if err != nil {
		return err
	}
	return byEach(r, func(way string) error {
		if err := exactly(r, l, empty, 0, 0, way); err != nil {
			return err
		}
		return exactly(r, l, some, 4096, 0, way) // at the very end
	})
}

func shortSends(r *spec.Run, l lab) error {
	const n = 6<<20 + 5
	f, err := numbered(n)
	if err != nil {
		return err
	}
	return byEach(r, func(way string) error {
		c, peer, err := pair(r, small)
		if err != nil {
			return err
		}
		done := sending(r, l, c, f, 0, n, way, true)
		if err := stalled(r, peer); err != nil {
			return err
		}
		r.Step("the peer begins to read, 10,007 bytes at a time")
		g, err := spec.Wait(r, "the receiver to read to the end", receiving(r, peer, 0, 10_007))
		if err != nil {
			return err
		}
		s, err := spec.Wait(r, "Send to return", done)
		if err != nil {
			return err
		}
		if s.err != nil || s.n != n || g.n != n || g.bad >= 0 {
			return spec.Fail(fmt.Sprintf("all %d bytes to come, and Send to say so", n), "Send returned (%d, %v); %s", s.n, s.err, g)
		}
		return nil
	})
}

func waitsAsleep(r *spec.Run, l lab) error {
	f, err := numbered(4 << 20)
	if err != nil {
		return err
	}
	return inTurns(r, func(way string) error {
		c, peer, err := pair(r, small)
		if err != nil {
			return err
		}
		done := sending(r, l, c, f, 0, 4<<20, way, false)
		if err := stalled(r, peer); err != nil {
			return err
		}
		if err := sleeps(r, "while its peer does not read"); err != nil {
			return err
		}
		gone(peer)
		_, err = spec.Wait(r, "Send to return when its peer has gone", done)
		return err
	})
}

func holdsNoThread(r *spec.Run, l lab) error {
	const clients = 24
	f, err := numbered(2 << 20)
	if err != nil {
		return err
	}
	return inTurns(r, func(way string) error {
		before, err := meter.Self()
		if err != nil {
			return err
		}
		r.Step("%d peers read nothing", clients)
		var peers []*net.TCPConn
		for range clients {
			c, peer, err := pair(r, small)
			if err != nil {
				return err
			}
			defer gone(peer)
			peers = append(peers, peer)
			sending(r, l, c, f, 0, 2<<20, way, false)
		}
		for _, peer := range peers {
			if err := begun(r, peer); err != nil {
				return err
			}
		}
		if err := stalled(r, peers[clients-1]); err != nil {
			return err
		}
		after, err := meter.Self()
		if err != nil {
			return err
		}
		if more := after.Threads - before.Threads; more > clients/2 {
			return spec.Fail(fmt.Sprintf("%d Sends that wait to hold goroutines, not threads", clients), "there are %d threads more", more)
		}
		return nil
	})
}

func deadlineEnds(r *spec.Run, l lab) error {
	const n = 4 << 20
	f, err := numbered(n)
	if err != nil {
		return err
	}
	return byEach(r, func(way string) error {
		c, peer, err := pair(r, small)
		if err != nil {
			return err
		}
		c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		s, err := spec.Wait(r, "Send to return when c's write deadline has passed", sending(r, l, c, f, 0, n, way, true))
		if err != nil {
			return err
		}
		g, err := spec.Wait(r, "the receiver to read to the end", receiving(r, peer, 0, 64<<10))
		if err != nil {
			return err
		}
		if !errors.Is(s.err, os.ErrDeadlineExceeded) || s.n != g.n || g.bad >= 0 {
			return spec.Fail("Send to return how many bytes the kernel has taken, and os.ErrDeadlineExceeded", "it returned (%d, %v); %s", s.n, s.err, g)
		}
		return nil
	})
}

func goneIsAnError(r *spec.Run, l lab) error {
	const n = 4 << 20
	f, err := numbered(n)
	if err != nil {
		return err
	}
	return byEach(r, func(way string) error {
		c, peer, err := pair(r, small)
		if err != nil {
			return err
		}
		done := sending(r, l, c, f, 0, n, way, false)
		if err := stalled(r, peer); err != nil {
			return err
		}
		r.Step("the peer resets the connection")
		gone(peer)
		s, err := spec.Wait(r, "Send to return when its peer has gone", done)
		if err != nil {
			return err
		}
		if !errors.Is(s.err, syscall.EPIPE) && !errors.Is(s.err, syscall.ECONNRESET) || s.n <= 0 || s.n >= n {
			return spec.Fail("Send to return what was taken, and EPIPE or ECONNRESET", "it returned (%d, %v)", s.n, s.err)
		}
		return nil
	})
}

func beyondTwoGiB(r *spec.Run, l lab) error {
	const size, large = 5 << 30, 2_200_000_000
	f, err := numbered(0)
	if err != nil {
		return err
	}
	if err := f.Truncate(size); err != nil {
		return fmt.Errorf("a sparse file of 5 GiB in %s: %w", os.TempDir(), err)
	}
	marks := []int64{1<<31 - 5000, 1<<32 - 5000, size - 10_000}
	for _, off := range marks {
		if _, err := f.WriteAt(fill(make([]byte, 10_000), off), off); err != nil {
			return err
		}
	}
	err = byEach(r, func(way string) error {
		for _, off := range marks {
			if err := exactly(r, l, f, off, 10_000, way); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.Step("%d bytes by sendfile", large)
	c, peer, err := pair(r, 0)
	if err != nil {
		return err
	}
	count := make(chan int64, 1)
	r.Go(func() error { count <- discard(peer); return nil })
	s, err := spec.Wait(r, "Send to return", sending(r, l, c, f, 0, large, bySendfile, true))
	if err != nil {
		return err
	}
	n, err := spec.Wait(r, "the receiver to read to the end", count)
	if err != nil {
		return err
	}
	if s.err != nil || s.n != large || n != large {
		return in(bySendfile, spec.Fail(fmt.Sprintf("all %d bytes to come, and Send to say so", large), "Send returned (%d, %v), and %d bytes came", s.n, s.err, n))
	}
	return nil
}

// discard counts what comes. The kernel drops it (tcp(7), MSG_TRUNC): what the
// receiver costs is not what is asked for.
func discard(c interface {
	SyscallConn() (syscall.RawConn, error)
}) (total int64) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	buf := make([]byte, 1<<20)
	for {
		var n int
		waited := raw.Read(func(fd uintptr) bool {
			n, _, err = unix.Recvfrom(int(fd), buf, unix.MSG_TRUNC)
			return err != unix.EAGAIN
		})
		if waited != nil || err != nil && err != unix.EINTR || n == 0 {
			return total
		}
		total += int64(max(n, 0))
	}
}

func sharesTheFile(r *spec.Run, l lab) error {
	const part = 512 << 10
	f, err := numbered(8 * part)
	if err != nil {
		return err
	}
	return inTurns(r, func(way string) error {
		if _, err := f.Seek(77, io.SeekStart); err != nil {
			return err
		}
		r.Step("8 parts of one file to 8 peers at once")
		var all sync.WaitGroup
		errs := make(chan error, 8)
		for i := range int64(8) {
			all.Go(func() {
				if err := exactly(r, l, f, i*part, part, way); err != nil {
					errs <- err
				}
			})
		}
		all.Wait()
		select {
		case err := <-errs:
			return err
		default:
		}
		if now, err := f.Seek(0, io.SeekCurrent); err != nil || now != 77 {
			return spec.Fail("the file's own offset to be left at 77", "it is at %d (%v)", now, err)
		}
		return nil
	})
}

func leavesNothing(r *spec.Run, l lab) error {
	const n = 1 << 20
	f, err := numbered(n)
	if err != nil {
		return err
	}
	before := descriptors()
	return inTurns(r, func(way string) error {
		r.Step("60 peers go in the midst of it")
		for range 60 {
			c, peer, err := connected(small)
			if err != nil {
				return err
			}
			done := sending(r, l, c, f, 0, n, way, true)
			if _, err := io.ReadFull(peer, make([]byte, 1000)); err != nil {
				return spec.Fail("1000 bytes to come", "%v", err)
			}
			gone(peer)
			if _, err := spec.Wait(r, "Send to return when its peer has gone", done); err != nil {
				return err
			}
		}
		if err := settles(r, before); err != nil {
			return err
		}
		maps, err := os.ReadFile("/proc/self/maps")
		if err != nil {
			return err
		}
		if found := countOf(string(maps), f.Name()); found > 0 {
			return spec.Fail("no mapping of the file to be left", "there are %d", found)
		}
		r.Step("and the next one gets its own bytes")
		for range 3 {
			if err := exactly(r, l, f, 0, n, way); err != nil {
				return err
			}
		}
		return nil
	})
}
