package main

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	producers = 4
	in        = 100_000 // messages a second, all producers together
	taken     = 50_000  // messages a second
	capacity  = 10_000  // of those that have a bound
	sampling  = 10 * time.Millisecond
)

// queue is what stands between the producers and the consumer.
type queue interface {
	send(at time.Time) bool             // any producer; false: refused
	receive() (sent time.Time, ok bool) // the consumer; when the message was sent
	depth() int                         // any goroutine
	slow() bool                         // any producer: it is asked to hold back
}

// result is what became of the messages.
type result struct {
	name                    string
	received, refused, held int64
	oldest                  time.Duration // the longest time from send to receive
	depths                  []int         // each sampling
}

func (r result) most() (most int) {
	for _, d := range r.depths {
		most = max(most, d)
	}
	return most
}

// overload has producers and a consumer use q for a while. Both keep to their
// rate by the clock; what a producer could not send because it was blocked, it
// does not make up for.
func overload(q queue, length time.Duration) result {
	var res result
	var received, refused, held, oldest atomic.Int64
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range producers {
		go atRate(stop, in/producers, func() { // not waited for: the article's can be blocked for long
			switch {
			case q.slow():
				held.Add(1)
			case !q.send(time.Now()):
				refused.Add(1)
			}
		})
	}
	go atRate(stop, taken, func() { // nor is this
		if sent, ok := q.receive(); ok {
			received.Add(1)
			oldest.Store(max(oldest.Load(), int64(time.Since(sent))))
		}
	})
	all.Go(func() {
		for range time.NewTicker(sampling).C {
			select {
			case <-stop:
				return
			default:
				res.depths = append(res.depths, q.depth())
			}
		}
	})
	time.Sleep(length)
	close(stop)
	all.Wait()
	res.received, res.refused, res.held, res.oldest = received.Load(), refused.Load(), held.Load(), time.Duration(oldest.Load())
	return res
}

// atRate calls f so many times a second until stop is closed, in portions of a
// millisecond. It does not catch up by more than ten of them.
func atRate(stop <-chan struct{}, perSecond int, f func()) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	each := time.Second / time.Duration(perSecond)
	next := time.Now()
	for {
		select {
		case <-stop:
			return
		case now := <-tick.C:
			if late := now.Add(-10 * time.Millisecond); next.Before(late) {
				next = late
			}
			for ; !next.After(now); next = next.Add(each) {
				f()
			}
		}
	}
}
