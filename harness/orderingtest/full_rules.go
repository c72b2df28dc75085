package orderingtest

import (
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

const fullSection = "Step 3: a consumer that is full"

var fullRules = []spec.Rule[lab]{
	{
		Name: "FullMeansLater", Group: "consumer", Points: 5, Section: fullSection,
		Why: "When Deliver returns false the message is still yours. Lost would be wrong, and so would offering it again with every Push and Advance: that is a busy loop with the network as its clock. Keep it, and wait for Resume.",
		Hints: [3]string{
			"The next message came, and there was no room for it. Where is it now?",
			"Put it into the ring like an early one, and note that the consumer is full. While it is, nothing is offered, whatever comes.",
			"if !b.opt.Deliver(seq, v) { b.ring.put(seq, v); b.full = true }; drain: for !b.full && b.step() {}; Resume: b.full = false; b.drain().",
		},
		Check: fullMeansLater,
	},
	{
		Name: "ResumeDeliversAll", Group: "consumer", Points: 4, Section: fullSection,
		Why: "When there is room again, everything that can go must go, until there is none or nothing is left. The network may be silent for a long time: what waits for the next Push waits for ever.",
		Hints: [3]string{
			"After Resume, who delivers the second message that waits?",
			"Resume runs the same loop as Push, from the message that was refused on.",
			"func (b *Buffer[T]) Resume(now) { b.clock = max(b.clock, now); b.full = false; b.drain() }",
		},
		Check: resumeDeliversAll,
	},
	{
		Name: "BacklogStaysInTheWindow", Group: "consumer", Points: 2, Section: fullSection,
		Why: "A slow consumer is no reason for more memory. Its backlog is in the window like everything else; beyond it Push refuses, and that refusal is the backpressure that reaches the sender.",
		Hints: [3]string{
			"The consumer takes nothing, and everything comes in order. How many messages wait?",
			"next does not move while the consumer is full, so the window does not, either: the same test as for early messages bounds the backlog.",
			"The message that Deliver refused counts: it is number next, in the ring.",
		},
		Check: backlogStaysInTheWindow,
	},
}

func fullMeansLater(r *spec.Run, l lab) error {
	s := open(r, l, Options{First: 1, Window: 8, GapTimeout: time.Second})
	s.room = 1
	s.push(1, 2)
	s.sees("1 full 2")
	s.isNext(2)
	r.Step("more comes, and an hour goes by: 2 must not be offered again, and not be lost")
	s.push(3, 4)
	s.advance(time.Hour)
	s.push(5)
	s.sees("")
	s.resume(-1)
	s.sees("2 3 4 5")
	s.isNext(6)
	r.Step("full in the middle of what had waited for a gap")
	s.push(7, 8, 9)
	s.room = 2
	s.push(6)
	s.sees("6 7 full 8")
	s.refuses(l.Old, 7)
	s.refuses(l.Duplicate, 8)
	s.resume(-1)
	s.sees("8 9")
	s.push(10)
	s.sees("10")
	return s.err
}

func resumeDeliversAll(r *spec.Run, l lab) error {
	s := open(r, l, Options{Window: 16})
	s.room = 0
	s.push(0, 1, 2, 3, 4, 5, 7)
	s.sees("full 0")
	s.resume(0)
	s.sees("full 0")
	s.resume(2)
	s.sees("0 1 full 2")
	s.resume(-1)
	s.sees("2 3 4 5")
	r.Step("Resume with nothing to do")
	s.resume(-1)
	s.sees("")
	s.push(6)
	s.sees("6 7")
	s.resume(-1)
	s.sees("")
	s.isNext(8)
	return s.err
}

func backlogStaysInTheWindow(r *spec.Run, l lab) error {
	s := open(r, l, Options{Window: 4})
	s.room = 0
	s.push(0, 1, 2, 3)
	s.refuses(l.Beyond, 4)
	s.sees("full 0")
	s.resume(1)
	s.sees("0 full 1")
	s.push(4)
	s.refuses(l.Beyond, 5)
	s.resume(-1)
	s.sees("1 2 3 4")
	s.push(5)
	s.sees("5")
	return s.err
}
