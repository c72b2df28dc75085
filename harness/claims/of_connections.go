package claims

import "fmt"

// Keys of this file's samples: "NN target" is a target of lab NN's reference,
// "own name" a measurement of this package.
const (
	ownThreads  = "own threads"
	ownSleeping = "own accept, sleeping"
	ownPolling  = "own accept, woken"
)

var ofConnections = []Claim{
	{
		ID: "thread", Title: "what a connection costs", Lab: "01",
		Says:    "A connection costs a thread and 1 MB: 100,000 connections need 100 GB.",
		Against: "a thread for each connection, blocked in read(2); a goroutine for each; one loop for all",
		From:    []string{ownThreads, "01 idle-memory", "02 idle-memory"}, Command: "make claims ONLY=thread",
		judge: func(s Samples) Finding {
			thread, goroutine, loop := s.value(ownThreads), s.value("01 idle-memory"), s.value("02 idle-memory")
			f := Finding{Verdict: Fails,
				Measured: fmt.Sprintf("%s with a thread, %s with a goroutine, %s in a loop: 100,000 need %s, %s and %s",
					size(thread.Median), size(goroutine.Median), size(loop.Median), size(thread.Median*hundredThousand), size(goroutine.Median*hundredThousand), size(loop.Median*hundredThousand)),
				Because: fmt.Sprintf("A megabyte is what may be reserved for a thread's stack, not what it uses: pages that nobody touches are no memory. What a thread does use is still %s times what a loop needs.", n(thread.Median/loop.Median)),
				Figures: []Figure{claimed("KB a connection", 1000), measured("a thread each", "KB a connection", times(thread, 1/thousand)),
					measured("a goroutine each (lab 01)", "KB a connection", times(goroutine, 1/thousand)), measured("one loop (lab 02)", "KB a connection", times(loop, 1/thousand))},
			}
			switch {
			case thread.Median >= million/2:
				f.Verdict, f.Because = Holds, "A thread uses what the article says."
			case thread.Median >= million/10:
				f.Verdict = Partly
			}
			return f
		},
	},
	{
		ID: "loop", Title: "a loop instead of goroutines", Lab: "03",
		Says:    "One thread with epoll does the work of thousands, and the cores are free for messages.",
		Against: "a goroutine for each connection: one that echoes bytes (lab 01), and one that answers each message",
		From:    []string{"01 echo-depth-1", "03 echo-depth-1", "03 against-goroutines"}, Command: "make claims ONLY=loop",
		judge: func(s Samples) Finding {
			one, sixteen := s.ratio("03 echo-depth-1", "01 echo-depth-1"), s.value("03 against-goroutines")
			f := Finding{Verdict: Partly,
				Measured: fmt.Sprintf("%s times the messages for the CPU time with one in flight, %s times with 16", n(one.Median), n(sixteen.Median)),
				Because:  "With one message in flight both need a read and a write for it, and the loop saves only the switch. With many it saves the calls: one write for all answers of a turn.",
				Figures: []Figure{measured("a goroutine each (lab 01), 1 in flight", "messages a CPU second", s.value("01 echo-depth-1")),
					measured("the loop (lab 03), 1 in flight", "messages a CPU second", s.value("03 echo-depth-1")),
					measured("1 in flight", "times a goroutine each", one), measured("16 in flight", "times a goroutine each", sixteen)},
				Curves: curves(s, "a goroutine each", "01 echo-depth-1", "the loop", "03 echo-depth-1"),
			}
			switch {
			case one.Median >= 2 && sixteen.Median >= 2:
				f.Verdict = Holds
			case sixteen.Median < 1:
				f.Verdict = Fails
			}
			return f
		},
	},
	{
		ID: "accept", Title: "a connection is accepted at once", Lab: "04",
		Says:    "The reactor's main loop accepts a connection in less than 1 ms.",
		Against: "the article's acceptor, which sleeps for 10 ms when nobody comes, beside one that poll(2) wakes",
		From:    []string{ownSleeping, ownPolling}, Command: "make claims ONLY=accept",
		judge: func(s Samples) Finding {
			p50, p99 := s.also(ownSleeping, "p50 ms"), s.also(ownSleeping, "p99 ms")
			woken := s.also(ownPolling, "p99 ms")
			f := Finding{Verdict: Fails,
				Measured: fmt.Sprintf("P50 %s ms and P99 %s ms as the article accepts; P99 %s ms when poll(2) wakes the acceptor", n(p50.Median), n(p99.Median), n(woken.Median)),
				Because:  "It sleeps for 10 ms whenever the queue is empty, so a client waits for half of that on average. Waiting in the kernel ends with the client's arrival.",
				Figures:  []Figure{claimed("ms, P99", 1), measured("sleeps 10 ms", "ms, P99", p99), measured("is woken", "ms, P99", woken)},
				Curves:   curves(s, "sleeps 10 ms", ownSleeping, "is woken", ownPolling),
			}
			switch {
			case p99.Median < 1:
				f.Verdict = Holds
			case p50.Median < 1:
				f.Verdict = Partly
			}
			return f
		},
	},
}

// size writes bytes in the unit that people would.
func size(bytes float64) string {
	switch {
	case bytes >= billion:
		return n(bytes/billion) + " GB"
	case bytes >= million:
		return n(bytes/million) + " MB"
	case bytes >= thousand:
		return n(bytes/thousand) + " KB"
	}
	return n(bytes) + " bytes"
}

// curves are pairs of a name and a key, those without latency left out.
func curves(s Samples, pairs ...string) []Curve {
	var all []Curve
	for i := 0; i < len(pairs); i += 2 {
		if h := s.latency(pairs[i+1]); h != nil {
			all = append(all, Curve{pairs[i], h})
		}
	}
	return all
}
