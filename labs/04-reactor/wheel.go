package reactor

import "time"

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
	// Yours to add: the slots, the clock, and the tick up to which timers have
	// been called.
}

// NewWheel returns a wheel of slots ticks a turn. A timer may be longer than a
// turn: it is then passed over once for each turn. It takes 40 bytes a slot.
func NewWheel(tick time.Duration, slots int) *Wheel {
	return &Wheel{} // step 1
}

// AfterFunc has fn called by the Advance that passes d from now, rounded up to a
// tick: never early. Insertion costs the same with one timer as with a million.
// stop, also O(1), reports whether it prevented the call.
func (w *Wheel) AfterFunc(d time.Duration, fn func()) (stop func() bool) {
	return func() bool { return false } // step 1
}

// Len is the number of timers that have neither fired nor been stopped.
func (w *Wheel) Len() int {
	return 0 // step 1
}

// Advance moves the clock to now, a time since the wheel was made, and then
// calls what is due, in the order of the ticks. What is called may stop others
// that are due, and make new ones: they count from now, so they are for a later
// Advance. The clock never goes back.
func (w *Wheel) Advance(now time.Duration) {
	// step 1
}
