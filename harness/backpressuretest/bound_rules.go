package backpressuretest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"

	"github.com/asynclab/asynclab/harness/spec"
)

const boundSection = "Step 2: a bound, and who pays for it"

var boundRules = []spec.Rule[lab]{
	{
		Name: "BoundHolds", Group: "bound", Points: 3, Section: boundSection,
		Why: "The bound is the reason for the queue: what it holds is memory. It counts messages, or bytes, or both, and no policy and no priority may step over it for a moment.",
		Hints: [3]string{
			"Which of your paths adds a message without having asked whether it fits?",
			"Both bounds, one question: fits(size). Accept nothing that it refuses, whatever the policy.",
			"fits := c.queued < c.opt.Capacity && c.bytes <= c.maxBytes() - size. The subtraction cannot overflow.",
		},
		Check: boundHolds,
	},
	{
		Name: "RejectRefuses", Group: "bound", Points: 2, Section: boundSection,
		Why: "To refuse is the simplest backpressure: the caller knows at once, and decides. The channel must not change for it, and a message that can never fit must say so, or its sender tries for ever.",
		Hints: [3]string{
			"What does a sender do with ErrFull, and what with ErrTooLarge?",
			"A message larger than MaxBytes fits no queue, not even an empty one: that comes before the question of room, under every policy.",
			"case m.size > c.maxBytes(): return ErrTooLarge, before fits and before waiting.",
		},
		Check: rejectRefuses,
	},
	{
		Name: "DropLowestFirst", Group: "bound", Points: 3, Section: boundSection,
		Why: "Under overload something is lost; a priority says what. An important message pushes out the least important one, and one that is no more important than what is queued pushes out nothing.",
		Hints: [3]string{
			"A Normal message meets a queue full of Normal ones. Who is more important?",
			"Only queued messages below the new one's priority may go. Of the lowest level that has any, the newest goes.",
			"for l := 0; l < level(p); l++ { if q := &c.queues[l]; q.n > 0 { drop q.popNewest(); break } }",
		},
		Check: dropLowestFirst,
	},
	{
		Name: "DropOldestKeepsTheNews", Group: "bound", Points: 3, Section: boundSection,
		Why: "For positions, prices and presence, an old message is worth less than a new one: the reader that has fallen behind should jump ahead. But age must not beat rank: a High message that waits is not pushed out by a Normal one.",
		Hints: [3]string{
			"With a queue for each priority, how do you know which message is the oldest of all?",
			"Number the messages as they come. The heads of the queues are the candidates; the one with the lowest number goes.",
			"Look at levels 0 to level(p) only, compare at(0).stamp, popOldest from the lowest.",
		},
		Check: dropOldestKeepsTheNews,
	},
	{
		Name: "NothingIsDroppedInVain", Group: "bound", Points: 2, Section: boundSection,
		Why: "A large message may need the room of several small ones. If there is not enough that may go, dropping some and then refusing it loses both.",
		Hints: [3]string{
			"You have dropped three messages, and the fourth is too important to go. What now?",
			"Ask first, drop then: add up what may go, and see whether the new message would fit without it.",
			"Keep the sum of bytes for each level, so that the question costs three additions and no walk.",
		},
		Check: nothingIsDroppedInVain,
	},
	{
		Name: "DropsAreHandedOver", Group: "bound", Points: 3, Section: boundSection,
		Why: "A message may own a buffer, a file, somebody who waits for an answer. Whoever drops it has to hand it over, once, and without a lock: the callback will want to ask the channel something. Discard, for a client that is thrown out, does it with the whole queue.",
		Hints: [3]string{
			"Which messages does nobody but the channel know about any more?",
			"Collect the victims under the lock, and call OnDrop after Unlock, before Send returns. A refused message is not a victim: its sender has it.",
			"c.mu.Lock(); w, victims, err := c.decide(...); c.unlock(); for _, v := range victims { c.opt.OnDrop(v) }",
		},
		Check: dropsAreHandedOver,
	},
}

// boundHolds compares a channel of each policy with the bound, at random.
func boundHolds(r *spec.Run, l lab) error {
	for policy := Block; policy <= DropOldest; policy++ {
		r.Step("policy %d, Capacity 7, MaxBytes 100: 5,000 messages of 0 to 40 bytes, received at random", policy)
		s := open(r, l, options{Capacity: 7, MaxBytes: 100, Policy: policy})
		rnd := rand.New(rand.NewPCG(5, 2))
		full := false
		for i := 0; i < 5000 && s.err == nil; i++ {
			err := s.TrySend(rnd.IntN(3)-1, Message{ID: i, Bytes: rnd.IntN(41)})
			if rnd.IntN(3) == 0 {
				s.TryReceive()
			}
			st := s.Stats()
			full = full || err != nil || st.Evicted > 0
			if st.Queued > 7 || st.Bytes > 100 || st.Queued != s.Len() {
				s.fail("at most 7 messages and 100 bytes, in Stats as in Len", "%s, Len is %d", s.holds(), s.Len())
			}
		}
		queued, bytes := 0, 0
		if s.err == nil {
			queued, bytes = s.Stats().Queued, s.Stats().Bytes
		}
		for s.err == nil {
			m, ok := s.TryReceive()
			if !ok {
				break
			}
			queued, bytes = queued-1, bytes-m.Bytes
		}
		if s.err == nil && (queued != 0 || bytes != 0 || !full) {
			s.fail("Stats to tell what is really queued", "it was %d messages and %d bytes more than came out", queued, bytes)
		}
		if s.err != nil {
			return s.err
		}
	}
	if err := largestBounds(r, l); err != nil {
		return err
	}
	return sizeIsAskedOnce(r, l)
}

// largestBounds has no room for a sum: one byte more is a negative number.
func largestBounds(r *spec.Run, l lab) error {
	r.Step("Capacity and MaxBytes as large as an int can be")
	s := open(r, l, options{Capacity: math.MaxInt, MaxBytes: math.MaxInt, Policy: Reject})
	s.try(nil, Normal, Message{ID: 1, Bytes: math.MaxInt / 2})
	s.try(l.Full, Normal, Message{ID: 2, Bytes: math.MaxInt})
	s.try(nil, Normal, Message{ID: 3, Bytes: math.MaxInt/2 + 1})
	s.try(l.Full, Normal, Message{ID: 4, Bytes: 1})
	s.gets(1, 3)
	s.isEmpty()
	return s.err
}

// sizeIsAskedOnce has Size call the channel: it is a callback like the others.
func sizeIsAskedOnce(r *spec.Run, l lab) error {
	var c judged
	asked := 0
	s := open(r, l, options{Capacity: 10, MaxBytes: 100, Policy: Reject, Size: func(m Message) int {
		asked++
		c.Len()
		return m.Bytes
	}})
	if c = s.judged; s.err != nil {
		return s.err
	}
	r.Step("Size calls Len")
	if err := r.Call("TrySend to return, while Size calls the channel: is a lock held?", func() error { return s.TrySend(Normal, Message{ID: 1, Bytes: 60}) }); err != nil {
		return err
	}
	s.try(l.Full, Normal, Message{ID: 2, Bytes: 60})
	if s.err == nil && asked != 2 {
		return spec.Fail("Size to be called once for each Send: 2 times", "it was called %d times", asked)
	}
	r.Step("a size of -50 counts as 0")
	s.try(nil, Normal, Message{ID: 3, Bytes: -50})
	if s.err == nil && s.Stats().Bytes != 60 {
		s.fail("60 bytes to be queued", "%s", s.holds())
	}
	s.gets(1, 3)
	return s.err
}

func rejectRefuses(r *spec.Run, l lab) error {
	s := open(r, l, options{Capacity: 3, MaxBytes: 100, Policy: Reject})
	s.try(nil, Normal, Message{ID: 1, Bytes: 100})
	s.try(l.Full, High, Message{ID: 2, Bytes: 1})
	s.try(nil, High, Message{ID: 3})
	s.gets(3, 1)
	s.put(Normal, 4, 5, 6)
	s.try(l.Full, High, Message{ID: 7})
	s.gets(4, 5, 6)
	s.isEmpty()
	s.drops()
	for policy := Block; policy <= DropOldest && s.err == nil; policy++ {
		r.Step("policy %d, MaxBytes 100", policy)
		s = open(r, l, options{MaxBytes: 100, Policy: policy})
		s.try(l.TooLarge, High, Message{ID: 1, Bytes: 101})
		s.try(nil, Low, Message{ID: 2, Bytes: 1})
		s.try(l.TooLarge, High, Message{ID: 3, Bytes: 1 << 62})
		s.gets(2)
	}
	return s.err
}

func dropLowestFirst(r *spec.Run, l lab) error {
	s := open(r, l, options{Capacity: 6, Policy: DropLowest})
	s.put(Low, 1, 2)
	s.put(Normal, 3, 4)
	s.put(High, 5)
	s.put(Normal, 6)
	s.put(Normal, 7)
	s.drops(2)
	s.put(High, 8)
	s.drops(1)
	s.try(l.Full, Normal, Message{ID: 9})
	s.put(High, 10)
	s.drops(7)
	s.put(High, 11, 12, 13)
	s.drops(6, 4, 3)
	s.try(l.Full, High, Message{ID: 14})
	s.drops()
	s.gets(5, 8, 10, 11, 12, 13)
	s.isEmpty()
	if s.err != nil {
		return s.err
	}
	r.Step("a channel of pointers, Capacity 40: 37 Low ones are pushed out")
	c, err := l.NewBodies(40)
	if err != nil {
		return spec.Fail("New to make a channel of pointers", "it returned: %v", err)
	}
	bodies := fillBodies(c, Low, 37)
	fillBodies(c, Normal, 40)
	return letGo(c, "what was pushed out", bodies)
}

func dropOldestKeepsTheNews(r *spec.Run, l lab) error {
	s := open(r, l, options{Capacity: 4, Policy: DropOldest})
	s.fill(1, 4)
	s.put(Normal, 5, 6)
	s.drops(1, 2)
	s.gets(3, 4, 5, 6)
	r.Step("ranks: the oldest of those that are not above the new one")
	s.put(High, 1)
	s.put(Normal, 2)
	s.put(Low, 3)
	s.put(Normal, 4)
	s.put(Normal, 5)
	s.drops(2)
	s.put(High, 6)
	s.drops(1)
	s.put(Normal, 7)
	s.drops(3)
	s.put(High, 8, 9)
	s.drops(4, 5)
	s.put(High, 10)
	s.drops(6)
	s.put(High, 11)
	s.drops(7)
	s.try(l.Full, Normal, Message{ID: 12})
	s.drops()
	s.gets(8, 9, 10, 11)
	s.isEmpty()
	return s.err
}

func nothingIsDroppedInVain(r *spec.Run, l lab) error {
	for _, policy := range []int{DropLowest, DropOldest} {
		r.Step("policy %d, MaxBytes 100", policy)
		s := open(r, l, options{MaxBytes: 100, Policy: policy})
		s.try(nil, Low, Message{ID: 1, Bytes: 20})
		s.try(nil, Low, Message{ID: 2, Bytes: 10})
		s.try(nil, High, Message{ID: 3, Bytes: 50})
		s.try(l.Full, Normal, Message{ID: 4, Bytes: 60})
		s.drops()
		s.try(nil, Normal, Message{ID: 5, Bytes: 50})
		if policy == DropLowest {
			s.drops(2, 1)
		} else {
			s.drops(1, 2)
		}
		s.gets(3, 5)
		s.isEmpty()
		r.Step("no more than is needed")
		s.try(nil, Low, Message{ID: 6, Bytes: 30})
		s.try(nil, Low, Message{ID: 7, Bytes: 30})
		s.try(nil, Low, Message{ID: 8, Bytes: 30})
		s.try(nil, Normal, Message{ID: 9, Bytes: 40})
		if policy == DropLowest {
			s.drops(8)
			s.gets(9, 6, 7)
		} else {
			s.drops(6)
			s.gets(9, 7, 8)
		}
		if s.err != nil {
			return s.err
		}
	}
	return nil
}

func dropsAreHandedOver(r *spec.Run, l lab) error {
	var c judged
	var got []int
	lens := 0
	s := open(r, l, options{Capacity: 3, Policy: DropOldest, OnDrop: func(m Message) {
		got = append(got, m.ID)
		lens += c.Len() + int(c.Stats().Evicted)
		if m.ID == 1 {
			c.TrySend(Normal, Message{ID: 100}) // pushes out 2: a drop in a drop
		}
	}})
	if c = s.judged; s.err != nil {
		return s.err
	}
	s.fill(1, 3)
	r.Step("TrySend message 4; OnDrop calls Len, Stats and TrySend of message 100")
	err := r.Call("TrySend to return, while OnDrop calls the channel: is a lock held?", func() error { return s.TrySend(Normal, Message{ID: 4}) })
	if err != nil {
		return err
	}
	if fmt.Sprint(got) != "[1 2]" {
		return spec.Fail("OnDrop to have got 1 and 2 when TrySend returns", "it got %v", got)
	}
	s.gets(3, 4, 100)
	if s.err != nil {
		return s.err
	}
	return discardEmptiesTheQueue(r, l)
}

func discardEmptiesTheQueue(r *spec.Run, l lab) error {
	s := open(r, l, options{Capacity: 10, MaxBytes: 100})
	s.try(nil, Low, Message{ID: 1, Bytes: 30})
	s.try(nil, High, Message{ID: 2, Bytes: 30})
	s.try(nil, Low, Message{ID: 3, Bytes: 30})
	if s.err != nil {
		return s.err
	}
	r.Step("Discard")
	if n := s.Discard(); n != 3 {
		return spec.Fail("Discard to return 3", "it returned %d", n)
	}
	if n := len(s.dropped); n != 3 || s.Len() != 0 || s.Stats().Bytes != 0 {
		return spec.Fail("3 messages to be handed to OnDrop, and an empty queue", "OnDrop got %v; %s", s.dropped, s.holds())
	}
	if n := s.Discard(); n != 0 {
		return spec.Fail("Discard of an empty channel to return 0", "it returned %d", n)
	}
	s.try(nil, Normal, Message{ID: 4, Bytes: 100})
	s.gets(4)
	if s.err != nil {
		return s.err
	}
	if err := nobodyWantsToKnow(r, l); err != nil {
		return err
	}
	return discardGivesMemoryBack(r, l)
}

// nobodyWantsToKnow makes a channel without callbacks.
func nobodyWantsToKnow(r *spec.Run, l lab) error {
	r.Step("a channel without OnDrop and OnSignal, Capacity 2, DropOldest")
	c, err := l.New(options{Capacity: 2, Policy: DropOldest})
	if err != nil {
		return spec.Fail("New to make a channel", "it returned: %v", err)
	}
	for id := range 3 {
		if err := c.TrySend(Normal, Message{ID: id}); err != nil {
			return spec.Fail("TrySend to return nil", "it returned %s", l.name(err))
		}
	}
	if n := c.Discard(); n != 2 {
		return spec.Fail("Discard to return 2", "it returned %d", n)
	}
	return nil
}

var weighing sync.Mutex // one rule at a time: the heap is everybody's

func discardGivesMemoryBack(r *spec.Run, l lab) error {
	const many = 1 << 19
	weighing.Lock()
	defer weighing.Unlock()
	c, err := l.New(options{Capacity: many, Policy: Reject})
	if err != nil {
		return spec.Fail("New to make a channel", "it returned: %v", err)
	}
	r.Step("%d messages are queued and discarded", many)
	before := heap()
	for id := range many {
		c.TrySend(Normal, Message{ID: id})
	}
	used := heap() - before
	c.Discard()
	kept := heap() - before
	runtime.KeepAlive(c)
	if kept > used/2 {
		return spec.Fail("Discard to give the queue's memory back", "%d messages took %d KiB, and %d KiB are still in use", many, used>>10, kept>>10)
	}
	return nil
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
