package epolltest

import (
	"errors"
	"net"
	"net/netip"
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
func (s *serving) stall(id, n int) (*stall, error) {
	c, err := s.dialWith(64 << 10)
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

// arrive connects a client whose bytes all reach the server's end: they are read
// by the server, which owes owed bytes or more, or wait in its receive queue.
// The client has sent them all and reads nothing yet.
func (s *serving) arrive(owed int64) (*client, []byte, error) {
	c, err := s.dialWith(64 << 10)
	if err != nil {
		return nil, nil, err
	}
	s.r.Step("a client sends, reading nothing, until the server owes it %d KiB or more", owed>>10)
	var sent []byte
	var failed error
	err = s.r.Until("the server to read until it owes that much", func() bool {
		for failed == nil {
			q, err := c.queues()
			if err != nil || q.clientSend > 0 {
				failed = err
				return false
			}
			if int64(len(sent))-q.inKernel() >= owed {
				return true
			}
			p := pattern(len(sent), 32<<10) // little enough to fit a receive queue
			if _, err = c.Write(p); err != nil {
				failed = spec.Fail("the server to take what is sent", "%v", plain(err))
			}
			sent = append(sent, p...)
		}
		return true
	})
	return c, sent, s.explain(errors.Join(failed, err))
}
