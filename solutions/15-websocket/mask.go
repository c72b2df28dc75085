package websocket

import (
	"encoding/binary"
	"math/bits"
)

// unmask takes the mask off p, in place, and moves on in it: a payload may come
// in pieces (RFC 6455, 5.3). XOR works on as many bytes at once as a register
// has, if the mask is turned so that its next byte comes first.
func (h *head) unmask(p []byte) {
	key := bits.RotateLeft32(h.mask, -8*int(h.at))
	h.at = (h.at + uint8(len(p)&3)) & 3
	wide := uint64(key)<<32 | uint64(key)
	for len(p) >= 32 { // four at a time: the loop costs as much as the work
		xor8(p[0:8], wide)
		xor8(p[8:16], wide)
		xor8(p[16:24], wide)
		xor8(p[24:32], wide)
		p = p[32:]
	}
	for len(p) >= 8 {
		xor8(p[:8], wide)
		p = p[8:]
	}
	for i := range p {
		p[i] ^= byte(wide >> (8 * i))
	}
}

func xor8(p []byte, wide uint64) {
	binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^wide)
}
