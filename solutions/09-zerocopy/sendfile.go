package zerocopy

import "golang.org/x/sys/unix"

// sendfile has the kernel put references to the file's pages into the socket.
// The program's memory is not involved, nor is its cache: on a network card
// that gathers, the bytes are read from the page cache by the card.
// See sendfile(2).
func (t *transfer) sendfile(off, n int64) (int64, error) {
	return t.all(off, n, func(socket, file int, off int64, n int) (int, error) {
		k, err := unix.Sendfile(socket, file, &off, n) // with its own offset: f's is shared
		if k == 0 && err == nil {
			return 0, ErrChanged // the end, where fstat has seen more
		}
		return k, err
	})
}
