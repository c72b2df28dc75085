package reactortest

import (
	"maps"
	"math"
	"slices"
	"time"
)

// variantWheel is a right wheel in another style than the solution's: lists of
// timers by tick in a map, without slots. It keeps the same promises, and costs
// a sort of the ticks that have passed.
type variantWheel struct {
	fault  fault
	tick   time.Duration
	turn   int64 // ticks; for faults alone
	clock  time.Duration
	passed int64
	byTick map[int64]*tickList
	sorted []*variantTimer // of one fault
	n      int
}

type tickList struct{ first, last *variantTimer }

type variantTimer struct {
	next, prev *variantTimer
	due        int64
	fn         func()
	over       bool
	end        chan struct{} // of one fault
}

func newVariantWheel(f fault) func(time.Duration, int) Wheel {
	return func(tick time.Duration, slots int) Wheel {
		return &variantWheel{fault: f, tick: tick, turn: int64(slots), byTick: map[int64]*tickList{}}
	}
}

func (w *variantWheel) AfterFunc(d time.Duration, fn func()) (stop func() bool) {
	t := &variantTimer{fn: fn, due: w.due(d)}
	l := w.byTick[t.due]
	if l == nil {
		l = &tickList{}
		w.byTick[t.due] = l
	}
	if t.prev = l.last; t.prev != nil {
		t.prev.next = t
	} else {
		l.first = t
	}
	l.last = t
	w.n++
	switch w.fault {
	case "a goroutine for each timer":
		t.end = make(chan struct{})
		go func() { <-t.end }()
	case "a timer looks for its place":
		at := 0
		for at < len(w.sorted) && w.sorted[at].due <= t.due {
			at++
		}
		w.sorted = slices.Insert(w.sorted, at, t)
	}
	return func() bool { return w.stop(t) }
}

func (w *variantWheel) due(d time.Duration) int64 {
	longest := math.MaxInt64 - w.clock - w.tick
	if w.fault == "for ever is at once" {
		longest = math.MaxInt64
	}
	due := int64((w.clock + min(max(d, 0), longest) + w.tick - 1) / w.tick)
	due = max(due, int64(w.clock/w.tick)+1)
	switch w.fault {
	case "rounds down":
		due = max(int64((w.clock+max(d, 0))/w.tick), int64(w.clock/w.tick)+1)
	case "the wheel is off by one turn":
		if ticks := due - int64(w.clock/w.tick); ticks > 0 && ticks%w.turn == 0 {
			due += w.turn
		}
	case "a delay of one turn fires at once":
		if ticks := due - int64(w.clock/w.tick); ticks >= w.turn {
			due -= w.turn - 1
		}
	case "a timer made in a call fires in the same Advance":
		if d == 0 {
			due = w.passed + 1
		}
	case "what is made in a call counts from the tick":
		due = w.passed + max(1, int64((max(d, 0)+w.tick-1)/w.tick))
	}
	return due
}

func (w *variantWheel) stop(t *variantTimer) bool {
	if w.fault == "stop always says true" && t.over {
		return true
	}
	if t.over {
		return w.fault == "stop of a fired timer says true"
	}
	w.take(t)
	if w.fault == "Len counts stopped timers" {
		w.n++
	}
	return true
}

// take removes t, which is pending.
func (w *variantWheel) take(t *variantTimer) {
	t.over = true
	w.n--
	if t.end != nil {
		close(t.end)
	}
	l := w.byTick[t.due]
	if t.prev != nil {
		t.prev.next = t.next
	} else if l != nil {
		l.first = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	} else if l != nil {
		l.last = t.prev
	}
}

func (w *variantWheel) Advance(now time.Duration) {
	if now < w.clock && w.fault != "the clock goes back" {
		now = w.clock
	}
	from := w.clock
	w.clock = now
	last := int64(w.clock / w.tick)
	if w.fault == "a tick late" {
		last--
	}
	ticks := slices.Sorted(maps.Keys(w.byTick))
	if w.fault == "slot by slot" {
		slices.SortFunc(ticks, func(a, b int64) int { return int(a%w.turn - b%w.turn) })
	}
	for _, tick := range ticks {
		if tick > last {
			continue
		}
		if w.fault == "looks at one turn only" && last-int64(from/w.tick) > w.turn && tick <= last-w.turn {
			continue // and it is not looked at again
		}
		w.passed = max(w.passed, tick)
		w.call(tick)
		delete(w.byTick, tick)
	}
	if w.fault == "a timer made in a call fires in the same Advance" {
		for tick := range w.byTick {
			if tick <= last {
				w.call(tick)
			}
		}
	}
	w.passed = last
}

func (w *variantWheel) call(tick int64) {
	l := w.byTick[tick]
	if w.fault == "what is due is called, stopped or not" {
		var due []*variantTimer
		for t := l.first; t != nil; t = t.next {
			due = append(due, t)
		}
		for _, t := range due {
			if !t.over {
				w.take(t)
			}
			t.fn()
		}
		return
	}
	for l.first != nil {
		t := l.first
		w.take(t)
		t.fn()
	}
}

func (w *variantWheel) Len() int { return w.n }
