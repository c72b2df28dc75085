package claims

import "fmt"

const ownSpinning = "own limiter, waiting"

var ofOrder = []Claim{
	{
		ID: "limiter", Title: "a limiter waits for free", Lab: "06",
		Says:    "The token bucket makes whoever is above the rate wait until there is a token.",
		Against: "the article's Wait at 10 tokens a second, beside 20 who wait for the lab's",
		From:    []string{ownSpinning, "06 waiting"}, Command: "make claims ONLY=limiter",
		judge: func(s Samples) Finding {
			spins, waits := s.value(ownSpinning), s.value("06 waiting")
			f := Finding{Verdict: Partly,
				Measured: fmt.Sprintf("one who waits takes %s%% of a core, and asks %s times a second; 20 with lab 06 take %s%%", n(spins.Median), n(s.also(ownSpinning, "polls/s").Median), n(waits.Median)),
				Because:  "The rate is kept. But the time to sleep is made a whole number of seconds before it becomes a time: mostly none, so it asks without a pause.",
				Figures:  []Figure{measured("the article's, one who waits", "% of a core", spins), measured("lab 06, 20 who wait", "% of a core", waits)}}
			if spins.Median < 1 {
				f.Verdict = Holds
			}
			return f
		},
	},
	{
		ID: "order", Title: "what order costs", Lab: "07",
		Says:    "An ordered channel puts messages in order at next to no cost.",
		Against: "the article's map, lock and channel, beside the lab's window",
		From:    []string{"07 in-order", "07 shuffled-64"}, Command: "make claims ONLY=order",
		judge: func(s Samples) Finding {
			in, theirs := s.also("07 in-order", "ns/message"), s.also("07 in-order", "article ns/message")
			out, late := s.also("07 shuffled-64", "ns/message"), s.also("07 shuffled-64", "article ns/message")
			f := Finding{Verdict: Partly,
				Measured: fmt.Sprintf("%s ns a message in order, %s out of order; lab 07: %s and %s", n(theirs.Median), n(late.Median), n(in.Median), n(out.Median)),
				Because:  "It is little beside the system calls of a message. But it is a map and two locks where a ring and a comparison would do, and each channel has a goroutine that wakes ten times a second.",
				Figures: []Figure{measured("the article's, in order", "CPU ns a message", theirs), measured("lab 07, in order", "CPU ns a message", in),
					measured("the article's, shuffled", "CPU ns a message", late), measured("lab 07, shuffled", "CPU ns a message", out)}}
			if theirs.Median < 2*in.Median {
				f.Verdict = Holds
			}
			return f
		},
	},
	{
		ID: "partition", Title: "a channel for each key", Lab: "08",
		Says:    "Partitioned by key, 100,000 users are kept in order side by side.",
		Against: "the article's channel, map and goroutine for each key, beside a fixed number of shards",
		From:    []string{"08 idle-key", "08 messages"}, Command: "make claims ONLY=partition",
		judge: func(s Samples) Finding {
			ours, theirs := s.also("08 idle-key", "bytes/key"), s.also("08 idle-key", "article bytes/key")
			fast := s.value("08 messages")
			f := Finding{Verdict: Partly,
				Measured: fmt.Sprintf("%s for a silent user, %s for 100,000; lab 08: %s, %s, and %s times the messages for the CPU time", size(theirs.Median), size(theirs.Median*hundredThousand), size(ours.Median), size(ours.Median*hundredThousand), n(fast.Median)),
				Because:  "Order is kept. But a key has a buffer of 1,000 and a goroutine for life, whether its user ever comes back or not.",
				Figures:  []Figure{measured("the article's", "KB a silent key", times(theirs, 1/thousand)), measured("lab 08", "KB a silent key", times(ours, 1/thousand))}}
			if theirs.Median <= 2*ours.Median {
				f.Verdict = Holds
			}
			return f
		},
	},
}
