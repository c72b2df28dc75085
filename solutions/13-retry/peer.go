package retry

import (
	"container/list"
	"context"
	"crypto/rand"
	"errors"
	"time"

	eventloop "github.com/asynclab/asynclab/solutions/03-eventloop"
)

// session is a client as the server knows it, over all of its connections. It
// belongs to the loop's goroutine.
type session struct {
	id      uint64
	conn    *eventloop.Conn // nil while there is none
	ended   bool            // it may not be resumed
	since   time.Time       // without a connection
	place   *list.Element   // in gone, while it has none
	highest uint64          // id seen

	jobs map[uint64]*job // calls whose answers may be asked for again
	ids  []uint64        // of jobs, ascending

	pushed uint64   // the last push's number
	sent   uint64   // the last one that conn has room for
	unread [][]byte // frames of pushes that are not acknowledged: the last one is number pushed
}

var errNoSession = errors.New("retry: this context is of no call of a server")

// Push sends a message to the client whose call ctx is of: any number, and as
// long as its session lasts, after the reply, too. The client gets them in order,
// each once, over as many connections as it takes. When more than SessionPushes
// are not acknowledged the session ends, and the client is told that it has missed
// something. Any goroutine; body is copied. nil means that it was accepted, if
// the session is still there; ErrTooLarge that it does not fit into MaxMessage.
func Push(ctx context.Context, body []byte) error {
	c, ok := ctx.Value(peerKey{}).(callContext)
	if !ok {
		return errNoSession
	}
	if pushOverhead+len(body) > c.s.o.MaxMessage {
		return ErrTooLarge
	}
	frame := append(make([]byte, pushOverhead, pushOverhead+len(body)), body...)
	return c.s.loop.Post(func() { c.s.push(c.p, frame) })
}

// push numbers a frame and keeps it until it is acknowledged.
func (s *Server) push(p *session, frame []byte) {
	if p.ended {
		return
	}
	p.pushed++
	frame[0] = kindPush
	order.PutUint64(frame[1:], p.pushed)
	p.unread = append(p.unread, frame)
	if len(p.unread) > s.o.SessionPushes {
		s.end(p)
		return
	}
	p.flush()
}

// flush sends the pushes that the connection has room for. The others follow when
// it is drained: a client that is behind gets them in its own time.
func (p *session) flush() {
	for p.conn != nil && p.sent < p.pushed {
		next := len(p.unread) - int(p.pushed-p.sent)
		if p.conn.Send(p.unread[next]) != nil {
			return
		}
		p.sent++
	}
}

// hello gives a connection its session: the one it asks for, or a new one.
func (s *Server) hello(c *eventloop.Conn, b []byte) error {
	if len(b) != 17 || b[0] != protocolVersion {
		return errMalformed
	}
	s.expire()
	id, last := order.Uint64(b[1:]), order.Uint64(b[9:])
	p := s.sessions[id]
	resumed := p != nil && last <= p.pushed && last+uint64(len(p.unread)) >= p.pushed
	if !resumed {
		p = &session{id: newID(), jobs: map[uint64]*job{}}
		s.sessions[p.id] = p
	}
	if p.conn != nil {
		p.conn.Abort(nil) // the client knows better whether it is alive
	}
	if p.place != nil {
		s.gone.Remove(p.place)
	}
	p.conn, p.place = c, nil
	c.SetValue(p)
	welcome := order.AppendUint64([]byte{kindWelcome}, p.id)
	if resumed {
		send(c, append(welcome, 1))
	} else {
		send(c, append(welcome, 0))
	}
	p.acknowledge(last)
	p.sent = last
	p.flush()
	return nil
}

// newID is a session's number. It must not be guessed: who knows it gets the
// session's pushes and answers.
func newID() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return max(1, order.Uint64(b[:]))
}

// depart begins the time in which a session waits for its client.
func (s *Server) depart(p *session) {
	p.conn, p.since = nil, s.o.Now()
	if p.ended {
		return
	}
	p.place = s.gone.PushBack(p)
	s.expire()
}

// expire ends the sessions that have waited too long, or are too many.
func (s *Server) expire() {
	for s.gone.Len() > 0 {
		p := s.gone.Front().Value.(*session)
		if s.gone.Len() <= s.o.Sessions && s.o.Now().Sub(p.since) < s.o.SessionAge {
			return
		}
		s.end(p)
	}
}

// end forgets a session.
func (s *Server) end(p *session) {
	p.ended, p.unread, p.jobs, p.ids = true, nil, nil, nil
	delete(s.sessions, p.id)
	if p.place != nil {
		s.gone.Remove(p.place)
		p.place = nil
	}
	if p.conn != nil {
		p.conn.Abort(errNoSession)
	}
}

// acknowledge forgets pushes up to n.
func (p *session) acknowledge(n uint64) {
	for len(p.unread) > 0 && p.pushed-uint64(len(p.unread)) < n {
		p.unread[0] = nil
		p.unread = p.unread[1:]
	}
	p.sent = max(p.sent, min(n, p.pushed))
}

// settle forgets answers below id: the client has got them, or given up.
func (p *session) settle(id uint64) {
	for len(p.ids) > 0 && p.ids[0] < id {
		p.forgetFirst()
	}
}

// room makes room for one more answer, and reports whether it could: what is not
// answered cannot be forgotten.
func (p *session) room(most int) bool {
	for len(p.ids) >= most && p.jobs[p.ids[0]].done {
		p.forgetFirst()
	}
	return len(p.ids) < most
}

func (p *session) remember(id uint64, j *job) {
	if p.ended {
		return
	}
	p.jobs[id] = j
	p.ids = append(p.ids, id)
}

func (p *session) forgetFirst() {
	delete(p.jobs, p.ids[0])
	p.ids = p.ids[1:]
}

// reply sends an answer, if there is a connection. If not, or if it breaks now,
// the client resumes and asks again.
func (p *session) reply(id uint64, status byte, answer []byte) {
	if p.conn == nil {
		return
	}
	frame := order.AppendUint64(append(make([]byte, 0, 10+len(answer)), kindReply), id)
	frame = append(frame, status)
	send(p.conn, append(frame, answer...))
}
