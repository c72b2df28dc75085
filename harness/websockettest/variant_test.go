package websockettest

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"unicode/utf8"
)

// fault is one way in which a variant is wrong. It is a sentence for the reader;
// the code says what each does.
type fault string

// variantWith is a right lab in another style than the solution's, or with a
// fault a mutant. Its connection takes every byte as it comes and asks for none
// again: variant_request_test.go keeps the request, variant_frame_test.go the
// head of a frame, until they are whole. variant_server_test.go has its server:
// goroutines and net.Conn.
func variantWith(f fault) lab {
	return lab{
		New:       func(o *Options[Conn], t Transport) Conn { return newVconn(o, t, f) },
		NewServer: func(o Options[Conn]) (Server, error) { return newVserver(o, f) },
		Prepare: func(dst []byte, text bool, payload []byte) []byte {
			if f == "Prepare makes its own memory" {
				dst = slices.Clip(dst)
			}
			if f == "Prepare begins anew" {
				dst = dst[:0]
			}
			return append(dst, encode(opOf(text && f != "Prepare forgets the kind"), payload, f)...)
		},
	}
}

type vstate int

const (
	vAsked   vstate = iota // the request is not whole
	vOpen                  // messages go both ways
	vClosing               // we have said goodbye
	vOver                  // nothing is read or written any more
)

// vconn is the variant's connection. The server's loop or a check owns it.
type vconn struct {
	o     *Options[Conn]
	t     Transport
	fault fault

	value    any
	protocol string
	state    vstate
	opened   bool // OnClose is owed
	saidBye  bool // a close frame was written
	code     int  // for OnClose
	reason   string

	request []byte // until it is whole

	head  [14]byte // of the next frame
	have  int      // bytes in head
	frame vframe   // whose payload is coming
	short []byte   // a control frame's payload, as it comes
	waits [][]byte // a fault's pongs

	inMessage bool // between a message's fragments
	text      bool
	chars     vtext
	message   []byte
	parts     int
	kept      []byte // a fault's
}

func newVconn(o *Options[Conn], t Transport, f fault) *vconn {
	return &vconn{o: o, t: t, fault: f, code: 1006}
}

func (c *vconn) Data(data []byte) int {
	consumed := 0
	for consumed < len(data) && c.state != vOver {
		if c.fault == "waits for the whole frame" && c.state == vOpen && !wholeFrame(data[consumed:]) {
			return consumed
		}
		consumed += c.take(data[consumed:])
		if c.fault == "one step for each call of Data" && c.frame.payload == 0 && c.have == 0 {
			return consumed
		}
	}
	return len(data)
}

// take is one step; it takes at least a byte.
func (c *vconn) take(data []byte) int {
	switch {
	case c.state == vAsked:
		return c.takeRequest(data)
	case c.frame.payload > 0:
		return c.takePayload(data)
	default:
		return c.takeHead(data)
	}
}

func (c *vconn) End(error) {
	c.state, c.message, c.request = vOver, nil, nil
	if !c.opened && c.fault != "OnClose without OnOpen" {
		return
	}
	if c.fault != "OnClose with each End" {
		c.opened = false
	}
	c.tellClose()
}

func (c *vconn) tellClose() {
	code, reason := c.code, c.reason
	switch {
	case c.fault == "every end is 1006":
		code, reason = 1006, ""
	case c.fault == "a close without a code is 1000" && code == 1005:
		code = 1000
	case c.fault == "the reason is not told":
		reason = ""
	}
	if c.o.OnClose != nil {
		c.o.OnClose(c, code, reason)
	}
}

func (c *vconn) Protocol() string { return c.protocol }
func (c *vconn) SetValue(v any)   { c.value = v }
func (c *vconn) Value() any       { return c.value }

var errVariantClosed = errors.New("variant: not open")

func (c *vconn) mayWrite() bool {
	switch c.fault {
	case "Send does not ask for the handshake":
		return c.state <= vOpen
	case "Send goes on behind our close":
		return c.state == vOpen || c.state == vClosing
	}
	return c.state == vOpen
}

func (c *vconn) Send(text bool, payload []byte) error {
	if !c.mayWrite() {
		return errVariantClosed
	}
	return c.write(opOf(text), payload)
}

func (c *vconn) SendFrame(frame []byte) error {
	if !c.mayWrite() {
		return errVariantClosed
	}
	switch c.fault {
	case "SendFrame puts a head in front":
		return c.write(opBinary, frame)
	case "SendFrame writes in pieces":
		c.t.Write(frame[:1])
		return c.push(frame[1:])
	}
	return c.push(frame)
}

func (c *vconn) Ping(payload []byte) error {
	if !c.mayWrite() {
		return errVariantClosed
	}
	if len(payload) > 125 {
		switch c.fault {
		case "long pings go out":
		case "long pings are cut":
			payload = payload[:125]
		default:
			return errors.New("variant: a ping has at most 125 bytes")
		}
	}
	return c.write(opPing, payload)
}

func (c *vconn) Close(code int, reason string) error {
	switch c.state {
	case vAsked:
		c.over()
	case vOpen:
		c.state = vClosing
		if c.fault == "our close is a matter of form: the messages go on" {
			c.state = vOpen
		}
		err := c.sayBye(code, reason)
		if c.fault == "Close ends the transport at once" || err != nil && c.fault != "a refused close is no end" {
			c.over()
		}
		return err
	case vClosing:
		if c.fault == "each Close writes a close frame" {
			return c.sayBye(code, reason)
		}
	}
	return nil
}

// sayBye writes the only close frame there is.
func (c *vconn) sayBye(code int, reason string) error {
	if c.saidBye && c.fault != "each Close writes a close frame" {
		return nil
	}
	c.saidBye = true
	var payload []byte
	if code != 0 {
		for len(reason) > 123 && c.fault != "a long reason makes a long frame" {
			_, size := utf8.DecodeLastRuneInString(reason)
			if c.fault == "a reason is cut inside a character" {
				size = len(reason) - 123
			}
			reason = reason[:len(reason)-size]
		}
		payload = append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...)
	}
	return c.write(opClose, payload)
}

// over is the end that we make.
func (c *vconn) over() {
	c.state, c.message, c.request, c.short = vOver, nil, nil, nil
	if c.fault == "the transport stays open" {
		return
	}
	c.t.Close()
}

// breach ends a connection whose peer has broken a rule.
func (c *vconn) breach(code int) {
	c.code, c.reason = code, ""
	c.sayBye(code, "")
	c.over()
}

func (c *vconn) write(op byte, payload []byte) error {
	if c.fault == "head and payload in two writes" {
		c.t.Write(encode(op, payload, c.fault)[:headSize(len(payload))])
		return c.push(payload)
	}
	if c.fault == "the buffer goes back before it is written" {
		frame := variantsFrames.Get().(*[]byte)
		*frame = append((*frame)[:0], encode(op, payload, c.fault)...)
		out := *frame
		variantsFrames.Put(frame)
		return c.push(out)
	}
	return c.push(encode(op, payload, c.fault))
}

var variantsFrames = sync.Pool{New: func() any { return new([]byte) }}

func (c *vconn) push(frame []byte) error {
	_, err := c.t.Write(frame)
	if c.fault == "errors of the transport are swallowed" {
		return nil
	}
	return err
}

func opOf(text bool) byte {
	if text {
		return opText
	}
	return opBinary
}

func headSize(payload int) int {
	switch {
	case payload <= 125:
		return 2
	case payload <= 65535:
		return 4
	}
	return 10
}

// encode is a server's frame.
func encode(op byte, payload []byte, f fault) []byte {
	out := make([]byte, headSize(len(payload)), 10+len(payload))
	out[0] = 0x80 | op
	switch len(out) {
	case 2:
		out[1] = byte(len(payload))
	case 4:
		out[1] = 126
		binary.BigEndian.PutUint16(out[2:], uint16(len(payload)))
	case 10:
		out[1] = 127
		binary.BigEndian.PutUint64(out[2:], uint64(len(payload)))
	}
	switch {
	case f == "masks what it sends":
		out[1] |= 0x80
		out = append(out, 0, 0, 0, 0)
	case f == "sends each length in 64 bits":
		out = binary.BigEndian.AppendUint64(append(out[:1], 127), uint64(len(payload)))
	}
	return append(out, payload...)
}
