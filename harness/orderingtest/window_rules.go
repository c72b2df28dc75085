package orderingtest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"weak"

	"github.com/asynclab/asynclab/harness/spec"
)

const windowSection = "Step 2: the window"

var windowRules = []spec.Rule[lab]{
	{
		Name: "WaitsForTheMissingOne", Group: "window", Points: 4, Section: windowSection,
		Why: "What comes too early waits in the window. The moment the missing message comes, it and everything behind it that is there goes out, in that same Push: nobody else is going to call.",
		Hints: [3]string{
			"After you delivered the message that was missing, where is the one behind it?",
			"Keep early messages in a ring: number seq in slot seq & mask, with a bit for each slot. Deliver on while the bit of next is set.",
			"for b.next != b.head && b.ring.has(b.next) { offer it; clear its slot; b.next++ }, called by every Push that stored something.",
		},
		Check: waitsForTheMissingOne,
	},
	{
		Name: "DropsPendingDuplicates", Group: "window", Points: 3, Section: windowSection,
		Why: "Two copies with one number are one message, and the first one that was taken is it. A second copy that takes the first one's place makes the buffer own something else than it has told its caller.",
		Hints: [3]string{
			"What does your store do when the slot is not empty?",
			"The bit of the slot says that a message with this number waits, if the number is in the window.",
			"case before(seq, b.head) && b.ring.has(seq): b.counts.Duplicates++; return ErrDuplicate",
		},
		Check: dropsPendingDuplicates,
	},
	{
		Name: "PendingIsBounded", Group: "window", Points: 4, Section: windowSection,
		Why: "One lost message and a sender that goes on: without a bound the buffer keeps all that follows, until the memory is gone. The window bounds how far a number may be ahead, and with it what waits.",
		Hints: [3]string{
			"Which numbers may wait when next is 100 and the window is 8?",
			"100 to 107: a number is inside when it is less than Window ahead of next. Bounding the count of waiting messages is not enough: two numbers a ring apart would share a slot.",
			"if d := int32(seq - b.next); int(d) >= b.opt.Window { return ErrBeyond }. Keep Window as it was given; round up only the ring.",
		},
		Check: pendingIsBounded,
	},
	{
		Name: "NumbersWrapAround", Group: "window", Points: 5, Section: windowSection,
		Why: "At 1 million messages a second a 32-bit number wraps around after 72 minutes. From then on the larger number is the older one: compare the difference, as a signed number, and never the numbers.",
		Hints: [3]string{
			"Is 4294967295 before or after 3?",
			"int32(a-b) < 0 means that a comes before b (RFC 1982). It holds for a == b and across the wrap; a < b does not. And 2^32 modulo 100 is not 0: a ring of 100 slots jumps at the wrap.",
			"func before(a, b uint32) bool { return int32(a-b) < 0 }; make the ring's size a power of two and use seq & mask.",
		},
		Check: numbersWrapAround,
	},
	{
		Name: "LetsGoOfWhatItDelivered", Group: "window", Points: 2, Section: windowSection,
		Why: "A slot that still holds what was delivered keeps it alive until the ring comes round to that slot, which on a quiet stream is never: a window of messages, and all that they point to, leaked for each stream.",
		Hints: [3]string{
			"After Deliver has returned, who can still reach the message?",
			"Clearing the bit is enough for your own logic. It is not enough for the garbage collector.",
			"var zero T; b.ring.slots[seq&b.ring.mask] = zero",
		},
		Check: letsGoOfWhatItDelivered,
	},
}

func waitsForTheMissingOne(r *spec.Run, l lab) error {
	s := open(r, l, Options{First: 1, Window: 8})
	s.push(1)
	s.sees("1")
	s.push(3, 4)
	s.sees("")
	s.isNext(2)
	s.push(2)
	s.sees("2 3 4")
	s.isNext(5)
	s.push(6, 8)
	s.push(5)
	s.sees("5 6")
	s.push(7)
	s.sees("7 8")
	s.push(12, 11, 10, 9)
	s.sees("9 10 11 12")
	for _, window := range []int{2, 8, 64, 100, 1000} {
		if s.err == nil {
			s.err = shuffled(r, l, 1, window, 5*window)
		}
	}
	return s.err
}

// shuffled pushes count numbers from first on, in an order in which each is in
// the window when it comes, and expects them in order.
func shuffled(r *spec.Run, l lab, first uint32, window, count int) error {
	r.Step("a window of %d: push %d numbers from %d on, shuffled within the window", window, count, first)
	s := open(r, l, Options{First: first, Window: window})
	if s.err != nil {
		return s.err
	}
	rnd := rand.New(rand.NewPCG(uint64(first), uint64(window)))
	var want []string
	for from := 0; from < count; from += window {
		for _, i := range rnd.Perm(window) {
			seq := first + uint32(from+i)
			if err := s.put(seq); err != nil {
				return spec.Fail(fmt.Sprintf("Push(%d) to return nil when next is %d and the window %d", seq, first+uint32(from), window), "it returned %s", l.name(err))
			}
		}
		for i := range window {
			want = append(want, fmt.Sprint(first+uint32(from+i)))
		}
		s.sees(strings.Join(want, " "))
		want = want[:0]
	}
	return s.err
}

func dropsPendingDuplicates(r *spec.Run, l lab) error {
	var got []int
	b, err := l.New(Options{First: 1, Window: 8, Deliver: func(_ uint32, m Message) bool { got = append(got, m.Copy); return true }})
	if err != nil {
		return err
	}
	push := func(seq uint32, copy int, want error) error {
		r.Step("Push %d, copy %d", seq, copy)
		if err := b.Push(0, seq, Message{Seq: seq, Copy: copy}); err != want {
			return spec.Fail(fmt.Sprintf("Push(%d), copy %d, to return %s", seq, copy, l.name(want)), "it returned %s", l.name(err))
		}
		return nil
	}
	for _, p := range []struct {
		seq  uint32
		copy int
		want error
	}{{3, 31, nil}, {3, 32, l.Duplicate}, {2, 21, nil}, {3, 33, l.Duplicate}, {2, 22, l.Duplicate}, {1, 11, nil}, {3, 34, l.Old}, {4, 41, nil}} {
		if err := push(p.seq, p.copy, p.want); err != nil {
			return err
		}
	}
	if text := fmt.Sprint(got); text != "[11 21 31 41]" {
		return spec.Fail("the first copy of each to be delivered: [11 21 31 41]", "delivered were the copies %s", text)
	}
	return nil
}

func pendingIsBounded(r *spec.Run, l lab) error {
	s := open(r, l, Options{First: 1, Window: 8})
	s.refuses(l.Beyond, 9)
	s.push(8)
	s.refuses(l.Beyond, 9)
	s.refuses(l.Beyond, 17)
	s.refuses(l.Beyond, 1_000_000)
	s.push(1)
	s.sees("1")
	s.push(9)
	s.refuses(l.Beyond, 10)
	s.push(3, 2)
	s.sees("2 3")
	r.Step("what was refused can come again")
	s.push(10, 11)
	s.refuses(l.Beyond, 12)
	s.push(4, 5, 6, 7)
	s.sees("4 5 6 7 8 9 10 11")
	if s.err != nil {
		return s.err
	}
	for _, w := range []struct{ option, window int }{{1, 1}, {100, 100}, {0, 1024}} {
		if err := holdsAWindow(r, l, w.option, w.window); err != nil {
			return err
		}
	}
	return nil
}

// holdsAWindow keeps number 0 back and pushes far too many others.
func holdsAWindow(r *spec.Run, l lab, option, window int) error {
	s := open(r, l, Options{Window: option})
	if s.err != nil {
		return s.err
	}
	r.Step("Window %d: push 1 to 5000; 0 is missing", option)
	taken := 0
	for seq := uint32(1); seq <= 5000; seq++ {
		if s.put(seq) == nil {
			taken++
		}
	}
	if taken != window-1 {
		return spec.Fail(fmt.Sprintf("%d messages to be taken: the window is %d, and 0 is missing", window-1, window), "%d were taken", taken)
	}
	s.push(0)
	s.isNext(uint32(window))
	return s.err
}

func numbersWrapAround(r *spec.Run, l lab) error {
	s := open(r, l, Options{First: math.MaxUint32 - 2, Window: 8})
	s.push(4294967293, 4294967295, 1)
	s.sees("4294967293")
	s.refuses(l.Duplicate, 1)
	s.push(4294967294)
	s.sees("4294967294 4294967295")
	s.isNext(0)
	s.push(7)
	s.refuses(l.Beyond, 8)
	s.refuses(l.Old, 4294967295)
	s.push(0)
	s.sees("0 1")
	r.Step("2 is next: what is less than 2^31 ahead of it is new, everything else is old")
	s.refuses(l.Beyond, 1<<31+1)
	s.refuses(l.Old, 1<<31+2)
	s.refuses(l.Old, 4294967293)
	s.push(2, 3)
	s.sees("2 3")
	for _, window := range []int{8, 100, 1000} {
		for _, first := range []uint32{math.MaxUint32 - uint32(window), math.MaxUint32 - uint32(window)/2, math.MaxUint32, 1<<31 - uint32(window)/3} {
			if s.err == nil {
				s.err = shuffled(r, l, first, window, 4*window)
			}
		}
	}
	return s.err
}

func letsGoOfWhatItDelivered(r *spec.Run, l lab) error {
	b, err := l.New(Options{Window: 64, Deliver: func(uint32, Message) bool { return true }})
	if err != nil {
		return err
	}
	r.Step("push 0 to 19 in order, 39 down to 20, and each once more; every one points to a body of its own")
	var bodies []weak.Pointer[Body]
	for i := range uint32(20) {
		bodies = append(bodies, pushBody(b, i))
	}
	for i := range uint32(20) {
		bodies = append(bodies, pushBody(b, 39-i))
	}
	for i := range uint32(40) {
		bodies = append(bodies, pushBody(b, i))
	}
	if b.Next() != 40 {
		return spec.Fail("Next to be 40", "it is %d", b.Next())
	}
	kept := 0
	for range 5 { // a weak pointer is cleared by the collection that finds its object dead
		runtime.GC()
		if kept = count(bodies); kept == 0 {
			break
		}
	}
	runtime.KeepAlive(b)
	if kept > 0 {
		return spec.Fail("what was delivered or refused to be garbage", "after 5 collections the buffer still holds %d of 80 bodies", kept)
	}
	return nil
}

// pushBody is a function of its own so that no frame of the rule holds the body.
//
//go:noinline
func pushBody(b judged, seq uint32) weak.Pointer[Body] {
	body := new(Body)
	b.Push(0, seq, Message{Seq: seq, Body: body})
	return weak.Make(body)
}

func count(bodies []weak.Pointer[Body]) (alive int) {
	for _, w := range bodies {
		if w.Value() != nil {
			alive++
		}
	}
	return alive
}
