package eventlooptest

import (
	"net"

	"golang.org/x/sys/unix"

	"github.com/asynclab/asynclab/harness/spec"
)

func adoptOwnsTheDescriptor(r *spec.Run, new New) error {
	d := newDiary(r)
	var e echo
	o := d.options()
	o.OnMessage = e.message
	s, err := serve(r, new, o)
	if err != nil {
		return err
	}
	if err := adoptSocketpair(r, s); err != nil {
		return err
	}
	if err := adoptTCP(r, s, d); err != nil {
		return err
	}
	r.Step("Adopt a descriptor that is no socket")
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := s.Adopt(null); err == nil {
		r.Step("Adopt returned nil: the loop may find out later")
	}
	if err := r.Until("a descriptor that cannot be adopted to be closed: it is the loop's", func() bool { return !isOpen(null, unix.S_IFCHR) }); err != nil {
		return err
	}
	r.Step("Adopt(-1) returns, whatever it returns")
	if err := r.Call("Adopt(-1) to return", func() error { s.Adopt(-1); return nil }); err != nil {
		return err
	}
	return adoptSocketpair(r, s) // the loop has survived it
}

// isOpen reports whether fd is open and of this type.
func isOpen(fd int, kind uint32) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == kind
}

// adoptSocketpair hands a blocking Unix socket to the loop and wants an echo.
func adoptSocketpair(r *spec.Run, s *serving) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	r.Step("Adopt one end of a socketpair, in blocking mode")
	if err := s.Adopt(pair[0]); err != nil {
		unix.Close(pair[1])
		return spec.Fail("Adopt to take a connected stream socket", "it returned: %v", err)
	}
	p := &pinger{fd: pair[1], out: appendFrame(nil, pattern(1, 64)), back: make([]byte, 68*16)}
	r.Cleanup(p.close)
	timeout := unix.Timeval{Sec: 20}
	unix.SetsockoptTimeval(p.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout)
	if err := r.Call("an echo on an adopted socket", func() error { return p.rounds(3) }); err != nil {
		return err
	}
	r.Step("its peer sends 800 KiB and reads nothing; others must still be served")
	flood := appendFrame(nil, pattern(1, 8<<10))
	r.Go(func() error {
		for range 100 {
			if _, err := unix.Write(p.fd, flood); err != nil {
				return err
			}
		}
		return nil
	})
	c, err := dial(r, s.addr)
	if err != nil {
		return err
	}
	if err := c.send([]byte("ping")); err != nil {
		return err
	}
	return c.expect([]byte("ping"))
}

// adoptTCP accepts with package net and hands a duplicate of the descriptor to
// the loop.
func adoptTCP(r *spec.Run, s *serving, d *diary) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer ln.Close()
	c, err := dial(r, ln.Addr().String())
	if err != nil {
		return err
	}
	accepted, err := ln.Accept()
	if err != nil {
		return err
	}
	file, err := accepted.(*net.TCPConn).File() // a duplicate
	accepted.Close()
	if err != nil {
		return err
	}
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	file.Close()
	if err != nil {
		return err
	}
	r.Step("Adopt a TCP connection that package net has accepted")
	if err := s.Adopt(fd); err != nil {
		return spec.Fail("Adopt to take a connected stream socket", "it returned: %v", err)
	}
	if err := c.send([]byte("adopted")); err != nil {
		return err
	}
	if err := c.expect([]byte("adopted")); err != nil {
		return err
	}
	if d.of(c).opened != 1 {
		return spec.Fail("OnOpen once for an adopted connection, with the client's address as RemoteAddr", "it was called %d times with that address", d.of(c).opened)
	}
	c.CloseWrite()
	if err := c.expectEnd(); err != nil {
		return err
	}
	return nil
}
