package pooling

// Squares returns the squares of 0 to n-1. It allocates once.
func Squares(n int) []int {
	return nil // not implemented: step 6, allocate once, or not at all
}

// Join returns the parts one after the other, with sep between them. It
// allocates once, and nothing for no parts.
func Join(parts [][]byte, sep byte) []byte {
	return nil // not implemented: step 6, allocate once, or not at all
}

// AppendFrame appends payload to dst, behind its length in four bytes, big
// endian. It allocates nothing when dst has room.
func AppendFrame(dst, payload []byte) []byte {
	return nil // not implemented: step 6, allocate once, or not at all
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
	return h, false // not implemented: step 6, allocate once, or not at all
}
