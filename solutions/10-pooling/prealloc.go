package pooling

import "encoding/binary"

// Squares returns the squares of 0 to n-1. It allocates once.
func Squares(n int) []int {
	all := make([]int, 0, n)
	for i := range n {
		all = append(all, i*i)
	}
	return all
}

// Join returns the parts one after the other, with sep between them. It
// allocates once, and nothing for no parts.
func Join(parts [][]byte, sep byte) []byte {
	if len(parts) == 0 {
		return nil
	}
	size := len(parts) - 1
	for _, p := range parts {
		size += len(p)
	}
	all := make([]byte, 0, size)
	for i, p := range parts {
		if i > 0 {
			all = append(all, sep)
		}
		all = append(all, p...)
	}
	return all
}

// AppendFrame appends payload to dst, behind its length in four bytes, big
// endian. It allocates nothing when dst has room.
func AppendFrame(dst, payload []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(payload)))
	return append(dst, payload...)
}

// Header is the beginning of a frame.
type Header struct {
	Kind byte
	Size uint32
}

// ParseHeader reads a kind and a size, big endian, from the first five bytes of
// data. ok is false when there are fewer. It allocates nothing: the result is a
// value, so it stays on the stack.
func ParseHeader(data []byte) (h Header, ok bool) {
	if len(data) < 5 {
		return h, false
	}
	return Header{Kind: data[0], Size: binary.BigEndian.Uint32(data[1:])}, true
}
