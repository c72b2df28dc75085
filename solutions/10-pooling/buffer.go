package pooling

import (
	"fmt"
	"sync/atomic"
)

// A Buffer is lent by a [Pool]. It has owners, one at first. Who is not an owner
// any more must not use it, nor the slices that it got from Bytes.
//
// Its bytes may be read by all its owners, and written to as long as there is
// one. Any goroutine may call its methods.
type Buffer struct {
	pool  *Pool  // immutable
	class int    // immutable
	all   []byte // immutable: the slice, not its bytes

	n      int          // the lender's; and its owner's as long as there is one
	owners atomic.Int32 // 0: it is the pool's
	next   *Buffer      // in a stack of the pool

	note *note // debug mode only
}

// Bytes is what the buffer holds. It is valid as long as the caller is an owner.
func (b *Buffer) Bytes() []byte { return b.all[:b.n] }

// Cap is how many bytes Resize can give at most.
func (b *Buffer) Cap() int { return len(b.all) }

// Resize changes the length to n, from 0 to Cap; otherwise it panics. What was
// in the buffer stays. For the only owner.
func (b *Buffer) Resize(n int) {
	if n < 0 || n > len(b.all) {
		panic(fmt.Sprintf("pooling: Resize(%d) of a buffer of %d: get a larger one and copy", n, len(b.all)))
	}
	b.n = n
}

// Retain adds n owners, at least 1, each of whom must call Release once. For an
// owner, before it hands the buffer on. It panics where there is no owner.
func (b *Buffer) Retain(n int) {
	if n < 1 {
		panic(fmt.Sprintf("pooling: Retain(%d): give 1 or more", n))
	}
	for {
		owners := b.owners.Load()
		if owners < 1 {
			b.fault(Fault{Kind: RetainedLate})
			return
		}
		if b.owners.CompareAndSwap(owners, owners+int32(n)) {
			return
		}
	}
}

// Release ends the caller's ownership; the last owner's gives the buffer back.
// It allocates nothing. It panics where there is no owner left: somebody has
// released twice. Without Debug that is found only while nobody else has been
// lent the buffer.
func (b *Buffer) Release() {
	for {
		owners := b.owners.Load()
		if owners < 1 {
			b.fault(Fault{Kind: ReleasedTwice})
			return
		}
		if b.owners.CompareAndSwap(owners, owners-1) {
			if owners == 1 {
				b.pool.put(b)
			}
			return
		}
	}
}

// fault tells a mistake that this call has found.
func (b *Buffer) fault(f Fault) {
	if b.pool.debug == nil {
		panic(f.String())
	}
	b.pool.debug.report(b, f)
}
