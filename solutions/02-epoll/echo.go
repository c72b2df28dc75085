package epoll

import "golang.org/x/sys/unix"

// serve acts on one event of c: write what is owed, then read and echo once,
// then decide what follows.
//
// One bounded read an event is what keeps the loop fair: a connection that
// sends without pause has more to read each time, and waits for its next turn
// like the others.
func (s *Server) serve(c *conn, events uint32) {
	broken := events&unix.EPOLLERR != 0 ||
		events&unix.EPOLLHUP != 0 && c.phase != lingering // a reset; HUP is due only after our own SHUT_WR
	if broken {
		s.close(c)
		return
	}
	if events&unix.EPOLLOUT != 0 && !s.flush(c) {
		return
	}
	if events&(unix.EPOLLIN|unix.EPOLLHUP) != 0 && !s.read(c) {
		return
	}
	s.settle(c)
}

// read reads once and echoes. It returns false when it has closed c.
func (s *Server) read(c *conn) (open bool) {
	switch c.phase {
	case lingering:
		return s.discard(c)
	case flushing:
		return true
	}
	room := min(len(s.buf), s.maxUnsent-len(c.unsent), c.quota)
	if room == 0 {
		return true
	}
	n, err := unix.Read(c.fd, s.buf[:room])
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return true // level-triggered: if there is something, we are told again
	case err != nil: // ECONNRESET, ETIMEDOUT, ...
		s.close(c)
		return false
	case n == 0: // the peer has finished sending; it may still be reading
		c.phase = flushing
		return true
	}
	c.quota -= n
	return s.send(c, s.buf[:n])
}

// send writes p and keeps a copy of what the kernel did not take. When there is
// a rest already, p goes behind it: a direct write would overtake it.
func (s *Server) send(c *conn, p []byte) (open bool) {
	if len(c.unsent) == 0 {
		n, err := write(c.fd, p)
		if err != nil {
			s.close(c)
			return false
		}
		p = p[n:]
	}
	c.unsent = append(c.unsent, p...)
	return true
}

// flush writes from what is owed. It returns false when it has closed c.
func (s *Server) flush(c *conn) (open bool) {
	n, err := write(c.fd, c.unsent)
	if err != nil {
		s.close(c)
		return false
	}
	c.unsent = c.unsent[n:]
	if len(c.unsent) == 0 {
		c.unsent = nil // a burst must not leave its memory behind
	}
	return true
}

// write is one write(2): how much the kernel took, 0 when its buffer is full.
// Go delivers EPIPE as an error; the signal SIGPIPE ends a program only for
// descriptors 1 and 2 (os/signal).
func write(fd int, p []byte) (n int, err error) {
	for {
		switch n, err = unix.Write(fd, p); err {
		case nil:
			return n, nil
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return 0, nil
		default:
			return 0, err
		}
	}
}

// settle decides what follows from c's state: whether reading is over, whether
// it is paused, whether c is done, and what epoll has to watch.
func (s *Server) settle(c *conn) {
	if c.phase == reading && c.quota == 0 {
		c.phase = flushing
	}
	if c.phase == flushing && len(c.unsent) == 0 {
		s.finish(c)
		return
	}
	switch owed := len(c.unsent); {
	case owed >= s.maxUnsent:
		c.paused = true
	case owed <= s.maxUnsent/2:
		c.paused = false // the gap between full and half keeps epoll_ctl rare
	}
	s.rearm(c)
}

// finish ends a connection that is owed nothing. After the peer's EOF a close
// is clean: nothing unread is left, and the kernel still delivers what it has.
// In a shutdown the peer may still be sending, so c lingers (shutdown.go).
func (s *Server) finish(c *conn) {
	if s.drain {
		s.linger(c)
		return
	}
	s.close(c)
}
