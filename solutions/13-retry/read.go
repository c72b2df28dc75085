package retry

import (
	"net"
	"os"
	"time"
)

// readSize is what a frames asks its connection for, at least.
const readSize = 16 << 10

// frames cuts a connection's bytes into frames.
type frames struct {
	conn net.Conn
	most int    // of a payload
	data []byte // received and not consumed; payloads are parts of it
	buf  []byte // whose tail data is
}

// next returns the payload of the next frame; ok is false when it has not come
// yet. It is valid until fill.
func (f *frames) next() (payload []byte, ok bool, err error) {
	payload, f.data, ok, err = split(f.data, f.most)
	return payload, ok, err
}

// fill reads once. What is not consumed moves to the front first.
func (f *frames) fill() error {
	if len(f.data) < len(f.buf) {
		f.buf = append(f.buf[:0], f.data...)
	}
	if cap(f.buf)-len(f.buf) < readSize {
		f.buf = append(make([]byte, 0, 2*cap(f.buf)+readSize), f.buf...)
	}
	n, err := f.conn.Read(f.buf[len(f.buf):cap(f.buf)])
	f.buf = f.buf[:len(f.buf)+n]
	f.data = f.buf
	if n > 0 {
		return nil // an error comes again
	}
	return err
}

// read acts on what comes over conn until that fails, is nonsense, or stays
// silent although it was asked.
func (e *endpoint) read(conn net.Conn, in *frames) (useful bool) {
	asked := false
	for {
		any, err := e.take(in)
		if err != nil {
			return useful
		}
		useful = useful || any
		conn.SetReadDeadline(time.Now().Add(e.c.o.KeepAlive))
		err = in.fill()
		ne, timeout := err.(net.Error)
		switch {
		case err == nil:
			asked = false
		case (timeout && ne.Timeout() || os.IsTimeout(err)) && !asked:
			asked = true
			e.ask()
		default:
			return useful
		}
	}
}

// ask sends a ping: a connection whose other end has lost its power looks like
// one that has nothing to say.
func (e *endpoint) ask() {
	e.c.mu.Lock()
	defer e.c.mu.Unlock()
	e.ping = true
	e.kick()
}

// take acts on all whole frames that have come: under the lock once, and with
// the callbacks behind it.
func (e *endpoint) take(in *frames) (any bool, err error) {
	var pushed [][]byte
	e.c.mu.Lock()
	for {
		payload, ok, bad := in.next()
		if err = bad; err != nil || !ok {
			break
		}
		any = true
		if err = e.frame(payload, &pushed); err != nil {
			break
		}
	}
	if len(pushed) > 0 {
		e.kick() // to acknowledge them
	}
	e.c.unlock()
	for _, body := range pushed {
		if e.c.o.OnPush != nil {
			e.c.o.OnPush(e.index, body)
		}
	}
	return any, err
}

// frame acts on one frame. mu is held.
func (e *endpoint) frame(payload []byte, pushed *[][]byte) error {
	kind, rest := payload[0], payload[1:]
	if kind == kindPong {
		return nil
	}
	n, rest, err := number(rest)
	switch {
	case err != nil:
		return err
	case kind == kindReply && len(rest) > 0:
		return e.c.answered(e, n, rest[0], rest[1:])
	case kind == kindPush && n <= e.lastPush:
		return nil // sent again, because the ack was lost
	case kind == kindPush && n == e.lastPush+1:
		e.lastPush = n
		*pushed = append(*pushed, append([]byte(nil), rest...))
		return nil
	}
	return errMalformed // and of a push: one is missing. A resumed session has it.
}
