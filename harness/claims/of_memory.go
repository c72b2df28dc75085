package claims

import "fmt"

const (
	ownMake     = "own echo, make"
	ownPool     = "own echo, pool"
	ownPrealloc = "own preallocation"
)

var ofMemory = []Claim{
	{
		ID: "pool-ns", Title: "a pool against make", Lab: "10",
		Says:    "sync.Pool saves the cost of a buffer for each message.",
		Against: "make of 4 KiB, by 8 goroutines; and the lab's pool, with sizes, owners and a bound",
		From:    []string{"10 against-make", "10 against-sync-pool"}, Command: "make claims ONLY=pool-ns",
		judge: func(s Samples) Finding {
			made, lent, synced := s.also("10 against-make", "make ns/lending"), s.also("10 against-make", "ns/lending"), s.also("10 against-sync-pool", "sync.Pool ns/lending")
			f := Finding{Verdict: Fails,
				Measured: fmt.Sprintf("%s ns with make, %s with a sync.Pool of pointers, %s with the lab's pool", n(made.Median), n(synced.Median), n(lent.Median)),
				Because:  "A buffer that is made is cleared and collected. One that comes back is neither.",
				Figures:  []Figure{measured("make", "CPU ns for 4 KiB", made), measured("sync.Pool of pointers", "CPU ns for 4 KiB", synced), measured("lab 10", "CPU ns for 4 KiB", lent)}}
			if made.Median >= 2*synced.Median {
				f.Verdict = Holds
			}
			return f
		},
	},
	{
		ID: "pool", Title: "a pool in a live server", Lab: "10",
		Says:    "Pooling buffers doubles an echo server's throughput, from 50,000 to 100,000 a second.",
		Against: "the same server with make of 4 KiB for each message",
		From:    []string{ownMake, ownPool, "10 collections"}, Command: "make claims ONLY=pool",
		judge: func(s Samples) Finding {
			ratio, fewer := s.ratio(ownPool, ownMake), s.value("10 collections")
			f := Finding{Verdict: Fails,
				Measured: fmt.Sprintf("%s times the echoes for the CPU time; with the lab's pool the collector runs %s times less often", n(ratio.Median), n(fewer.Median)),
				Because:  "Most of an echo is its two system calls, which no pool makes cheaper. What changes is how often the collector runs, and what it takes from everybody when it does.",
				Figures: []Figure{measured("make for each message", "echoes a CPU second", s.value(ownMake)), measured("the article's pool", "echoes a CPU second", s.value(ownPool)),
					claimed("times make", 2), measured("the article's pool", "times make", ratio)},
				Curves: curves(s, "make for each message", ownMake, "the article's pool", ownPool)}
			switch {
			case ratio.Median >= 1.8:
				f.Verdict = Holds
			case ratio.Median >= 1.05:
				f.Verdict = Partly
			}
			return f
		},
	},
	{
		ID: "preallocation", Title: "preallocation", Lab: "10",
		Says:    "make with the capacity is 5 times as fast as append to nil, for 10,000 results.",
		Against: "append to a nil slice",
		From:    []string{ownPrealloc}, Command: "make claims ONLY=preallocation",
		judge: func(s Samples) Finding {
			ratio, grown, made := s.value(ownPrealloc), s.also(ownPrealloc, "append ns"), s.also(ownPrealloc, "make ns")
			f := Finding{Verdict: Fails, Measured: fmt.Sprintf("%s times: %s µs instead of %s for 10,000 ints", n(ratio.Median), n(made.Median/thousand), n(grown.Median/thousand)),
				Because: "A slice that grows is copied some twenty times and leaves as many arrays to the collector. How much that is depends on what else is done for each result.",
				Figures: []Figure{measured("append to nil", "CPU µs for 10,000 ints", times(grown, 1/thousand)), measured("make with the capacity", "CPU µs for 10,000 ints", times(made, 1/thousand)),
					claimed("times append to nil", 5), measured("make with the capacity", "times append to nil", ratio)}}
			switch {
			case ratio.Median >= 4.5:
				f.Verdict = Holds
			case ratio.Median >= 1.5:
				f.Verdict = Partly
			}
			return f
		},
	},
}
