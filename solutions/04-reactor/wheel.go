package reactor

import (
	"math"
	"time"
)

// Wheel is a hashed timing wheel (Varghese and Lauck, "Hashed and Hierarchical
// Timing Wheels", 1987): a ring of slots, one for each tick of a turn, each with
// a list of the timers that are due in that tick of this turn or a later one.
//
// Making and stopping a timer cost O(1), with one timer as with a million; a
// tick costs its slot's list. No timer has a goroutine or a place in a heap.
//
// A Wheel belongs to one goroutine. Its clock is what Advance says: nothing in
// it reads the time.
type Wheel struct {
	// Invariants: every timer that is due at tick t is in slot t modulo
	// len(slots); t is later than passed; clock is not before tick passed.
	tick   time.Duration // immutable
	slots  []timer       // heads of rings: a slot without timers points to itself
	clock  time.Duration // since the wheel was made
	passed int64         // ticks that have been called
	n      int           // timers in the slots
}

// timer is in one ring, or in none. It is part of what it is for, so that
// starting it again allocates nothing.
type timer struct {
	next, prev *timer // nil when it is in no ring
	due        int64  // tick
	fn         func()
}

// NewWheel returns a wheel of slots ticks a turn. A timer may be longer than a
// turn: it is then passed over once for each turn. It takes 40 bytes a slot.
func NewWheel(tick time.Duration, slots int) *Wheel {
	w := &Wheel{tick: tick, slots: make([]timer, slots)}
	for i := range w.slots {
		w.slots[i].reset()
	}
	return w
}

// AfterFunc has fn called by the Advance that passes d from now, rounded up to a
// tick: never early. Insertion costs the same with one timer as with a million.
// stop, also O(1), reports whether it prevented the call.
func (w *Wheel) AfterFunc(d time.Duration, fn func()) (stop func() bool) {
	t := &timer{fn: fn}
	w.start(t, d)
	return func() bool { return w.stop(t) }
}

// Len is the number of timers that have neither fired nor been stopped.
func (w *Wheel) Len() int { return w.n }

// Advance moves the clock to now, a time since the wheel was made, and then
// calls what is due, in the order of the ticks. What is called may stop others
// that are due, and make new ones: they count from now, so they are for a later
// Advance. The clock never goes back.
func (w *Wheel) Advance(now time.Duration) {
	w.set(now)
	last := int64(w.clock / w.tick)
	for w.passed < last {
		if w.n == 0 {
			w.passed = last // nothing to call on the way
			return
		}
		w.passed++
		w.call(w.passed)
	}
}

// set moves the clock and calls nothing: so that a timer made between two
// Advances counts from now and not from the last one, which would be early.
func (w *Wheel) set(now time.Duration) { w.clock = max(w.clock, now) }

// call calls what is due at a tick. The due timers are moved to a ring of their
// own first: what is called may change the slot.
func (w *Wheel) call(tick int64) {
	var due timer
	due.reset()
	head := &w.slots[tick%int64(len(w.slots))]
	for t := head.next; t != head; {
		next := t.next
		if t.due == tick { // and not in a later turn
			t.unlink()
			due.append(t)
		}
		t = next
	}
	for due.next != &due {
		t := due.next
		w.stop(t)
		t.fn()
	}
}

// start has t fire d from now. It must not be pending.
func (w *Wheel) start(t *timer, d time.Duration) {
	d = min(max(d, 0), math.MaxInt64-w.clock-w.tick) // for ever must not wrap around to now
	t.due = int64((w.clock + d + w.tick - 1) / w.tick)
	t.due = max(t.due, int64(w.clock/w.tick)+1) // the slots up to now are, or are being, called
	w.slots[t.due%int64(len(w.slots))].append(t)
	w.n++
}

// stop reports whether t was pending. It is not any more.
func (w *Wheel) stop(t *timer) bool {
	if t.next == nil {
		return false
	}
	t.unlink()
	w.n--
	return true
}

// The ring. A head stands for both of its ends.

func (t *timer) reset() { t.next, t.prev = t, t }

// append puts e before the head t, which is behind the last.
func (t *timer) append(e *timer) {
	e.next, e.prev = t, t.prev
	t.prev.next, t.prev = e, e
}

func (t *timer) unlink() {
	t.prev.next, t.next.prev = t.next, t.prev
	t.next, t.prev = nil, nil
}
