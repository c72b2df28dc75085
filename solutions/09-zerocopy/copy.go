package zerocopy

import (
	"sync"

	"golang.org/x/sys/unix"
)

// bufferSize is what Copy reads at a time, in bytes. At 4 KiB most of the time
// goes into the calls; above 64 KiB there is nothing to gain, and the buffer
// begins to push other things out of the processor's cache.
const bufferSize = 64 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// copy reads into a buffer and writes from it: the kernel copies each byte
// from the page cache to the buffer, and from there into the socket.
func (t *transfer) copy(off, n int64) (sent int64, err error) {
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	for sent < n {
		p := buf[:min(n-sent, bufferSize)]
		k, err := t.file.ReadAt(p, off+sent)
		if k < len(p) {
			return sent, orChanged(err)
		}
		k, err = t.write(p)
		sent += int64(k)
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// write writes all of p, whose bytes are read already: what was taken must not
// be read again, and what was not must not be lost.
func (t *transfer) write(p []byte) (done int, err error) {
	for done < len(p) {
		k, err := t.some(func(socket, _ int) (int, error) { return unix.Write(socket, p[done:]) })
		done += k
		if err != nil {
			return done, err
		}
	}
	return done, nil
}
