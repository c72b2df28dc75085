package websockettest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/gorilla/websocket"

	"github.com/asynclab/asynclab/harness/spec"
)

// serving is one running server under a check.
type serving struct {
	Server
	r     *spec.Run
	addr  string
	ended <-chan error // gets what Run returned
}

// serve makes a server that listens on a free port, and runs it. When the check
// ends it is shut down by force, and not waited for.
func serve(r *spec.Run, l lab, o Options[Conn]) (*serving, error) {
	server, err := l.NewServer(o)
	if err != nil {
		return nil, err
	}
	addr, err := server.Listen("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	go func() { done <- server.Run() }()
	r.Cleanup(func() {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		go server.Shutdown(now)
	})
	return &serving{server, r, addr.String(), done}, nil
}

// runEnded waits for Run to return nil.
func (s *serving) runEnded() error {
	err, late := spec.Wait(s.r, "Run to return after Shutdown", s.ended)
	if late != nil {
		return late
	}
	if err != nil {
		return spec.Fail("Run to return nil after Shutdown", "it returned: %v", err)
	}
	return nil
}

// diary keeps what a server's callbacks told.
type diary struct {
	r *spec.Run

	mu     sync.Mutex
	opened int
	closed []string // in the order of the calls: "closed 1000 bye"
}

func (d *diary) open(Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opened++
}

func (d *diary) close(_ Conn, code int, reason string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = append(d.closed, closedLine(code, reason))
}

func (d *diary) ends() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.closed...)
}

// waitClosed waits for OnClose to have been called n times.
func (d *diary) waitClosed(n int) ([]string, error) {
	err := d.r.Until(fmt.Sprintf("OnClose for %d connections", n), func() bool { return len(d.ends()) >= n })
	return d.ends(), err
}

// waitOpened waits for n connections to be open.
func (d *diary) waitOpened(n int) error {
	return d.r.Until(fmt.Sprintf("OnOpen for %d connections", n), func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.opened >= n
	})
}

// echo is the handler of most servers here.
func echo(c Conn, text bool, payload []byte) { c.Send(text, payload) }

// other is a client of another implementation: gorilla/websocket.
type other struct {
	*websocket.Conn
	r *spec.Run
}

// dial connects with gorilla/websocket. Reads and writes fail at the check's
// deadline.
func dial(r *spec.Run, addr string) (*other, error) {
	c, _, err := new(websocket.Dialer).DialContext(r.Context(), "ws://"+addr+"/chat", nil)
	if err != nil {
		return nil, spec.Fail("gorilla/websocket to open a connection", "%v", err)
	}
	return adopt(r, c), nil
}

func adopt(r *spec.Run, c *websocket.Conn) *other {
	r.Cleanup(func() { c.Close() })
	if deadline, ok := r.Context().Deadline(); ok {
		c.SetReadDeadline(deadline)
		c.SetWriteDeadline(deadline)
	}
	return &other{c, r}
}

// say writes a message, which gorilla sends in one frame.
func (o *other) say(kind int, p []byte) error {
	if err := o.WriteMessage(kind, p); err != nil {
		return spec.Fail(fmt.Sprintf("the server to take %d bytes", len(p)), "the client's write failed: %v", err)
	}
	return nil
}

// hear reads a message and compares it.
func (o *other) hear(kind int, want []byte) error {
	got, p, err := o.ReadMessage()
	wanted := message(kind == websocket.TextMessage, want)
	if err != nil {
		return spec.Fail(wanted, "the client's read failed: %v", err)
	}
	if is := message(got == websocket.TextMessage, p); is != wanted {
		return spec.Fail(wanted, "the client got %s", is)
	}
	return nil
}

// hearClose reads the server's close frame. gorilla answers it by itself.
func (o *other) hearClose(code int, reason string) error {
	_, _, err := o.ReadMessage()
	var end *websocket.CloseError
	if !errors.As(err, &end) {
		return spec.Fail(fmt.Sprintf("a close frame with code %d", code), "the client's read returned: %v", err)
	}
	if end.Code != code || reason != "" && end.Text != reason {
		return spec.Fail(fmt.Sprintf("a close frame with code %d and reason %q", code, reason), "code %d, reason %q", end.Code, end.Text)
	}
	return nil
}

// plain is a client of bytes.
type plain struct {
	*net.TCPConn
	r *spec.Run
}

func dialPlain(r *spec.Run, addr string) (*plain, error) {
	c, err := new(net.Dialer).DialContext(r.Context(), "tcp", addr)
	if err != nil {
		return nil, spec.Fail("a connection to the server's listener", "%v", err)
	}
	r.Cleanup(func() { c.Close() })
	if deadline, ok := r.Context().Deadline(); ok {
		c.SetDeadline(deadline)
	}
	return &plain{c.(*net.TCPConn), r}, nil
}

// upgraded is a client of bytes whose handshake is done.
func upgraded(r *spec.Run, addr string) (*plain, error) {
	p, err := dialPlain(r, addr)
	if err != nil {
		return nil, err
	}
	if err := p.write(usual.bytes()); err != nil {
		return nil, err
	}
	var answer []byte
	b := make([]byte, 1)
	for len(answer) < 4 || string(answer[len(answer)-4:]) != "\r\n\r\n" {
		if _, err := io.ReadFull(p, b); err != nil {
			return nil, spec.Fail("an answer to the handshake", "after %q: %v", answer, err)
		}
		answer = append(answer, b[0])
	}
	return p, nil
}

func (p *plain) write(b []byte) error {
	if _, err := p.Write(b); err != nil {
		return spec.Fail(fmt.Sprintf("the server to take %d bytes", len(b)), "the client's write failed: %v", err)
	}
	return nil
}

// expect reads one frame, as a session's log shows it.
func (p *plain) expect(want string) error {
	var got []byte
	b := make([]byte, 1)
	for {
		f, n, err := readReply(got)
		switch {
		case err != nil:
			return spec.Fail(want, "the server sent %v", err)
		case n > 0 && f.String() != want:
			return spec.Fail(want, "the server %v", f)
		case n > 0:
			return nil
		}
		if _, err := io.ReadFull(p, b); err != nil {
			return spec.Fail(want, "the client's read failed after %d bytes: %v", len(got), err)
		}
		got = append(got, b[0])
	}
}

// expectEnd reads to the end of the connection, in order or not. What comes
// before it is thrown away.
func (p *plain) expectEnd(what string) error {
	_, err := io.Copy(io.Discard, p)
	if err == nil || errors.Is(err, syscall.ECONNRESET) {
		return nil
	}
	return spec.Fail(what, "the client's read waited for the end until: %v", err)
}

// drips is a timeout of a server whose client is never silent for a tenth of it.
const drips = 5 * soon

// drip sends p again and again until the server has ended the connection. What
// the server sends is thrown away.
func (p *plain) drip(what string, b []byte) error {
	buf := make([]byte, 4096)
	for begin := time.Now(); time.Since(begin) < 20*drips; p.Write(b) { // an error shows in the next Read
		p.SetReadDeadline(time.Now().Add(drips / 50))
		if _, err := p.Read(buf); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
	}
	return spec.Fail(what, "it was still there after twenty times the timeout of %v", drips)
}

// reset breaks the connection.
func (p *plain) reset() {
	p.SetLinger(0)
	p.Close()
}

const soon = 100 * time.Millisecond // a timeout to be waited out, never measured
