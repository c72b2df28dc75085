package reactor

import (
	"runtime/debug"
	"time"

	eventloop "github.com/asynclab/asynclab/solutions/03-eventloop"
)

// Timeouts of connections need no precision: 50 ms is coarse enough to cost
// nothing and fine enough for any of them. 1,024 slots are a turn of 51 s.
const (
	tick  = 50 * time.Millisecond
	slots = 1024
)

// SetTimeout has OnTimeout called after d, once; never early, late by up to
// 200 ms. It takes the place of one that is pending; 0 only cancels. Its loop's
// goroutine only. O(1); nothing is allocated but at the first call.
func (c *Conn) SetTimeout(d time.Duration) {
	l := c.loop
	l.wheel.stop(&c.timeout)
	if d <= 0 || c.gone {
		return
	}
	if c.timeout.fn == nil {
		c.timeout.fn = c.timedOut
	}
	l.start(&c.timeout, d)
}

// timedOut calls OnTimeout. It runs outside of the loop's own callbacks, so it
// has to look after panics itself.
func (c *Conn) timedOut() {
	defer func() {
		if v := recover(); v != nil {
			c.Abort(&eventloop.PanicError{Value: v, Stack: debug.Stack()})
		}
	}()
	if fn := c.loop.reactor.opts.OnTimeout; fn != nil {
		fn(c)
	}
}

// start starts a timer, and the ticks if there were none.
func (l *loop) start(t *timer, d time.Duration) {
	l.wheel.set(l.now())
	l.wheel.start(t, d)
	if !l.ticking {
		l.ticking = true
		l.events.AfterFunc(tick, l.onTick)
	}
}

// onTick turns the wheel. A loop without timers does not tick.
func (l *loop) onTick() {
	l.wheel.Advance(l.now())
	if l.ticking = l.wheel.Len() > 0; l.ticking {
		l.events.AfterFunc(tick, l.onTick)
	}
}

func (l *loop) now() time.Duration { return time.Since(l.began) }

// idle is what IdleTimeout needs to know of a connection.
type idle struct {
	timer timer
	heard time.Duration // on the wheel's clock: when something arrived last
}

// watchIdle starts the timer of IdleTimeout.
func (l *loop) watchIdle(c *Conn) {
	limit := l.reactor.opts.IdleTimeout
	if limit == 0 {
		return
	}
	c.idle = &idle{heard: l.now()}
	c.idle.timer.fn = func() { l.checkIdle(c) }
	l.start(&c.idle.timer, limit)
}

// hear notes that something has arrived. It leaves the timer alone: to move it
// for each message would cost more than to look once, when it fires.
func (l *loop) hear(c *Conn) {
	if c.idle != nil {
		c.idle.heard = l.now()
	}
}

// checkIdle closes c, or comes again when it would be due by what was heard.
func (l *loop) checkIdle(c *Conn) {
	left := c.idle.heard + l.reactor.opts.IdleTimeout - l.now()
	if left > 0 {
		l.start(&c.idle.timer, left)
		return
	}
	c.Abort(ErrIdle)
}

// forget stops c's timers, for good.
func (l *loop) forget(c *Conn) {
	c.gone = true
	l.wheel.stop(&c.timeout)
	if c.idle != nil {
		l.wheel.stop(&c.idle.timer)
	}
}
