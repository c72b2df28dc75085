package orderingtest

import (
	"math"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

const slideSection = "Step 6: a window that slides"

var slideRules = []spec.Rule[lab]{
	{
		Name: "SlideMakesRoom", Group: "slide", Points: 3, Section: slideSection,
		Why: "Where late is worthless (a voice, a position, a price), the newest message is worth more than the oldest gap. The window moves up just so far that the new number is its last: what falls out is delivered or given up, in order, and what is still inside keeps its chance.",
		Hints: [3]string{
			"The window is 8, and number 20 comes. Which numbers may still be waited for?",
			"The new begin of the window, the floor, is seq - Window + 1. Run the delivering loop with one more reason to give up: the number is before the floor.",
			"b.floor = seq - uint32(Window) + 1; b.sliding = true; b.drain(); b.sliding = false; then look again at where seq is: the callbacks may have changed anything.",
		},
		Check: slideMakesRoom,
	},
	{
		Name: "SlideLeapsFar", Group: "slide", Points: 1, Section: slideSection,
		Why: "One message with a number far ahead, from a bug or from an attacker, must not keep a core busy with two billion steps, and Lost must say once what nobody has seen.",
		Hints: [3]string{
			"How many turns does your loop make when the number is 2^30 ahead?",
			"Nothing behind the highest number taken can be in the ring: from there on to the floor it is one run.",
			"if next == head and it is before the floor: n := floor - next; head = floor; next = floor; Lost(first, n), once.",
		},
		Check: slideLeapsFar,
	},
}

func slideMakesRoom(r *spec.Run, l lab) error {
	s := open(r, l, Options{Window: 8, Slide: true, GapTimeout: time.Hour})
	s.push(0, 2, 4)
	s.sees("0")
	r.Step("9 moves the window to 2..9, and no further: 3 and 5 still have their time")
	s.push(9)
	s.sees("lost 1 2")
	s.isNext(3)
	s.refuses(l.Old, 1)
	s.push(3)
	s.sees("3 4")
	r.Step("20 moves the window to 13..20")
	s.push(20)
	s.sees("lost 5..8 9 lost 10..12")
	s.isNext(13)
	s.push(13, 15, 14)
	s.sees("13 14 15")
	s.refuses(l.Duplicate, 20)
	s.push(16, 17, 18, 19)
	s.sees("16 17 18 19 20")
	r.Step("the consumer is full: what is beyond is refused, and nothing is given up")
	s.room = 0
	s.push(21)
	s.refuses(l.Beyond, 29)
	s.refuses(l.Beyond, 1000)
	s.sees("full 21")
	s.push(28)
	s.resume(-1)
	s.sees("21")
	s.push(29)
	s.isNext(22)
	r.Step("the consumer becomes full while the window moves")
	s.room = 1
	s.push(23)
	s.refuses(l.Beyond, 45)
	s.sees("lost 22 23 lost 24..27 full 28")
	s.resume(-1)
	s.push(45)
	s.sees("28 29 lost 30..37")
	s.isNext(38)
	if s.err != nil {
		return s.err
	}
	s = open(r, l, Options{Window: 8, Slide: true, GapTimeout: time.Second})
	r.Step("the window moves into the middle of a gap: what is left of it keeps its time")
	s.push(0, 6)
	s.at(500 * ms).push(10)
	s.sees("0 lost 1..2")
	s.isNext(3)
	s.push(4)
	s.advance(time.Second)
	s.sees("lost 3 4 lost 5 6")
	s.advance(1500 * ms)
	s.sees("lost 7..9 10")
	return s.err
}

func slideLeapsFar(r *spec.Run, l lab) error {
	s := open(r, l, Options{Window: 64, Slide: true, First: math.MaxUint32 - 9})
	calls := 0
	s.onLost = func(uint32, int) {
		if calls++; calls > 65 {
			s.fail("at most 65 calls of Lost for a window of 64", "one more came")
			panic("Lost was called more than 65 times")
		}
	}
	s.push(math.MaxUint32-9, math.MaxUint32-7)
	s.sees("4294967286")
	s.push(1 << 30)
	s.sees("lost 4294967287 4294967288 lost 4294967289..1073741760")
	s.isNext(1<<30 - 63)
	if s.err == nil && s.Stats().Lost != 1<<30+8-63 {
		s.fail("Stats.Lost to be 1073741769", "it is %d", s.Stats().Lost)
	}
	r.Step("2^31-1 ahead is the farthest that is new")
	calls = 0
	s.refuses(l.Old, s.ahead(1<<31))
	s.push(s.ahead(1<<31 - 1))
	s.seen = nil
	s.isNext(1<<30 - 63 + 1<<31 - 1 - 63)
	return s.err
}

// ahead is the number that is d ahead of the next one.
func (s *stream) ahead(d uint32) uint32 {
	if s.err != nil {
		return 0
	}
	return s.Next() + d
}
