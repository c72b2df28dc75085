// Package epoll is an echo server on one goroutine: a level-triggered epoll
// loop over raw sockets, with no goroutine per connection.
//
// Read the files in this order: epoll.go (the loop), listen.go (new
// connections), conn.go (what is kept for each), echo.go (read, write, and what
// follows), shutdown.go.
//
// Level-triggered means that epoll_wait reports a descriptor for as long as it
// is readable or writable, not only when it becomes so (epoll(7)). So the loop
// may leave work undone and will be told again; and what it is told and does
// not act on, it is told for ever: each interest it does not need now must be
// disarmed, or the loop spins.
package epoll

import (
	"errors"
)

// Options is the configuration of a Server. The zero value is ready to use.
type Options struct {
	// MaxUnsent bounds the bytes the server owes one connection: read from it
	// and not yet taken back by the kernel. At the bound the connection is not
	// read, so that TCP slows the peer down; reading resumes when at most half
	// is left. 0 means 1 MiB. A negative value is refused by New.
	MaxUnsent int
}

// Server is an echo server. Listen, then Run; Shutdown from any goroutine.
type Server struct {
	// Yours to add: the epoll descriptor, the listening socket, the
	// connections by descriptor. Write the invariants down here first, and
	// beside each field who may touch it.
}

// New returns a server that listens nowhere yet. It holds two descriptors, an
// epoll instance and an eventfd, which Shutdown releases whether Run was called
// or not.
func New(o Options) (*Server, error) {
	return nil, errors.New("not implemented: start at README.md, step 1")
}

// Run is the loop: wait for events, act on each, and again. It blocks the
// calling goroutine until Shutdown and then returns nil, with every descriptor
// of the server closed; after a Shutdown it returns nil at once. A fault of one
// connection closes that connection; an error is one of epoll_wait itself.
// A Server runs once.
func (s *Server) Run() error {
	return errors.New("not implemented: step 2, the loop")
}
