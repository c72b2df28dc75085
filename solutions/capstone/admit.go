package capstone

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"

	ratelimit "github.com/asynclab/asynclab/solutions/06-ratelimit"
)

// verdict is what the gate says to a connection.
type verdict uint8

const (
	welcome verdict = iota
	tooFast         // -conn-rate
	tooMany         // -conns-per-address
	full            // -max-conns
)

// status is the HTTP status that says so.
func (v verdict) status() int {
	switch v {
	case tooFast, tooMany:
		return http.StatusTooManyRequests
	case full:
		return http.StatusServiceUnavailable
	}
	return 0
}

// gate decides who may come in. It is asked when a connection is accepted; who
// is refused gets the answer to its request, and is not counted.
type gate struct {
	total      int64 // immutable: connections at a time
	perAddress int   // immutable: from one address; 0 is no limit

	rate *ratelimit.Limiter // nil is no limit

	inside atomic.Int64

	mu        sync.Mutex
	addresses map[netip.Addr]int // guarded by mu: connections by address, if that is limited

	given [full + 1]atomic.Int64 // how often each verdict was
}

func newGate(c *Config) (*gate, error) {
	g := &gate{total: int64(c.MaxConns), perAddress: c.ConnsPerAddress, addresses: map[netip.Addr]int{}}
	if c.ConnRate == 0 {
		return g, nil
	}
	var err error
	g.rate, err = ratelimit.New(ratelimit.Options{Rate: c.ConnRate, Burst: max(1, int(c.ConnRate))})
	if err != nil {
		return nil, fmt.Errorf("conn-rate: %w", err)
	}
	return g, nil
}

// enter decides. Any goroutine.
func (g *gate) enter(from net.Addr) verdict {
	v := g.decide(address(from))
	g.given[v].Add(1)
	return v
}

func (g *gate) decide(from netip.Addr) verdict {
	switch {
	case g.rate != nil && !g.rate.Allow():
		return tooFast
	case !g.seat(from, 1):
		return tooMany
	case g.inside.Add(1) > g.total:
		g.inside.Add(-1)
		g.seat(from, -1)
		return full
	}
	return welcome
}

// leave undoes what enter did.
func (g *gate) leave(from net.Addr, v verdict) {
	if v == welcome {
		g.inside.Add(-1)
		g.seat(address(from), -1)
	}
}

// seat takes or gives back a place of an address.
func (g *gate) seat(from netip.Addr, n int) bool {
	if g.perAddress == 0 {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.addresses[from] + n
	switch {
	case now > g.perAddress:
		return false
	case now == 0:
		delete(g.addresses, from) // the map must not remember everybody who ever came
	default:
		g.addresses[from] = now
	}
	return true
}

func address(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
