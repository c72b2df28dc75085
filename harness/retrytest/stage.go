package retrytest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

// A stage is a client on trial and the endpoints that the judge plays for it, in
// a bubble.
type stage struct {
	r     *spec.Run
	l     lab
	c     client
	at    []*endpoint
	began time.Time
	mu    sync.Mutex    // guards the following
	push  []string      // what OnPush got: "0:text"
	kept  [][]byte      // the same, as OnPush got it: it is the callee's
	reset []int         // what OnReset got
	stop  chan struct{} // OnPush waits until it is closed, if there is one
}

// endpoint is a server that the judge plays. It welcomes by itself, reads all, and
// answers what it is told to.
type endpoint struct {
	mu      sync.Mutex    // guards the following
	down    bool          // refuses connections
	hang    bool          // never answers a dial
	slow    time.Duration // after its context's end, until a dial that hangs returns
	mute    bool          // never welcomes
	late    time.Duration // that a Write returns after it has written
	deaf    bool          // welcomes, and then hangs up at once
	forget  bool          // resumes no session
	cut     int           // reads so many bytes behind the next welcome, and hangs up; 0 means all
	greet   []frame       // follow the next welcome
	dials   []time.Duration
	links   []*link
	session uint64
}

// link is one connection of an endpoint.
type link struct {
	conn   net.Conn // the judge's end
	hello  frame
	mu     sync.Mutex
	got    []frame // since the last take
	ended  bool
	closed time.Duration // when it ended
}

// play runs each of acts in a bubble with a client of o, and n endpoints. tune may
// change them before the client is made.
func play(r *spec.Run, l lab, n int, o Options, tune func(s *stage), acts ...func(s *stage) error) error {
	for _, act := range acts {
		if err := playOne(r, l, n, o, tune, act); err != nil {
			return err
		}
	}
	return nil
}

// inTurn is a check that consists of several.
func inTurn(checks ...func(*spec.Run, lab) error) func(*spec.Run, lab) error {
	return func(r *spec.Run, l lab) error {
		for _, check := range checks {
			if err := check(r, l); err != nil {
				return err
			}
		}
		return nil
	}
}

func playOne(r *spec.Run, l lab, n int, o Options, tune func(s *stage), f func(s *stage) error) error {
	return r.Bubble(func(r *spec.Run) error {
		s := &stage{r: r, l: l, began: time.Now()}
		for range n {
			e := &endpoint{session: 1000 * uint64(len(s.at)+1)}
			s.at = append(s.at, e)
			o.Dial = append(o.Dial, s.dialer(e))
		}
		o.OnPush = func(i int, body []byte) {
			s.asks()
			s.mu.Lock()
			stop := s.stop
			s.push, s.kept = append(s.push, fmt.Sprintf("%d:%s", i, body)), append(s.kept, body)
			s.mu.Unlock()
			if stop != nil {
				<-stop
			}
		}
		o.OnReset = func(i int) {
			s.asks()
			s.mu.Lock()
			defer s.mu.Unlock()
			s.reset = append(s.reset, i)
		}
		if tune != nil {
			tune(s)
		}
		c, err := l.New(o)
		if err != nil {
			return spec.Fail("New to make a client", "it returned: %v", err)
		}
		s.mu.Lock()
		s.c = c
		s.mu.Unlock()
		r.Cleanup(func() {
			c.Close()
			for _, e := range s.at {
				for _, k := range e.all() {
					k.conn.Close()
				}
			}
		})
		synctest.Wait()
		return f(s)
	})
}

// asks calls the client: whoever is called back may.
func (s *stage) asks() {
	s.mu.Lock()
	c := s.c
	s.mu.Unlock()
	if c != nil {
		c.Stats()
	}
}

func (s *stage) since() time.Duration { return time.Since(s.began) }

func (s *stage) dialer(e *endpoint) Dial {
	return func(ctx context.Context) (net.Conn, error) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.dials = append(e.dials, s.since())
		if e.down {
			return nil, errors.New("connection refused")
		}
		if e.hang {
			e.mu.Unlock()
			<-ctx.Done()
			time.Sleep(e.slow)
			e.mu.Lock()
			return nil, ctx.Err()
		}
		mine, theirs := net.Pipe()
		k := &link{conn: mine}
		e.links = append(e.links, k)
		go e.serve(s, k)
		if e.late > 0 {
			return lateConn{theirs, e.late}, nil
		}
		return theirs, nil
	}
}

// lateConn has written before its Write returns, as a socket whose process is not
// scheduled: meanwhile the answer may come, or the end.
type lateConn struct {
	net.Conn
	late time.Duration
}

func (c lateConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	time.Sleep(c.late)
	return n, err
}

// serve reads a connection to its end.
func (e *endpoint) serve(s *stage, k *link) {
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.ended, k.closed = true, s.since()
		k.conn.Close()
	}()
	h, err := readFrame(k.conn)
	if err != nil {
		return
	}
	k.mu.Lock()
	k.hello = h
	k.mu.Unlock()
	e.mu.Lock()
	w, greet, mute, deaf, cut := e.welcome(h), e.greet, e.mute, e.deaf, e.cut
	e.greet, e.cut = nil, 0
	e.mu.Unlock()
	if !mute {
		if k.send(append([]frame{w}, greet...)...) != nil || deaf {
			return
		}
	}
	if cut > 0 {
		io.CopyN(io.Discard, k.conn, int64(cut))
		return
	}
	for {
		f, err := readFrame(k.conn)
		if err != nil && f.trouble == nil {
			return
		}
		k.mu.Lock()
		k.got = append(k.got, f)
		k.mu.Unlock()
	}
}

// welcome answers a hello. mu is held.
func (e *endpoint) welcome(h frame) frame {
	if h.id != 0 && !e.forget {
		return frame{kind: welcome, id: h.id, status: 1}
	}
	e.session++
	return frame{kind: welcome, id: e.session}
}

// set changes an endpoint.
func (e *endpoint) set(f func(e *endpoint)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f(e)
}

func (e *endpoint) all() []*link {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.links)
}

// dialled is when the client has dialled.
func (e *endpoint) dialled() []time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.dials)
}

// link is the newest connection, once everything has come to rest.
func (e *endpoint) link() (*link, error) {
	synctest.Wait()
	all := e.all()
	if len(all) == 0 {
		return nil, spec.Fail("the client to connect", "it has not")
	}
	return all[len(all)-1], nil
}

// take returns the frames that have come since the last take, once everything has
// come to rest, but for acks and pings unless they are asked for.
func (k *link) take(kinds ...byte) []frame {
	synctest.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	got := k.got
	k.got = nil
	return slices.DeleteFunc(got, func(f frame) bool {
		if len(kinds) > 0 {
			return f.trouble == nil && !slices.Contains(kinds, f.kind)
		}
		return f.kind == ack || f.kind == ping
	})
}

func (k *link) over() (bool, time.Duration) {
	synctest.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ended, k.closed
}

// send sends frames in one write.
func (k *link) send(all ...frame) error {
	var b []byte
	for _, f := range all {
		b = append(b, f.encode()...)
	}
	_, err := k.conn.Write(b)
	return err
}

// answer sends the status done for a call.
func (k *link) answer(f frame, body string) error {
	return k.send(frame{kind: reply, id: f.id, body: body})
}

// forgive takes out the cancel of a call that was given up while there was no
// connection: a client may tell it later, or not.
func (k *link) forgive(id uint64) {
	synctest.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.got = slices.DeleteFunc(k.got, func(f frame) bool { return f.kind == cancel && f.id == id })
}

// calls is take, which must be n calls with these bodies.
func (k *link) calls(when string, bodies ...string) ([]frame, error) {
	got := k.take()
	var text []string
	for _, f := range got {
		if f.kind != call || f.trouble != nil {
			text = append(text, f.String())
		} else {
			text = append(text, f.body)
		}
	}
	if !slices.Equal(text, bodies) {
		return nil, spec.Fail(fmt.Sprintf("the server to get %s %s", list(bodies), when), "it got %s", list(text))
	}
	return got, nil
}

// together is calls for what was due at the same time: in any order. The frames
// are in the order of bodies.
func (k *link) together(when string, bodies ...string) ([]frame, error) {
	got := k.take()
	slices.SortStableFunc(got, func(a, b frame) int { return slices.Index(bodies, a.body) - slices.Index(bodies, b.body) })
	k.mu.Lock()
	k.got = got
	k.mu.Unlock()
	return k.calls(when, bodies...)
}

func list(all []string) string {
	if len(all) == 0 {
		return "no call"
	}
	if len(all) > 12 {
		all = append(slices.Clone(all[:12]), fmt.Sprintf("... %d in all", len(all)))
	}
	return "the calls [" + strings.Join(all, ", ") + "]"
}

// result is what became of a call.
type result struct {
	what  string
	times int
	at    time.Duration // since it was made
	body  string
	kept  []byte // the same, as the client gave it: it is the caller's
	err   error
}

// call makes a call and watches its result.
func (s *stage) call(req Request) *result {
	res, _ := s.watch(req)
	return res
}

func (s *stage) watch(req Request) (*result, Future) {
	res, made := &result{what: string(req.Body[:min(len(req.Body), 20)])}, time.Now()
	f := s.c.Go(req)
	f.Then(nil, func(body []byte, err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		res.times++
		res.at, res.body, res.kept, res.err = time.Since(made), string(body), body, err
	})
	return res, f
}

// is checks a result, once everything has come to rest: an answer, or an error's
// name. "" means that there is none yet.
func (s *stage) is(res *result, when, want string) error {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	got := ""
	switch {
	case res.times > 1:
		return spec.Fail("each callback once", "that of call %s ran %d times", res.what, res.times)
	case string(res.kept) != res.body:
		return spec.Fail(fmt.Sprintf("the answer %q to be the caller's to keep", res.body), "it has become %q", res.kept)
	case res.times == 1 && res.err == nil:
		got = res.body
	case res.times == 1:
		got = s.l.name(res.err)
	}
	if got != want {
		return spec.Fail(fmt.Sprintf("the result of call %s %s to be %s", res.what, when, quoted(want)), "it is %s", quoted(got))
	}
	return nil
}

// either is is, for what may be said in two ways.
func (s *stage) either(res *result, when, one, two string) error {
	if s.is(res, when, two) == nil {
		return nil
	}
	err := s.is(res, when, one)
	if f := new(spec.Failure); errors.As(err, &f) {
		f.Expected += fmt.Sprintf(" or %q", two)
	}
	return err
}

func quoted(s string) string {
	if s == "" {
		return "none yet"
	}
	if len(s) > 100 {
		return fmt.Sprintf("%q..., %d bytes", s[:20], len(s))
	}
	return fmt.Sprintf("%q", s)
}

// after checks when a result came.
func (s *stage) after(res *result, want time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if res.at != want {
		return spec.Fail(fmt.Sprintf("the result of call %s after %v", res.what, want), "it came after %v", res.at)
	}
	return nil
}

// pushed checks what OnPush got.
func (s *stage) pushed(when string, want ...string) error {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, body := range s.kept {
		if _, was, _ := strings.Cut(s.push[i], ":"); was != string(body) {
			return spec.Fail(fmt.Sprintf("the push %q to be OnPush's to keep", was), "it has become %q", body)
		}
	}
	if !slices.Equal(s.push, want) {
		return spec.Fail(fmt.Sprintf("OnPush to have got %q %s", want, when), "it got %q", s.push)
	}
	return nil
}

// idle checks that the client keeps nothing of calls that are over.
func (s *stage) idle(when string) error {
	synctest.Wait()
	if n := s.c.Stats(); n.Pending != 0 || n.Unanswered != 0 {
		return spec.Fail("nothing to be pending "+when, "Stats has Pending %d, Unanswered %d", n.Pending, n.Unanswered)
	}
	return nil
}

func req(body string) Request { return Request{Body: []byte(body)} }

// first returns the first error.
func first(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}
