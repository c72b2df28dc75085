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

//lint:file-ignore U1000 what nobody uses yet is for you to use

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
	return welcome // step 7
}

func (g *gate) decide(from netip.Addr) verdict {
	return welcome // step 7
}

// leave undoes what enter did.
func (g *gate) leave(from net.Addr, v verdict) {
	// step 7
}

// seat takes or gives back a place of an address.
func (g *gate) seat(from netip.Addr, n int) bool {
	return false // step 7
}

func address(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
