package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const (
	connectFor = 60 * time.Second      // without any progress
	maxTries   = 6                     // of one connection
	firstPause = 10 * time.Millisecond // before the second try; it doubles
)

// connect opens all connections, Burst at a time. One counts when its first
// echo is back: then the server has really taken it.
func (s *swarm) connect(ctx context.Context) error {
	s.phase = connecting
	progress, last := s.now(), 0
	for s.connected+s.failed < s.cfg.Conns {
		s.dialAgain()
		for len(s.conns) < s.cfg.Conns && len(s.conns)-s.connected-s.failed < s.cfg.Burst {
			c := &conn{id: len(s.conns)}
			s.conns = append(s.conns, c)
			s.open(c)
		}
		if err := s.turn(ctx, patience); err != nil {
			return err
		}
		if s.connected != last {
			progress, last = s.now(), s.connected
		}
		if s.now()-progress > connectFor {
			return fmt.Errorf("load: %d of %d connections have had their first echo, and none more in %v: does %s accept and echo?",
				s.connected, s.cfg.Conns, connectFor, s.cfg.Addr)
		}
	}
	if s.failed == s.cfg.Conns {
		return fmt.Errorf("load: no connection to %s: %s", s.cfg.Addr, s.faults.First)
	}
	return nil
}

// open dials c, with one message to be echoed as soon as it is connected.
func (s *swarm) open(c *conn) {
	id := c.id*s.crew.cfg.Groups + s.group // among all groups' connections
	*c = conn{fd: -1, id: c.id, start: s.table.first(id), seat: c.seat, tries: c.tries + 1}
	if s.cfg.Wire == WebSocket {
		path := s.cfg.Path
		if len(s.crew.rooms) > 0 {
			if c.seat == nil {
				c.seat = s.crew.seatOf(s, c, id)
			}
			path = c.seat.room.name
		}
		c.shake = newShake(path, s.cfg.Addr, id)
	}
	fd, err := s.dial.connect(id, c.tries, c.seat != nil && c.seat.silent)
	if err != nil {
		s.refuse(c, err)
		return
	}
	c.fd = fd
	s.live++
	if c.seat == nil {
		c.put(s.now(), s.table.out.size)
		s.inFlight++
	}
	// All that will be asked of epoll, once. EPOLLOUT costs nothing in
	// edge-triggered mode: it comes when there is room again after EAGAIN.
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(c.id)}
	if err := unix.EpollCtl(s.epfd, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		s.lose(c, fmt.Errorf("epoll_ctl: %w", err))
	}
}

// established reports whether c is connected, on the first event for it, which
// comes when the handshake is over.
func (s *swarm) established(c *conn) bool {
	if c.up {
		return true
	}
	errno, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && errno != 0 {
		err = unix.Errno(errno)
	}
	switch {
	case err == nil:
		c.up = true
	case errors.Is(err, unix.ECONNRESET):
		s.lose(c, err) // it was taken, and broken at once
	default:
		s.refuse(c, fmt.Errorf("connect: %w", err))
	}
	return c.up
}

// refuse closes a connection that could not be opened. Where another try may
// help, there will be one.
func (s *swarm) refuse(c *conn, err error) {
	s.drop(c)
	if worthATry(err) && c.tries < maxTries {
		s.retries++
		c.notBefore = s.now() + firstPause<<(c.tries-1)
		s.waiting = append(s.waiting, c)
		return
	}
	s.failed++
	s.faults.Refused++
	s.fault(fmt.Errorf("connection %d, after %d tries: %w", c.id, c.tries, err))
}

// worthATry tells what passes: a full backlog or one not there yet, ports used
// up (the next try takes another source address), memory short for a moment.
func worthATry(err error) bool {
	for _, passing := range []unix.Errno{unix.ECONNREFUSED, unix.EAGAIN, unix.EADDRNOTAVAIL, unix.ETIMEDOUT, unix.ENOBUFS} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return false
}

// dialAgain gives those their next try whose pause is over.
func (s *swarm) dialAgain() {
	waiting := s.waiting
	s.waiting = nil
	for _, c := range waiting {
		if s.now() < c.notBefore {
			s.waiting = append(s.waiting, c)
			continue
		}
		s.open(c)
	}
}
