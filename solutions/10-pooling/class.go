package pooling

import (
	"math/bits"
	"sync"
	"unsafe"
)

// Buffers have sizes that are powers of two from MinSize to MaxSize, so that at
// most half of one is wasted, but for the smallest.
const (
	MinSize = 64
	MaxSize = 64 << 10
)

const (
	minBits = 6
	classes = 11 // 64 to 65536
	none    = -1 // the class of what is larger
)

// classOf is the smallest class for n bytes, up to MaxSize.
func classOf(n int) int { return max(bits.Len(uint(max(n, 1)-1)), minBits) - minBits }

func sizeOf(class int) int { return MinSize << class }

// shards is how many stacks a class has. It should be more than the cores.
const shards = 8

// class keeps idle buffers of one size.
type class struct{ stacks [shards]stack }

// stack keeps buffers; the one that came last is lent first: it is the one that
// is still in a cache.
type stack struct {
	mu       sync.Mutex
	top      *Buffer  // guarded by mu: linked by next
	hits     uint64   // guarded by mu: buffers taken
	returned uint64   // guarded by mu: buffers stored
	_        [32]byte // the next stack has a cache line of its own
}

// home is the stack to look at first. It stays the same for a goroutine, as long
// as its memory does not move: what it gave back is what it finds, and two
// goroutines rarely want the same. Any number would be right; this one is near.
func home() uint32 {
	var here byte
	return uint32(uintptr(unsafe.Pointer(&here)) >> 11)
}

// store keeps b.
func (c *class) store(b *Buffer) {
	i := home()
	for range shards {
		if s := &c.stacks[i%shards]; s.mu.TryLock() {
			s.push(b)
			return
		}
		i++ // somebody is there: try next door
	}
	s := &c.stacks[i%shards]
	s.mu.Lock()
	s.push(b)
}

// take returns a buffer, or nil when there is none.
func (c *class) take() *Buffer {
	i := home()
	for range shards {
		if b := c.stacks[i%shards].pop(); b != nil {
			return b
		}
		i++
	}
	return nil
}

// push ends with s.mu unlocked.
func (s *stack) push(b *Buffer) {
	b.next, s.top = s.top, b
	s.returned++
	s.mu.Unlock()
}

func (s *stack) pop() *Buffer {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.top
	if b != nil {
		s.top, b.next = b.next, nil
		s.hits++
	}
	return b
}
