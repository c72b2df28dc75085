package claims

import "fmt"

// What a link of 10 Gbit/s carries, in GB/s: the article's "CPU 100% to 10%"
// has no bandwidth with it, so it is judged at this one.
const tenGigabit = 1.25

var ofBytes = []Claim{
	{
		ID: "sendfile", Title: "sendfile against a copy", Lab: "09",
		Says:    "sendfile is 4 times as fast as reading and writing, and brings the CPU from 100% to 10%.",
		Against: "a loop of read(2) and write(2), with a buffer of 4 KiB and with one of 64 KiB",
		From:    []string{"09 sendfile-4k", "09 sendfile-64k"}, Command: "make claims ONLY=sendfile",
		judge: func(s Samples) Finding {
			small, large := s.value("09 sendfile-4k"), s.value("09 sendfile-64k")
			copy4, copy64, send := s.also("09 sendfile-4k", "copy CPU s/GB"), s.also("09 sendfile-64k", "copy CPU s/GB"), s.also("09 sendfile-64k", "CPU s/GB")
			f := Finding{Verdict: Partly,
				Measured: fmt.Sprintf("%s times as good as copies of 4 KiB, %s times as good as copies of 64 KiB", n(small.Median), n(large.Median)),
				Because:  "Most of what sendfile saves over the small buffer is calls, not copies; a large buffer saves them too. On loopback the bytes end up in another process's memory either way, so there is one copy left to save, out of a cache.",
				Normal: fmt.Sprintf("at 10 Gbit/s the sender's thread needs %s of a core with 4 KiB, %s with 64 KiB, %s with sendfile",
					percent(copy4.Median*tenGigabit), percent(copy64.Median*tenGigabit), percent(send.Median*tenGigabit)),
				Figures: []Figure{measured("copy, 4 KiB", "CPU s a GB", copy4), measured("copy, 64 KiB", "CPU s a GB", copy64), measured("sendfile", "CPU s a GB", send),
					claimed("times a copy", 4), measured("against 4 KiB", "times a copy", small), measured("against 64 KiB", "times a copy", large)},
			}
			switch {
			case small.Median >= 4 && large.Median >= 4:
				f.Verdict = Holds
			case small.Median < 1.5 && large.Median < 1.5:
				f.Verdict = Fails
			}
			return f
		},
	},
	{
		ID: "mmap", Title: "mmap is zero copy", Lab: "09",
		Says:    "Writing from a mapping of the file copies nothing.",
		Against: "a loop of read(2) and write(2) with a buffer of 64 KiB; sendfile",
		From:    []string{"09 mmap-64k", "09 sendfile-64k"}, Command: "make claims ONLY=mmap",
		judge: func(s Samples) Finding {
			ratio, mapped := s.value("09 mmap-64k"), s.also("09 mmap-64k", "CPU s/GB")
			copied, send := s.also("09 mmap-64k", "copy CPU s/GB"), s.also("09 sendfile-64k", "CPU s/GB")
			f := Finding{Verdict: Partly,
				Measured: fmt.Sprintf("%s CPU s a GB, a copy of 64 KiB %s, sendfile %s", n(mapped.Median), n(copied.Median), n(send.Median)),
				Because:  "It saves the copy into the buffer; write(2) still copies from the mapping into the socket, so one of two is left. And a file that is cut while it is mapped ends the process.",
				Figures:  []Figure{measured("copy, 64 KiB", "CPU s a GB", copied), measured("mmap and write", "CPU s a GB", mapped), measured("sendfile", "CPU s a GB", send)},
			}
			if ratio.Median < 1 {
				f.Verdict = Fails
				f.Because = "write(2) copies from the mapping into the socket, and the faults of its pages cost more than the copy into a buffer that is saved. And a file that is cut while it is mapped ends the process."
			}
			return f
		},
	},
	{
		ID: "batch-calls", Title: "batching: system calls", Lab: "11",
		Says:    "100,000 small writes become 1,000 system calls.",
		Against: "one write(2) for each message, which is 100,000",
		From:    []string{"11 calls"}, Command: "make claims ONLY=batch-calls",
		judge: func(s Samples) Finding {
			calls := s.value("11 calls")
			f := Finding{Verdict: Fails, Measured: n(calls.Median) + " calls for 100,000 messages of 100 bytes",
				Because: "What comes while a call is under way leaves with the next one, so how many calls there are is a matter of the bounds: 1,000 are batches of 100 messages, and a batch may be larger.",
				Figures: []Figure{{Name: "one write each", Unit: "calls", Spread: constant(100_000)}, claimed("calls", 1000), measured("batched (lab 11)", "calls", calls)}}
			if calls.Median <= 1010 {
				f.Verdict = Holds
			}
			return f
		},
	},
	{
		ID: "batch", Title: "batching: messages a second", Lab: "11",
		Says:    "Batching brings 30,000 messages a second to 100,000: 3.3 times.",
		Against: "one write(2) for each message, on the same socket",
		From:    []string{"11 messages", "11 delay"}, Command: "make claims ONLY=batch",
		judge: func(s Samples) Finding {
			ratio, mine, base, late := s.value("11 messages"), s.also("11 messages", "ns/message"), s.also("11 messages", "unbatched ns/message"), s.also("11 delay", "P99 ms")
			f := Finding{Verdict: Fails,
				Measured: fmt.Sprintf("%s times the messages for the CPU time: %s ns each instead of %s; P99 %s ms late", n(ratio.Median), n(mine.Median), n(base.Median), n(late.Median)),
				Because:  "A system call costs more than a copy of 100 bytes, by far. The price is the delay: with a message at a time each one waits for it in vain.",
				Figures: []Figure{measured("one write each", "CPU ns a message", base), measured("batched (lab 11)", "CPU ns a message", mine),
					claimed("times one write each", 100.0/30), measured("batched (lab 11)", "times one write each", ratio)}}
			switch {
			case ratio.Median >= 3.3:
				f.Verdict = Holds
			case ratio.Median >= 1.5:
				f.Verdict = Partly
			}
			return f
		},
	},
}

func percent(share float64) string { return fmt.Sprintf("%.0f%%", 100*share) }
