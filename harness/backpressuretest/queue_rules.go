package backpressuretest

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"weak"

	"github.com/asynclab/asynclab/harness/spec"
)

const queueSection = "Step 1: a queue with three levels"

var queueRules = []spec.Rule[lab]{
	{
		Name: "ReceivesInOrder", Group: "queue", Points: 2, Section: queueSection,
		Why: "Messages of one priority leave in the order in which they came. Everything built on a queue relies on that, and a ring that wraps or grows at the wrong index breaks it silently.",
		Hints: [3]string{
			"Does it go wrong at the first message, or after as many as the ring has slots?",
			"When the ring grows, the oldest message is not at index 0. And a slot that is not cleared keeps alive what its message pointed to.",
			"at(i) = &slots[(head+i) % len(slots)]; grow copies at(0) to at(n-1) to the begin of the new array, and sets head = 0.",
		},
		Check: receivesInOrder,
	},
	{
		Name: "HighestPriorityFirst", Group: "queue", Points: 2, Section: queueSection,
		Why: "A priority that does not overtake is a comment: when the queue is long, the order in which it leaves is all that a priority can do. Peek shows the same message that Receive would give, and leaves it: an event loop has to see what it offers to a socket that may refuse it.",
		Hints: [3]string{
			"Which message does your Receive look at first?",
			"A queue for each priority; receive from the highest that is not empty.",
			"for l := levels-1; l >= 0; l-- { if c.queues[l].n > 0 { return &c.queues[l] } }",
		},
		Check: highestPriorityFirst,
	},
	{
		Name: "BadOptionsAreRefused", Group: "queue", Points: 1, Section: queueSection,
		Why: "The article's channel takes capacity 0: its usage is 0 divided by 0, no comparison with that is true, and the first message finds the channel full. What makes no sense is refused where it is written down, and 0 has a meaning that is written down.",
		Hints: [3]string{
			"Which combinations of options cannot work?",
			"A negative number, a policy outside the four, and a bound on bytes without a way to know them.",
			"switch { case o.Capacity < 0 || o.MaxBytes < 0: ...; case o.Policy < Block || o.Policy > DropOldest: ...; case o.MaxBytes > 0 && o.Size == nil: ... }",
		},
		Check: badOptionsAreRefused,
	},
}

func receivesInOrder(r *spec.Run, l lab) error {
	s := open(r, l, options{Capacity: 100})
	s.fill(0, 9)
	s.gets(0, 1, 2, 3, 4, 5)
	s.fill(10, 99)
	s.gets(6, 7, 8, 9)
	rnd := rand.New(rand.NewPCG(5, 1))
	r.Step("10,000 times: TrySend or TryReceive, at random")
	sent, received := 100, 10
	for i := 0; i < 10_000 && s.err == nil; i++ {
		if rnd.IntN(2) == 0 && sent-received < 100 {
			if err := s.TrySend(Normal, Message{ID: sent}); err != nil {
				s.fail(fmt.Sprintf("TrySend with %d of 100 queued to return nil", sent-received), "it returned %s", l.name(err))
			}
			sent++
			continue
		}
		m, ok := s.TryReceive()
		switch {
		case ok != (sent > received):
			s.fail(fmt.Sprintf("TryReceive with %d queued to return %v", sent-received, sent > received), "it returned %v", ok)
		case ok && m.ID != received:
			s.fail(fmt.Sprintf("message %d", received), "TryReceive gave message %d", m.ID)
		case ok:
			received++
		}
	}
	if s.err != nil {
		return s.err
	}
	return letsGoOfWhatItGave(r, l)
}

// letsGoOfWhatItGave looks whether a message that has left lives on in the slot
// where it was.
func letsGoOfWhatItGave(r *spec.Run, l lab) error {
	c, err := l.NewBodies(100)
	if err != nil {
		return spec.Fail("New to make a channel of pointers", "it returned: %v", err)
	}
	r.Step("a channel of pointers: 40 are sent and received")
	bodies := fillBodies(c, Normal, 40)
	for range 40 {
		c.TryReceive()
	}
	return letGo(c, "what was received", bodies)
}

// fillBodies sends n pointers, and watches what they point to. It is a function
// of its own so that no frame of a rule holds a pointer.
//
//go:noinline
func fillBodies(c Bodies[int], p, n int) (bodies []weak.Pointer[Body]) {
	for range n {
		body := new(Body)
		c.TrySend(p, body)
		bodies = append(bodies, weak.Make(body))
	}
	return bodies
}

// letGo expects bodies to be garbage, though the channel is in use.
func letGo(c Bodies[int], what string, bodies []weak.Pointer[Body]) error {
	kept := 0
	for range 5 { // a weak pointer is cleared by the collection that finds its object dead
		runtime.GC()
		if kept = alive(bodies); kept == 0 {
			break
		}
	}
	runtime.KeepAlive(c)
	if kept > 0 {
		return spec.Fail(what+" to be garbage: the slot is cleared", "after 5 collections the channel still holds %d of %d bodies", kept, len(bodies))
	}
	return nil
}

func alive(bodies []weak.Pointer[Body]) (n int) {
	for _, b := range bodies {
		if b.Value() != nil {
			n++
		}
	}
	return n
}

func highestPriorityFirst(r *spec.Run, l lab) error {
	s := open(r, l, options{Capacity: 100})
	s.put(Low, 1)
	s.put(Normal, 2)
	s.put(High, 3)
	s.put(Low, 4)
	s.put(High, 5)
	s.put(Normal, 6)
	s.gets(3, 5, 2)
	s.put(High, 7)
	s.gets(7, 6, 1)
	s.put(Normal, 8)
	s.gets(8, 4)
	s.isEmpty()
	r.Step("priorities beyond High and Low count as these")
	s.put(Normal, 9)
	if s.err == nil {
		if err := s.TrySend(High+5, Message{ID: 10}); err != nil {
			s.fail("priority 6 to be taken as High", "TrySend returned %s", l.name(err))
		}
		if err := s.TrySend(Low-5, Message{ID: 11}); err != nil {
			s.fail("priority -6 to be taken as Low", "TrySend returned %s", l.name(err))
		}
	}
	s.gets(10, 9, 11)
	if s.err != nil {
		return s.err
	}
	return peekTakesNothing(r, l)
}

func peekTakesNothing(r *spec.Run, l lab) error {
	s := open(r, l, options{Capacity: 10})
	s.sees(0)
	s.put(Normal, 1, 2)
	s.sees(1)
	s.sees(1)
	s.put(High, 3)
	s.sees(3)
	if s.err == nil && (s.Len() != 3 || s.Stats().Received != 0) {
		s.fail("3 messages queued and none received", "Len is %d, Stats.Received %d", s.Len(), s.Stats().Received)
	}
	s.gets(3)
	s.sees(1)
	s.gets(1, 2)
	s.sees(0)
	return s.err
}

// sees expects Peek to show message id, or nothing when id is 0.
func (s *scene) sees(id int) {
	if s.err != nil {
		return
	}
	s.r.Step("Peek")
	if m, ok := s.Peek(); ok != (id > 0) || m.ID != id {
		s.fail(fmt.Sprintf("Peek to show message %d (0: none)", id), "it showed message %d, %v", m.ID, ok)
	}
}

func badOptionsAreRefused(r *spec.Run, l lab) error {
	for what, o := range map[string]options{
		"Capacity -1":             {Capacity: -1},
		"MaxBytes -1":             {MaxBytes: -1, Size: func(m Message) int { return m.Bytes }},
		"Policy -1":               {Policy: -1},
		"Policy 4":                {Policy: 4},
		"MaxBytes 1 without Size": {MaxBytes: 1},
	} {
		r.Step("New with %s", what)
		if _, err := l.New(o); err == nil {
			return spec.Fail("New to refuse "+what, "it returned no error")
		}
	}
	s := open(r, l, options{Policy: Reject})
	s.fill(1, 1024)
	s.try(l.Full, Normal, Message{ID: 1025})
	return s.err
}
