package retry

import (
	"context"
	"fmt"
	"hash/maphash"
	"log"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	eventloop "github.com/asynclab/asynclab/solutions/03-eventloop"
)

// job is one call that the server knows. It belongs to the loop's goroutine.
//
//	waiting ──► running ──► done: the answer is remembered
//	   └────────────────────► done: refused or expired; its key is free again
type job struct {
	key      string
	sum      uint64 // of the body, if there is a key
	body     []byte // until it runs
	deadline time.Time
	ctx      callContext
	cancel   context.CancelFunc
	asked    []asker // who is to be told, when it is done

	running, done bool
	status        byte
	answer        []byte
	doneAt        time.Time
}

// asker is a call of a session that gets a job's answer.
type asker struct {
	p  *session
	id uint64
}

// callContext is a call's context: it knows whose it is, for Push.
type callContext struct {
	context.Context
	s *Server
	p *session
}

type peerKey struct{}

// Value finds the session.
func (c callContext) Value(key any) any {
	if key == (peerKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// call acts on a call frame.
func (s *Server) call(p *session, b []byte) error {
	if len(b) < callOverhead-1 {
		return errMalformed
	}
	id, settled, left := order.Uint64(b), order.Uint64(b[8:]), order.Uint32(b[16:])
	n, b := int(b[20]), b[21:]
	if len(b) < n || id == 0 {
		return errMalformed
	}
	key, body := string(b[:n]), b[n:]
	p.settle(settled)
	if id <= p.highest {
		s.repeat(p, id)
		return nil
	}
	p.highest = id
	if !p.room(s.o.SessionAnswers) {
		s.stats.Busy++
		p.reply(id, statusBusy, nil)
		return nil
	}
	j := &job{key: key, asked: []asker{{p, id}}}
	if left > 0 {
		j.deadline = s.o.Now().Add(time.Duration(left) * time.Millisecond)
	}
	if key != "" {
		j.sum = maphash.Bytes(s.seed, body)
		if first := s.keys.find(key, s.o.Now()); first != nil {
			s.join(first, j, p, id)
			return nil
		}
		s.keys.jobs[key] = j
	}
	p.remember(id, j)
	j.body = append([]byte(nil), body...)
	s.admit(j)
	return nil
}

// repeat answers an id that the session has seen: the client did not get the
// answer, and has resumed.
func (s *Server) repeat(p *session, id uint64) {
	j := p.jobs[id]
	switch {
	case j == nil:
		p.reply(id, statusUnknown, nil)
	case j.done:
		s.stats.Duplicates++
		p.reply(id, j.status, j.answer)
	default:
		s.stats.Duplicates++ // its answer will come: the asker is there already
	}
}

// join gives a call the answer of the first one with its key, now or when it is
// there. One key for two requests is the client's mistake.
func (s *Server) join(first, j *job, p *session, id uint64) {
	if first.sum != j.sum {
		j.done, j.status, j.answer = true, statusFailed, []byte("this key was used for another request")
		p.remember(id, j)
		p.reply(id, j.status, j.answer)
		return
	}
	s.stats.Duplicates++
	p.remember(id, first)
	if first.done {
		p.reply(id, first.status, first.answer)
		return
	}
	first.asked = append(first.asked, asker{p, id})
}

// admit runs a job, has it wait, or refuses it.
func (s *Server) admit(j *job) {
	switch {
	case s.running < s.o.MaxRunning:
		s.run(j)
	case len(s.waiting) < s.o.MaxWaiting:
		s.waiting = append(s.waiting, j)
	default:
		s.stats.Busy++
		s.finish(j, statusBusy, nil)
	}
}

// run hands a job to Handle, unless its time is over: nobody would read the
// answer, and a server that is behind must not fall further behind for nobody.
func (s *Server) run(j *job) {
	ctx, cancel := context.Background(), context.CancelFunc(nil)
	if j.deadline.IsZero() {
		ctx, cancel = context.WithCancel(ctx)
	} else {
		left := j.deadline.Sub(s.o.Now())
		if left <= 0 {
			s.stats.Expired++
			s.finish(j, statusExpired, nil)
			return
		}
		ctx, cancel = context.WithTimeout(ctx, left)
	}
	j.ctx, j.cancel, j.running = callContext{ctx, s, j.asked[0].p}, cancel, true
	s.running++
	s.stats.Worked++
	body := j.body
	j.body = nil
	s.handle(j, body, s.replier(j))
}

// handle calls Handle. Its panic is the call's error: a request that brings down
// the server would bring it down again with each try.
func (s *Server) handle(j *job, body []byte, reply func([]byte, error)) {
	defer func() {
		if v := recover(); v != nil {
			log.Printf("retry: panic in Handle: %v\n%s", v, debug.Stack())
			reply(nil, fmt.Errorf("the handler panicked: %v", v))
		}
	}()
	s.o.Handle(j.ctx, body, reply)
}

// replier is the function that a handler answers with, from anywhere, once.
func (s *Server) replier(j *job) func([]byte, error) {
	var used atomic.Bool
	return func(body []byte, err error) {
		if used.Swap(true) {
			return
		}
		status := byte(statusDone)
		switch {
		case err == ErrBusy:
			status, body = statusBusy, nil
		case err != nil:
			status, body = statusFailed, []byte(err.Error())
		}
		if most := s.o.MaxMessage - replyOverhead; len(body) > most {
			// It would end each connection that it is sent over, and come again.
			text := "the answer is larger than MaxMessage"
			status, body = statusFailed, []byte(text[:max(0, min(most, len(text)))])
		}
		_ = s.loop.Post(func() { s.replied(j, status, body) }) // after Shutdown nobody is left to tell
	}
}

// replied ends a job that ran, and lets the next one run.
func (s *Server) replied(j *job, status byte, answer []byte) {
	j.cancel()
	s.running--
	if status == statusBusy {
		s.stats.Busy++
	}
	s.finish(j, status, answer)
	for s.running < s.o.MaxRunning && len(s.waiting) > 0 {
		next := s.waiting[0]
		s.waiting[0] = nil
		s.waiting = s.waiting[1:]
		s.run(next)
	}
}

// finish tells all who have asked. What was not worked on is not remembered
// under its key: the next try is a new one.
func (s *Server) finish(j *job, status byte, answer []byte) {
	j.done, j.running, j.status, j.answer, j.body = true, false, status, answer, nil
	j.doneAt = s.o.Now()
	if j.key != "" {
		s.keys.finished(j, status == statusDone || status == statusFailed)
	}
	for _, a := range j.asked {
		a.p.reply(a.id, status, answer)
	}
	j.asked = nil
}

// cancelled acts on a client's word that it does not wait for id any more. A call
// with a key goes on: the same client, or another one, may come back for it.
func (s *Server) cancelled(p *session, id uint64) {
	j := p.jobs[id]
	if j == nil || j.done || j.key != "" {
		return
	}
	if j.running {
		j.cancel()
		return
	}
	s.waiting = slices.DeleteFunc(s.waiting, func(o *job) bool { return o == j })
	s.finish(j, statusExpired, nil)
}

// send sends a frame to a connection. A client that does not take what it is
// owed is cut off: it resumes when it can.
func send(c *eventloop.Conn, payload []byte) {
	if err := c.Send(payload); err != nil {
		c.Abort(err)
	}
}
