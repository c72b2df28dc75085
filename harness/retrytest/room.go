package retrytest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

// A room is a server on trial, and the clients that the judge plays for it, over
// real sockets.
type room struct {
	r    *spec.Run
	l    lab
	srv  server
	addr string

	calm chan work // when set, nothing may come to the handler while an answer is awaited

	had []work // by the handler: what worked has returned

	mu  sync.Mutex // guards the following
	now time.Time
}

// work is one call that the server has handed to its handler.
type work struct {
	ctx   context.Context
	body  string
	kept  []byte // the same, as the handler got it: it is the handler's
	reply func([]byte, error)
}

// open starts a server of o, whose clock is the room's if tick is set. Its handler
// is o.Handle, or one that hands each call to the channel.
func open(r *spec.Run, l lab, o ServerOptions) (*room, chan work, error) {
	m, works := &room{r: r, l: l, now: time.Unix(1e9, 0)}, make(chan work, 100_000)
	if o.Handle == nil {
		o.Handle = func(ctx context.Context, body []byte, reply func([]byte, error)) {
			works <- work{ctx, string(body), body, reply}
		}
	}
	if o.Now == nil {
		o.Now = m.clock
	}
	srv, err := l.NewServer(o)
	if err != nil {
		return nil, nil, spec.Fail("NewServer to make a server", "it returned: %v", err)
	}
	m.srv = srv
	addr, err := srv.Listen("127.0.0.1:0")
	if err != nil {
		return nil, nil, spec.Fail("Listen to open a socket", "it returned: %v", err)
	}
	m.addr = addr.String()
	ended := r.Go(srv.Run)
	r.Cleanup(func() {
		gone, cancel := context.WithCancel(context.Background())
		cancel()
		srv.Shutdown(gone)
		<-ended
	})
	return m, works, nil
}

func (m *room) clock() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

func (m *room) pass(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = m.now.Add(d)
}

// echo answers with what it was asked.
func echo(_ context.Context, body []byte, reply func([]byte, error)) { reply(body, nil) }

// guest is one connection to the server.
type guest struct {
	m       *room
	conn    net.Conn
	in      *bufio.Reader
	session uint64
	resumed bool
	nextID  uint64
}

// dial connects, and says nothing.
func (m *room) dial() (*guest, error) {
	var d net.Dialer
	conn, err := d.DialContext(m.r.Context(), "tcp", m.addr)
	if err != nil {
		return nil, spec.Fail("the server to take a connection", "%v", err)
	}
	m.r.Cleanup(func() { conn.Close() })
	return &guest{m: m, conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}, nil
}

// join connects and shakes hands.
func (m *room) join(session, last uint64) (*guest, error) {
	g, err := m.dial()
	if err != nil {
		return nil, err
	}
	if err := g.send(frame{kind: hello, status: 1, id: session, last: last}); err != nil {
		return nil, err
	}
	w, err := g.next("a welcome")
	if err != nil {
		return nil, err
	}
	if w.kind != welcome || w.id == 0 || w.status > 1 {
		return nil, spec.Fail("a welcome with a session", "there came: %v", w)
	}
	g.session, g.resumed = w.id, w.status == 1
	return g, nil
}

func (g *guest) send(all ...frame) error {
	var b bytes.Buffer
	for _, f := range all {
		b.Write(f.encode())
	}
	if _, err := g.conn.Write(b.Bytes()); err != nil {
		return spec.Fail("the server to keep the connection", "%v", err)
	}
	return nil
}

// next reads a frame. what completes the sentence "expected ...".
func (g *guest) next(what string) (frame, error) {
	f, err := g.read()
	switch {
	case errors.As(err, new(*spec.Failure)):
		return f, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return f, spec.Fail(what, "nothing had come by the deadline")
	case err != nil:
		return f, spec.Fail(what, "the connection ended: %v", err)
	}
	return f, nil
}

// read waits for a frame until the check's deadline, and looks now and then
// whether the handler was called where it should not be.
func (g *guest) read() (frame, error) {
	for size := 4; ; {
		g.conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		head, err := g.in.Peek(size)
		switch {
		case err == nil && size == 4 && binary.BigEndian.Uint32(head) > 0:
			size += int(binary.BigEndian.Uint32(head))
		case err == nil:
			return readFrame(g.in)
		case !errors.Is(err, os.ErrDeadlineExceeded) || g.m.r.Context().Err() != nil:
			return frame{}, err
		}
		select {
		case w := <-g.m.calm:
			return frame{}, spec.Fail("no further call of the handler", "it got %q", w.body)
		default:
		}
	}
}

// call sends a call and returns its id.
func (g *guest) call(body string, more ...func(*frame)) (uint64, error) {
	g.nextID++
	f := frame{kind: call, id: g.nextID, left: 60_000, body: body}
	for _, m := range more {
		m(&f)
	}
	g.nextID = f.id
	return f.id, g.send(f)
}

func key(k string) func(*frame)     { return func(f *frame) { f.key = k } }
func left(ms uint32) func(*frame)   { return func(f *frame) { f.left = ms } }
func number(n uint64) func(*frame)  { return func(f *frame) { f.id = n } }
func settled(n uint64) func(*frame) { return func(f *frame) { f.last = n } }
func (f frame) isReply(id uint64, status byte, body string) bool {
	return f.kind == reply && f.id == id && f.status == status && f.body == body
}

// answered reads the next frame, which must be a reply.
func (g *guest) answered(id uint64, status byte, body string) error {
	what := fmt.Sprintf("reply %d (status %d) %q", id, status, body)
	f, err := g.next(what)
	if err != nil {
		return err
	}
	if !f.isReply(id, status, body) {
		return spec.Fail(what, "there came: %v", f)
	}
	return nil
}

// ask is a call and its answer.
func (g *guest) ask(body string, status byte, want string, more ...func(*frame)) error {
	id, err := g.call(body, more...)
	if err != nil {
		return err
	}
	return g.answered(id, status, want)
}

// still checks that the server has sent nothing: a pong comes next.
func (g *guest) still(when string) error {
	if err := g.send(frame{kind: ping}); err != nil {
		return err
	}
	f, err := g.next("a pong")
	if err != nil {
		return err
	}
	if f.kind != pong {
		return spec.Fail("nothing from the server "+when, "there came: %v", f)
	}
	return nil
}

// ended waits until the server has closed the connection.
func (g *guest) ended(why string) error {
	for {
		f, err := g.read()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return spec.Fail("the connection to be closed "+why, "it was open at the deadline")
		case err != nil && f.trouble == nil:
			return nil
		case f.kind == reply:
			return spec.Fail("the connection to be closed "+why, "there came: %v", f)
		}
	}
}

// asks sends a call of g's and waits for it to come to the handler.
func (m *room) asks(works chan work, g *guest, body string, more ...func(*frame)) (work, error) {
	if _, err := g.call(body, more...); err != nil {
		return work{}, err
	}
	return m.worked(works, body)
}

// worked waits for a call to come to the handler.
func (m *room) worked(works chan work, body string) (work, error) {
	w, err := spec.Wait(m.r, fmt.Sprintf("the handler to get %q", body), works)
	if err != nil {
		return w, err
	}
	if w.body != body {
		return w, spec.Fail(fmt.Sprintf("the handler to get %q", body), "it got %q", w.body)
	}
	m.had = append(m.had, w)
	for _, w := range m.had {
		if string(w.kept) != w.body {
			return w, spec.Fail(fmt.Sprintf("the body %q to be the handler's to keep", w.body), "it has become %q", w.kept)
		}
	}
	return w, nil
}

// until waits until the server's counts are as they should be.
func (m *room) until(what string, is func(ServerStats) bool) error {
	return m.r.Until(what, func() bool { return is(m.srv.Stats()) })
}
