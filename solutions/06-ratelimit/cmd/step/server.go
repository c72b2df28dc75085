package main

import (
	"slices"
	"time"
)

const (
	length  = 4 * time.Minute
	tick    = time.Millisecond
	demand  = 2000 // requests a second that come
	base    = 10 * time.Millisecond
	target  = 50 * time.Millisecond
	patient = 5 * time.Second // then a client gives up, but the server works for it all the same
)

// capacity is how many requests a second the server can answer: it falls by
// more than half for a minute.
func capacity(at time.Duration) float64 {
	if at >= time.Minute && at < 2*time.Minute {
		return 400
	}
	return 1000
}

// limiter is what stands in front of the server.
type limiter interface {
	Allow() bool
	Observe(latency time.Duration)
	Rate() float64
}

// result is what came of four minutes.
type result struct {
	name      string
	latencies []time.Duration // of requests answered before their client gave up
	rates     []float64       // each second
}

func (r result) latency(quantile float64) time.Duration {
	if len(r.latencies) == 0 {
		return 0
	}
	slices.Sort(r.latencies)
	return r.latencies[int(quantile*float64(len(r.latencies)-1))].Round(time.Millisecond)
}

// simulate has requests ask l, wait in the server's queue and be answered, one
// millisecond after the other.
func simulate(l limiter, now *clock) (res result) {
	var queue []time.Duration // when each came
	var coming, leaving float64
	for at := time.Duration(0); at < length; at += tick {
		*now = clock(at)
		for coming += demand * tick.Seconds(); coming >= 1; coming-- {
			if l.Allow() {
				queue = append(queue, at)
			}
		}
		leaving = min(leaving+capacity(at)*tick.Seconds(), 1+float64(len(queue))) // idle time is not saved up
		for ; leaving >= 1 && len(queue) > 0; leaving-- {
			latency := at - queue[0] + base
			queue = queue[1:]
			l.Observe(latency)
			if latency < patient {
				res.latencies = append(res.latencies, latency)
			}
		}
		if at%time.Second == 0 {
			res.rates = append(res.rates, l.Rate())
		}
	}
	return res
}
