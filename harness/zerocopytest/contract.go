// Package zerocopytest judges lab 09: four ways to send a file, an HTTP server
// on them, a TCP proxy by splice(2), and memory sent by MSG_ZEROCOPY.
//
// contract.go says what they must do, the files of rules what is checked,
// targets.go what is measured, mutants_test.go which wrong ones must be refused.
package zerocopytest

import (
	"context"
	"net"
	"os"
	"time"
)

// The ways to send a file.
const (
	byCopy     = "copy"
	byMmap     = "mmap"
	bySendfile = "sendfile"
	bySplice   = "splice"
)

var ways = []string{byCopy, byMmap, bySendfile, bySplice}

// Send writes n bytes of f, from off on, to c. It returns how many bytes the
// kernel has taken, n exactly when the error is nil. The error is the lab's
// ErrChanged when the file is truncated or written to meanwhile, or ends
// before off+n; otherwise the socket's, or c's write deadline. It blocks no
// thread while the peer does not read, and leaves f's own offset alone.
type Send func(c *net.TCPConn, f *os.File, off, n int64, way string) (int64, error)

// Options is the configuration of the HTTP server. The lab declares the same
// struct; its test file converts one into the other.
type Options struct {
	// Root is the directory whose files are served, and nothing outside of it.
	Root string

	// Way is how files are sent.
	Way string

	// MaxHead bounds the bytes of a request's line and headers. 0 means 8 KiB.
	MaxHead int

	// HeadTimeout ends a connection that has not sent a whole request this long
	// after it was accepted, or after the last answer. WriteTimeout ends one
	// whose peer takes nothing for this long while there is something to send.
	// Both must be positive.
	HeadTimeout, WriteTimeout time.Duration

	// OnError is told why a connection was given up in the midst of an answer.
	// nil is allowed.
	OnError func(error)
}

// ProxyOptions is the configuration of the proxy.
type ProxyOptions struct {
	// Target is where each connection is relayed to.
	Target string

	// Way is copy or splice.
	Way string

	// DialTimeout bounds connecting to the target; IdleTimeout ends a pair of
	// connections on which nothing moves in either direction. Both must be
	// positive.
	DialTimeout, IdleTimeout time.Duration
}

// Server is the HTTP server or the proxy.
type Server interface {
	// Serve accepts TCP connections from ln, which it owns. It returns nil
	// after Shutdown. It is called once.
	Serve(ln net.Listener) error

	// Shutdown stops accepting and waits for the end of all connections: the
	// HTTP server ends those that wait for a request. When ctx ends first it
	// resets what is left and returns ctx's error.
	Shutdown(ctx context.Context) error
}

// SenderStats is what a Sender has done.
type SenderStats struct {
	Pinned int // calls that took memory by reference
	Copied int // of these, completed with a copy made after all
	Plain  int // calls that copied
}

// Sender sends memory that the kernel does not copy. One goroutine calls its
// methods.
type Sender interface {
	// Send hands all of p to the kernel, and waits while the socket has no
	// room. p belongs to the kernel until done is called, once. An error is the
	// stream's: every later Send returns it, too.
	Send(p []byte, done func(error)) error

	// Settle waits until done was called for all.
	Settle() error

	// Close ends the connection, by a reset when not all is settled; done of
	// what is left gets ErrClosed.
	Close() error
}
