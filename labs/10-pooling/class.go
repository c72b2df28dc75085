package pooling

// Buffers have sizes that are powers of two from MinSize to MaxSize, so that at
// most half of one is wasted, but for the smallest.
const (
	MinSize = 64
	MaxSize = 64 << 10
)

// Sizes of buffers and the stacks of one size go here (step 1), so that several
// goroutines can use them at the same time (step 3).
