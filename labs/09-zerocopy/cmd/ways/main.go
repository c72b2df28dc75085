// Command ways sends one file over loopback in every way and prints what each
// costs the sender's thread.
//
//	go run ./labs/09-zerocopy/cmd/ways
//	go run ./labs/09-zerocopy/cmd/ways -read
//
// The receiver has the kernel throw the bytes away (MSG_TRUNC), as if it were
// another machine's. With -read it copies them out of the sender's pages, as a
// program on this machine would: what that does to the figures is the point.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	zerocopy "github.com/asynclab/asynclab/labs/09-zerocopy"
)

func main() {
	size := flag.Int64("mib", 256, "size of the file, in MiB")
	rounds := flag.Int("rounds", 5, "how often each way is measured, in turns")
	reads := flag.Bool("read", false, "let the receiver copy what comes into its memory")
	only := flag.String("only", "", "one way: copy-4K, copy-64K, mmap, sendfile, splice or zerocopy")
	flag.Parse()
	if err := run(*size<<20, *rounds, *only, *reads); err != nil {
		fmt.Fprintln(os.Stderr, "ways:", err)
		os.Exit(1)
	}
}

// cost is what a round has taken of the sending thread, for each GB.
type cost struct{ user, system, faults float64 }

func (c cost) cpu() float64 { return c.user + c.system }

func run(size int64, rounds int, only string, reads bool) error {
	file, err := randomFile(size)
	if err != nil {
		return err
	}
	defer file.Close()
	ways := []string{"copy-4K", "copy-64K", "mmap", "sendfile", "splice", "zerocopy"}
	if only != "" {
		ways = []string{only}
	}
	costs := map[string][]cost{}
	for range rounds {
		for _, way := range ways { // in turns: what else the machine does falls on all
			c, err := measure(file, size, way, reads)
			if err != nil {
				return fmt.Errorf("%s: %w", way, err)
			}
			costs[way] = append(costs[way], c)
		}
	}
	w := tabwriter.NewWriter(os.Stdout, 2, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "way\tCPU s/GB\t[lowest, highest]\tuser\tsystem\tpage faults/GB\t")
	for _, way := range ways {
		all := costs[way]
		slices.SortFunc(all, func(a, b cost) int { return int(1e9 * (a.cpu() - b.cpu())) })
		m := all[len(all)/2]
		fmt.Fprintf(w, "%s\t%.3f\t[%.3f, %.3f]\t%.3f\t%.3f\t%.0f\t\n", way, m.cpu(), all[0].cpu(), all[len(all)-1].cpu(), m.user, m.system, m.faults)
	}
	return w.Flush()
}

// randomFile is a file without a name, whose pages are in the page cache.
func randomFile(size int64) (*os.File, error) {
	f, err := os.CreateTemp("", "ways")
	if err != nil {
		return nil, err
	}
	os.Remove(f.Name())
	block := make([]byte, 1<<20)
	for i := range block {
		block[i] = byte(i*7 + i>>8)
	}
	for left := size; left > 0; left -= int64(len(block)) {
		if _, err := f.Write(block); err != nil {
			f.Close()
			return nil, err
		}
	}
	return f, nil
}

// measure sends the file once, on a thread of its own.
func measure(file *os.File, size int64, way string, reads bool) (cost, error) {
	sender, receiver, err := pair()
	if err != nil {
		return cost{}, err
	}
	defer sender.Close()
	received := make(chan int64, 1)
	go func() { received <- receive(receiver, reads) }()

	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, after unix.Rusage
	unix.Getrusage(unix.RUSAGE_THREAD, &before)
	err = send(sender, file, size, way)
	unix.Getrusage(unix.RUSAGE_THREAD, &after)
	if err != nil {
		return cost{}, err
	}
	sender.Close()
	if n := <-received; n != size {
		return cost{}, fmt.Errorf("%d of %d bytes have come", n, size)
	}
	gb := float64(size) / 1e9
	return cost{
		user:   time.Duration(after.Utime.Nano()-before.Utime.Nano()).Seconds() / gb,
		system: time.Duration(after.Stime.Nano()-before.Stime.Nano()).Seconds() / gb,
		faults: float64(after.Minflt-before.Minflt) / gb,
	}, nil
}

func send(c *net.TCPConn, file *os.File, size int64, way string) error {
	switch way {
	case "copy-4K":
		return loop(c, file, size, make([]byte, 4<<10))
	case "copy-64K":
		return loop(c, file, size, make([]byte, 64<<10))
	case "zerocopy":
		return pinned(c, size)
	}
	_, err := zerocopy.Send(c, file, 0, size, way)
	return err
}

// loop is the plain copy, with a buffer of any size.
func loop(c *net.TCPConn, file *os.File, size int64, buf []byte) error {
	for off := int64(0); off < size; off += int64(len(buf)) {
		n, err := file.ReadAt(buf, off)
		if n < len(buf) {
			return err
		}
		if _, err := c.Write(buf); err != nil {
			return err
		}
	}
	return nil
}

// pinned sends as many bytes from memory, by MSG_ZEROCOPY.
func pinned(c *net.TCPConn, size int64) error {
	s, err := zerocopy.NewSender(c, 10*time.Second)
	if err != nil {
		return err
	}
	defer s.Close()
	p := make([]byte, 1<<20)
	for left := size; left > 0; left -= int64(len(p)) {
		if err := s.Send(p, func(error) {}); err != nil {
			return err
		}
	}
	if err := s.Settle(); err != nil {
		return err
	}
	return nil
}

func pair() (sender, receiver *net.TCPConn, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	r, err := ln.Accept()
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	return c.(*net.TCPConn), r.(*net.TCPConn), nil
}

// receive counts what comes, and has the kernel drop it (tcp(7), MSG_TRUNC),
// unless it is to be read.
func receive(c *net.TCPConn, reads bool) (total int64) {
	defer c.Close()
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	flags := unix.MSG_TRUNC
	if reads {
		flags = 0
	}
	buf := make([]byte, 256<<10)
	for {
		var n int
		waited := raw.Read(func(fd uintptr) bool {
			n, _, err = unix.Recvfrom(int(fd), buf, flags)
			return err != unix.EAGAIN
		})
		if waited != nil || err != nil || n <= 0 {
			return total
		}
		total += int64(n)
	}
}
