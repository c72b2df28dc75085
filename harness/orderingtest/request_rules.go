package orderingtest

import (
	"strings"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

const requestSection = "Step 5: asking again"

var requestRules = []spec.Rule[lab]{
	{
		Name: "AsksAgainWithBackoff", Group: "requests", Points: 4, Section: requestSection,
		Why: "A message that is only late should not be asked for, so wait a little first. A network that has just lost one is probably full, so wait twice as long each time, with a bound; and asking for what is about to be given up helps nobody.",
		Hints: [3]string{
			"When is the first request due, and what do you need to remember to know the time of the second?",
			"Each gap has a time when it is asked for next, and a wait that doubles. The wait counts from the Advance that asked, so one late Advance asks once.",
			"if clock >= g.ask { g.ask = clock + g.wait; g.wait = min(2*g.wait, 64*RetryAfter); request it }, with ask = born + RetryAfter and wait = 2*RetryAfter at first.",
		},
		Check: asksAgainWithBackoff,
	},
	{
		Name: "AsksOnlyForWhatIsMissing", Group: "requests", Points: 2, Section: requestSection,
		Why: "Each number asked for is sent once more over a network that is losing messages. Ask for the runs that are missing now, and not for what came meanwhile, nor for what has passed.",
		Hints: [3]string{
			"Half of the gap has come since it opened. What does your request say?",
			"Walk over the gap with the bits: skip what is there, and make one request of each run that is not.",
			"for seq := g.from; seq != g.last+1; { n := ring.missing(seq, int(g.last+1-seq)); if n == 0 { seq++; continue }; Request(seq, n); seq += uint32(n) }. When next moves into a gap, move its from.",
		},
		Check: asksOnlyForWhatIsMissing,
	},
}

func asksAgainWithBackoff(r *spec.Run, l lab) error {
	s := open(r, l, Options{Window: 8, RetryAfter: 10 * ms})
	s.push(1)
	for _, due := range []time.Duration{10, 30, 70, 150, 310, 630, 1270, 1910, 2550, 3190} {
		s.wakes(due * ms)
		s.advance(due*ms - 1)
		s.asks("")
		s.advance(due * ms)
		s.asks("0")
	}
	s.push(0)
	s.advance(time.Hour)
	s.asks("")
	s.sees("0 1")
	s.sleeps("nothing is missing")
	if s.err != nil {
		return s.err
	}
	r.Step("with a GapTimeout of 100 ms, 150 ms is too late to ask")
	s = open(r, l, Options{Window: 8, RetryAfter: 10 * ms, GapTimeout: 100 * ms})
	s.push(1)
	var times []string
	s.onRequest = func(uint32, int) { times = append(times, s.now.String()) }
	s.followDeadlines(8)
	s.sees("lost 0 1")
	if got := strings.Join(times, " "); got != "10ms 30ms 70ms" {
		s.fail("requests at 10ms 30ms 70ms, and none at 100ms or later", "they came at: %s", orNothing(got))
	}
	s.asked = nil
	r.Step("an Advance that comes late asks once, and the wait counts from it")
	s.at(1000 * ms).push(3)
	s.advance(1050 * ms)
	s.asks("2")
	s.advance(1070*ms - 1)
	s.asks("")
	s.advance(1070 * ms)
	s.asks("2")
	r.Step("an Advance that comes when all times have passed gives up, and does not ask")
	s.at(2000 * ms).push(5)
	s.advance(2200 * ms)
	s.asks("")
	return s.err
}

func asksOnlyForWhatIsMissing(r *spec.Run, l lab) error {
	s := open(r, l, Options{Window: 256, RetryAfter: 10 * ms})
	s.push(0, 7, 3)
	s.at(5 * ms).push(10)
	s.advance(10 * ms)
	s.asks("1..2 4..6")
	s.advance(15 * ms)
	s.asks("8..9")
	s.push(1, 2)
	s.sees("0 1 2 3")
	s.push(5)
	s.advance(30 * ms)
	s.asks("4 6")
	s.push(9)
	s.advance(35 * ms)
	s.asks("8")
	s.push(4, 6, 8)
	s.advance(time.Hour)
	s.asks("")
	s.sees("4 5 6 7 8 9 10")
	r.Step("a gap of 200 numbers")
	s.push(211, 111)
	s.advance(2 * time.Hour)
	s.asks("11..110 112..210")
	if s.err != nil {
		return s.err
	}
	if n := s.Stats().Requested; n != 2+3+2+2+1+100+99 {
		return spec.Fail("Stats.Requested to count 209 numbers", "it is %d", n)
	}
	if err := silentWithout(r, l); err != nil {
		return err
	}
	return asksBehindAFullConsumer(r, l)
}

// asksBehindAFullConsumer has two gaps there, of which one has expired.
func asksBehindAFullConsumer(r *spec.Run, l lab) error {
	s := open(r, l, Options{Window: 8, RetryAfter: 10 * ms, GapTimeout: 100 * ms})
	r.Step("the consumer is full; 1 is missing from 0 ms on, 3 from 95 ms")
	s.room = 0
	s.push(0, 2)
	s.advance(10 * ms)
	s.asks("1")
	s.at(95 * ms).push(4)
	s.advance(95 * ms)
	s.asks("1") // for the second and last time: 30 ms is long past
	s.advance(105 * ms)
	s.asks("3")
	s.advance(125 * ms)
	s.asks("3")
	s.advance(165 * ms)
	s.asks("3")
	s.sees("full 0")
	r.Step("Resume goes on: 1 has expired, 3 has not")
	s.resume(-1)
	s.sees("0 lost 1 2")
	s.push(3)
	s.sees("3 4")
	return s.err
}

// silentWithout has nobody to ask, in both ways.
func silentWithout(r *spec.Run, l lab) error {
	r.Step("RetryAfter 0: nothing is asked for")
	s := open(r, l, Options{Window: 8, GapTimeout: 100 * ms})
	s.push(1)
	s.advance(99 * ms)
	s.asks("")
	if s.err != nil {
		return s.err
	}
	r.Step("Request nil: nobody can be asked")
	b, err := l.New(Options{RetryAfter: 10 * ms, Deliver: func(uint32, Message) bool { return true }})
	if err != nil {
		return err
	}
	b.Push(0, 1, Message{Seq: 1})
	b.Advance(time.Second)
	if at, ok := b.Deadline(); ok {
		return spec.Fail("no deadline: nobody can be asked, and 0 is waited for without end", "Deadline is %v", at)
	}
	b.Push(time.Second, 0, Message{})
	if b.Next() != 2 {
		return spec.Fail("Next to be 2", "it is %d", b.Next())
	}
	return nil
}
