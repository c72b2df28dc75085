package orderingtest

import (
	"fmt"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

const gapSection = "Step 4: gaps"

const ms = time.Millisecond

var gapRules = []spec.Rule[lab]{
	{
		Name: "GapIsSkippedInTime", Group: "gaps", Points: 5, Section: gapSection,
		Why: "A lost message must not stop the stream for ever, and a late one must have its chance. The first message behind a gap proves that something is missing: from then on it is waited for GapTimeout long, not a nanosecond less, and the Advance after that reports it and delivers what waited.",
		Hints: [3]string{
			"What is never in your table of waiting messages, however long you look for its age?",
			"The gap needs a time of its own: when the message behind it was taken. Remember it when a number comes that leaves others out.",
			"store: if seq != b.head { b.gaps.add(gap{from: b.head, last: seq-1, born: b.clock}) }; drain: if next is missing and clock >= born+GapTimeout, give up from next to the next message.",
		},
		Check: gapIsSkippedInTime,
	},
	{
		Name: "EachGapHasItsOwnTimer", Group: "gaps", Points: 4, Section: gapSection,
		Why: "Two losses at two times are two waits. One timer for the stream, started again by every arrival or every skip, makes the second wait too short or adds all waits up; a busy stream that starts it again with each message never skips at all.",
		Hints: [3]string{
			"3 is missing since 10:00 and 7 since 10:01. What do you know of 7 when you give up 3?",
			"A number is missing since the first message behind it came. A duplicate, or a message that splits a gap in two, tells nothing new about the others.",
			"Gaps open at the end and expire at the front: keep them in a queue with their times. A late message changes its bit and leaves the queue alone.",
		},
		Check: eachGapHasItsOwnTimer,
	},
	{
		Name: "SkipsOnlyTheGap", Group: "gaps", Points: 3, Section: gapSection,
		Why: "What is reported lost is lost for the consumer: it will be called old when it comes. So report exactly what is missing, in its place in the order, and stop at the first message that is there.",
		Hints: [3]string{
			"After 2 and 3 were given up, what is number 4?",
			"Count the missing numbers with the bits, from next on, up to the first one that is set or the end of the gap.",
			"n := b.ring.missing(b.next, end-b.next); b.next += n; b.opt.Lost(first, n); then deliver on.",
		},
		Check: skipsOnlyTheGap,
	},
	{
		Name: "TimeGoesForwardOnly", Group: "gaps", Points: 1, Section: gapSection,
		Why: "Two callers that read the clock one after the other may tell their times in the other order. A time that goes back must not let a gap be born in the past.",
		Hints: [3]string{
			"You were told 50 ms, and now 20 ms. Which time is it?",
			"Keep the latest time that you were told, and use it for everything.",
			"b.clock = max(b.clock, now), first thing in Push, Advance and Resume.",
		},
		Check: timeGoesForwardOnly,
	},
	{
		Name: "GapBehindAFullConsumerWaits", Group: "gaps", Points: 2, Section: gapSection,
		Why: "While the consumer is full, nobody waits for the number that is missing behind its backlog: it costs nothing to take it when it comes late. It is given up when delivery comes to it and its time has passed, by the Resume that does so: no timer can help, so none may run.",
		Hints: [3]string{
			"The consumer has been full for an hour, and 5 is missing in the middle of what waits. What is gained when you give 5 up now?",
			"Give up in the loop that delivers, where next is missing, and not where the time is looked at.",
			"drain stops at !b.full; Deadline leaves out what has expired.",
		},
		Check: gapBehindAFullConsumerWaits,
	},
	{
		Name: "DeadlineLeads", Group: "gaps", Points: 4, Section: gapSection,
		Why: "The caller keeps one timer for all that it does, and asks you when to wake up. Too late, and gaps last longer than agreed; a deadline that has passed already, and its loop spins; a regular tick, and 100,000 quiet streams keep a core busy for nothing.",
		Hints: [3]string{
			"When is there nothing that time could change?",
			"Nothing missing: no deadline. Otherwise the earliest expiry of a gap that is still waited for. It may be kept in a field that is early at times, if Advance then finds the right one.",
			"openGap: b.wake = min(b.wake, born+GapTimeout). Advance: if clock < wake return; drain; wake = the smallest of what is left, and later than clock.",
		},
		Check: deadlineLeads,
	},
}

func gapIsSkippedInTime(r *spec.Run, l lab) error {
	s := open(r, l, Options{Window: 8, GapTimeout: 100 * ms})
	s.push(0)
	s.sees("0")
	s.at(10*ms + 7).push(2)
	s.at(60 * ms).push(3)
	s.advance(110*ms + 6)
	s.sees("")
	s.advance(110*ms + 7)
	s.sees("lost 1 2 3")
	s.isNext(4)
	r.Step("the lost message comes after all: too late")
	s.refuses(l.Old, 1)
	s.push(4)
	s.sees("4")
	r.Step("a message that comes in the last nanosecond is not lost")
	s.at(200 * ms).push(6)
	s.at(300*ms - 1).push(5)
	s.sees("5 6")
	s.advance(time.Hour)
	s.sees("")
	if s.err != nil {
		return s.err
	}
	r.Step("GapTimeout 0 waits for ever")
	s = open(r, l, Options{Window: 8})
	s.push(1)
	s.advance(20_000 * time.Hour)
	s.sees("")
	s.push(0)
	s.sees("0 1")
	return s.err
}

func eachGapHasItsOwnTimer(r *spec.Run, l lab) error {
	s := open(r, l, Options{Window: 64, GapTimeout: 100 * ms})
	r.Step("0 is missing from 0 ms on, 2 from 30 ms, 4..9 from 50 ms")
	s.push(1)
	s.at(30 * ms).push(3)
	s.at(50 * ms).push(10)
	s.at(90*ms).refuses(l.Duplicate, 1)
	r.Step("7 splits a gap; both parts have been missing from 50 ms on")
	s.push(7)
	s.advance(100 * ms)
	s.sees("lost 0 1")
	s.advance(130*ms - 1)
	s.sees("")
	s.advance(130 * ms)
	s.sees("lost 2 3")
	s.advance(150*ms - 1)
	s.sees("")
	s.advance(150 * ms)
	s.sees("lost 4..6 7 lost 8..9 10")
	r.Step("11 comes when 12 has waited for 99 ms; 14's gap goes on with its own time")
	s.at(200 * ms).push(12)
	s.at(250 * ms).push(14)
	s.at(299 * ms).push(11)
	s.sees("11 12")
	s.advance(300 * ms)
	s.sees("")
	s.advance(350*ms - 1)
	s.sees("")
	s.advance(350 * ms)
	s.sees("lost 13 14")
	r.Step("a message on top of the waiting ones, again and again, does not start the wait anew")
	s.at(400 * ms).push(16)
	for i := range uint32(9) {
		s.at(time.Duration(410+10*i) * ms).push(17 + i)
	}
	s.advance(500 * ms)
	s.sees("lost 15 16 17 18 19 20 21 22 23 24 25")
	if s.err != nil {
		return s.err
	}
	return asManyGapsAsCanBe(r, l)
}

// asManyGapsAsCanBe has every second number of a window missing, each since
// another time.
func asManyGapsAsCanBe(r *spec.Run, l lab) error {
	s := open(r, l, Options{Window: 64, GapTimeout: 100 * ms, First: 50})
	r.Step("a window of 64 of which every second number is missing: 32 gaps")
	for i := range 32 {
		s.at(time.Duration(i) * ms).push(51 + 2*uint32(i))
	}
	for i := range 32 {
		lost := 50 + 2*uint32(i)
		s.wakes(time.Duration(100+i) * ms)
		s.advance(time.Duration(100+i)*ms - 1)
		s.sees("")
		s.advance(time.Duration(100+i) * ms)
		s.sees(fmt.Sprintf("lost %d %d", lost, lost+1))
	}
	return s.err
}

func skipsOnlyTheGap(r *spec.Run, l lab) error {
	s := open(r, l, Options{Window: 512, GapTimeout: 100 * ms})
	s.push(0, 3, 6, 7)
	s.sees("0")
	s.advance(100 * ms)
	s.sees("lost 1..2 3 lost 4..5 6 7")
	s.isNext(8)
	r.Step("a gap of 300 numbers, with 2 of them there")
	s.push(308, 100, 228)
	s.advance(200 * ms)
	s.sees("lost 8..99 100 lost 101..227 228 lost 229..307 308")
	r.Step("a second gap whose time has not come is not skipped together with the first")
	s.push(310)
	s.at(250 * ms).push(313)
	s.advance(300 * ms)
	s.sees("lost 309 310")
	s.push(311, 312)
	s.sees("311 312 313")
	if s.err != nil {
		return s.err
	}
	r.Step("Lost may be nil")
	var got []uint32
	b, err := l.New(Options{GapTimeout: 100 * ms, Deliver: func(seq uint32, _ Message) bool { got = append(got, seq); return true }})
	if err != nil {
		return err
	}
	b.Push(0, 5, Message{Seq: 5})
	b.Advance(100 * ms)
	if fmt.Sprint(got) != "[5]" {
		return spec.Fail("5 to be delivered when 0..4 are given up", "delivered were %v", got)
	}
	return nil
}

func timeGoesForwardOnly(r *spec.Run, l lab) error {
	s := open(r, l, Options{Window: 8, GapTimeout: 100 * ms})
	s.push(0)
	s.advance(50 * ms)
	r.Step("the clock seems to go back: 20 ms counts as 50 ms")
	s.at(20 * ms).push(2)
	s.sees("0")
	s.advance(10 * ms)
	s.advance(149 * ms)
	s.sees("")
	s.advance(150 * ms)
	s.sees("lost 1 2")
	r.Step("an Advance and a Resume that go back, and a Resume that goes forward: each time the latest counts")
	s.advance(200 * ms)
	s.advance(10 * ms)
	s.at(20 * ms).push(4)
	s.advance(299 * ms)
	s.sees("")
	s.advance(300 * ms)
	s.sees("lost 3 4")
	s.at(10 * ms).resume(-1)
	s.at(20 * ms).push(6)
	s.advance(399 * ms)
	s.sees("")
	s.advance(400 * ms)
	s.sees("lost 5 6")
	s.at(500 * ms).resume(-1)
	s.at(30 * ms).push(8)
	s.advance(599 * ms)
	s.sees("")
	s.advance(600 * ms)
	s.sees("lost 7 8")
	return s.err
}

func gapBehindAFullConsumerWaits(r *spec.Run, l lab) error {
	s := open(r, l, Options{Window: 16, GapTimeout: 100 * ms})
	s.room = 0
	s.push(0, 1, 3, 4, 6)
	s.sees("full 0")
	s.advance(time.Hour)
	s.sees("")
	s.sleeps("what is missing has expired, and only Resume can go on")
	r.Step("2 comes an hour late, and in time")
	s.push(2)
	s.resume(4)
	s.sees("0 1 2 3 full 4")
	s.resume(-1)
	s.sees("4 lost 5 6")
	s.isNext(7)
	return s.err
}

func deadlineLeads(r *spec.Run, l lab) error {
	s := open(r, l, Options{Window: 64, GapTimeout: 10 * time.Second})
	s.sleeps("nothing has come yet")
	s.push(0, 1)
	s.sleeps("nothing is missing")
	s.at(time.Second).push(3)
	s.wakes(11 * time.Second)
	s.at(2 * time.Second).push(6)
	s.wakes(11 * time.Second)
	s.push(2)
	s.sees("0 1 2 3")
	s.wakes(12 * time.Second)
	if s.err == nil {
		s.followDeadlines(3)
	}
	s.sees("lost 4..5 6")
	if s.err == nil && s.now != 12*time.Second {
		s.fail("4..5 to be given up at 12s, ten seconds after 6 came", "it was at %v", s.now)
	}
	s.sleeps("nothing is missing any more")
	r.Step("a gap that is filled needs no timer")
	s.push(8)
	s.wakes(22 * time.Second)
	s.push(7)
	s.sleeps("7 has come")
	r.Step("what is refused starts no timer")
	s.refuses(l.Beyond, 1000)
	s.refuses(l.Old, 7)
	s.sleeps("what was refused does not show that something is missing")
	if s.err != nil {
		return s.err
	}
	s = open(r, l, Options{Window: 64})
	s.push(1)
	s.sleeps("GapTimeout is 0, so 0 is waited for without end")
	return s.err
}

// followDeadlines advances from deadline to deadline until there is none, and
// allows most of them.
func (s *stream) followDeadlines(most int) {
	began := s.now
	for n := 0; s.err == nil; n++ {
		at, ok := s.Deadline()
		if !ok {
			return
		}
		if n == most {
			s.fail(fmt.Sprintf("%d Advances at most to get to the end", most), "after %d, from %v to %v, there is a deadline still, at %v", n, began, s.now, at)
			return
		}
		if at <= s.now && n > 0 {
			s.fail(fmt.Sprintf("the next deadline to be later than %v", s.now), "it is %v: a loop that waits for it would not wait", at)
			return
		}
		s.advance(at)
	}
}
