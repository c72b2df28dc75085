package zerocopy

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// window is how much of a file is mapped at once, in bytes: a whole 3 GiB file
// would be 800,000 page table entries, which others wait for.
const window = 64 << 20

// mmap maps the file and writes from the mapping: there is no buffer and no
// read(2), but write(2) still copies each byte, from the page cache into the
// socket. Setting up pages is what the second copy is paid for with.
//
// Nobody in this program touches the mapping. That is why a file which is
// truncated meanwhile is no SIGBUS: it is the kernel that finds the page gone,
// while it copies, and its answer is EFAULT.
func (t *transfer) mmap(off, n int64) (sent int64, err error) {
	for sent < n {
		k, err := t.mapped(off+sent, min(n-sent, window))
		sent += k
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// mapped sends n bytes by one mapping. n is not 0: mmap(2) refuses that.
func (t *transfer) mapped(off, n int64) (int64, error) {
	skip := off % int64(os.Getpagesize()) // a mapping begins at a page
	raw, err := unix.Mmap(int(t.file.Fd()), off-skip, int(skip+n), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return 0, os.NewSyscallError("mmap", err)
	}
	defer unix.Munmap(raw)
	unix.Madvise(raw, unix.MADV_SEQUENTIAL) // advice: without it, it is only slower
	p := raw[skip:]
	return t.all(0, n, func(socket, _ int, at int64, n int) (int, error) {
		k, err := unix.Write(socket, p[at:at+int64(n)])
		if err == unix.EFAULT {
			err = ErrChanged // the page is gone
		}
		return k, err
	})
}

// orChanged says what a read that found too little means.
func orChanged(err error) error {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrChanged
	}
	return err
}
