package retrytest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"
)

// vserver has a goroutine for each connection's input and one for its output, and
// one lock over all.
type vserver struct {
	fault
	o    ServerOptions
	l    net.Listener
	over chan struct{}
	once sync.Once

	turns chan func() // of calls that have waited, in their order

	mu       sync.Mutex // guards the following, and all below
	sessions map[uint64]*vsession
	keys     map[string]*vjob
	done     []*vjob // with a key, the oldest first
	waiting  []*vjob
	conns    map[*vconn]bool
	n        ServerStats
	last     uint64 // session, for a fault
	buf      []byte // for a fault
}

type vsession struct {
	id      uint64
	conn    *vconn
	gone    time.Time
	high    uint64
	jobs    map[uint64]*vjob
	ids     []uint64
	pushed  uint64
	pending []frame
	ended   bool
}

type vjob struct {
	s       *vserver
	owner   *vsession
	key     string
	sum     uint64
	body    []byte
	until   time.Time
	left    time.Duration // in the frame
	ctx     context.Context
	cancel  context.CancelFunc
	askers  []func(status byte, body string)
	running bool
	done    bool
	at      time.Time
	status  byte
	answer  string
}

// vconn has an unbounded list of frames to be written.
type vconn struct {
	conn net.Conn
	mu   sync.Mutex
	cond *sync.Cond
	out  []byte
	dead bool
}

func newVserver(f fault, o ServerOptions) (*vserver, error) {
	bad := o.Handle == nil || o.KeyAge < 0 || o.SessionAge < 0
	for _, n := range []int{o.MaxMessage, o.MaxRunning, o.MaxWaiting + 1, o.Keys, o.Sessions, o.SessionPushes, o.SessionAnswers} {
		bad = bad || n < 0
	}
	if bad && !f.is("takes any options") {
		return nil, errors.New("bad options")
	}
	for n, v := range map[*int]int{&o.MaxMessage: 1 << 20, &o.MaxRunning: 1024, &o.MaxWaiting: 1024, &o.Keys: 100_000, &o.Sessions: 10_000, &o.SessionPushes: 1024, &o.SessionAnswers: 10_000} {
		if *n == 0 {
			*n = v
		}
	}
	if o.KeyAge == 0 {
		o.KeyAge = 10 * time.Minute
	}
	if o.SessionAge == 0 {
		o.SessionAge = time.Minute
	}
	o.MaxWaiting = max(o.MaxWaiting, 0)
	if o.Now == nil {
		o.Now = time.Now
	}
	return &vserver{fault: f, o: o, over: make(chan struct{}), turns: make(chan func(), 1<<16), sessions: map[uint64]*vsession{}, keys: map[string]*vjob{}, conns: map[*vconn]bool{}}, nil
}

func (s *vserver) Listen(addr string) (net.Addr, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	s.l = l
	return l.Addr(), nil
}

func (s *vserver) Run() error {
	go func() {
		for {
			select {
			case run := <-s.turns:
				run()
			case <-s.over:
				return
			}
		}
	}()
	for {
		conn, err := s.l.Accept()
		if err != nil {
			return nil
		}
		c := &vconn{conn: conn}
		c.cond = sync.NewCond(&c.mu)
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		go c.write()
		go s.serve(c)
	}
}

func (s *vserver) Shutdown(context.Context) error {
	err := s.l.Close()
	s.once.Do(func() { close(s.over) })
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.close()
	}
	return err
}

func (s *vserver) Stats() ServerStats {
	if s.is("Stats waits for a server that has ended") {
		select {
		case <-s.over:
			select {}
		default:
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	n := s.n
	n.Waiting, n.Keys, n.Sessions = len(s.waiting), len(s.done), len(s.sessions)
	for _, p := range s.sessions {
		if p.conn != nil {
			n.Connected++
		}
	}
	return n
}

func (c *vconn) send(f frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = append(c.out, f.encode()...)
	c.cond.Signal()
}

func (c *vconn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead = true
	c.cond.Signal()
	c.conn.Close()
}

func (c *vconn) write() {
	for {
		c.mu.Lock()
		for len(c.out) == 0 && !c.dead {
			c.cond.Wait()
		}
		b, dead := c.out, c.dead
		c.out = nil
		c.mu.Unlock()
		if dead {
			return
		}
		if _, err := c.conn.Write(b); err != nil {
			c.close()
			return
		}
	}
}

// limited refuses frames above a bound.
func limited(in *bufio.Reader, most int) (frame, error) {
	head, err := in.Peek(4)
	if err != nil {
		return frame{}, err
	}
	if n := int(head[0])<<24 | int(head[1])<<16 | int(head[2])<<8 | int(head[3]); n > most {
		return frame{}, fmt.Errorf("%d bytes", n)
	}
	return readFrame(in)
}

func (s *vserver) serve(c *vconn) {
	in := bufio.NewReader(c.conn)
	var p *vsession
	for {
		f, err := limited(in, s.o.MaxMessage)
		if s.is("garbage is skipped") && f.trouble != nil {
			continue
		}
		if err != nil {
			break
		}
		if p == nil && s.is("takes calls without a hello") && f.kind == call {
			p = s.hello(c, frame{})
		}
		if p == nil {
			if f.kind != hello || f.status != 1 && !s.is("any version will do") {
				break
			}
			p = s.hello(c, f)
			continue
		}
		if !s.act(c, p, f) {
			break
		}
		if s.is("one call of a read") {
			in.Discard(in.Buffered())
		}
	}
	c.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if p != nil && (p.conn == c || s.is("any connection's end counts")) {
		p.conn, p.gone = nil, s.o.Now()
		if s.is("a lost connection ends its work") {
			for _, j := range p.jobs {
				if j.running {
					j.cancel()
				}
			}
		}
		s.expire()
	}
}

func (s *vserver) act(c *vconn, p *vsession, f frame) bool {
	s.mu.Lock()
	if p.conn != c {
		s.mu.Unlock()
		return false
	}
	var run func()
	ok := true
	switch f.kind {
	case ping:
		c.send(frame{kind: pong})
	case ack:
		if !s.is("an ack forgets nothing") {
			p.ack(f.id)
		}
	case cancel:
		run = s.cancelled(p, f.id)
	case call:
		ok = f.id != 0
		if ok {
			run = s.call(p, f)
		}
	default:
		ok = false
	}
	s.mu.Unlock()
	if run != nil {
		run()
	}
	return ok
}

func (s *vserver) hello(c *vconn, f frame) *vsession {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	p := s.sessions[f.id]
	resumed := p != nil && f.last <= p.pushed && (f.last+uint64(len(p.pending)) >= p.pushed || s.is("resumes what has missed a push"))
	if resumed && p.conn != nil && s.is("the first connection counts") {
		resumed = false
	}
	if s.is("resumes any number of pushes") && p != nil {
		resumed = true
	}
	if !resumed {
		p = &vsession{id: rand.Uint64() | 1, jobs: map[uint64]*vjob{}}
		if s.is("sessions can be guessed") {
			s.last++
			p.id = s.last
		}
		s.sessions[p.id] = p
	}
	if p.conn != nil && !s.is("the old connection stays") {
		old := p.conn
		go old.close()
	}
	p.conn = c
	w := frame{kind: welcome, id: p.id}
	if resumed {
		w.status = 1
	}
	c.send(w)
	if !s.is("all pushes come again") {
		p.ack(f.last)
	}
	if s.is("who is behind is cut off") && p.behind() {
		go c.close()
		return p
	}
	for _, q := range p.pending {
		c.send(q)
	}
	return p
}

func (p *vsession) ack(n uint64) {
	p.pending = slices.DeleteFunc(p.pending, func(f frame) bool { return f.id <= n })
}

// expire forgets what is too old or too much.
func (s *vserver) expire() {
	now := s.o.Now()
	for len(s.done) > 0 {
		i := 0
		if s.is("the newest key is forgotten") {
			i = len(s.done) - 1
		}
		old := now.Sub(s.done[0].at) >= s.o.KeyAge && !s.is("keys do not age")
		n := len(s.done)
		if s.is("keys that run push out the others") {
			n = len(s.keys)
		}
		if !old && (n <= s.o.Keys || s.is("keys for ever")) {
			break
		}
		if old {
			i = 0
		}
		delete(s.keys, s.done[i].key)
		s.done = slices.Delete(s.done, i, i+1)
	}
	var gone []*vsession
	for _, p := range s.sessions {
		if p.conn == nil {
			gone = append(gone, p)
		}
	}
	slices.SortFunc(gone, func(a, b *vsession) int { return a.gone.Compare(b.gone) })
	for i, p := range gone {
		old := now.Sub(p.gone) >= s.o.SessionAge && !s.is("sessions do not age")
		if s.is("connected sessions push out the others") && len(s.sessions) > s.o.Sessions {
			old = true
		}
		if old || len(gone)-i > s.o.Sessions && !s.is("any number of sessions") {
			s.end(p)
		}
	}
}

func (s *vserver) end(p *vsession) {
	p.ended = true
	delete(s.sessions, p.id)
	if p.conn != nil {
		go p.conn.close()
	}
}

// call acts on a call. It returns what is to be done without the lock.
func (s *vserver) call(p *vsession, f frame) func() {
	for len(p.ids) > 0 && p.ids[0] < f.last {
		delete(p.jobs, p.ids[0])
		p.ids = p.ids[1:]
	}
	answer := func(status byte, body string) {
		if p.conn != nil {
			p.conn.send(frame{kind: reply, id: f.id, status: status, body: body})
		}
	}
	if f.id <= p.high && !s.is("works again on what is asked again") {
		j := p.jobs[f.id]
		switch {
		case j == nil && s.is("a forgotten answer is worked on again"):
		case j == nil:
			answer(unknown, "")
			return nil
		case j.done:
			s.n.Duplicates++
			if s.is("an answer is given once") {
				return nil
			}
			answer(j.status, j.answer)
			return nil
		default:
			s.n.Duplicates++
			return nil
		}
	}
	p.high = max(p.high, f.id)
	for len(p.ids) >= s.o.SessionAnswers && p.jobs[p.ids[0]].done && !s.is("answers for ever") {
		delete(p.jobs, p.ids[0])
		p.ids = p.ids[1:]
	}
	if len(p.ids) >= s.o.SessionAnswers && !s.is("answers for ever") {
		s.n.Busy++
		answer(busy, "")
		return nil
	}
	j := &vjob{s: s, owner: p, key: f.key, body: []byte(f.body), askers: []func(byte, string){answer}}
	if s.is("keys mean nothing") {
		j.key = ""
	}
	if j.key != "" && s.is("keys of a session") {
		j.key = fmt.Sprint(p.id, " ", j.key)
	}
	if f.left > 0 {
		j.left = time.Duration(f.left) * time.Millisecond
		j.until = s.o.Now().Add(j.left)
	}
	h := fnv.New64a()
	h.Write(j.body)
	j.sum = h.Sum64()
	p.jobs[f.id] = j
	p.ids = append(p.ids, f.id)
	if j.key != "" {
		s.expire()
		if one := s.keys[j.key]; one != nil && !(s.is("twins both work") && !one.done) {
			if one.sum != j.sum && !s.is("a key for two requests") {
				j.done, j.status, j.answer = true, failed, "another request"
				answer(failed, j.answer)
				return nil
			}
			s.n.Duplicates++
			p.jobs[f.id] = one
			if one.done {
				answer(one.status, one.answer)
			} else if !s.is("only the first twin is told") {
				one.askers = append(one.askers, answer)
			}
			return nil
		}
		s.keys[j.key] = j
	}
	switch {
	case s.n.Running < s.o.MaxRunning || s.is("any number runs"):
		return s.run(j)
	case len(s.waiting) < s.o.MaxWaiting && !s.is("nobody waits") || s.is("any number waits"):
		s.waiting = append(s.waiting, j)
	default:
		s.n.Busy++
		s.finish(j, busy, "")
	}
	return nil
}

func (s *vserver) run(j *vjob) func() {
	ctx, cancel := context.WithCancel(context.Background())
	if !j.until.IsZero() {
		d := j.until.Sub(s.o.Now())
		if d <= 0 && !s.is("works on the expired") {
			s.n.Expired++
			s.finish(j, expired, "")
			cancel()
			return s.next()
		}
		switch {
		case s.is("handlers know no deadline"):
		case s.is("a deadline is only told"):
			ctx = told{ctx, time.Now().Add(d)}
		default:
			if s.is("who has waited has all of his time") {
				d = j.left
			}
			ctx, cancel = context.WithTimeout(ctx, d)
		}
	}
	j.ctx, j.cancel, j.running = context.WithValue(ctx, vkey{}, j), cancel, true
	s.n.Running++
	s.n.Worked++
	return func() {
		reply := s.replier(j)
		if !s.is("a panic ends the server") {
			defer func() {
				if v := recover(); v != nil && !s.is("a panic leaves its call open") {
					reply(nil, fmt.Errorf("panic: %v", v))
				}
			}()
		}
		body := j.body
		if s.is("a body is part of the buffer") {
			s.mu.Lock()
			s.buf = append(s.buf[:0], body...)
			body = s.buf
			s.mu.Unlock()
		}
		s.o.Handle(j.ctx, body, reply)
	}
}

type told struct {
	context.Context
	at time.Time
}

func (t told) Deadline() (time.Time, bool) { return t.at, true }

type vkey struct{}

func (s *vserver) replier(j *vjob) func([]byte, error) {
	return func(body []byte, err error) {
		s.mu.Lock()
		if j.done {
			if s.is("every reply is sent") {
				j.owner.conn.send(frame{kind: reply, id: j.owner.ids[len(j.owner.ids)-1], body: string(body)})
			}
			s.mu.Unlock()
			return
		}
		if !s.is("a context goes on after the reply") {
			j.cancel()
		}
		s.n.Running--
		j.running = false
		if err != nil {
			body = []byte(err.Error())
		}
		if 10+len(body) > s.o.MaxMessage && !s.is("answers of any size") {
			err = errors.New("too large")
		}
		switch {
		case err == errBusy:
			s.n.Busy++
			s.finish(j, busy, "")
		case err != nil:
			s.finish(j, failed, err.Error())
		default:
			s.finish(j, done, string(body))
		}
		if run := s.next(); run != nil {
			s.turns <- run // elsewhere: the handler that has replied goes on
		}
		s.mu.Unlock()
	}
}

// next runs the next one that waits.
func (s *vserver) next() func() {
	if len(s.waiting) == 0 || s.n.Running >= s.o.MaxRunning || s.is("who waits is forgotten") {
		return nil
	}
	j := s.waiting[0]
	s.waiting = s.waiting[1:]
	return s.run(j)
}

func (s *vserver) finish(j *vjob, status byte, body string) {
	j.done, j.status, j.answer, j.at = true, status, body, s.o.Now()
	if j.key != "" {
		keep := status == done || status == failed && !s.is("failures are not remembered") || s.is("a refusal is remembered")
		if keep {
			s.done = append(s.done, j)
			s.expire()
		} else {
			delete(s.keys, j.key)
		}
	}
	for i, tell := range j.askers {
		if i > 0 && status == busy && s.is("a refusal is told once") {
			break
		}
		tell(status, body)
	}
}

func (s *vserver) cancelled(p *vsession, id uint64) func() {
	j := p.jobs[id]
	twin := s.is("a cancel ends its twins") && j != nil && !j.running
	if j == nil || j.done || j.key != "" && !s.is("a key is cancelled, too") && !twin || s.is("a cancel is ignored") {
		return nil
	}
	if j.running {
		j.cancel()
		if s.is("a cancel frees the place") {
			s.n.Running--
			return s.next()
		}
		return nil
	}
	if s.is("a cancel leaves who waits") {
		return nil
	}
	s.waiting = slices.DeleteFunc(s.waiting, func(o *vjob) bool { return o == j })
	s.finish(j, expired, "")
	return nil
}

func vpush(ctx context.Context, body []byte) error {
	j, ok := ctx.Value(vkey{}).(*vjob)
	if !ok {
		return errors.New("no session")
	}
	s, p := j.s, j.owner
	s.mu.Lock()
	defer s.mu.Unlock()
	if 9+len(body) > s.o.MaxMessage && !s.is("pushes of any size") {
		return errTooLarge
	}
	if p.ended || p.conn == nil && s.is("pushes into nowhere") {
		return nil
	}
	p.pushed++
	f := frame{kind: push, id: p.pushed, body: string(body)}
	p.pending = append(p.pending, f)
	if len(p.pending) > s.o.SessionPushes && !s.is("any number of pushes") {
		s.end(p)
		return nil
	}
	switch {
	case p.conn == nil:
	case s.is("who is behind is cut off") && p.behind():
		go p.conn.close()
	default:
		p.conn.send(f)
	}
	return nil
}

// behind: more waits for the client than fits into a queue of 4 MiB.
func (p *vsession) behind() bool {
	n := 0
	for _, f := range p.pending {
		n += len(f.body)
	}
	return n > 4<<20
}
