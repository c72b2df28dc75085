package orderingtest

import (
	"fmt"
	"math"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

const allSection = "Step 8: all of it at once"

var allRules = []spec.Rule[lab]{
	{
		Name: "CallbacksMayCallBack", Group: "all", Points: 3, Section: allSection,
		Why: "In an event loop one thing leads to another: a delivered message makes its receiver send, a request is answered from a cache at once. So a callback may call the buffer that has called it. What it pushes must not overtake what is in the consumer's hands, and nothing may be delivered twice.",
		Hints: [3]string{
			"Deliver(5) calls Push(6). In what state is your buffer at that moment?",
			"While a callback runs, Push only stores, and the loop that made the call finds it afterwards. The number that is being offered waits still: a copy of it is a duplicate.",
			"drain: if b.busy { return }; b.busy = true; for !b.full && b.step() {}; b.busy = false. Set busy around every callback; the in-order path needs it, too, and looks afterwards whether something was stored.",
		},
		Check: callbacksMayCallBack,
	},
	{
		Name: "EveryNumberOnce", Group: "all", Points: 4, Section: allSection,
		Why: "Each part works on its own; now they meet. Whatever the network does, each number is delivered once or reported lost once, in order, nothing before its time, and nothing waits that could go.",
		Hints: [3]string{
			"The failure names the run, the time and the call. Which two things met there?",
			"Write the smallest stream that shows it as a test of your own: three or four pushes nearly always do.",
			"Look at the invariants: next <= head <= next+Window; each number from next to head-1 is in the ring or in a gap; unless full or busy, next is missing or is head.",
		},
		Check: func(r *spec.Run, l lab) error { return sendAll(r, l, false) },
	},
	{
		Name: "CountsAreConserved", Group: "all", Points: 2, Section: allSection,
		Why: "Counts that do not add up hide exactly the messages you look for at three in the morning. Every message received is in one count, every number that has passed is delivered or lost, at every instant, in callbacks too.",
		Hints: [3]string{
			"Which of the counts could be computed from the others?",
			"Move a message from one count to another in one place. What is being offered is pending until Deliver has returned true.",
			"Stats: s.Received = s.Delivered + uint64(s.Pending) + s.Old + s.Duplicates + s.Refused; and change next and Lost before you call Lost.",
		},
		Check: func(r *spec.Run, l lab) error { return sendAll(r, l, true) },
	},
}

// weathers cover the features alone and together. Their windows are no powers
// of two but for one.
var weathers = []weather{
	{name: "fine weather", count: 500, o: Options{GapTimeout: 50 * ms}},
	{name: "a shuffle", count: 1500, delay: 90 * ms, o: Options{Window: 100, First: math.MaxUint32 - 700}},
	{name: "loss", count: 1500, loss: 0.1, o: Options{Window: 64, GapTimeout: 20 * ms, First: 1 << 31}},
	{name: "duplicates", count: 1000, delay: 60 * ms, dup: 0.3, o: Options{Window: 70, GapTimeout: 200 * ms}},
	{name: "a slow consumer", count: 1000, slow: 0.6, o: Options{Window: 5000}},
	{name: "a small window", count: 1000, delay: 20 * ms, loss: 0.05, o: Options{Window: 7, GapTimeout: 15 * ms, First: math.MaxUint32 - 100}},
	{name: "all of it", count: 2000, delay: 60 * ms, loss: 0.1, dup: 0.1, slow: 0.3, o: Options{Window: 90, GapTimeout: 40 * ms, First: math.MaxUint32 - 999}},
	{name: "all of it, with requests", count: 2000, delay: 30 * ms, loss: 0.2, dup: 0.1, slow: 0.2, o: Options{Window: 300, GapTimeout: 500 * ms, RetryAfter: 40 * ms, First: math.MaxUint32 - 1500}},
	{name: "requests until it comes", count: 1000, delay: 10 * ms, loss: 0.3, o: Options{Window: 1000, RetryAfter: 20 * ms}},
	{name: "gaps that only the end closes", count: 1000, delay: 30 * ms, loss: 0.05, slow: 0.3, o: Options{Window: 2000, First: math.MaxUint32 - 400}},
	{name: "a window that slides", count: 2000, delay: 60 * ms, loss: 0.1, dup: 0.1, slow: 0.1, o: Options{Window: 30, Slide: true, GapTimeout: 70 * ms, First: math.MaxUint32 - 500}},
}

func sendAll(r *spec.Run, l lab, books bool) error {
	for _, w := range weathers {
		r.Step("%s: %d numbers, four times", w.name, w.count)
		for seed := range uint64(4) {
			if err := send(r, l, w, seed, books); err != nil {
				return err
			}
		}
	}
	return nil
}

func callbacksMayCallBack(r *spec.Run, l lab) error {
	s := open(r, l, Options{Window: 8, GapTimeout: 100 * ms, RetryAfter: 10 * ms})
	s.onDeliver = func(seq uint32) {
		s.Stats()
		s.Next()
		s.Deadline()
		if seq == 0 || seq == 5 {
			r.Step("Deliver(%d) pushes %d and %d", seq, seq+1, seq+2)
			s.put(seq + 1)
			s.put(seq + 2)
		}
	}
	s.push(0)
	s.sees("0 1 2")
	r.Step("the same from the loop that delivers what waited")
	s.push(4, 5)
	s.push(3)
	s.sees("3 4 5 6 7")
	s.isNext(8)
	s.offersOnce()
	s.lostAndAsked()
	if s.err != nil {
		return s.err
	}
	return closesItself(r, l)
}

// offersOnce pushes, in Deliver, another copy of what is being delivered.
func (s *stream) offersOnce() {
	s.onDeliver = func(seq uint32) {
		s.r.Step("Deliver(%d) pushes %d", seq, seq)
		if s.put(seq) == nil {
			s.fail(fmt.Sprintf("a copy of %d to be refused while %d is being delivered", seq, seq), "Push(%d) returned nil", seq)
		}
	}
	s.push(8)
	s.push(10, 9)
	s.sees("8 9 10")
	s.r.Step("the same when there is no room, with the whole window behind it")
	s.room = 0
	s.onDeliver = func(seq uint32) {
		for d := range uint32(9) {
			s.put(seq + d)
		}
	}
	s.push(11)
	s.onDeliver = nil
	s.resume(-1)
	s.sees("full 11 11 12 13 14 15 16 17 18")
	s.isNext(19)
}

// lostAndAsked pushes what was just lost, and answers a request at once.
func (s *stream) lostAndAsked() {
	s.onLost = func(first uint32, n int) { s.refuses(s.l.Old, first) }
	s.at(1000 * ms).push(20)
	s.advance(1100 * ms)
	s.sees("lost 19 20")
	s.onLost = nil
	s.onRequest = func(first uint32, n int) {
		for k := range uint32(n) {
			s.put(first + k)
		}
	}
	s.at(2000*ms).push(22, 24)
	s.advance(2010 * ms)
	s.asks("21 23")
	s.sees("21 22 23 24")
}

func closesItself(r *spec.Run, l lab) error {
	s := open(r, l, Options{Window: 8, GapTimeout: time.Second})
	s.onDeliver = func(seq uint32) {
		if seq == 1 {
			r.Step("Deliver(1) closes the stream")
			s.Close()
		}
	}
	s.push(0, 3)
	s.push(1)
	s.sees("0 1 lost 2 3")
	s.refuses(l.Closed, 4)
	s = open(r, l, Options{Window: 8, Slide: true})
	s.onDeliver = func(seq uint32) {
		if seq == 2 {
			r.Step("Deliver(2), which Push(10) has brought about, closes the stream")
			s.Close()
		}
	}
	s.push(0, 2)
	s.refuses(l.Closed, 10)
	s.sees("0 lost 1 2")
	if s.err == nil && (s.Stats().Received != 2 || s.Stats().Pending != 0) {
		s.fail("Received 2 and Pending 0: what comes after Close is not counted", "Stats says %+v", s.Stats())
	}
	if s.err != nil {
		return s.err
	}
	return requestGoesOn(r, l)
}

// requestGoesOn has Request bring more than it was asked for, and make room.
func requestGoesOn(r *spec.Run, l lab) error {
	s := open(r, l, Options{Window: 16, RetryAfter: 10 * ms})
	r.Step("Request(1, 1) pushes 1 and 5, which would be asked for next")
	s.onRequest = func(first uint32, n int) {
		if first == 1 {
			s.put(1)
			s.put(5)
		}
	}
	s.push(0, 2, 4, 6)
	s.advance(10 * ms)
	s.asks("1 3")
	s.sees("0 1 2")
	r.Step("the consumer becomes full; a Request has it say Resume")
	s.onRequest = nil
	s.room = 0
	s.push(3)
	s.sees("full 3")
	s.push(8)
	s.onRequest = func(uint32, int) {
		s.room = -1
		s.Resume(s.now)
	}
	s.advance(20 * ms)
	s.asks("7")
	s.sees("3 4 5 6")
	return s.err
}
