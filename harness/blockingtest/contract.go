// Package blockingtest judges lab 01: the echo server with one goroutine per
// connection.
//
// contract.go says what a server must do, rules.go what is checked, targets.go
// what is measured, mutants_test.go which wrong servers must be refused.
package blockingtest

import (
	"context"
	"net"
	"time"
)

// Options is the configuration of a lab 01 server. The lab declares the same
// struct; its test file converts one into the other, so a difference is a
// compile error.
type Options struct {
	// MaxConns bounds the connections served at once. At the bound the server
	// does not accept: further clients wait in the kernel's backlog until a
	// connection ends. 0 means no bound. New refuses a negative value.
	MaxConns int

	// IdleTimeout ends a connection whose peer sends nothing for this long.
	// 0 means never.
	IdleTimeout time.Duration

	// WriteTimeout ends a connection whose peer takes nothing for this long
	// while there is something to write. 0 means never.
	WriteTimeout time.Duration
}

// Server is what lab 01 builds: an echo server.
type Server interface {
	// Serve accepts connections from ln and echoes on each until its peer ends
	// it. It owns ln from here on. It returns nil after Shutdown, and
	// otherwise the listener's error when that is a lasting one: a temporary
	// error (EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED, EINTR) is tried
	// again after a pause that grows from 5 ms to at most 1 s. Called once.
	Serve(ln net.Listener) error

	// Shutdown stops accepting, lets each connection write back what it has
	// read, closes it, and waits until Serve and all connections have ended.
	// When ctx ends first it closes every connection at once, waits for the
	// goroutines to end, and returns ctx's error. It may be called from any
	// goroutine, more than once, and before Serve.
	Shutdown(ctx context.Context) error
}
