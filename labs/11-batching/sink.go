package batching

import "net"

// MaxPieces is how many pieces a Sink is given at most: IOV_MAX of Linux, see
// writev(2).
const MaxPieces = 1024

// A Sink takes bytes: a socket, a file.
type Sink interface {
	// Writev writes the pieces one after the other, and returns how many
	// bytes it has taken. Fewer than there are is no error: the rest comes
	// again. An error is final. The pieces are valid until it returns, and
	// must not be changed.
	Writev(pieces [][]byte) (n int, err error)
}

// Conn is a Sink that writes to c, with one writev(2) where c is a socket. To
// give up a write that hangs, close c or set its deadline.
func Conn(c net.Conn) Sink {
	return nil // not implemented: step 2, short writes, and pieces
}
