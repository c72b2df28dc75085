package reactortest

import (
	"fmt"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

// model is a wheel beside the simplest thing that keeps the same promises: a
// list of timers, each with the earliest and the latest moment it may fire at.
type model struct {
	Wheel
	tick  time.Duration
	clock time.Duration

	pending  map[*modelTimer]bool
	advances int           // Advances begun
	inside   bool          // an Advance
	lastTick time.Duration // of what this Advance has called last
	wrong    error         // the first thing that was
	others   int           // pending timers that are not the model's
}

// modelTimer is one call of AfterFunc.
type modelTimer struct {
	m        *model
	d        time.Duration // asked for
	at       time.Duration // the clock when it was
	earliest time.Duration // it must not be called before
	latest   time.Duration // the Advance that reaches this must call it
	born     int           // m.advances when it was made inside one, or 0
	fired    bool
	stopped  bool
	stop     func() bool
}

func newModel(s Subject, tick time.Duration, slots int) *model {
	return &model{Wheel: s.Wheel(tick, slots), tick: tick, pending: map[*modelTimer]bool{}}
}

func (m *model) fail(expected, happened string, args ...any) {
	if m.wrong == nil {
		m.wrong = spec.Fail(expected, happened, args...)
	}
}

// after calls AfterFunc. then, if not nil, runs inside the timer's call.
func (m *model) after(d time.Duration, then func()) *modelTimer {
	t := &modelTimer{m: m, d: d, at: m.clock, earliest: m.clock + max(d, 0)}
	t.latest = (t.earliest + m.tick - 1) / m.tick * m.tick
	if t.latest <= m.clock {
		t.latest += m.tick // its tick has been called: the next one
	}
	if m.inside {
		t.born = m.advances
	}
	m.pending[t] = true
	t.stop = m.Wheel.AfterFunc(d, func() {
		t.call()
		if then != nil {
			then()
		}
	})
	return t
}

func (t *modelTimer) String() string {
	return fmt.Sprintf("a timer of %v, made at %v on a wheel of %v ticks,", t.d, t.at, t.m.tick)
}

func (t *modelTimer) call() {
	m := t.m
	switch {
	case !m.inside:
		m.fail("timers to be called by Advance alone", "%v was called outside", t)
	case t.stopped:
		m.fail("a stopped timer never to be called", "%v was, and stop had returned true", t)
	case t.fired:
		m.fail("a timer to be called once", "%v was called twice", t)
	case t.earliest > m.clock:
		m.fail("a timer never to be early", "%v was called by Advance(%v)", t, m.clock)
	case t.born == m.advances:
		m.fail("a timer made inside an Advance to wait for a later one", "%v was called by the same Advance(%v)", t, m.clock)
	case t.latest < m.lastTick:
		m.fail("timers in the order of their ticks", "in Advance(%v) %v was called after one of tick %v", m.clock, t, m.lastTick)
	}
	m.lastTick = max(m.lastTick, t.latest)
	t.fired = true
	delete(m.pending, t)
}

// halt calls stop, and compares.
func (t *modelTimer) halt() {
	want := !t.fired && !t.stopped
	if got := t.stop(); got != want {
		t.m.fail(fmt.Sprintf("stop to return %v for %v fired: %v, stopped before: %v", want, t, t.fired, t.stopped), "it returned %v", got)
	}
	if want {
		t.stopped = true
		delete(t.m.pending, t)
	}
}

// advance calls Advance and returns the first thing that was wrong so far.
func (m *model) advance(now time.Duration) error {
	m.clock = max(m.clock, now)
	m.advances++
	m.inside, m.lastTick = true, 0
	m.Wheel.Advance(now)
	m.inside = false
	for t := range m.pending {
		if t.latest <= m.clock && t.born != m.advances {
			m.fail("a timer to be called by the Advance that passes its time, rounded up to a tick", "%v was not, by Advance(%v)", t, m.clock)
		}
	}
	if m.wrong == nil && m.Len() != len(m.pending)+m.others {
		m.fail("Len to be the number of timers that have neither fired nor been stopped", "it is %d, and there are %d", m.Len(), len(m.pending))
	}
	return m.wrong
}
