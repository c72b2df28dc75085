package backpressuretest

import (
	"context"
	"sync/atomic"
)

// article has the article's channel judged: what it adds is what a caller would
// have to write around it. There is no end, no context and no look at the queue
// in the article, so it has nothing to call for these.
type article struct {
	*articleChannel
	o              options
	sent, received atomic.Uint64
	refused        atomic.Uint64
}

var articleLab = func() lab {
	l := variantLab("")
	l.New = newArticle
	return l
}()

func newArticle(o options) (judged, error) {
	if o.Capacity < 0 || o.MaxBytes < 0 || o.Policy < Block || o.Policy > DropOldest || o.MaxBytes > 0 && o.Size == nil {
		return nil, errFull // a caller's part: the article asks for nothing but a number
	}
	told := o.OnSignal
	if told == nil {
		told = func(int) {}
	}
	return &article{articleChannel: newArticleChannel(o.Capacity, told), o: o}, nil
}

func (a *article) Send(_ context.Context, p int, m Message) error {
	a.sent.Add(1)
	if a.send(articleMessage{m, p < Normal}) {
		return nil
	}
	a.refused.Add(1)
	return errFull
}

func (a *article) TrySend(p int, m Message) error { return a.Send(context.Background(), p, m) }

func (a *article) Receive(context.Context) (Message, error) {
	m := a.receive()
	a.received.Add(1)
	return m, nil
}

func (a *article) TryReceive() (Message, bool) {
	select {
	case m := <-a.queue:
		a.took()
		a.received.Add(1)
		return m.m, true
	default:
		return Message{}, false
	}
}

func (a *article) ReceiveBatch(ctx context.Context, dst []Message) (int, error) {
	if len(dst) == 0 {
		return 0, nil
	}
	dst[0], _ = a.Receive(ctx)
	n := 1
	for ; n < len(dst); n++ {
		m, ok := a.TryReceive()
		if !ok {
			break
		}
		dst[n] = m
	}
	return n, nil
}

func (a *article) Peek() (Message, bool) { return Message{}, false }

func (a *article) Len() int { return len(a.queue) }

func (a *article) Slow() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.paused
}

func (a *article) Discard() (n int) {
	for ok := true; ok; {
		if _, ok = a.TryReceive(); ok {
			n++
		}
	}
	return n
}

func (a *article) Close() {}

func (a *article) Stats() Stats {
	a.mu.Lock() // as anything that asks for the flag
	defer a.mu.Unlock()
	return Stats{Queued: len(a.queue), Sent: a.sent.Load(), Received: a.received.Load(), Rejected: a.refused.Load()}
}
