package capstonetest

import (
	"bytes"
	"strconv"
	"time"
)

// flow is what one sender with a name has sent to one room: a map of what waits,
// under the stand-in's lock for flows.
type flow struct {
	next    uint64
	waiting map[uint64]item
	alarm   *time.Timer // for its end
}

const flowWindow = 1000

// number puts one message of a sender in order, and publishes what is due. It
// returns false for a message without a number.
func (s *standin) number(from *guest, it item) bool {
	digits, _, found := bytes.Cut(it.payload, []byte(" "))
	seq, err := strconv.ParseUint(string(digits), 10, 32)
	if !found || err != nil {
		return s.fault == "numbers are not asked for"
	}
	s.flowsMu.Lock()
	defer s.flowsMu.Unlock()
	key := from.room + "/" + from.sender
	switch s.fault {
	case "numbers change nothing":
		s.publish(from, it)
		return true
	case "numbers count for each connection":
		key = from.room + "/" + from.conn.RemoteAddr().String()
	case "one gap holds up all senders":
		if s.flowsStopped(key) {
			s.held = append(s.held, func() { s.number(from, it) })
			return true
		}
	}
	f := s.flows[key]
	if f == nil {
		f = &flow{next: 1, waiting: map[uint64]item{}}
		s.flows[key] = f
	}
	_, twice := f.waiting[seq]
	switch {
	case (seq < f.next || twice) && s.fault != "repeated numbers are heard again":
		s.repeated.Add(1)
	case seq < f.next:
		s.repeated.Add(1)
		s.publish(from, it)
	case seq >= f.next+flowWindow && s.fault != "a number of any size waits":
		s.unordered.Add(1)
	default:
		f.waiting[seq] = it
		s.flow(from.room, f)
	}
	if f := s.held; len(s.flows[key].waiting) == 0 && len(f) > 0 {
		s.held = nil
		for _, again := range f {
			go again()
		}
	}
	return true
}

// flowsStopped reports whether any other flow has a gap.
func (s *standin) flowsStopped(key string) bool {
	for k, f := range s.flows {
		if k != key && len(f.waiting) > 0 {
			return true
		}
	}
	return false
}

// flow publishes what is in order, and has an alarm ring for what is not.
// flowsMu is held.
func (s *standin) flow(room string, f *flow) {
	for {
		it, ok := f.waiting[f.next]
		if !ok {
			break
		}
		delete(f.waiting, f.next)
		f.next++
		s.publish(&guest{room: room}, it)
	}
	if f.alarm != nil {
		f.alarm.Stop()
	}
	if len(f.waiting) > 0 && s.fault != "a gap waits for ever" && !(s.fault == "only the first gap ends" && s.lost.Load() > 0) {
		f.alarm = time.AfterFunc(s.gap, func() {
			s.flowsMu.Lock()
			defer s.flowsMu.Unlock()
			s.skip(room, f)
		})
	}
}

// skip gives up what is missing before the first that waits.
func (s *standin) skip(room string, f *flow) {
	if len(f.waiting) == 0 {
		return
	}
	first := ^uint64(0)
	for seq := range f.waiting {
		first = min(first, seq)
	}
	if s.fault != "lost numbers are not counted" {
		s.lost.Add(int64(first - f.next))
	}
	f.next = first
	s.flow(room, f)
}

// dropFlows forgets what waits for a number in a room that ends with its last
// member.
func (s *standin) dropFlows(room string) {
	s.flowsMu.Lock()
	defer s.flowsMu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.rooms[room]) > 1 {
		return
	}
	for key, f := range s.flows {
		if name, _, _ := bytes.Cut([]byte(key), []byte("/")); string(name) == room {
			clear(f.waiting)
		}
	}
}

// endFlows publishes what waits, when the server ends.
func (s *standin) endFlows() {
	s.flowsMu.Lock()
	defer s.flowsMu.Unlock()
	for key, f := range s.flows {
		room, _, _ := bytes.Cut([]byte(key), []byte("/"))
		for len(f.waiting) > 0 && s.fault != "what waits is lost at the end" {
			s.skip(string(room), f)
		}
	}
}
