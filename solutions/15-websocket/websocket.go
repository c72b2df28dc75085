// Package websocket is the server's side of RFC 6455 by hand: a state machine
// that bytes go into and frames come out of, and a server that puts one on each
// connection of an event loop.
//
// Read the files in this order: websocket.go (what a connection is), request.go
// and handshake.go (how it begins), frame.go and mask.go (what is on the wire),
// message.go and utf8.go (what comes in), control.go and close.go (pings, and
// how it ends), send.go (what goes out), server.go (sockets and clocks).
package websocket

import (
	"net/http"
	"time"
)

const (
	defaultMaxMessage       = 1 << 20
	defaultMaxHeader        = 8 << 10
	defaultHandshakeTimeout = 10 * time.Second
	defaultCloseTimeout     = 5 * time.Second
)

// Options is the configuration of WebSocket connections; many share one, and
// nobody changes it meanwhile. Callbacks not needed may be nil. They run inside
// Data and End, on the goroutine that called those.
type Options struct {
	// OnRequest decides on a handshake that is correct so far: 0 accepts it,
	// an HTTP status of 400 or more refuses it. target is the request's path
	// and query, header its fields (Origin among them); both are its own to
	// keep. A browser lets any page connect to any server, so a server that
	// knows its users by their cookies must look at Origin (RFC 6455, 10.2).
	// nil accepts everything.
	OnRequest func(c *Conn, target string, header http.Header) (status int)

	// OnOpen is called when the 101 has been written; messages may be sent.
	OnOpen func(c *Conn)

	// OnMessage is called for each whole message. payload is valid until it
	// returns, and is overwritten afterwards; its capacity ends with it, so
	// append makes a copy. A text message is valid UTF-8.
	OnMessage func(c *Conn, text bool, payload []byte)

	// OnClose is called once for each OnOpen, last, when the transport has
	// ended. code and reason are the peer's; 1005 for a close frame without a
	// code, 1006 when none came, and what we sent when the peer broke the
	// rules (RFC 6455, 7.1.5 and 7.4.1).
	OnClose func(c *Conn, code int, reason string)

	// Protocols are the subprotocols spoken, the best first. The first that
	// the client offers, too, is chosen; none in common is no error.
	Protocols []string

	// MaxMessage bounds a message's payload, in bytes, however many frames it
	// comes in; a longer one ends the connection with 1009 before it is kept.
	// 0 means 1 MiB.
	MaxMessage int

	// MaxHeader bounds the request, in bytes; a longer one is answered 431.
	// 0 means 8 KiB.
	MaxHeader int

	// HandshakeTimeout bounds the time until the request is whole, and
	// CloseTimeout that from our last word to the end of the transport. A
	// Server keeps them; a Conn has no clock. 0 means 10 s and 5 s.
	HandshakeTimeout, CloseTimeout time.Duration
}

func (o *Options) maxMessage() int { return orDefault(o.MaxMessage, defaultMaxMessage) }
func (o *Options) maxHeader() int  { return orDefault(o.MaxHeader, defaultMaxHeader) }

func (o *Options) handshakeTimeout() time.Duration {
	return orDefault(o.HandshakeTimeout, defaultHandshakeTimeout)
}

func (o *Options) closeTimeout() time.Duration {
	return orDefault(o.CloseTimeout, defaultCloseTimeout)
}

func orDefault[T int | time.Duration](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}

// Transport is what a connection writes to. The connections of labs 03 and 04
// have these methods.
type Transport interface {
	Write(p []byte) (int, error) // queues all of p, copied, or nothing and returns an error
	Close() error                // ends it when what is queued is sent
	Abort(err error)             // ends it at once
}

// state is how far a connection has come.
//
//	handshake ──101──► open ──our close frame──► closing ──┐
//	    │ refused        │ theirs, or a broken rule        │ theirs
//	    └────────────────┴───────────► over ◄──────────────┘
type state uint8

const (
	handshake state = iota // the request is not whole yet
	open                   // messages go both ways
	closing                // we have sent a close frame and wait for the peer's
	over                   // nothing is read or sent any more; the transport is ending
)

// Conn is the server's side of one WebSocket: a state machine without a socket,
// a goroutine or a clock. Bytes go in through Data; frames come out through the
// Transport, and events through Options. It belongs to one goroutine.
//
// It costs 112 bytes, and no buffer unless a message is under way that did
// not arrive in one piece.
type Conn struct {
	opts      *Options  // immutable, shared
	transport Transport // immutable
	value     any       // whatever SetValue was given
	leaving   func()    // called once when the transport is about to end; may be nil

	// A server has a hundred thousand of these: the order of the fields is
	// also that which leaves no holes between them.

	state    state
	opened   bool  // OnOpen was called, so OnClose is owed
	protocol int16 // of opts.Protocols, counted from 1; 0 is none
	scanned  int32 // bytes of the request known not to end it

	// The frame under way: its head is read, its payload is not.
	frame   head
	missing int // payload bytes still to come
	inFrame bool

	// The message under way.
	fragmented bool // its last fragment is not here yet
	text       bool // what kind it is
	utf8       utf8Stream
	message    []byte // what has arrived of it, unmasked; nil between messages

	farewell *farewell // what OnClose will be told; nil means 1006
}

// New returns a connection on which nothing has arrived yet. The transport is
// its own to write to, but for Close and Abort, which the owner may call, too.
func New(o *Options, t Transport) *Conn { return &Conn{opts: o, transport: t} }

// Data takes bytes as they arrive, in pieces of any size, and returns how many
// of them it has consumed. What it has not, an incomplete head of a frame or of
// the request, or a control frame, comes again in front of the next bytes: at
// most MaxHeader of them, or 131. It may change data (unmask in place), but
// keeps no reference.
func (c *Conn) Data(data []byte) (consumed int) {
	for c.state != over {
		n := c.next(data[consumed:])
		if n == 0 {
			return consumed
		}
		consumed += n
	}
	return len(data) // nobody reads what comes behind the end
}

// next takes one piece: the request, a frame, or a part of one. 0 means that
// more must arrive first, or that the connection is over.
func (c *Conn) next(data []byte) (n int) {
	switch {
	case c.state == handshake:
		return c.readRequest(data)
	case c.inFrame:
		return c.readPayload(data)
	default:
		return c.readFrame(data)
	}
}

// Protocol is the subprotocol that was chosen, "" if none.
func (c *Conn) Protocol() string {
	if c.protocol == 0 {
		return ""
	}
	return c.opts.Protocols[c.protocol-1]
}

// SetValue keeps v with the connection, for Value to return.
func (c *Conn) SetValue(v any) { c.value = v }

// Value is what SetValue was given last, nil at first.
func (c *Conn) Value() any { return c.value }
