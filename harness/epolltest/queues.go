package epolltest

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
)

// queues is where the bytes of one connection are, as the kernel counts them.
// At rest every byte that a client has sent and not read is in one of the four
// queues, or owed by the server.
type queues struct {
	clientSend, serverReceive, serverSend, clientReceive int64 // bytes
}

func (q queues) inKernel() int64 {
	return q.clientSend + q.serverReceive + q.serverSend + q.clientReceive
}

// queues looks at both ends of the connection.
func (c *client) queues() (queues, error) {
	local, remote := addrPort(c.LocalAddr()), addrPort(c.RemoteAddr())
	mine, _, err := meter.Queues(local, remote)
	if err != nil {
		return queues{}, err
	}
	theirs, _, err := meter.Queues(remote, local)
	return queues{
		clientSend: int64(mine.Unsent), clientReceive: int64(mine.Received),
		serverSend: int64(theirs.Unsent), serverReceive: int64(theirs.Received),
	}, err
}

func addrPort(a net.Addr) netip.AddrPort { return a.(*net.TCPAddr).AddrPort() }

// owed waits until the connection is at rest, that is, unchanged for a number
// of looks, and returns how many of the sent bytes the server itself holds.
func (c *client) owed(sent int64, looks int) (int64, error) {
	var failed error
	owed, err := standsStill(c.s.r, "the connection to come to rest", looks, func() int64 {
		q, err := c.queues()
		failed = err
		return sent - q.inKernel()
	})
	return owed, errors.Join(err, failed)
}

// stall is a client that has sent more than the server may take, and reads
// nothing yet.
type stall struct {
	*client
	sent []byte       // all of what is being sent
	done <-chan error // gets the result of sending it
	owes int64        // bytes the server held when the client was stopped
	took int64        // bytes that had left the client's program then

	taken *atomic.Int64 // bytes that have left it by now
}

// stall connects a client that sends n bytes and reads none, and waits until it
// is stopped.
func (s *serving) stall(id, n int) (*stall, error) { return s.stallWith(64<<10, id, n) }

// stallWith is stall with a receive buffer of the client of that many bytes.
func (s *serving) stallWith(receive, id, n int) (*stall, error) {
	c, err := s.dialWith(receive)
	if err != nil {
		return nil, err
	}
	st := &stall{client: c, sent: pattern(id, n)}
	s.r.Step("a client sends %d MiB and reads nothing yet", n>>20)
	st.taken, st.done = c.send(st.sent)
	if _, err := standsStill(s.r, "the sender to be stopped", 25, st.taken.Load); err != nil {
		return nil, s.explain(err)
	}
	st.took = st.taken.Load()
	if st.owes, err = c.owed(st.took, 5); err != nil {
		return nil, err
	}
	s.r.Step("it is stopped after %d KiB, of which the server holds %d", st.took>>10, st.owes>>10)
	return st, s.explain(nil)
}

// drain reads everything that was sent, and compares.
func (st *stall) drain() error {
	st.s.r.Step("it reads everything")
	if err := st.expect(st.sent); err != nil {
		return err
	}
	return <-st.done
}

// arrive connects a client that sends until the server stops reading it, and
// reads nothing yet. All that was sent has reached the server's end: the last of
// it waits in the receive queue.
func (s *serving) arrive() (*client, []byte, error) {
	const piece, limit = 32 << 10, 32 << 20 // a piece fits any receive queue
	c, err := s.dialWith(64 << 10)
	if err != nil {
		return nil, nil, err
	}
	sent := pattern(1, limit)
	s.r.Step("a client sends, reading nothing, until the server stops reading it")
	for n := piece; n < limit; n += piece {
		if _, err := c.Write(sent[n-piece : n]); err != nil {
			return nil, nil, s.explain(spec.Fail("the server to take what is sent", "after %d bytes: %v", n-piece, plain(err)))
		}
		reads, err := c.readByServer()
		if err != nil {
			return nil, nil, s.explain(err)
		}
		if !reads {
			s.r.Step("%d KiB are on their way, of which the server has left the last %d KiB unread", n>>10, piece>>10)
			return c, sent[:n], s.explain(c.arrived())
		}
	}
	return nil, nil, spec.Fail("the server to stop reading while its peer takes nothing", "it took %d MiB", limit>>20)
}

// readByServer waits until the server has nothing left to read. One that has
// not read for half a second has stopped; taking a slow one for a stopped one
// makes the check milder.
func (c *client) readByServer() (reads bool, err error) {
	looks := 0
	var failed error
	err = c.s.r.Until("the server to read or to stop reading", func() bool {
		theirs, _, err := meter.Queues(addrPort(c.RemoteAddr()), addrPort(c.LocalAddr()))
		reads, failed = theirs.Received == 0, err
		looks++
		return err != nil || reads || looks > 25
	})
	return reads, errors.Join(err, failed)
}

// arrived waits until all that was sent has reached the server's end.
func (c *client) arrived() error {
	return c.s.r.Until("the bytes to arrive", func() bool {
		q, err := c.queues()
		return err == nil && q.clientSend == 0
	})
}

// halfClosedBound is a MaxUnsent, and a number of bytes, such that a server
// takes all of them from a peer that reads nothing, and must owe the last 2 MiB:
// the kernel's send queue is smaller.
func halfClosedBound() int {
	const usual = 4 << 20
	kernel := usual
	text, _ := os.ReadFile("/proc/sys/net/ipv4/tcp_wmem")
	if f := strings.Fields(string(text)); len(f) == 3 {
		kernel, _ = strconv.Atoi(f[2])
	}
	return kernel + 2<<20
}

// halfClosed is a client that has ended its sending side while the server,
// which has read all of it and the end, still owes it bytes. The server's
// MaxUnsent is halfClosedBound.
func (s *serving) halfClosed() (*client, []byte, error) {
	c, err := s.dialWith(64 << 10)
	if err != nil {
		return nil, nil, err
	}
	sent := pattern(1, halfClosedBound())
	s.r.Step("a client sends %d MiB, ends its sending side, and reads nothing yet; the server reads to the end", len(sent)>>20)
	_, done := c.send(sent)
	if err := <-done; err != nil {
		return nil, nil, err
	}
	if err := c.CloseWrite(); err != nil {
		return nil, nil, s.explain(spec.Fail("the connection to stay while bytes are owed", "%v", plain(err)))
	}
	err = s.r.Until("the server to read to the end of the stream", func() bool {
		q, err := c.queues()
		return err == nil && q.clientSend == 0 && q.serverReceive == 0
	})
	return c, sent, s.explain(err)
}
