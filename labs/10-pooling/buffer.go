package pooling

// A Buffer is lent by a [Pool]. It has owners, one at first. Who is not an owner
// any more must not use it, nor the slices that it got from Bytes.
//
// Its bytes may be read by all its owners, and written to as long as there is
// one. Any goroutine may call its methods.
type Buffer struct {
	// Yours to add: the whole slice, the length, the owners.
}

// Bytes is what the buffer holds. It is valid as long as the caller is an owner.
func (b *Buffer) Bytes() []byte {
	return nil // not implemented: step 1, sizes, and a stack for each
}

// Cap is how many bytes Resize can give at most.
func (b *Buffer) Cap() int {
	return 0 // not implemented: step 1, sizes, and a stack for each
}

// Resize changes the length to n, from 0 to Cap; otherwise it panics. What was
// in the buffer stays. For the only owner.
func (b *Buffer) Resize(n int) {
	// not implemented: step 1, sizes, and a stack for each
}

// Retain adds n owners, at least 1, each of whom must call Release once. For an
// owner, before it hands the buffer on. It panics where there is no owner.
func (b *Buffer) Retain(n int) {
	// not implemented: step 4, owners
}

// Release ends the caller's ownership; the last owner's gives the buffer back.
// It allocates nothing. It panics where there is no owner left: somebody has
// released twice. Without Debug that is found only while nobody else has been
// lent the buffer.
func (b *Buffer) Release() {
	// not implemented: step 1, sizes, and a stack for each
}
