package zerocopy

import (
	"os"

	"golang.org/x/sys/unix"
)

// pipeSize is asked for, in bytes; the kernel may give less: 64 KiB is usual
// (pipe(7), /proc/sys/fs/pipe-max-size, pipe-user-pages-soft).
const pipeSize = 1 << 20

// A pipe is where spliced pages are between two splices. One goroutine has it.
type pipe struct {
	r, w int
	held int // bytes in it
}

// idle are empty pipes that wait to be used again: making one is three system
// calls. Each is two descriptors, so there are few.
var idle = make(chan *pipe, 16)

// takePipe returns an empty pipe, which the caller owns.
func takePipe() (*pipe, error) {
	select {
	case p := <-idle:
		return p, nil
	default:
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, os.NewSyscallError("pipe2", err)
	}
	unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, pipeSize) // or less: it works with any size
	return &pipe{r: fds[0], w: fds[1]}, nil
}

// giveBack ends the caller's use. A pipe that still holds something is closed:
// its bytes belong to nobody else.
func (p *pipe) giveBack() {
	if p.held == 0 {
		select {
		case idle <- p:
			return
		default:
		}
	}
	unix.Close(p.r)
	unix.Close(p.w)
}

// fill splices up to n bytes from a descriptor into the pipe. off is nil for a
// socket.
func (p *pipe) fill(from int, off *int64, n int) (int, error) {
	k, err := unix.Splice(from, off, p.w, nil, n, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
	p.held += max(int(k), 0)
	return int(k), err
}

// drain splices what the pipe holds to a socket, as far as that has room.
func (p *pipe) drain(to, flags int) (int, error) {
	k, err := unix.Splice(p.r, nil, to, nil, p.held, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK|flags)
	p.held -= max(int(k), 0)
	return int(k), err
}
