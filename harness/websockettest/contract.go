// Package websockettest judges lab 15: the server's side of RFC 6455 by hand.
//
// contract.go says what a connection and a server must do, the files named for
// their groups what is checked, targets.go what is measured, mutants_test.go
// which wrong ones must be refused.
package websockettest

import (
	"context"
	"net"
	"net/http"
	"time"
)

// Options is the configuration of WebSocket connections of type C. The lab
// declares the same struct with its own *Conn for C; its test file converts one
// into the other, so a difference is a compile error. Callbacks not needed may
// be nil. They run inside Data and End, on the goroutine that called those.
type Options[C Conn] struct {
	// OnRequest decides on a handshake that is correct so far: 0 accepts it,
	// an HTTP status of 400 or more refuses it. target is the request's path
	// and query, header its fields (Origin among them); both are its own to
	// keep. nil accepts everything.
	OnRequest func(c C, target string, header http.Header) (status int)

	// OnOpen is called when the 101 has been written; messages may be sent.
	OnOpen func(c C)

	// OnMessage is called for each whole message. payload is valid until it
	// returns; its capacity ends with it, so append makes a copy. A text message
	// is valid UTF-8.
	OnMessage func(c C, text bool, payload []byte)

	// OnClose is called once for each OnOpen, last, when the transport has
	// ended. code and reason are the peer's; 1005 for a close frame without a
	// code, 1006 when none came, and what we sent when the peer broke the
	// rules.
	OnClose func(c C, code int, reason string)

	// Protocols are the subprotocols spoken, the best first. The first that
	// the client offers, too, is chosen; none in common is no error.
	Protocols []string

	// MaxMessage bounds a message's payload, in bytes; a longer one ends the
	// connection with 1009 before it is kept. 0 means 1 MiB.
	MaxMessage int

	// MaxHeader bounds the request, in bytes; a longer one is answered 431.
	// 0 means 8 KiB.
	MaxHeader int

	// HandshakeTimeout bounds the time until the request is whole, and
	// CloseTimeout that from our last word to the end of the transport. A
	// Server keeps them; a Conn has no clock. 0 means 10 s and 5 s. Bytes that
	// arrive prolong neither.
	HandshakeTimeout, CloseTimeout time.Duration
}

// Transport is what a connection writes to. The connections of labs 03 and 04
// have these methods.
type Transport interface {
	Write(p []byte) (int, error) // queues all of p, copied, or nothing and returns an error
	Close() error                // ends it when what is queued is sent
	Abort(err error)             // ends it at once
}

// Conn is the server's side of one WebSocket: a state machine without a socket,
// a goroutine or a clock. Bytes go in through Data; frames come out through the
// Transport, and events through Options. It belongs to one goroutine.
type Conn interface {
	// Data takes bytes as they arrive, in pieces of any size, and returns how
	// many of them it has consumed. What it has not, an incomplete head of a
	// frame or of the request, comes again in front of the next bytes. It may
	// change data (unmask in place), but keeps no reference.
	Data(data []byte) (consumed int)

	// End says that the transport has ended: with nil in order.
	End(err error)

	// Send writes a message in one frame. After Close, or before the handshake
	// is done, it returns an error.
	Send(text bool, payload []byte) error

	// SendFrame writes a frame that Prepare has made, as it is.
	SendFrame(frame []byte) error

	// Ping writes a ping of at most 125 bytes.
	Ping(payload []byte) error

	// Close writes a close frame, if none was written, and waits for the
	// peer's before it ends the transport. Code 0 writes one without a code. A
	// reason has at most 123 bytes; what is longer is cut between characters.
	// Before the handshake is done it ends the transport. If the transport
	// refuses the close frame, Close ends it and returns its error.
	Close(code int, reason string) error

	// Protocol is the subprotocol that was chosen, "" if none.
	Protocol() string

	SetValue(v any) // keeps v
	Value() any     // returns it; nil at first
}

// Server is connections on the loop of lab 03.
type Server interface {
	Listen(addr string) (net.Addr, error) // call it before Run
	Run() error
	Post(fn func()) error // runs fn on the loop's goroutine

	// Shutdown closes every connection with 1001, waits for the peers' close
	// frames for as long as ctx and CloseTimeout allow, and ends Run.
	Shutdown(ctx context.Context) error
}

// Lab is what a lab hands over to be judged.
type Lab[C Conn] struct {
	New       func(o *Options[C], t Transport) C
	NewServer func(o Options[C]) (Server, error)

	// Prepare appends a message to dst as one unmasked frame, to be sent to many.
	Prepare func(dst []byte, text bool, payload []byte) []byte
}
