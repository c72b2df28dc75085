package zerocopytest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
)

// at is the byte at an offset of everything that is sent here. It depends on
// all of the offset's bits, so that what is lost, doubled or moved shows.
func at(off int64) byte {
	x := uint64(off>>3+1) * 0x9e3779b97f4a7c15
	x ^= x >> 29
	return byte(x >> (8 * (off & 7)))
}

func fill(p []byte, off int64) []byte {
	for i := range p {
		p[i] = at(off + int64(i))
	}
	return p
}

// numbered is a file without a name, of n bytes, written to an hour ago. It is
// left to the garbage collector: a Send that hangs may use it beyond the end of
// its check.
func numbered(n int64) (*os.File, error) {
	f, err := os.CreateTemp("", "asynclab")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	return f, write(f, n)
}

func write(f *os.File, n int64) error {
	buf := make([]byte, 1<<20)
	for off := int64(0); off < n; off += int64(len(buf)) {
		p := buf[:min(int64(len(buf)), n-off)]
		if _, err := f.WriteAt(fill(p, off), off); err != nil {
			return err
		}
	}
	hour := time.Now().Add(-time.Hour)
	return os.Chtimes(f.Name(), hour, hour)
}

// folder is a directory until the check ends.
func folder(r *spec.Run) (string, error) {
	dir, err := os.MkdirTemp("", "asynclab")
	r.Cleanup(func() { os.RemoveAll(dir) })
	return dir, err
}

// put makes a file of n bytes in a directory.
func put(dir, name string, n int64) error {
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	defer f.Close()
	return write(f, n)
}

// connected is a connection over loopback. room bounds what the kernel keeps at
// either end, in bytes, roughly; 0 leaves that to the kernel.
func connected(room int) (sender, receiver *net.TCPConn, err error) {
	ln, err := listen(0)
	if err != nil {
		return nil, nil, err
	}
	defer ln.Close()
	if receiver, err = dial(ln.Addr().String(), room); err != nil {
		return nil, nil, err
	}
	c, err := ln.Accept()
	if err != nil {
		receiver.Close()
		return nil, nil, err
	}
	sender = c.(*net.TCPConn)
	if room > 0 {
		sender.SetWriteBuffer(room)
	}
	return sender, receiver, nil
}

// listen is a listener on loopback, whose connections have room for about that
// many bytes to send.
func listen(room int) (net.Listener, error) {
	config := net.ListenConfig{Control: bounded(room, syscall.SO_SNDBUF)}
	return config.Listen(context.Background(), "tcp", "127.0.0.1:0")
}

// dial connects, with room for about that many bytes that come.
func dial(addr string, room int) (*net.TCPConn, error) {
	dialer := net.Dialer{Timeout: 10 * time.Second, Control: bounded(room, syscall.SO_RCVBUF)}
	c, err := dialer.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// bounded sets a buffer's size before the connection is made: the window that
// the peer is told depends on it.
func bounded(room, option int) func(_, _ string, _ syscall.RawConn) error {
	if room == 0 {
		return nil
	}
	return func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, option, room) })
	}
}

// pair is connected, until the check ends.
func pair(r *spec.Run, room int) (sender, receiver *net.TCPConn, err error) {
	sender, receiver, err = connected(room)
	if err == nil {
		r.Cleanup(func() { sender.Close(); receiver.Close() })
		receiver.SetReadDeadline(deadline(r))
	}
	return sender, receiver, err
}

// deadline is a moment before the check's own: what is waited for in vain then
// fails with a word about it.
func deadline(r *spec.Run) time.Time {
	end, ok := r.Context().Deadline()
	if !ok {
		end = time.Now().Add(time.Minute)
	}
	return end.Add(-time.Second)
}

// small is a room that a file of some MiB fills many times over.
const small = 64 << 10

// got is what a receiver has found.
type got struct {
	n   int64 // bytes
	bad int64 // the first that is not what it must be; -1: none
	err error // nil at a regular end
}

func (g got) String() string {
	switch {
	case g.bad >= 0:
		return fmt.Sprintf("%d bytes came, and byte %d is another one", g.n, g.bad)
	case g.err != nil:
		return fmt.Sprintf("%d bytes came, then %v", g.n, g.err)
	}
	return fmt.Sprintf("%d bytes came, then the end", g.n)
}

// receive reads to the end and compares with what stands in the file from off
// on. piece is how much it reads at a time.
func receive(c io.Reader, off int64, piece int) got {
	g := got{bad: -1}
	buf := make([]byte, piece)
	for {
		n, err := c.Read(buf)
		for i, b := range buf[:n] {
			if g.bad < 0 && b != at(off+g.n+int64(i)) {
				g.bad = g.n + int64(i)
			}
		}
		g.n += int64(n)
		if err != nil {
			if err != io.EOF {
				g.err = err
			}
			return g
		}
	}
}

// receiving is receive on a goroutine.
func receiving(r *spec.Run, c io.Reader, off int64, piece int) <-chan got {
	result := make(chan got, 1)
	r.Go(func() error { result <- receive(c, off, piece); return nil })
	return result
}

// sent is what a Send has returned.
type sent struct {
	n   int64
	err error
}

// sending is Send on a goroutine. It closes c afterwards where end is set.
func sending(r *spec.Run, l lab, c *net.TCPConn, f *os.File, off, n int64, way string, end bool) <-chan sent {
	result := make(chan sent, 1)
	done := r.Go(func() error {
		k, err := l.Send(c, f, off, n, way)
		if end {
			c.Close()
		}
		result <- sent{k, err}
		return nil
	})
	r.Go(func() error {
		if err := <-done; err != nil { // it panicked
			result <- sent{0, err}
		}
		return nil
	})
	return result
}

// stalled waits until a sender has filled what a receiver that does not read
// has room for: nothing moves between several looks.
func stalled(r *spec.Run, receiver *net.TCPConn) error {
	mine, theirs := addr(receiver.LocalAddr()), addr(receiver.RemoteAddr())
	last, same := -1, 0
	return r.Until("the sender to fill the sockets of a peer that does not read", func() bool {
		in, _, err := meter.Queues(mine, theirs)
		out, _, err2 := meter.Queues(theirs, mine)
		if err != nil || err2 != nil || in.Received == 0 {
			return false
		}
		if now := in.Received + out.Unsent; now != last {
			last, same = now, 0
			return false
		}
		same++
		return same >= 6
	})
}

// begun waits until something has come.
func begun(r *spec.Run, receiver *net.TCPConn) error {
	mine, theirs := addr(receiver.LocalAddr()), addr(receiver.RemoteAddr())
	return r.Until("the first bytes to come", func() bool {
		in, _, err := meter.Queues(mine, theirs)
		return err == nil && in.Received > 0
	})
}

func addr(a net.Addr) netip.AddrPort { return netip.MustParseAddrPort(a.String()) }

// sleeps expects the process to come to rest.
func sleeps(r *spec.Run, when string) error {
	share, rests := meter.Rests(r.Context())
	if rests {
		return nil
	}
	return spec.Fail("it to sleep "+when, "it spins: with nothing it can do it runs %.0f%% as much as a thread that only spins", 100*share)
}

// descriptors is how many this process has open.
func descriptors() int {
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	return len(all)
}

// settles waits until there are no more descriptors than before, but for a few
// that are kept to be used again.
func settles(r *spec.Run, before int) error {
	const kept = 40
	err := r.Until("the descriptors to be closed", func() bool { return descriptors() <= before+kept })
	if err != nil {
		return spec.Fail(fmt.Sprintf("no more descriptors than the %d before, but for up to %d that are kept for later", before, kept), "%d are open", descriptors())
	}
	return nil
}

// gone closes c in a way that its peer learns at once.
func gone(c *net.TCPConn) {
	c.SetLinger(0)
	c.Close()
}
