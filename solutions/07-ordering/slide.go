package ordering

// slide moves the window up until seq is its last number: everything before
// the window's new begin is delivered or given up. It stops where Deliver has
// no room. However far seq is ahead, it takes no more steps than the window has
// numbers, and one.
func (b *Buffer[T]) slide(seq uint32) {
	if b.busy || b.full {
		return
	}
	b.floor = seq - uint32(b.opt.Window) + 1
	b.sliding = true
	b.drain()
	b.sliding = false
}

// leap gives up at once what nobody has seen, from the highest number taken to
// the window's new begin. It returns false when there is no such thing.
func (b *Buffer[T]) leap() bool {
	if !b.sliding || b.closed || !before(b.next, b.floor) {
		return false
	}
	b.head = b.floor
	b.lose(int(b.floor - b.next))
	return true
}
