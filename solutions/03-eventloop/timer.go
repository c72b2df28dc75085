package eventloop

import (
	"container/heap"
	"time"
)

// timer is one AfterFunc.
type timer struct {
	when  time.Time
	fn    func()
	index int // in the heap; -1 once it is out of it
}

// timerHeap has the earliest timer at 0. Adding and stopping one of n costs
// O(log n), looking at the earliest nothing.
type timerHeap []*timer

// AfterFunc runs fn on the loop's goroutine after d, never earlier, and later by
// up to a millisecond and whatever the loop is busy with. stop reports whether
// it prevented the call. Call both on the loop's goroutine (inside a callback or
// a Post) only. A timer does not hold up a Shutdown: what has not fired when Run
// ends never does. A panic in fn ends Run.
func (l *Loop) AfterFunc(d time.Duration, fn func()) (stop func() bool) {
	t := l.startTimer(d, fn)
	return func() bool {
		if t.index < 0 {
			return false
		}
		heap.Remove(&l.timers, t.index)
		return true
	}
}

// startTimer is AfterFunc for who will not stop it.
func (l *Loop) startTimer(d time.Duration, fn func()) *timer {
	t := &timer{when: time.Now().Add(d), fn: fn}
	heap.Push(&l.timers, t)
	return t
}

// runTimers runs those that are due. The clock is read once, so that a function
// that starts itself again is not run again before the next turn.
func (l *Loop) runTimers() {
	if len(l.timers) == 0 {
		return
	}
	defer l.endOnPanic()
	now := time.Now()
	for len(l.timers) > 0 && !l.timers[0].when.After(now) {
		heap.Pop(&l.timers).(*timer).fn()
	}
}

// The methods of heap.Interface.

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].when.Before(h[j].when) }

func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push is called by heap.Push only.
func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	t.index = len(*h)
	*h = append(*h, t)
}

// Pop is called by heap.Pop and heap.Remove only.
func (h *timerHeap) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	t.index = -1
	return t
}
