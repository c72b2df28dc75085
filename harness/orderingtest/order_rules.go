package orderingtest

import (
	"math"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

const orderSection = "Step 1: in order"

var orderRules = []spec.Rule[lab]{
	{
		Name: "DeliversInOrder", Group: "order", Points: 3, Section: orderSection,
		Why: "Nearly every message is the next one. It goes to the consumer within its Push, with nothing kept and nobody woken; Next then says how far the stream has come, which is what a protocol acknowledges.",
		Hints: [3]string{
			"Which number is the first that you expect, and which one after that?",
			"Keep next, which begins at Options.First. Deliver is called by Push itself, on its goroutine.",
			"if seq == b.next { if b.opt.Deliver(seq, v) { b.next++ } ... }",
		},
		Check: deliversInOrder,
	},
	{
		Name: "DropsWhatIsOld", Group: "order", Points: 3, Section: orderSection,
		Why: "A network that repeats brings a message again long after the first copy. The consumer must see it once; the caller must be told, because a stream of old numbers may mean that the sender has begun anew.",
		Hints: [3]string{
			"How do you see from next alone that a number was delivered before?",
			"Everything behind next is old. Return ErrOld, and change nothing but a count.",
			"d := int32(seq - b.next); if d < 0 { b.counts.Old++; return ErrOld }",
		},
		Check: dropsWhatIsOld,
	},
	{
		Name: "OptionsAreChecked", Group: "order", Points: 2, Section: orderSection,
		Why: "A missing Deliver is a crash at the first message, a window of 2^31 makes old and new the same, and a timeout near the largest duration overflows when a time is added. New is where they can still be refused with a sentence.",
		Hints: [3]string{
			"What happens later with each value that makes no sense?",
			"Deliver nil; Window below 0 or above 1<<20; GapTimeout or RetryAfter below 0 or above 24 hours. Zeros are defaults, and Lost and Request may be nil.",
			"return nil, fmt.Errorf(\"ordering: Window is %d: use 1 to %d, or 0 for %d\", ...)",
		},
		Check: optionsAreChecked,
	},
}

func deliversInOrder(r *spec.Run, l lab) error {
	s := open(r, l, Options{First: 100, Window: 8})
	s.isNext(100)
	s.push(100)
	s.sees("100")
	s.isNext(101)
	s.push(101, 102, 103)
	s.sees("101 102 103")
	s.isNext(104)
	if s.err != nil {
		return s.err
	}
	r.Step("push 104 to 3000, and expect each to be delivered before its Push returns")
	for seq := uint32(104); seq <= 3000 && s.err == nil; seq++ {
		if err := s.put(seq); err != nil || len(s.seen) != 1 {
			return spec.Fail("each to be taken and delivered", "Push(%d) returned %s; the consumer saw: %s", seq, l.name(err), s.story())
		}
		s.seen = s.seen[:0]
	}
	s.isNext(3001)
	return s.err
}

func dropsWhatIsOld(r *spec.Run, l lab) error {
	s := open(r, l, Options{First: 1, Window: 8})
	s.push(1, 2, 3)
	s.refuses(l.Old, 2)
	s.refuses(l.Old, 3)
	s.sees("1 2 3")
	r.Step("the number before the first one is old, too: nobody waits for it")
	s.refuses(l.Old, 0)
	s.push(4)
	s.refuses(l.Old, 1)
	s.sees("4")
	s.isNext(5)
	return s.err
}

func optionsAreChecked(r *spec.Run, l lab) error {
	deliver := func(uint32, Message) bool { return true }
	for what, o := range map[string]Options{
		"Deliver nil":                  {},
		"Window -1":                    {Deliver: deliver, Window: -1},
		"Window 1<<20 + 1":             {Deliver: deliver, Window: 1<<20 + 1},
		"GapTimeout -1ns":              {Deliver: deliver, GapTimeout: -1},
		"GapTimeout of 292 years":      {Deliver: deliver, GapTimeout: math.MaxInt64},
		"RetryAfter -1ns":              {Deliver: deliver, RetryAfter: -1},
		"RetryAfter of 24 hours + 1ns": {Deliver: deliver, RetryAfter: 24*time.Hour + 1},
	} {
		r.Step("New with %s", what)
		if _, err := l.New(o); err == nil {
			return spec.Fail("New to refuse "+what, "it returned no error")
		}
	}
	for what, o := range map[string]Options{
		"nothing but Deliver":   {Deliver: deliver},
		"Window 1":              {Deliver: deliver, Window: 1},
		"timeouts of 24 hours":  {Deliver: deliver, GapTimeout: 24 * time.Hour, RetryAfter: 24 * time.Hour},
		"a window that slides":  {Deliver: deliver, Slide: true},
		"the last number first": {Deliver: deliver, First: math.MaxUint32},
	} {
		r.Step("New with %s", what)
		if _, err := l.New(o); err != nil {
			return spec.Fail("New to take "+what, "it returned: %v", err)
		}
	}
	return nil
}
