package ordering

import "math/bits"

// ring holds the messages of a window: number seq is in slot seq modulo the
// number of slots, if its bit is set. The slots are a power of two, so that the
// modulo is a mask and stays right when the numbers wrap around.
//
//	numbers      ... 61  62  63 | 64  65  66 ...        next = 62
//	slots         [  64  65  66 ... 61? 62  63 ]        64 slots
//	bits             1   0   1  ...  0   0   1          62, 65 are missing
type ring[T any] struct {
	slots []T
	bits  []uint64
	mask  uint32
}

// newRing makes a ring for a window: at least 64 slots, so that its bits are
// whole words.
func newRing[T any](window int) ring[T] {
	n := max(64, 1<<bits.Len(uint(window-1)))
	return ring[T]{slots: make([]T, n), bits: make([]uint64, n/64), mask: uint32(n - 1)}
}

func (r *ring[T]) has(seq uint32) bool {
	i := seq & r.mask
	return r.bits[i/64]>>(i%64)&1 != 0
}

func (r *ring[T]) put(seq uint32, v T) {
	i := seq & r.mask
	r.slots[i] = v
	r.bits[i/64] |= 1 << (i % 64)
}

func (r *ring[T]) get(seq uint32) T { return r.slots[seq&r.mask] }

// drop empties a slot, so that what its message points to can be collected.
func (r *ring[T]) drop(seq uint32) {
	i := seq & r.mask
	var zero T
	r.slots[i] = zero
	r.bits[i/64] &^= 1 << (i % 64)
}

// missing counts the numbers from seq on that are not there, 64 at a time. It
// looks at limit numbers at most.
func (r *ring[T]) missing(seq uint32, limit int) int {
	for n := 0; n < limit; {
		i := (seq + uint32(n)) & r.mask
		if word := r.bits[i/64] >> (i % 64); word != 0 {
			return min(n+bits.TrailingZeros64(word), limit)
		}
		n += 64 - int(i%64)
	}
	return limit
}
