// Package blocking is an echo server with one goroutine per connection: the
// model that Go's net package makes easy, done with care.
//
// A connection costs a goroutine and its buffer, and the code reads top to
// bottom. What it takes to be fit for use is here too: deadlines, a bound on
// connections, accept errors that pass, and a shutdown that loses nothing it
// has read. It speaks to any net.Listener and any net.Conn.
package blocking

import (
	"errors"
	"net"
	"time"
)

// Options is a server's configuration. The zero value is an unlimited server
// that waits for its peers for ever.
type Options struct {
	// MaxConns bounds the connections served at once. At the bound the server
	// does not accept: further clients wait in the kernel's backlog until a
	// connection ends. 0 means no bound.
	MaxConns int

	// IdleTimeout ends a connection whose peer sends nothing for this long.
	// 0 means never.
	IdleTimeout time.Duration

	// WriteTimeout ends a connection whose peer takes nothing for this long
	// while there is something to write. 0 means never.
	WriteTimeout time.Duration
}

// A Server echoes what its connections send. Make one with [New].
type Server struct {
	// Yours to add: what the steps need, each field with a word on who may
	// touch it. Write the invariants down first, in the comment above.
}

// New returns a server that is not serving yet and holds no resources. It
// refuses negative options.
func New(o Options) (*Server, error) {
	return nil, errors.New("not implemented: start at README.md, step 1")
}

// Serve accepts connections from ln and echoes on each until its peer ends it.
// It owns ln from here on. It returns nil after [Server.Shutdown], and
// otherwise the listener's error, when that is a lasting one; connections
// accepted before go on until Shutdown. Call it once.
func (s *Server) Serve(ln net.Listener) error {
	return errors.New("not implemented: step 1, accept and echo")
}
