package zerocopy

import (
	"context"
	"errors"
	"net"
	"time"
)

// ProxyOptions is a [Proxy]'s configuration.
type ProxyOptions struct {
	// Target is the address that each connection is relayed to, "host:port".
	Target string

	// Way is Copy or Splice.
	Way string

	// DialTimeout bounds connecting to the target; IdleTimeout ends a pair of
	// connections on which nothing moves in either direction. Both must be
	// positive.
	DialTimeout, IdleTimeout time.Duration
}

// A Proxy relays TCP connections. Make one with [NewProxy].
type Proxy struct {
	opt ProxyOptions
	*serving
}

// NewProxy returns a proxy that holds no resources yet. It refuses options out
// of bounds; whether the target answers is seen at each connection.
func NewProxy(o ProxyOptions) (*Proxy, error) {
	p := &Proxy{opt: o, serving: newServing()}
	return p, errors.New("not implemented: step 5, a proxy")
}

// Serve accepts TCP connections from ln, which it owns, connects each to the
// target and relays both directions. The end of one direction is passed on,
// and the other goes on; a reset on one side becomes a reset on the other. A
// client whose target cannot be reached is reset. It returns nil after
// Shutdown, otherwise the listener's lasting error. Call it once.
func (p *Proxy) Serve(ln net.Listener) error {
	return p.accept(ln, func(c *net.TCPConn) client {
		ctx, cancel := context.WithCancel(context.Background())
		return &relay{opt: p.opt, client: c, dialing: ctx, cancel: cancel}
	})
}

// Shutdown stops accepting and waits until both ends of every pair have ended;
// when ctx ends first it resets those that have not, and returns ctx's error.
// Any goroutine may call it.
func (p *Proxy) Shutdown(ctx context.Context) error { return p.shutdown(ctx) }
