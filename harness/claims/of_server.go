package claims

import "fmt"

// Keys of loads on a server. Small ones have two servers beside each other, as
// many clients as a naive one can hold; the full one is the reference's alone.
const (
	RefEcho, RefRate, RefRoom       = "reference echo", "reference at a rate", "reference room"
	NaiveEcho, NaiveRate, NaiveRoom = "naive echo", "naive at a rate", "naive room"
	FullEcho, FullRate, FullRoom    = "full echo", "full at a rate", "full room"
)

// Names of the further figures of a load. Its value is CPU seconds per million.
const (
	Connections = "connections"
	PerSecond   = "per second"
	P99         = "p99 ms"
	IdleRSS     = "bytes with all idle"
	PerConn     = "bytes a connection"
	Cores       = "cores"
)

var ofTheServer = []Claim{
	{
		ID: "connections", Title: "100,000 connections in 2 GB", Lab: "capstone",
		Says:    "One server holds 100,000 connections in 2 GB.",
		Against: "a goroutine that reads and one that writes for each connection (gorilla/websocket)",
		From:    []string{FullEcho, RefEcho, NaiveEcho}, Command: "make claims ONLY=connections",
		judge: func(s Samples) Finding {
			conns, idle, each := s.also(FullEcho, Connections).Median, s.also(FullEcho, IdleRSS), s.also(FullEcho, PerConn)
			ours, naive := s.also(RefEcho, PerConn), s.also(NaiveEcho, PerConn)
			f := Finding{Verdict: Holds,
				Measured: fmt.Sprintf("%s connections, each verified, in %s; a goroutine pair each would need %s for 100,000", n(conns), size(idle.Median), size(naive.Median*hundredThousand)),
				Because:  "A connection that says nothing costs its structs: no stack, no buffer, no timer of its own. The kernel's socket buffers are not in these figures; they are the same for every design.",
				Figures: []Figure{claimed("KB a connection", 20), measured("two goroutines each", "KB a connection", times(naive, 1/thousand)),
					measured("the reference, as many", "KB a connection", times(ours, 1/thousand)), measured("the reference, all", "KB a connection", times(each, 1/thousand))}}
			switch {
			case each.Median*hundredThousand > 2*billion:
				f.Verdict = Fails
			case conns < hundredThousand:
				f.Verdict = Hardware
				f.Normal = fmt.Sprintf("%s connections were opened; at %s each, 100,000 take %s: holds per connection", n(conns), size(each.Median), size(each.Median*hundredThousand))
			}
			return f
		},
	},
	{
		ID: "million", Title: "a million messages a second", Lab: "capstone",
		Says:    "A million messages a second with 8 cores half busy: 4 CPU seconds a million.",
		Against: "a hub with a channel and two goroutines for each client (gorilla/websocket)",
		From:    []string{FullRoom, RefRoom, NaiveRoom}, Command: "make claims ONLY=million",
		judge: func(s Samples) Finding {
			full, ours, naive := s.value(FullRoom), s.value(RefRoom), s.value(NaiveRoom)
			rate, cores := s.also(FullRoom, PerSecond).Median, s.also(FullRoom, Cores).Median
			f := Finding{Verdict: Hardware,
				Measured: fmt.Sprintf("%s CPU s a million deliveries to %s clients; to %s clients %s, where a hub needs %s", n(full.Median), n(s.also(FullRoom, Connections).Median), n(s.also(NaiveRoom, Connections).Median), n(ours.Median), n(naive.Median)),
				Normal:   fmt.Sprintf("%s cores are shared with the clients here, and %s deliveries a second came. Per message: %s of the 4 CPU seconds that are allowed", n(cores), n(rate), n(full.Median)),
				Because:  "What is delivered to a client in one turn leaves with one write. A hub pays a channel operation, a switch and a write for each.",
				Figures: []Figure{claimed("CPU s a million deliveries", 4), measured("a hub", "CPU s a million deliveries", naive), measured("the reference, as many clients", "CPU s a million deliveries", ours),
					measured("the reference, all clients", "CPU s a million deliveries", full)}}
			switch {
			case full.Median > 4:
				f.Verdict = Fails
			case cores >= 8 && rate >= million:
				f.Verdict = Holds
			}
			return f
		},
	},
	{
		ID: "latency", Title: "P99 below 10 ms", Lab: "capstone", elapsed: true,
		Says:    "P99 is below 10 ms with 100,000 connections.",
		Against: "a goroutine pair for each connection, at the same rate; latency from when each message was due",
		From:    []string{FullRate, RefRate, NaiveRate}, Command: "make claims ONLY=latency",
		judge: func(s Samples) Finding {
			full, ours, naive := s.also(FullRate, P99), s.also(RefRate, P99), s.also(NaiveRate, P99)
			conns := s.also(FullRate, Connections).Median
			f := Finding{Verdict: Fails,
				Measured: fmt.Sprintf("P99 %s ms with %s connections at %s messages a second; with %s at %s a second %s ms, where goroutines need %s",
					n(full.Median), n(conns), n(s.also(FullRate, PerSecond).Median), n(s.also(NaiveRate, Connections).Median), n(s.also(NaiveRate, PerSecond).Median), n(ours.Median), n(naive.Median)),
				Because: "Below the highest rate a message waits for a turn of its loop and no longer. Above it every design has a queue, and its latency is that queue's.",
				Figures: []Figure{claimed("ms, P99", 10), measured("goroutines", "ms, P99", naive), measured("the reference, as many clients", "ms, P99", ours), measured("the reference, all clients", "ms, P99", full)},
				Curves:  curves(s, "goroutines", NaiveRate, "the reference", RefRate, "the reference, all clients", FullRate)}
			switch {
			case full.Median < 10 && conns >= hundredThousand:
				f.Verdict = Holds
			case full.Median < 10:
				f.Verdict = Hardware
				f.Normal = fmt.Sprintf("%s connections were opened, and with them it holds", n(conns))
			case ours.Median < 10:
				f.Verdict = Partly
			}
			return f
		},
	},
}
