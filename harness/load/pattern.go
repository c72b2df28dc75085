package load

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Pattern fills p with the bytes from offset off on of the endless stream that
// seed stands for. They look random and are always the same, so a client need
// not keep what it has sent to know what must come back. It makes about a
// gigabyte a second.
func Pattern(seed uint64, off int64, p []byte) {
	var word [8]byte
	for len(p) > 0 {
		binary.LittleEndian.PutUint64(word[:], mix(seed, uint64(off)/8))
		n := copy(p, word[off%8:])
		p, off = p[n:], off+int64(n)
	}
}

// mix is word number i of a stream: SplitMix64 (Steele, Lea, Flood 2014), which
// can start anywhere.
func mix(seed, i uint64) uint64 {
	z := seed*0xd1342543de82ef95 + (i+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Verify compares got with the bytes from offset off on of seed's stream. The
// error names the first that differs.
func Verify(seed uint64, off int64, got []byte) error {
	var want [4096]byte
	for at := 0; at < len(got); {
		piece := got[at:min(at+len(want), len(got))]
		Pattern(seed, off+int64(at), want[:len(piece)])
		if i := Difference(piece, want[:]); i >= 0 {
			return fmt.Errorf("byte %d of the stream is %#02x, must be %#02x", off+int64(at+i), piece[i], want[i])
		}
		at += len(piece)
	}
	return nil
}

// Difference returns the index of the first byte in which got differs from the
// beginning of want, or -1. A byte beyond the end of want differs.
func Difference(got, want []byte) int {
	n := min(len(got), len(want))
	if bytes.Equal(got[:n], want[:n]) {
		if len(got) > n {
			return n
		}
		return -1
	}
	for i := range n {
		if got[i] != want[i] {
			return i
		}
	}
	return -1
}
