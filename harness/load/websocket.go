package load

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"
)

// The client's side of RFC 6455, as far as a load needs it.

const (
	opBinary = 0x2
	opClose  = 0x8
	opPing   = 0x9
	opPong   = 0xA
)

// appendFrameHead appends the head of a whole binary message, with room for the
// mask or without.
func appendFrameHead(dst []byte, masked bool, size int) []byte {
	mask := byte(0)
	if masked {
		mask = 0x80
	}
	dst = append(dst, 0x80|opBinary)
	switch {
	case size < 126:
		dst = append(dst, mask|byte(size))
	case size < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, mask|126), uint16(size))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, mask|127), uint64(size))
	}
	if masked {
		dst = append(dst, 0, 0, 0, 0)
	}
	return dst
}

// appendMasked appends a whole binary message from a client.
func appendMasked(dst, payload []byte, mask uint32) []byte {
	dst = appendFrameHead(dst, true, len(payload))
	key := dst[len(dst)-4:]
	binary.BigEndian.PutUint32(key, mask)
	for i, b := range payload {
		dst = append(dst, b^byte(mask>>(24-8*(i&3))))
	}
	return dst
}

// maskOf is a different mask for each message. It need not be a secret here: it
// protects proxies from what a script in a browser sends.
func maskOf(i int) uint32 { return uint32(mix(2, uint64(i))) | 1 }

// shake is an opening handshake under way.
type shake struct {
	out    []byte // of the request, not sent yet
	in     []byte // of the answer so far
	accept string // what the server must answer
}

func newShake(path, host string, id int) *shake {
	var nonce [16]byte
	Pattern(3, int64(id)*16, nonce[:])
	key := base64.StdEncoding.EncodeToString(nonce[:])
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return &shake{accept: base64.StdEncoding.EncodeToString(sum[:]),
		out: fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n", path, host, key)}
}

// send writes what is left of the request.
func (h *shake) send(fd int) error {
	for len(h.out) > 0 {
		n, err := ignoringEINTR(unix.Write, fd, h.out)
		if err == unix.EAGAIN {
			return nil
		}
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		h.out = h.out[n:]
	}
	return nil
}

var errHandshake = errors.New("handshake refused")

// receive takes a piece of the answer. rest is what comes behind it, when it is
// over.
func (h *shake) receive(piece []byte) (rest []byte, over bool, err error) {
	h.in = append(h.in, piece...)
	head, rest, found := bytes.Cut(h.in, []byte("\r\n\r\n"))
	if !found {
		if len(h.in) > 16<<10 {
			return nil, false, fmt.Errorf("%w: an answer of more than 16 KiB", errHandshake)
		}
		return nil, false, nil
	}
	status, fields, _ := strings.Cut(string(head), "\r\n")
	if !strings.HasPrefix(status, "HTTP/1.1 101 ") {
		return nil, false, fmt.Errorf("%w: %s", errHandshake, status)
	}
	for line := range strings.SplitSeq(fields, "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		if strings.EqualFold(name, "Sec-WebSocket-Accept") && strings.TrimSpace(value) == h.accept {
			return rest, true, nil
		}
	}
	return nil, false, fmt.Errorf("%w: no Sec-WebSocket-Accept that belongs to our key", errHandshake)
}

// frame is one frame from the server at the beginning of p: its opcode, its
// payload, and how many bytes it takes, 0 while it is not whole.
func frame(p []byte) (op byte, payload []byte, n int, err error) {
	if len(p) < 2 {
		return 0, nil, 0, nil
	}
	if p[0]&0x70 != 0 || p[0]&0x80 == 0 || p[1]&0x80 != 0 {
		return 0, nil, 0, fmt.Errorf("%w: a frame that begins with %#02x %#02x: masked, cut up or with reserved bits", errMismatch, p[0], p[1])
	}
	head, size := 2, uint64(p[1])
	switch {
	case size == 126 && len(p) >= 4:
		head, size = 4, uint64(binary.BigEndian.Uint16(p[2:]))
	case size == 127 && len(p) >= 10:
		head, size = 10, binary.BigEndian.Uint64(p[2:])
	case size >= 126:
		return 0, nil, 0, nil
	}
	if size > 64<<20 {
		return 0, nil, 0, fmt.Errorf("%w: a frame of %d bytes", errMismatch, size)
	}
	if uint64(len(p)-head) < size {
		return 0, nil, 0, nil
	}
	return p[0] & 0xf, p[head : head+int(size)], head + int(size), nil
}

// control acts on a control frame: pings are answered, a close is the end.
func (c *conn) control(op byte, payload []byte) error {
	switch op {
	case opPing:
		// Between two messages: what is written of ours so far ends with one.
		return c.pong(payload)
	case opPong:
		return nil
	case opClose:
		code := 1005
		if len(payload) >= 2 {
			code = int(binary.BigEndian.Uint16(payload))
		}
		return fmt.Errorf("%w: close frame, code %d", io.EOF, code)
	}
	return fmt.Errorf("%w: opcode %d", errMismatch, op)
}

// pong answers a ping. A client that is in the middle of a message owes it
// until later; this one then stays silent: the message is the sign of life.
func (c *conn) pong(payload []byte) error {
	if c.midMessage() {
		return nil
	}
	f := append([]byte{0x80 | opPong, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...)
	if _, err := ignoringEINTR(unix.Write, c.fd, f); err != nil && err != unix.EAGAIN {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
