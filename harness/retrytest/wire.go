package retrytest

import (
	"encoding/binary"
	"fmt"
	"io"
)

// The kinds of frames, see wire.go of the lab.
const (
	hello = 1 + iota
	welcome
	call
	cancel
	reply
	push
	ack
	ping
	pong
)

// The status of a reply.
const (
	done = iota
	failed
	expired
	busy
	unknown
)

var kinds = [...]string{"nothing", "hello", "welcome", "call", "cancel", "reply", "push", "ack", "ping", "pong"}

// frame is any frame, decoded. Which fields count depends on the kind.
type frame struct {
	kind    byte
	id      uint64 // or session, or seq
	last    uint64 // of a hello: the last push; of a call: settled
	left    uint32
	key     string
	status  byte // or version, or resumed
	body    string
	trouble error // what was wrong with it
}

func (f frame) String() string {
	if f.trouble != nil {
		return f.trouble.Error()
	}
	s := kinds[f.kind]
	switch f.kind {
	case ping, pong:
		return s
	case hello:
		return fmt.Sprintf("hello (session %d, push %d)", f.id, f.last)
	case call:
		return fmt.Sprintf("call %d %q", f.id, f.body)
	case reply:
		return fmt.Sprintf("reply %d (status %d) %q", f.id, f.status, f.body)
	case push:
		return fmt.Sprintf("push %d %q", f.id, f.body)
	}
	return fmt.Sprintf("%s %d", s, f.id)
}

// encode is the frame with its length in front.
func (f frame) encode() []byte {
	b := []byte{0, 0, 0, 0, f.kind}
	u64 := func(n uint64) { b = binary.BigEndian.AppendUint64(b, n) }
	switch f.kind {
	case hello:
		b = append(b, f.status)
		u64(f.id)
		u64(f.last)
	case welcome:
		u64(f.id)
		b = append(b, f.status)
	case call:
		u64(f.id)
		u64(f.last)
		b = binary.BigEndian.AppendUint32(b, f.left)
		b = append(b, byte(len(f.key)))
		b = append(b, f.key...)
		b = append(b, f.body...)
	case reply:
		u64(f.id)
		b = append(b, f.status)
		b = append(b, f.body...)
	case push:
		u64(f.id)
		b = append(b, f.body...)
	case cancel, ack:
		u64(f.id)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// decode reads one payload, and says what is wrong with it.
func decode(b []byte) (f frame) {
	whole := len(b)
	wrong := func(what string) frame {
		return frame{trouble: fmt.Errorf("a frame of %d bytes that is no frame: %s", whole, what)}
	}
	if len(b) == 0 {
		return wrong("it has no kind")
	}
	f.kind, b = b[0], b[1:]
	short := false
	u64 := func() (n uint64) {
		if len(b) < 8 {
			short = true
			return 0
		}
		n, b = binary.BigEndian.Uint64(b), b[8:]
		return n
	}
	u8 := func() (n byte) {
		if len(b) < 1 {
			short = true
			return 0
		}
		n, b = b[0], b[1:]
		return n
	}
	rest := false // may follow
	switch f.kind {
	case hello:
		f.status, f.id, f.last = u8(), u64(), u64()
	case welcome:
		f.id, f.status = u64(), u8()
	case call:
		f.id, f.last = u64(), u64()
		if len(b) < 4 {
			return wrong("a call too short for its deadline")
		}
		f.left, b = binary.BigEndian.Uint32(b), b[4:]
		n := int(u8())
		if len(b) < n {
			return wrong("a call too short for its key")
		}
		f.key, b = string(b[:n]), b[n:]
		rest = true
	case reply:
		f.id, f.status = u64(), u8()
		rest = true
	case push:
		f.id = u64()
		rest = true
	case cancel, ack:
		f.id = u64()
	case ping, pong:
	default:
		return wrong(fmt.Sprintf("kind %d", f.kind))
	}
	if short {
		return wrong("too short for a " + kinds[f.kind])
	}
	if !rest && len(b) > 0 {
		return wrong("too long for a " + kinds[f.kind])
	}
	f.body = string(b)
	return f
}

// readFrame reads one.
func readFrame(c io.Reader) (frame, error) {
	var head [4]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return frame{}, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > 1<<24 {
		return frame{}, fmt.Errorf("a frame of %d bytes", n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(c, b); err != nil {
		return frame{}, err
	}
	f := decode(b)
	return f, f.trouble
}
