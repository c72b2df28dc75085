package blockingtest

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

// errSpinning ends a server that calls Accept over and over in no time.
var errSpinning = errors.New("listener: called 10,000 times without a pause")

// pipes is a listener in memory. It stands still with the time of a
// [spec.Run.Bubble], fails on demand, and counts.
type pipes struct {
	waiting chan net.Conn
	closed  chan struct{}

	mu       sync.Mutex // guards the following
	script   []error    // what the next calls of Accept return, before any connection
	calls    []time.Time
	clients  []net.Conn // the clients' ends
	accepted int        // connections handed out
	open     int        // of those, not closed by the server yet
	closes   []time.Time
	read     int // bytes the server has read, of all connections
}

// listen returns a listener whose first Accepts return the errors of script.
// When the check ends, its clients leave.
func listen(r *spec.Run, script ...error) *pipes {
	p := &pipes{waiting: make(chan net.Conn, 1000), closed: make(chan struct{}), script: script}
	r.Cleanup(p.hangUp)
	return p
}

// dial returns the client's end of a new connection, which waits in the backlog
// until the server accepts it.
func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.mu.Lock()
	p.clients = append(p.clients, client)
	p.mu.Unlock()
	p.waiting <- &counted{Conn: server, p: p}
	return client
}

// fail queues errors to be returned before the connections still waiting.
func (p *pipes) fail(errs ...error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.script = append(p.script, errs...)
}

func (p *pipes) hangUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.clients {
		c.Close()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	if err := p.scripted(); err != nil {
		return nil, err
	}
	select {
	case c := <-p.waiting:
		p.mu.Lock()
		defer p.mu.Unlock()
		p.accepted++
		p.open++
		return c, nil
	case <-p.closed:
		return nil, &net.OpError{Op: "accept", Net: "pipe", Addr: p.Addr(), Err: net.ErrClosed}
	}
}

// scripted notes the call and takes the next error of the script.
func (p *pipes) scripted() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.calls = append(p.calls, now)
	if n := len(p.calls); n > 10_000 && p.calls[n-10_000].Equal(now) {
		return errSpinning
	}
	if len(p.script) == 0 {
		return nil
	}
	err := p.script[0]
	p.script = p.script[1:]
	return &net.OpError{Op: "accept", Net: "pipe", Addr: p.Addr(), Err: err}
}

func (p *pipes) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.closed:
		return net.ErrClosed
	default:
		close(p.closed)
		return nil
	}
}

func (p *pipes) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// counts returns how many connections were accepted, and how many of them the
// server still has open.
func (p *pipes) counts() (accepted, open int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted, p.open
}

// pauses returns the time between each two calls of Accept.
func (p *pipes) pauses() []time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	var d []time.Duration
	for i := 1; i < len(p.calls); i++ {
		d = append(d, p.calls[i].Sub(p.calls[i-1]))
	}
	return d
}

// counted is the server's end of a connection.
type counted struct {
	net.Conn
	p    *pipes
	once sync.Once
}

func (c *counted) Close() error {
	c.once.Do(func() {
		c.p.mu.Lock()
		defer c.p.mu.Unlock()
		c.p.open--
		c.p.closes = append(c.p.closes, time.Now())
	})
	return c.Conn.Close()
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	c.p.read += n
	return n, err
}

// taken is how many bytes the server has read so far, of all connections.
func (p *pipes) taken() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.read
}

// firstClose is when the server closed a connection for the first time; zero if
// it has not.
func (p *pipes) firstClose() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.closes) == 0 {
		return time.Time{}
	}
	return p.closes[0]
}

// withEnd is a connection that returns its last bytes together with err, as
// io.Reader permits.
type withEnd struct {
	net.Conn
	last []byte
	err  error
}

func (c *withEnd) Read(b []byte) (int, error) {
	n := copy(b, c.last)
	c.last = c.last[n:]
	if len(c.last) > 0 {
		return n, nil
	}
	return n, c.err
}

// dialEnding is dial; what the server reads is last and then err, at once.
func (p *pipes) dialEnding(last []byte, err error) net.Conn {
	client, server := net.Pipe()
	p.mu.Lock()
	p.clients = append(p.clients, client)
	p.mu.Unlock()
	p.waiting <- &counted{Conn: &withEnd{server, last, err}, p: p}
	return client
}
