package costs

import (
	"hash/crc32"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

var (
	small, page, large = make([]byte, 64), make([]byte, 4<<10), make([]byte, 64<<10)
	target             = make([]byte, 64<<10)
	sink               int
	kept               []byte // or the allocation would be left out
)

//go:noinline
func keep(p []byte) {
	kept = p
	sink += len(kept)
}

//go:noinline
func called(i int) int { return i + 1 }

var inUserSpace = []Cost{
	loop("user space", "call a function", "the floor: everything else is a multiple of it", func() { sink = called(sink) }),
	loop("user space", "atomic add", "on a cache line that nobody else wants", func() { counter.Add(1) }),
	loop("user space", "lock and unlock a mutex", "that nobody else wants", func() {
		mutex.Lock()
		sink++
		mutex.Unlock()
	}),
	loop("user space", "ask for the time", "time.Now, without a system call: the vDSO", func() { sink += time.Now().Nanosecond() }),
	loop("user space", "copy 64 bytes", "", func() { copy(target, small) }),
	loop("user space", "copy 4 KiB", "from the cache", func() { copy(target, page) }),
	loop("user space", "copy 64 KiB", "hardly fits into the first cache", func() { copy(target, large) }),
	{Group: "user space", Name: "read one byte of 256 MiB", Unit: CPU, Note: "anywhere: a cache miss, and often one of the TLB", run: cacheMisses},
	loop("user space", "allocate 64 bytes", "the collector's part is in it", func() { keep(make([]byte, 64)) }),
	loop("user space", "allocate 4 KiB", "zeroed, and collected: why buffers are pooled", func() { keep(make([]byte, 4<<10)) }),
	loop("user space", "check 4 KiB of ASCII for UTF-8", "", func() {
		if utf8.Valid(ascii) {
			sink++
		}
	}),
	loop("user space", "CRC-32C of 4 KiB", "with the processor's instruction for it", func() { sink += int(crc32.Checksum(page, castagnoli)) }),
}

var (
	counter    atomic.Int64
	mutex      sync.Mutex
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	ascii      = func() []byte {
		text := make([]byte, 4<<10)
		for i := range text {
			text[i] = byte('a' + i%26)
		}
		return text
	}()
)

// loop is a cost of one call of op.
func loop(group, name, note string, op func()) Cost {
	return Cost{Group: group, Name: name, Unit: CPU, Note: note, run: func(n int) (float64, error) {
		for range n {
			op()
		}
		return 0, nil
	}}
}

var field = sync.OnceValue(func() []byte {
	f := make([]byte, 256<<20)
	for i := 0; i < len(f); i += 4 << 10 {
		f[i] = byte(i) // or all pages would be one
	}
	return f
})

// cacheMisses reads where the last byte read says, so that no two reads overlap.
func cacheMisses(n int) (float64, error) {
	f := field()
	at := rand.Uint32()
	for range n {
		at = at*1664525 + 1013904223 + uint32(f[at%uint32(len(f))])
	}
	sink += int(at)
	return 0, nil
}
