package zerocopytest

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// fault is one way in which a variant is wrong. It is a word for the reader;
// the code says what each does.
type fault string

var (
	errChanged = errors.New("changed")
	errClosed  = errors.New("closed")
	errStalled = errors.New("stalled")
)

// variantLab is right in another style than the solution's: pieces of 256 KiB
// by the standard library's own calls where it has them, net/http's server, a
// proxy that copies. With a fault it is a mutant.
func variantLab(f fault) lab {
	v := &variantSend{fault: f}
	return lab{
		Changed: errChanged, Closed: errClosed, Stalled: errStalled,
		Send:     v.send,
		New:      func(o Options) (Server, error) { return newVariantServer(o, f) },
		NewProxy: func(o ProxyOptions) (Server, error) { return newVariantProxy(o, f) },
		NewSender: func(c *net.TCPConn, timeout time.Duration) (counting, error) {
			return newVariantSender(c, timeout, f)
		},
	}
}

type variantSend struct {
	fault fault
	mu    sync.Mutex
	dirty [][2]int // pipes to be used again
}

const variantPiece = 256 << 10

func (v *variantSend) send(c *net.TCPConn, f *os.File, off, n int64, way string) (done int64, err error) {
	known := way == byCopy || way == byMmap || way == bySendfile || way == bySplice
	if !known || off < 0 || n < 0 {
		return 0, errors.New("nonsense")
	}
	first, err := f.Stat()
	if err != nil {
		return 0, err
	}
	switch {
	case v.fault == "trusts the length":
	case off > first.Size() || n > first.Size()-off:
		return 0, errChanged
	}
	if v.fault == "offsets of 32 bits" {
		off = int64(int32(off))
	}
	if n == 0 && (v.fault != "empty is mapped" || way != byMmap) {
		return 0, nil
	}
	if v.fault == "a blocking socket" || v.fault == "one blocking call" {
		return v.blocking(c, f, off, n)
	}
	for first := first; done < n || v.fault == "empty is mapped"; {
		now, err := f.Stat()
		if err != nil {
			return done, err
		}
		same := now.Size() == first.Size() && now.ModTime().Equal(first.ModTime())
		switch {
		case v.fault == "looks once", v.fault == "zeros for what is gone":
		case v.fault == "only the size":
			same = now.Size() == first.Size()
			fallthrough
		default:
			if !same {
				if v.fault == "cut is the end" {
					return n, nil
				}
				return done, errChanged
			}
		}
		k, err := v.piece(c, f, off+done, min(n-done, variantPiece), way)
		done += k
		switch {
		case v.fault == "a short send is a send" && k > 0:
			return n, nil
		case v.fault == "the rest is forgotten" && done > n-variantPiece && n > variantPiece:
			return n, nil
		case v.fault == "gone is the end" && (errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET)):
			return n, nil
		case v.fault == "counts what was read" && err != nil:
			return min(done+variantPiece, n), err
		}
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// piece sends up to n bytes, all of them unless there is an error.
func (v *variantSend) piece(c *net.TCPConn, f *os.File, off, n int64, way string) (int64, error) {
	switch {
	case v.fault == "uses the file's offset":
		f.Seek(off, io.SeekStart)
		return io.Copy(struct{ io.Writer }{c}, io.LimitReader(f, n))
	case way == byCopy:
		return v.copied(c, f, off, n)
	case way == byMmap:
		return v.mapped(c, f, off, n)
	case way == bySplice:
		return v.spliced(c, f, off, n)
	}
	return v.byRaw(c, n, func(fd int, moved int64) (int, error) {
		at := off + moved
		if v.fault == "begins the piece again" && moved > 0 {
			at = off
		}
		k, err := unix.Sendfile(fd, int(f.Fd()), &at, int(n-moved))
		if k == 0 && err == nil && v.fault != "waits for what is gone" {
			return 0, errChanged
		}
		return k, err
	})
}

func (v *variantSend) copied(c *net.TCPConn, f *os.File, off, n int64) (int64, error) {
	buf := make([]byte, n)
	k, err := f.ReadAt(buf, off)
	if int64(k) < n {
		switch {
		case v.fault == "zeros for what is gone":
		case errors.Is(err, io.EOF):
			return 0, errChanged
		default:
			return 0, err
		}
	}
	if v.fault == "EAGAIN spins" {
		return v.byRaw(c, n, func(fd int, moved int64) (int, error) { return unix.Write(fd, buf[moved:]) })
	}
	w, err := c.Write(buf)
	return int64(w), err
}

func (v *variantSend) mapped(c *net.TCPConn, f *os.File, off, n int64) (int64, error) {
	from := off &^ int64(os.Getpagesize()-1)
	if v.fault == "maps at any offset" {
		from = off
	}
	raw, err := unix.Mmap(int(f.Fd()), from, int(off-from+n), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return 0, err
	}
	if v.fault != "mappings stay" {
		defer unix.Munmap(raw)
	}
	p := raw[off-from:]
	if v.fault == "touches the mapping" {
		w := 0
		for w < len(p) {
			k, err := c.Write(append([]byte(nil), p[w:min(w+4096, len(p))]...))
			if w += k; err != nil {
				return int64(w), err
			}
		}
		return n, nil
	}
	w, err := c.Write(p)
	if errors.Is(err, unix.EFAULT) {
		err = errChanged
	}
	return int64(w), err
}

func (v *variantSend) spliced(c *net.TCPConn, f *os.File, off, n int64) (done int64, err error) {
	p, err := v.pipe()
	if err != nil {
		return 0, err
	}
	held := 0
	defer func() { v.giveBack(p, held) }()
	for done < n {
		at := off + done
		in, err := unix.Splice(int(f.Fd()), &at, p[1], nil, int(n-done), unix.SPLICE_F_NONBLOCK)
		if in == 0 && err == nil {
			return done, errChanged
		}
		if err != nil {
			return done, err
		}
		held += int(in)
		out, err := v.byRaw(c, in, func(fd int, _ int64) (int, error) {
			k, err := unix.Splice(p[0], nil, fd, nil, held, unix.SPLICE_F_NONBLOCK)
			held -= max(int(k), 0)
			return int(k), err
		})
		if done += out; err != nil {
			return done, err
		}
	}
	return done, nil
}

func (v *variantSend) pipe() (p [2]int, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if k := len(v.dirty); k > 0 {
		p, v.dirty = v.dirty[k-1], v.dirty[:k-1]
		return p, nil
	}
	return p, unix.Pipe2(p[:], unix.O_NONBLOCK|unix.O_CLOEXEC)
}

func (v *variantSend) giveBack(p [2]int, held int) {
	switch {
	case v.fault == "pipes are used again as they are":
		v.mu.Lock()
		defer v.mu.Unlock()
		v.dirty = append(v.dirty, p)
	case v.fault == "pipes stay open" && held > 0:
	default:
		unix.Close(p[0])
		unix.Close(p[1])
	}
}

// byRaw calls move until n bytes have been moved.
func (v *variantSend) byRaw(c *net.TCPConn, n int64, move func(fd int, moved int64) (int, error)) (moved int64, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	if v.fault == "no deadline" {
		c.SetWriteDeadline(time.Time{})
	}
	waited := raw.Write(func(fd uintptr) bool {
		for moved < n {
			k, e := move(int(fd), moved)
			if k > 0 {
				moved += int64(k)
			}
			switch {
			case e == unix.EINTR:
			case e == unix.EAGAIN && v.fault == "EAGAIN spins":
				runtime.Gosched()
			case e == unix.EAGAIN:
				return false
			case e != nil:
				err = e
				return true
			}
		}
		return true
	})
	if err == nil {
		err = waited
	}
	return moved, err
}

// blocking is how the article has it: a second descriptor, made blocking.
func (v *variantSend) blocking(c *net.TCPConn, f *os.File, off, n int64) (done int64, err error) {
	file, err := c.File()
	if err != nil {
		return 0, err
	}
	defer file.Close()
	fd := int(file.Fd())
	unix.SetNonblock(fd, false)
	for done < n {
		at := off + done
		k, err := unix.Sendfile(fd, int(f.Fd()), &at, int(n-done))
		if err != nil {
			return done, err
		}
		if done += int64(k); k == 0 {
			return done, errChanged
		}
		if v.fault == "one blocking call" {
			return n, nil
		}
	}
	return done, nil
}
