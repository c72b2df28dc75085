// Package chaos is a bad network for programs that speak lab 03's frames: a proxy
// that cuts connections in the middle of a frame, lets them fall silent while both
// ends believe in them, and delivers frames twice. What happens to bytes (latency,
// bandwidth, resets) Shopify's toxiproxy does as well; it knows nothing of frames.
package chaos

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
)

// Faults says what goes wrong. The zero value is a good network.
type Faults struct {
	// Cut closes a connection, both ends of it, after a random number of bytes
	// in either direction, from 1 to Cut. 0 means never.
	Cut int

	// Silence has a connection deliver nothing any more, in either direction,
	// after a random number of bytes from 1 to Silence. It stays open. 0 means
	// never.
	Silence int

	// Duplicate says which frames are delivered twice, one right behind the
	// other. payload is valid until it returns; it is called from many
	// goroutines. nil means none.
	Duplicate func(payload []byte) bool
}

// Proxy is a bad network in front of one server. Its methods may be called from
// any goroutine.
type Proxy struct {
	upstream string
	listener net.Listener
	faults   Faults
	healed   atomic.Bool
	running  sync.WaitGroup
	counts   [3]atomic.Int64 // of cuts, silences, duplicates

	mu    sync.Mutex // guards the following
	rand  *rand.Rand
	conns map[net.Conn]bool
	over  bool
}

// New starts a proxy to upstream on a free port of the loopback. The same seed
// gives the same random numbers, in the order of the connections. Close it.
func New(upstream string, seed uint64, f Faults) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{upstream: upstream, listener: l, faults: f, rand: rand.New(rand.NewPCG(seed, 13)), conns: map[net.Conn]bool{}}
	p.running.Go(p.accept)
	return p, nil
}

// Addr is where it listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Heal ends all faults, for connections to come and for those that are neither
// cut nor silent yet.
func (p *Proxy) Heal() { p.healed.Store(true) }

// Counts is how often each fault has happened.
func (p *Proxy) Counts() (cuts, silences, duplicates int64) {
	return p.counts[0].Load(), p.counts[1].Load(), p.counts[2].Load()
}

// Close closes all connections and waits for the proxy's goroutines.
func (p *Proxy) Close() error {
	err := p.listener.Close()
	p.mu.Lock()
	p.over = true
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.running.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.upstream)
		if err != nil {
			client.Close()
			continue
		}
		if !p.keep(client, server) {
			return
		}
		l := &link{p: p, cut: p.draw(p.faults.Cut), silence: p.draw(p.faults.Silence), ends: [2]net.Conn{client, server}}
		p.running.Go(func() { l.carry(client, server) })
		p.running.Go(func() { l.carry(server, client) })
	}
}

// keep remembers connections for Close, which may have come first.
func (p *Proxy) keep(all ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range all {
		p.conns[c] = true
		if p.over {
			c.Close()
		}
	}
	return !p.over
}

// draw is a random number from 1 to most, 0 for 0.
func (p *Proxy) draw(most int) int64 {
	if most == 0 {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return 1 + p.rand.Int64N(int64(most))
}

// link is one connection through the proxy.
type link struct {
	p            *Proxy
	ends         [2]net.Conn
	cut, silence int64        // after so many bytes; 0 means never
	carried      atomic.Int64 // bytes, in both directions
	silent       atomic.Bool
}

// carry takes frames from one end to the other.
func (l *link) carry(from, to net.Conn) {
	defer l.close()
	var buf []byte
	for {
		var head [4]byte
		if _, err := io.ReadFull(from, head[:]); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint32(head[:]))
		if n > 1<<24 {
			return
		}
		buf = append(append(buf[:0], head[:]...), make([]byte, n)...)
		if _, err := io.ReadFull(from, buf[4:]); err != nil {
			return
		}
		times := 1
		if l.p.faults.Duplicate != nil && !l.p.healed.Load() && l.p.faults.Duplicate(buf[4:]) {
			times = 2
			l.p.counts[2].Add(1)
		}
		for range times {
			if !l.deliver(to, buf) {
				return
			}
		}
	}
}

// deliver writes a frame, or as much of it as the faults allow. false says that
// the link was cut.
func (l *link) deliver(to net.Conn, frame []byte) bool {
	if l.silent.Load() {
		return true
	}
	total := l.carried.Add(int64(len(frame)))
	part := func(limit int64) []byte { return frame[:max(0, int64(len(frame))-(total-limit))] }
	switch {
	case l.p.healed.Load():
	case l.cut > 0 && total >= l.cut:
		to.Write(part(l.cut))
		l.p.counts[0].Add(1)
		return false
	case l.silence > 0 && total >= l.silence:
		if !l.silent.Swap(true) {
			l.p.counts[1].Add(1)
			to.Write(part(l.silence))
		}
		return true
	}
	_, err := to.Write(frame)
	return err == nil
}

// close ends both directions.
func (l *link) close() {
	for _, c := range l.ends {
		c.Close()
		l.p.mu.Lock()
		delete(l.p.conns, c)
		l.p.mu.Unlock()
	}
}
