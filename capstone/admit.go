package capstone

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

//lint:file-ignore U1000 what nobody uses yet is for you to use

// gate decides who may come in. It is asked when a connection is accepted; who
// is refused gets the answer to its request, and is not counted.
type gate struct {
	total      int64 // immutable: connections at a time
	perAddress int   // immutable: from one address; 0 is no limit

	inside atomic.Int64

	mu        sync.Mutex
	rate      *bucket            // guarded by mu; nil is no limit
	addresses map[netip.Addr]int // guarded by mu: connections by address, if that is limited

	refusedTotal, refusedRate, refusedAddress atomic.Int64
}

func newGate(c *Config) *gate {
	g := &gate{total: int64(c.MaxConns), perAddress: c.ConnsPerAddress, addresses: map[netip.Addr]int{}}
	if c.ConnRate > 0 {
		g.rate = newBucket(c.ConnRate, max(1, int(c.ConnRate)))
	}
	return g
}

// enter returns 0 for who may come in, and otherwise the HTTP status that says
// why not. Any goroutine.
func (g *gate) enter(from net.Addr) (refusal int16) {
	return 0 // step 7
}

// leave undoes what enter did.
func (g *gate) leave(from net.Addr, refusal int16) {
	// step 7
}

func (g *gate) inTime() bool {
	return false // step 7
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

// bucket is a token bucket: rate tokens a second flow in, burst of them fit.
// It has no lock of its own.
type bucket struct {
	rate, burst, tokens float64
	last                time.Time
}

func newBucket(rate float64, burst int) *bucket {
	return &bucket{rate: rate, burst: float64(burst), tokens: float64(burst), last: time.Now()}
}

// take takes a token, if there is one.
func (b *bucket) take(now time.Time) bool {
	return false // step 7
}
