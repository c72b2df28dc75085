package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// sendsATurn is how many messages an open loop sends before it looks for
// answers. A rate that this machine cannot reach must not starve them.
const sendsATurn = 1024

// turn is one round of the loop: send what is due, wait at most patience, act
// on what has happened.
func (s *swarm) turn(ctx context.Context, patience time.Duration) error {
	if s.pace != nil {
		s.sendDue()
		patience = min(patience, max(0, s.pace.next()-s.now()))
	}
	if len(s.publishers) > 0 && s.phase != connecting {
		s.publish()
		patience = s.untilPublish(patience)
	}
	var events [512]unix.EpollEvent
	n, err := s.wait(events[:], patience)
	if err != nil {
		return fmt.Errorf("load: wait for events: %w", err)
	}
	for i := range n {
		if events[i].Fd == wakeID {
			continue // that it ended the wait is all
		}
		if c := s.conns[events[i].Fd]; c.fd >= 0 {
			s.serve(c, events[i].Events)
		}
	}
	if at := s.now(); at-s.lastAt >= snapshotEvery {
		s.snapshot(at)
		return ctx.Err()
	}
	return nil
}

// untilPublish shortens patience to the next message that is due.
func (s *swarm) untilPublish(patience time.Duration) time.Duration {
	for _, p := range s.publishers {
		if p.pace != nil && s.phase != draining {
			patience = min(patience, max(0, p.pace.next()-s.now()))
		} else if p.credit.Load() > 0 && s.phase != draining {
			return 0
		}
	}
	return patience
}

// precise reports whether this group has to send at certain times.
func (s *swarm) precise() bool {
	return s.pace != nil || len(s.publishers) > 0 && s.publishers[0].pace != nil && s.phase != draining
}

// wait is epoll_wait. Its milliseconds are too coarse for an open loop, which
// has to send on time, and so waits with ppoll first.
func (s *swarm) wait(events []unix.EpollEvent, patience time.Duration) (int, error) {
	ms := int((patience + time.Millisecond - 1) / time.Millisecond)
	if s.precise() {
		ms = 0
		if patience > 0 {
			timeout := unix.NsecToTimespec(patience.Nanoseconds())
			_, err := unix.Ppoll([]unix.PollFd{{Fd: int32(s.epfd), Events: unix.POLLIN}}, &timeout, nil)
			if err != nil && err != unix.EINTR {
				return 0, err
			}
		}
	}
	n, err := unix.EpollWait(s.epfd, events, ms)
	if err == unix.EINTR {
		return 0, nil
	}
	return n, err
}

// sendDue sends what the open loop's clock says, each connection in its turn,
// whether or not earlier messages have come back.
func (s *swarm) sendDue() {
	for range sendsATurn {
		if s.pace.next() > s.now() {
			return
		}
		c := s.conns[s.pace.sent%int64(len(s.conns))]
		when := s.pace.take()
		if c.fd < 0 {
			continue // this one is gone, which is counted
		}
		c.put(when, s.table.out.size) // when it should have been sent: a late one is no excuse
		s.inFlight++
		s.flush(c)
	}
}

func (s *swarm) flush(c *conn) {
	if c.seat != nil && c.shake == nil {
		s.flushSeat(c)
		return
	}
	if err := c.flush(s.table); err != nil {
		s.lose(c, err)
	}
}

// serve acts on one connection's events: read everything, count what is whole,
// send what that makes room for, in one write.
func (s *swarm) serve(c *conn, events uint32) {
	if !s.established(c) {
		return
	}
	silent := c.seat != nil && c.seat.silent && c.shake == nil
	for more := !silent && events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0; more; {
		var err error
		if more, err = s.receive(c); err != nil {
			s.lose(c, err)
			return
		}
	}
	s.complete(c)
	if c.sent < c.due || c.seat != nil && len(c.seat.out) > 0 || c.shake != nil {
		s.flush(c)
	}
	if events&unix.EPOLLRDHUP != 0 && c.fd >= 0 {
		s.lose(c, io.EOF)
	}
}

// complete counts the messages that are whole and, in a closed loop, puts one
// more in flight for each.
func (s *swarm) complete(c *conn) {
	at := s.now()
	for whole := c.received / int64(s.table.back.size); c.first < whole; {
		sent := c.take()
		s.inFlight--
		s.messages++
		if s.phase == connecting {
			c.open = true
			s.connected++
			continue
		}
		s.record(sent, at)
		if s.cfg.Rate == 0 && s.phase != draining {
			c.put(at, s.table.out.size)
			s.inFlight++
		}
	}
}

// record notes one latency. What was sent before the window has waited for the
// hook, too, so it counts as a message only.
func (s *swarm) record(sent, at time.Duration) {
	took := min(max(1, (at-sent).Microseconds()), s.all.HighestTrackableValue())
	s.recent.RecordValue(took)
	if s.phase != window {
		return
	}
	s.measured++
	if sent >= s.from {
		s.all.RecordValue(took)
	}
}

// lose gives up a connection that the server had taken, with what was in flight
// on it.
func (s *swarm) lose(c *conn, err error) {
	switch {
	case c.seat != nil && c.seat.silent && c.open:
		s.rooms.silentEnded++ // as a server may do with one that does not read
		s.drop(c)
		return
	case errors.Is(err, errMismatch):
		s.faults.Mismatches++
	case errors.Is(err, errHandshake):
		s.faults.Refused++
	case err == io.EOF:
		s.faults.Ended++
		err = errors.New("the server ended the connection")
	case errors.Is(err, io.EOF):
		s.faults.Ended++
	default:
		s.faults.Reset++
	}
	s.fault(fmt.Errorf("connection %d, after %d bytes back: %w", c.id, c.received, err))
	if !c.open {
		s.failed++
	} else if c.seat != nil {
		s.leaveRoom(c)
	}
	s.faults.Lost += c.next - c.first
	s.drop(c)
}

// drop closes c's descriptor, if it has one, and forgets what was in flight.
func (s *swarm) drop(c *conn) {
	if c.fd < 0 {
		return
	}
	s.inFlight -= c.next - c.first
	unix.Close(c.fd)
	c.fd = -1
	s.live--
}

func (s *swarm) fault(err error) {
	if s.faults.First == "" {
		s.faults.First = err.Error()
	}
}
