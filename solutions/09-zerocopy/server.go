package zerocopy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// Options is a [Server]'s configuration.
type Options struct {
	// Root is the directory whose files are served. Nothing outside of it is,
	// whatever a path or a symbolic link says.
	Root string

	// Way is Copy, Mmap, Sendfile or Splice.
	Way string

	// MaxHead bounds the bytes of a request's line and headers. 0 means 8 KiB.
	MaxHead int

	// HeadTimeout ends a connection that has not sent a whole request this long
	// after it was accepted, or after the last answer. WriteTimeout ends one
	// whose peer takes nothing for this long while there is something to send.
	// Both must be positive.
	HeadTimeout, WriteTimeout time.Duration

	// OnError is told why a connection was given up in the midst of an answer,
	// for which there is no status any more. nil is allowed. It is called on
	// the connection's goroutine.
	OnError func(error)
}

// A Server is an HTTP/1.1 server of files: GET and HEAD, a range of bytes,
// conditional requests by time, connections that are kept. A path that ends in
// "/" names the index.html there; a folder has no other answer. Make one with
// [New].
type Server struct {
	opt  Options // immutable after New
	root *os.Root
	*serving
}

// New opens the root and returns a server that does not serve yet. It refuses
// options out of bounds. Shutdown closes the root.
func New(o Options) (*Server, error) {
	switch {
	case o.Way != Copy && o.Way != Mmap && o.Way != Sendfile && o.Way != Splice:
		return nil, fmt.Errorf("zerocopy: there is no way %q: use %s, %s, %s or %s", o.Way, Copy, Mmap, Sendfile, Splice)
	case o.HeadTimeout <= 0 || o.WriteTimeout <= 0:
		return nil, errors.New("zerocopy: HeadTimeout and WriteTimeout must be positive")
	case o.MaxHead < 0:
		return nil, fmt.Errorf("zerocopy: MaxHead is %d: use 0 for 8 KiB", o.MaxHead)
	case o.MaxHead == 0:
		o.MaxHead = 8 << 10
	}
	if o.OnError == nil {
		o.OnError = func(error) {}
	}
	root, err := os.OpenRoot(o.Root)
	if err != nil {
		return nil, err
	}
	return &Server{opt: o, root: root, serving: newServing()}, nil
}

// Serve accepts TCP connections from ln, which it owns, and answers their
// requests. It returns nil after Shutdown, otherwise the listener's lasting
// error. Call it once.
func (s *Server) Serve(ln net.Listener) error {
	return s.accept(ln, func(c *net.TCPConn) client { return newConn(s, c) })
}

// Shutdown stops accepting, ends the connections that wait for a request, lets
// the others finish their answer, and closes the root. When ctx ends first it
// resets the connections that are left, and returns ctx's error. It returns
// when all has ended. Any goroutine may call it.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.shutdown(ctx)
	s.root.Close() // a second Close does no harm
	return err
}
