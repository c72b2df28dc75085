package orderingtest

import (
	"runtime"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

const endSection = "Step 7: the end"

var endRules = []spec.Rule[lab]{
	{
		Name: "CloseDeliversTheRest", Group: "end", Points: 3, Section: endSection,
		Why: "When the connection is gone, nothing can fill a gap any more, but what waits was sent and received. Close gives up what is missing and hands over the rest in order; a full consumer gets it when it has room, also after Close.",
		Hints: [3]string{
			"What is still of use when the sender has gone, and what is not?",
			"Closed is one more reason to give up a missing number. Then it is the same loop as always.",
			"b.closed = true; b.drain(); Push returns ErrClosed, Deadline none, Resume works as before.",
		},
		Check: closeDeliversTheRest,
	},
	{
		Name: "NothingRunsByItself", Group: "end", Points: 2, Section: endSection,
		Why: "A goroutine with a ticker for each stream is 100,000 of both for 100,000 users, and none ever ends when nobody calls Close. A buffer that acts only when it is called costs nothing while it is quiet, and is garbage when it is dropped.",
		Hints: [3]string{
			"Who calls Advance?",
			"The caller has a loop and a timer already; Deadline is all that it needs from you.",
			"No go statement, no time.AfterFunc, no time.Now.",
		},
		Check: nothingRunsByItself,
	},
}

func closeDeliversTheRest(r *spec.Run, l lab) error {
	s := open(r, l, Options{Window: 16, GapTimeout: time.Second, RetryAfter: time.Second})
	s.push(0, 2, 5, 6)
	s.close()
	s.sees("0 lost 1 2 lost 3..4 5 6")
	s.refuses(l.Closed, 7)
	s.refuses(l.Closed, 6)
	s.sleeps("the stream is closed")
	s.close()
	s.advance(time.Hour)
	s.resume(-1)
	s.sees("")
	s.asks("")
	if s.err == nil && s.Stats().Received != 4 {
		s.fail("Stats.Received to be 4: what comes after Close is not counted", "it is %d", s.Stats().Received)
	}
	if s.err != nil {
		return s.err
	}
	r.Step("a consumer that is full when the stream is closed")
	s = open(r, l, Options{Window: 16, RetryAfter: time.Second})
	s.room = 1
	s.push(0, 1, 3, 4)
	s.close()
	s.sees("0 full 1")
	s.sleeps("the stream is closed")
	s.advance(time.Hour)
	s.sees("")
	s.asks("")
	s.refuses(l.Closed, 2)
	s.resume(2)
	s.sees("1 lost 2 3 full 4")
	if s.err == nil && s.Stats().Pending != 1 {
		s.fail("Stats.Pending to be 1: message 4 waits", "it is %d", s.Stats().Pending)
	}
	s.resume(-1)
	s.sees("4")
	s.isNext(5)
	return s.err
}

func nothingRunsByItself(r *spec.Run, l lab) error {
	r.Step("make 1000 buffers, each with a gap")
	before := runtime.NumGoroutine()
	kept := make([]judged, 1000)
	for i := range kept {
		b, err := l.New(Options{GapTimeout: time.Second, RetryAfter: time.Second, Deliver: func(uint32, Message) bool { return true }})
		if err != nil {
			return err
		}
		b.Push(0, 1, Message{Seq: 1})
		kept[i] = b
	}
	if more := runtime.NumGoroutine() - before; more >= len(kept)/2 {
		return spec.Fail("no goroutine for a buffer", "1000 buffers brought %d goroutines", more)
	}
	runtime.KeepAlive(kept)
	return r.Bubble(func(r *spec.Run) error {
		s := open(r, l, Options{Window: 8, GapTimeout: time.Second, RetryAfter: time.Second})
		s.push(1)
		r.Step("an hour goes by, and nobody says so")
		time.Sleep(time.Hour)
		s.sees("")
		s.asks("")
		s.advance(time.Second - 1)
		s.sees("")
		s.asks("")
		s.advance(time.Second)
		s.sees("lost 0 1")
		return s.err
	})
}
