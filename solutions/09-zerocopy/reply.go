package zerocopy

import (
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// A reply is an answer before it is sent: the head, and a piece of a file or a
// short text.
type reply struct {
	status int
	header []byte // lines, each with its CRLF
	length int64  // of the body, and of what HEAD would have had

	file *os.File    // nil: body is text
	info fs.FileInfo // of file, when this was decided
	from int64       // where the piece begins
	body []byte
}

func newReply(status int) *reply { return &reply{status: status} }

func (r *reply) set(name, value string) {
	r.header = append(r.header, name...)
	r.header = append(r.header, ": "...)
	r.header = append(r.header, value...)
	r.header = append(r.header, "\r\n"...)
}

// text makes the body a line for people to read.
func (r *reply) text(s string) {
	r.set("Content-Type", "text/plain; charset=utf-8")
	r.body = append([]byte(s), '\n')
	r.length = int64(len(r.body))
}

// head is what comes before the body. keep says whether another request may
// follow; HTTP/1.0 has to be told so, and 1.1 has to be told otherwise, so both
// are.
func (r *reply) head(keep bool) []byte {
	h := make([]byte, 0, 512)
	h = append(h, "HTTP/1.1 "...)
	h = strconv.AppendInt(h, int64(r.status), 10)
	h = append(h, ' ')
	h = append(h, http.StatusText(r.status)...)
	h = append(h, "\r\nDate: "...)
	h = time.Now().UTC().AppendFormat(h, http.TimeFormat)
	if r.status != http.StatusNotModified { // which has no body, and no length of one
		h = append(h, "\r\nContent-Length: "...)
		h = strconv.AppendInt(h, r.length, 10)
	}
	if keep {
		h = append(h, "\r\nConnection: keep-alive\r\n"...)
	} else {
		h = append(h, "\r\nConnection: close\r\n"...)
	}
	h = append(h, r.header...)
	return append(h, "\r\n"...)
}

// send writes the head, and the body unless it is empty. The head says that
// more follows (MSG_MORE), so that the two leave in one packet.
func (c *conn) send(r *reply, keep bool) error {
	file := r.file
	if file == nil {
		return c.write(append(r.head(keep), r.body...), 0)
	}
	t, err := newTransfer(c.tcp, file, r.info)
	if err != nil {
		return err
	}
	t.timeout = c.s.opt.WriteTimeout
	if r.length == 0 {
		return c.write(r.head(keep), 0)
	}
	if err := c.write(r.head(keep), unix.MSG_MORE); err != nil {
		return err
	}
	_, err = t.send(r.from, r.length, c.s.opt.Way)
	return err
}

// write writes all of p. WriteTimeout starts anew whenever the peer has taken
// something.
func (c *conn) write(p []byte, flags int) error {
	out, err := c.tcp.SyscallConn()
	if err != nil {
		return err
	}
	for len(p) > 0 {
		c.tcp.SetWriteDeadline(time.Now().Add(c.s.opt.WriteTimeout))
		var n int
		waited := out.Write(func(fd uintptr) bool {
			n, err = ignoringEINTR(func() (int, error) {
				return unix.SendmsgN(int(fd), p, nil, nil, flags|unix.MSG_NOSIGNAL)
			})
			return err != unix.EAGAIN
		})
		if waited != nil {
			return waited
		}
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}
