package load

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// roomHeader is the beginning of a payload in a room: 4 bytes publisher, 4 of
// zero, 8 sequence number, 8 intended time of sending in ns on the swarm's
// clock, 8 of zero; big-endian. The rest is Pattern.
const roomHeader = 32

// keptMessages is how many of its newest messages a publisher keeps, to compare
// with what comes back.
const keptMessages = 1 << 10

// room is clients that must all receive what some of them publish. Groups share
// it: what is not atomic is immutable once all have connected.
type room struct {
	name       string
	publishers []*publisher
	listening  atomic.Int32 // members that read
}

// publisher is a member that sends. Its home is the group that its connection
// belongs to.
type publisher struct {
	room   *room
	number int
	home   *swarm
	conn   *conn

	published atomic.Int64 // the next sequence number
	credit    atomic.Int64 // closed loop: messages that may be sent
	kept      [keptMessages]kept
	pace      *pace // open loop; home only
}

// kept is a message in flight.
type kept struct {
	seq     atomic.Int64
	left    atomic.Int32 // members that have not got it
	payload []byte
}

// seat is a connection's place in a room.
type seat struct {
	room      *room
	publisher *publisher // itself, if it is one
	silent    bool       // never reads
	expect    []int64    // by publisher: the next sequence number
	out       []byte     // frames that the kernel has not taken yet
}

// tally is what happened in rooms.
type tally struct {
	published, deliveries     int64 // since the start
	measuredPub, measured     int64 // of which within the window
	gaps, doubled, disordered int64
	silentEnded               int64
}

func newRooms(c *Config) []*room {
	rooms := make([]*room, c.Rooms)
	for i := range rooms {
		rooms[i] = &room{name: fmt.Sprintf("/room/swarm-%d", i)}
	}
	return rooms
}

// seatOf gives connection number id of all groups its place. The first members
// of a room publish, the last are silent.
func (cr *crew) seatOf(s *swarm, c *conn, id int) *seat {
	n := len(cr.rooms)
	r, place := cr.rooms[id%n], id/n
	members := (cr.cfg.Conns - id%n + n - 1) / n
	st := &seat{room: r, silent: place >= members-cr.cfg.Silent, expect: make([]int64, cr.cfg.Publishers)}
	if place < cr.cfg.Publishers {
		st.publisher = cr.publisher(r, place)
		st.publisher.home, st.publisher.conn = s, c
		s.publishers = append(s.publishers, st.publisher)
	}
	return st
}

// publisher is number place of room r. All are made before any group runs.
func (cr *crew) publisher(r *room, place int) *publisher { return r.publishers[place] }

// openRooms has every publisher start.
func (s *swarm) openRooms() {
	for _, p := range s.publishers {
		if rate := s.cfg.Rate; rate > 0 {
			p.pace = newPace(rate/float64(s.crew.cfg.Rooms*s.crew.cfg.Publishers), s.now())
		} else {
			p.credit.Store(int64(s.cfg.Depth))
		}
	}
	s.publish()
}

// publish sends what this group's publishers may.
func (s *swarm) publish() {
	for _, p := range s.publishers {
		if p.conn.fd < 0 || s.phase == draining {
			continue
		}
		before := len(p.conn.seat.out)
		if p.pace != nil {
			for n := 0; n < sendsATurn && p.pace.next() <= s.now(); n++ {
				p.put(s, p.pace.take())
			}
		} else {
			for n := p.credit.Swap(0); n > 0; n-- {
				p.put(s, s.now())
			}
		}
		if len(p.conn.seat.out) > before {
			s.flushSeat(p.conn)
		}
	}
}

// put encodes one message, as of the time when.
func (p *publisher) put(s *swarm, when time.Duration) {
	seq := p.published.Load()
	k := &p.kept[seq%keptMessages]
	k.seq.Store(-1) // nobody compares with it while it changes
	if k.payload == nil {
		k.payload = make([]byte, s.cfg.Payload)
	}
	binary.BigEndian.PutUint32(k.payload, uint32(p.number))
	binary.BigEndian.PutUint64(k.payload[8:], uint64(seq))
	binary.BigEndian.PutUint64(k.payload[16:], uint64(when))
	Pattern(uint64(p.number)+4, seq*int64(s.cfg.Payload), k.payload[roomHeader:])
	listening := p.room.listening.Load()
	k.left.Store(listening)
	s.crew.pending.Add(int64(listening))
	k.seq.Store(seq)
	p.published.Store(seq + 1)
	st := p.conn.seat
	st.out = appendMasked(st.out, k.payload, maskOf(int(seq)))
	s.rooms.published++
	if s.phase == window {
		s.rooms.measuredPub++
	}
}

// flushSeat writes a publisher's frames.
func (s *swarm) flushSeat(c *conn) {
	st := c.seat
	for len(st.out) > 0 {
		n, err := ignoringEINTR(unix.Write, c.fd, st.out)
		if err == unix.EAGAIN {
			return
		}
		if err != nil {
			s.lose(c, fmt.Errorf("write: %w", err))
			return
		}
		st.out = st.out[n:]
	}
	st.out = st.out[:0]
}

// roomFrames takes what came to a member.
func (s *swarm) roomFrames(c *conn, got []byte) error {
	if len(c.part) > 0 {
		got = append(c.part, got...)
		c.part = nil
	}
	done, at := int64(0), s.now()
	defer func() { s.crew.pending.Add(-done) }()
	for len(got) > 0 {
		op, payload, n, err := frame(got)
		if err != nil {
			return err
		}
		if n == 0 {
			c.part = bytes.Clone(got)
			return nil
		}
		if op == opBinary {
			n, e := s.delivered(c, payload, at)
			done += n
			err = e
		} else {
			err = c.control(op, payload)
		}
		if err != nil {
			return err
		}
		got = got[n:]
	}
	return nil
}

// delivered looks at one message and returns how many deliveries that settles:
// itself, and those that the server has left out before it.
func (s *swarm) delivered(c *conn, payload []byte, at time.Duration) (settled int64, err error) {
	number := -1
	if len(payload) == s.cfg.Payload {
		number = int(binary.BigEndian.Uint32(payload))
	}
	if number < 0 || number >= len(c.seat.room.publishers) {
		return 0, fmt.Errorf("%w: %d bytes that no publisher has sent", errMismatch, len(payload))
	}
	p := c.seat.room.publishers[number]
	seq, expect := int64(binary.BigEndian.Uint64(payload[8:])), &c.seat.expect[number]
	switch {
	case seq == *expect-1:
		s.rooms.doubled++
		return 0, nil
	case seq < *expect:
		s.rooms.disordered++
		return 0, nil
	case seq >= p.published.Load():
		return 0, fmt.Errorf("%w: message %d, which was never sent", errMismatch, seq)
	}
	k := &p.kept[seq%keptMessages]
	if k.seq.Load() == seq && !bytes.Equal(payload, k.payload) && k.seq.Load() == seq {
		return 0, fmt.Errorf("%w: message %d of publisher %d differs from what was sent", errMismatch, seq, number)
	}
	for ; *expect < seq; *expect++ {
		s.rooms.gaps++
		settled++
		p.settle(s, *expect)
	}
	*expect++
	p.settle(s, seq)
	s.rooms.deliveries++
	if s.phase == window {
		s.rooms.measured++
	}
	s.recordDelivery(time.Duration(binary.BigEndian.Uint64(payload[16:])), at)
	return settled + 1, nil
}

// settle notes that one member more has got a message, or will not. The last one
// makes room for another.
func (p *publisher) settle(s *swarm, seq int64) {
	k := &p.kept[seq%keptMessages]
	if p.pace != nil || k.seq.Load() != seq || k.left.Add(-1) != 0 {
		return
	}
	if p.credit.Add(1) == 1 && p.home != s {
		p.home.wake()
	}
}

// recordDelivery notes one latency. Above a million deliveries a second the
// histogram itself would be what is measured, so it takes one in sampleEach.
func (s *swarm) recordDelivery(sent, at time.Duration) {
	if s.sampled++; s.sampled%sampleEach != 0 {
		return
	}
	took := min(max(1, (at-sent).Microseconds()), s.all.HighestTrackableValue())
	s.recent.RecordValue(took)
	if s.phase == window && sent >= s.from {
		s.all.RecordValue(took)
	}
}

// sampleEach: every such delivery's latency is recorded, on each group's count.
// It is prime to the usual numbers of members, so all of them have their turn.
const sampleEach = 7

// leaveRoom settles what a member that is gone will not get.
func (s *swarm) leaveRoom(c *conn) {
	if c.seat.silent {
		return
	}
	c.seat.room.listening.Add(-1)
	for i, p := range c.seat.room.publishers {
		for seq := c.seat.expect[i]; seq < p.published.Load(); seq++ {
			s.crew.pending.Add(-1)
			p.settle(s, seq)
		}
	}
}
