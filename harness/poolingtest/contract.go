// Package poolingtest judges lab 10: a pool of buffers by size, buffers with
// several owners, and a debug mode that finds misuse.
//
// contract.go says what a pool must do, the files of rules what is checked,
// targets.go what is measured, mutants_test.go which wrong pools must be refused.
package poolingtest

// Options is the configuration of a [Pool]. The lab declares the same struct;
// its test file converts one into the other, so a difference is a compile error.
type Options struct {
	// MaxIdle bounds the bytes that wait in the pool to be lent again, all
	// sizes together. 0 means 64 MiB. New refuses a negative value.
	MaxIdle int

	// Debug has the pool look for mistakes of its users.
	Debug bool

	// OnFault is told what Debug has found. It may use the pool. Where it is
	// nil, and without Debug, mistakes that are found are panics.
	OnFault func(Fault)
}

// Kinds of faults, as the lab numbers them.
const (
	ReleasedTwice = iota
	RetainedLate
	WrittenLate
	Leaked
)

// Fault is a mistake, and where it began.
type Fault struct {
	Kind     int
	Taken    string // the stack that called Get
	Returned string // the stack that gave it back; "" where none has
}

// Stats is what a pool has done and holds. While nobody calls Get or Release,
// Hits + Misses + Oversize = Returned + InUse.
type Stats struct {
	Hits     uint64 // Gets that found a buffer
	Misses   uint64 // Gets that had to make one
	Oversize uint64 // Gets above MaxSize
	Returned uint64 // buffers given back
	Dropped  uint64 // of these, left to the garbage collector: by the bound, by Trim, oversize
	InUse    int    // lent at this moment
	Idle     int    // bytes that wait to be lent
}

// Sizes of buffers: powers of two from the first to the last.
const (
	minSize = 64
	maxSize = 64 << 10
	poison  = 0xDB
)

// Buffer is lent by a pool.
type Buffer interface {
	// Bytes is what the buffer holds.
	Bytes() []byte

	// Cap is how many bytes Resize can give at most: the smallest power of two
	// from 64 on that has room for what was asked for; above 64 KiB exactly
	// that.
	Cap() int

	// Resize changes the length, from 0 to Cap; otherwise it panics.
	Resize(n int)

	// Retain adds n owners, at least 1. It panics where there is no owner.
	Retain(n int)

	// Release ends one ownership; the last one gives the buffer back. It
	// allocates nothing, and panics where there is no owner left.
	Release()
}

// Pool lends buffers. Any goroutine may call its methods.
type Pool interface {
	// Get lends a buffer with n bytes and one owner. A negative n panics.
	// From the second lending of a buffer on it allocates nothing.
	Get(n int) Buffer

	// Trim gives the garbage collector all that waits to be lent again.
	Trim()

	// Check looks at the last 1024 buffers that were given back, and reports
	// each that was written to since, once. So does the Release that makes one
	// more of them, of the oldest. Debug only.
	Check()

	// Leaks returns the buffers that are lent. Debug only.
	Leaks() []Fault

	Stats() Stats
}
