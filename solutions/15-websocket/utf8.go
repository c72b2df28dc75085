package websocket

import "unicode/utf8"

// utf8Stream checks text that comes in pieces, cut anywhere (RFC 6455, 8.1).
type utf8Stream struct {
	begun [utf8.UTFMax]byte // a character whose last byte is not here yet
	n     uint8             // bytes in begun
}

// write reports whether the text is valid so far. It says no at the first byte
// that nothing behind it can make right.
func (u *utf8Stream) write(p []byte) bool {
	for u.n > 0 && len(p) > 0 {
		u.begun[u.n] = p[0]
		u.n, p = u.n+1, p[1:]
		char := u.begun[:u.n]
		if !utf8.FullRune(char) {
			continue // and can still become a character
		}
		if !utf8.Valid(char) {
			return false
		}
		u.n = 0
	}
	cut := len(p) - incomplete(p)
	if !utf8.Valid(p[:cut]) {
		return false
	}
	u.n += uint8(copy(u.begun[u.n:], p[cut:]))
	return true
}

// complete reports whether the text may end here, and gets ready for another.
func (u *utf8Stream) complete() bool {
	whole := u.n == 0
	u.n = 0
	return whole
}

// incomplete is how many bytes at the end of p are a character that is valid so
// far and not whole.
func incomplete(p []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(p); n++ {
		if last := p[len(p)-n:]; utf8.RuneStart(last[0]) {
			if utf8.FullRune(last) { // or can never be one: Valid will say so
				return 0
			}
			return n
		}
	}
	return 0
}
