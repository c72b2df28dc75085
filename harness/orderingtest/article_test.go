package orderingtest

import (
	"sync/atomic"
	"time"
)

// article has the article's channel judged. What it adds is what a caller of
// the article's would have to do: read the delivery channel when the consumer
// has room. The scan is also made by Advance, so that its clock can be ours.
type article struct {
	*articleChannel
	o       Options
	clock   *atomic.Int64 // what the caller has told
	scanned time.Duration
	inHand  *Message // read from the channel, and refused by Deliver
	full    bool
}

var articleLab = lab{Old: errOld, Duplicate: errDuplicate, Beyond: errBeyond, Closed: errClosed, New: newArticle}

func newArticle(o Options) (judged, error) {
	clock := new(atomic.Int64)
	a := &article{o: o, clock: clock}
	a.articleChannel = newArticleChannel(o.First, 1, o.GapTimeout, func() time.Time { return time.Unix(0, clock.Load()) })
	go a.watch()
	return a, nil
}

func (a *article) Push(now time.Duration, seq uint32, m Message) (err error) {
	a.clock.Store(int64(now))
	a.mu.Lock()
	if _, twice := a.pending[seq]; twice {
		err = errDuplicate // in fact it says nothing, and takes it
	}
	if seq < a.next {
		err = errOld // in fact it counts it, and says nothing
	}
	a.mu.Unlock()
	a.receive(seq, m)
	for a.read() {
		if a.o.Window > 1 { // a consumer that keeps up: room for the next one at once
			a.mu.Lock()
			a.deliver()
			a.mu.Unlock()
		}
	}
	return err
}

// read passes one message from the channel to the consumer.
func (a *article) read() bool {
	if a.full {
		return false
	}
	if a.inHand == nil {
		select {
		case m := <-a.out:
			a.inHand = &m
		default:
			return false
		}
	}
	if !a.o.Deliver(a.inHand.Seq, *a.inHand) {
		a.full = true
		return false
	}
	a.inHand = nil
	return true
}

func (a *article) Advance(now time.Duration) {
	a.clock.Store(int64(now))
	if now >= a.scanned+100*ms {
		a.scanned = now
		a.scan()
	}
}

func (a *article) Deadline() (time.Duration, bool) { return a.scanned + 100*ms, true }

func (a *article) Resume(now time.Duration) {
	a.clock.Store(int64(now))
	a.full = false
	for a.read() {
	}
}

// Next leaves out what the consumer has not read.
func (a *article) Next() uint32 {
	a.mu.Lock()
	defer a.mu.Unlock()
	next := a.next - uint32(len(a.out))
	if a.inHand != nil {
		next--
	}
	return next
}

func (a *article) Stats() Stats {
	a.mu.Lock()
	defer a.mu.Unlock()
	return Stats{Pending: len(a.pending), Received: a.received, Delivered: a.delivered, Old: a.dropped}
}

func (a *article) Close() {}
