package retry

import (
	"container/heap"
	"time"
)

// An alarm is something to do at a time. It lives inside of what it is for, so
// setting one costs no memory, and no goroutine waits for it. Guarded by the
// client's mu, as all of this file.
type alarm struct {
	kind  alarmKind
	f     *Future
	a     *attempt // of attemptOver
	at    time.Time
	index int // in the heap, counted from 1; 0 while it is not set
}

type alarmKind int

const (
	callOver    alarmKind = iota // the call's time is over
	attemptOver                  // the attempt's is
	backoffOver                  // time for the next attempt
	hedgeDue                     // time for a second copy
)

// alarms are all that are set, and the one timer that they share.
type alarms struct {
	heap  alarmHeap
	timer *time.Timer
	next  time.Time // when timer fires; zero when it does not
}

// ring sets a, which may be set already, to what it shall be, at a time.
func (c *Client) ring(a *alarm, to alarm, at time.Time) {
	c.silence(a)
	*a = to
	a.at = at
	heap.Push(&c.alarms.heap, a)
	c.wind()
}

// silence takes a out, if it is set. The timer may fire for nothing then, which
// is cheaper than to set it each time a call is answered.
func (c *Client) silence(a *alarm) {
	if a.index > 0 {
		heap.Remove(&c.alarms.heap, a.index-1)
	}
}

// wind makes sure that the timer fires for the first alarm.
func (c *Client) wind() {
	s := &c.alarms
	if len(s.heap) == 0 {
		return
	}
	at := s.heap[0].at
	if !s.next.IsZero() && !at.Before(s.next) {
		return // it fires early enough, and is wound again then
	}
	s.next = at
	if s.timer == nil {
		s.timer = time.AfterFunc(time.Until(at), c.onTime)
		return
	}
	s.timer.Reset(time.Until(at))
}

// onTime acts on all alarms that are due. The timer's goroutine.
func (c *Client) onTime() {
	c.mu.Lock()
	defer c.unlock()
	s, now := &c.alarms, time.Now()
	s.next = time.Time{}
	for len(s.heap) > 0 && !s.heap[0].at.After(now) {
		a := heap.Pop(&s.heap).(*alarm)
		switch a.kind {
		case callOver:
			c.finish(a.f, nil, ErrTimeout)
		case attemptOver:
			c.outOfPatience(a.a)
		case backoffOver:
			c.retry(a.f)
		case hedgeDue:
			c.hedge(a.f)
		}
	}
	c.wind()
}

// calls lists the calls without a result: each has its deadline set.
func (s *alarms) calls() (all []*Future) {
	for _, a := range s.heap {
		if a.kind == callOver {
			all = append(all, a.f)
		}
	}
	return all
}

// alarmHeap has the earliest alarm at 0.
type alarmHeap []*alarm

// The methods of heap.Interface.

func (h alarmHeap) Len() int           { return len(h) }
func (h alarmHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }

func (h alarmHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i+1, j+1
}

// Push is called by heap.Push only.
func (h *alarmHeap) Push(x any) {
	a := x.(*alarm)
	a.index = len(*h) + 1
	*h = append(*h, a)
}

// Pop is called by heap.Pop and heap.Remove only.
func (h *alarmHeap) Pop() any {
	last := len(*h) - 1
	a := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	a.index = 0
	return a
}
