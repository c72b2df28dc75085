package zerocopy

import "golang.org/x/sys/unix"

// splice moves references to the file's pages into a pipe, and from there into
// the socket. For a file sendfile(2) is this and one call less: the kernel
// keeps a pipe of its own for it. Between two sockets it is the only way, see
// [Proxy]. See splice(2).
func (t *transfer) splice(off, n int64) (sent int64, err error) {
	p, err := takePipe()
	if err != nil {
		return 0, err
	}
	defer func() { p.giveBack() }()
	for sent < n {
		if err := t.fill(p, off+sent, min(n-sent, atOnce)); err != nil {
			return sent, err
		}
		for p.held > 0 {
			more := 0
			if sent+int64(p.held) < n {
				more = unix.SPLICE_F_MORE // do not send a small packet: there is more to come
			}
			k, err := t.some(func(socket, _ int) (int, error) { return p.drain(socket, more) })
			sent += int64(k)
			if err != nil {
				return sent, err
			}
		}
	}
	return sent, nil
}

// fill moves up to n bytes of the file into an empty pipe. It does not wait for
// room in it: there is some.
func (t *transfer) fill(p *pipe, off, n int64) error {
	k, err := ignoringEINTR(func() (int, error) { return p.fill(int(t.file.Fd()), &off, int(n)) })
	if k == 0 && err == nil {
		return ErrChanged
	}
	return err
}
