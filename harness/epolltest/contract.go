// Package epolltest judges lab 02: one level-triggered epoll loop that echoes
// over raw sockets, with no goroutine per connection.
//
// contract.go says what a server must do, rules.go what is checked, targets.go
// what is measured, mutants_test.go which wrong servers must be refused.
package epolltest

import (
	"context"
	"net"
)

// Options is the configuration of a lab 02 server. The lab declares the same
// struct; its test file converts one into the other, so a difference is a
// compile error.
type Options struct {
	// MaxUnsent bounds the bytes owed to one connection, in bytes. At the bound
	// the connection is not read; reading resumes when at most half is left.
	// 0 means 1 MiB. New refuses a negative value.
	MaxUnsent int
}

// Server is what lab 02 builds: an echo server on one goroutine.
type Server interface {
	// Listen opens the listening socket on addr ("127.0.0.1:0" for any free
	// port) with SO_REUSEADDR and returns the address it got.
	// Call it once, before Run.
	Listen(addr string) (net.Addr, error)

	// Run is the loop. It blocks its goroutine until Shutdown and then returns
	// nil with every descriptor closed; an error is one the loop cannot
	// survive. A fault of one connection is never one.
	Run() error

	// Shutdown stops accepting, reads what has already arrived, writes what is
	// owed, closes every connection, and waits until Run has ended. When ctx
	// ends first it closes at once and returns ctx's error. It may be called
	// from any goroutine, more than once, and before Run.
	Shutdown(ctx context.Context) error
}
