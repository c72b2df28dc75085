package eventlooptest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// A student who has done the handout's steps up to N must see the checks of
// step N turn green: no rule may need a method of a later step.
func TestARuleNeedsNoLaterStep(t *testing.T) {
	for step := 1; step <= 8; step++ {
		t.Run(fmt.Sprint("step ", step), func(t *testing.T) {
			part := suite
			part.Rules = nil
			for _, r := range suite.Rules {
				if strings.HasPrefix(r.Section, fmt.Sprintf("Step %d:", step)) {
					part.Rules = append(part.Rules, r)
				}
			}
			part.Accepts(t, upTo(step))
		})
	}
}

// upTo is a right loop whose methods of later steps are holes.
func upTo(step int) New {
	return func(o Options[Conn]) (Loop, error) {
		var mu sync.Mutex
		conns := map[Conn]Conn{}
		outer := func(c Conn) Conn {
			mu.Lock()
			defer mu.Unlock()
			if conns[c] == nil {
				conns[c] = &unfinishedConn{c, step}
			}
			return conns[c]
		}
		inner := Options[Conn]{MaxMessage: o.MaxMessage, MaxQueued: o.MaxQueued, ReusePort: o.ReusePort, WakeFD: o.WakeFD}
		if o.OnOpen != nil {
			inner.OnOpen = func(c Conn) { o.OnOpen(outer(c)) }
		}
		if o.OnMessage != nil {
			inner.OnMessage = func(c Conn, msg []byte) { o.OnMessage(outer(c), msg) }
		}
		if o.OnData != nil {
			inner.OnData = func(c Conn, data []byte) int { return o.OnData(outer(c), data) }
		}
		if o.OnDrain != nil {
			inner.OnDrain = func(c Conn) { o.OnDrain(outer(c)) }
		}
		if o.OnClose != nil {
			inner.OnClose = func(c Conn, err error) { o.OnClose(outer(c), err) }
		}
		l, err := newVariant("")(inner)
		if err != nil {
			return nil, err
		}
		return &unfinished{l, step}, nil
	}
}

var errHole = errors.New("not implemented: a later step")

type unfinished struct {
	Loop
	step int
}

func (u *unfinished) Adopt(fd int) error {
	if u.step < 5 {
		return errHole
	}
	return u.Loop.Adopt(fd)
}

func (u *unfinished) Post(fn func()) error {
	if u.step < 5 {
		return errHole
	}
	return u.Loop.Post(fn)
}

func (u *unfinished) AfterFunc(d time.Duration, fn func()) (stop func() bool) {
	if u.step < 6 {
		return func() bool { return false }
	}
	return u.Loop.AfterFunc(d, fn)
}

func (u *unfinished) Shutdown(ctx context.Context) error {
	if u.step < 7 {
		return errHole
	}
	return u.Loop.Shutdown(ctx)
}

type unfinishedConn struct {
	Conn
	step int
}

func (u *unfinishedConn) Send(msg []byte) error {
	if u.step < 3 {
		return errHole
	}
	return u.Conn.Send(msg)
}

func (u *unfinishedConn) Write(p []byte) (int, error) {
	if u.step < 3 {
		return 0, errHole
	}
	return u.Conn.Write(p)
}

func (u *unfinishedConn) WriteNow(p []byte) (int, error) {
	if u.step < 3 {
		return 0, errHole
	}
	return u.Conn.WriteNow(p)
}

func (u *unfinishedConn) Close() error {
	if u.step < 4 {
		return errHole
	}
	return u.Conn.Close()
}

func (u *unfinishedConn) Abort(err error) {
	if u.step >= 4 {
		u.Conn.Abort(err)
	}
}
