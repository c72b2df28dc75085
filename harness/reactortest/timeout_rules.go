package reactortest

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

const timeoutSection = "Step 6: timeouts"

var timeoutRules = []spec.Rule[Subject]{
	{
		Name: "TimeoutFiresOnce", Group: "timeouts", Points: 3, Section: timeoutSection,
		Why: "SetTimeout is one alarm clock for each connection: set again it forgets the earlier time, set to 0 it is off. It rings once, never early, on the connection's own loop.",
		Hints: [3]string{
			"SetTimeout is called twice. What has become of the first timer?",
			"One timer in each connection: take it out of the wheel, then put it in at the new time.",
			"l.wheel.stop(&c.timeout); if d > 0 { l.wheel.set(now); l.wheel.start(&c.timeout, d); make sure that a tick will come }.",
		},
		Check: timeoutFiresOnce,
	},
	{
		Name: "TimeoutEndsWithItsConnection", Group: "timeouts", Points: 3, Section: timeoutSection,
		Why: "After OnClose nothing is called any more, and a connection that got the same descriptor number is another one. A timer that survives its connection hits a stranger.",
		Hints: [3]string{
			"A connection closes with a timeout pending. Who takes it out of the wheel?",
			"The same function that every end goes through. And SetTimeout on a connection that has gone does nothing.",
			"In onClose: c.gone = true; l.wheel.stop(&c.timeout); the idle timer, too. Timers point to the *Conn, never to a descriptor.",
		},
		Check: timeoutEndsWithItsConnection,
	},
	{
		Name: "TimeoutsCostNothing", Group: "timeouts", Points: 2, Section: timeoutSection,
		Why: "Ten thousand connections with a timeout and an idle timeout each are twenty thousand timers that are set again with every message. None may have a goroutine, and setting one again may not allocate.",
		Hints: [3]string{
			"What is made anew at each SetTimeout?",
			"The timer is a field of the connection, its function is made once, and the wheel only links it.",
			"type Conn struct { ...; timeout timer }; if c.timeout.fn == nil { c.timeout.fn = c.timedOut }.",
		},
		Check: timeoutsCostNothing,
	},
}

// setting says how a connection's timeout is set, one call after the other in
// one callback, and how often OnTimeout must be called.
type setting struct {
	what  string
	calls []time.Duration
	fires int
}

const ms = time.Millisecond

var settings = []setting{
	{"120 ms", []time.Duration{120 * ms}, 1},
	{"100 ms, and then 400 ms in its place", []time.Duration{100 * ms, 400 * ms}, 1},
	{"400 ms, and then 100 ms in its place", []time.Duration{400 * ms, 100 * ms}, 1},
	{"100 ms, and then 0", []time.Duration{100 * ms, 0}, 0},
	{"0, with nothing pending", []time.Duration{0}, 0},
	{"100 ms, 0, 100 ms", []time.Duration{100 * ms, 0, 100 * ms}, 1},
}

func timeoutFiresOnce(r *spec.Run, s Subject) error {
	const loops = 2
	d := newDiary(r)
	o := d.options(loops, "round-robin")
	o.OnTimeout = func(c Conn) {
		d.timeout(c)
		if left, ok := c.Value().(int); ok && left > 0 {
			c.SetValue(left - 1)
			c.SetTimeout(30 * ms)
		}
	}
	sv, err := serve(r, s, o)
	if err != nil {
		return err
	}
	byLoop, err := d.onEachLoop(sv, len(settings)+2)
	if err != nil {
		return err
	}
	for i, clients := range byLoop {
		if err := setAndWait(r, d, sv, i, clients); err != nil {
			return err
		}
	}
	return d.orderly()
}

// setAndWait sets the timeouts of a loop's clients: by settings, then one that
// sets itself again four times, then one that fires when the others have.
func setAndWait(r *spec.Run, d *diary, sv *serving, loop int, clients []*client) error {
	due := make([]time.Time, len(settings))
	again, guard := clients[len(settings)], clients[len(settings)+1]
	r.Step("SetTimeout on loop %d: once, again, cancelled, set anew in OnTimeout", loop)
	err := sv.on(loop, func() {
		for i, set := range settings {
			for _, t := range set.calls {
				due[i] = time.Now().Add(t)
				d.of(clients[i]).conn.SetTimeout(t)
			}
		}
		conn := d.of(again).conn
		conn.SetValue(4)
		conn.SetTimeout(30 * ms)
		d.of(guard).conn.SetTimeout(900 * ms)
	})
	if err != nil {
		return err
	}
	for i, set := range settings {
		c := clients[i]
		if set.fires == 0 {
			continue
		}
		if err := r.Until(fmt.Sprintf("OnTimeout after SetTimeout(%s)", set.what), func() bool { return d.of(c).timeouts > 0 }); err != nil {
			return err
		}
		if early := due[i].Sub(d.of(c).timedOutAt); early > 0 {
			return spec.Fail("a timeout never to be early", "SetTimeout(%s): OnTimeout was called %v early", set.what, early)
		}
	}
	if err := r.Until("OnTimeout five times for a connection that sets it again each time", func() bool { return d.of(again).timeouts >= 5 }); err != nil {
		return spec.Fail("OnTimeout five times for a connection that sets it again each time", "%d times", d.of(again).timeouts)
	}
	if err := r.Until("OnTimeout after 900 ms", func() bool { return d.of(guard).timeouts > 0 }); err != nil {
		return err
	}
	for i, set := range settings {
		if got := d.of(clients[i]).timeouts; got != set.fires {
			return spec.Fail(fmt.Sprintf("SetTimeout(%s) to call OnTimeout %d times", set.what, set.fires), "%d times", got)
		}
	}
	if got := d.of(again).timeouts; got != 5 {
		return spec.Fail("OnTimeout five times for a connection that sets it again four times", "%d times", got)
	}
	r.Step("no timeout is pending on loop %d, and it has come to rest; then one is set", loop)
	if err := sleeps(r, "with no timeout pending"); err != nil {
		return err
	}
	if err := sv.on(loop, func() { d.of(guard).conn.SetTimeout(30 * ms) }); err != nil {
		return err
	}
	return r.Until("OnTimeout for one that was set when none was pending", func() bool { return d.of(guard).timeouts > 1 })
}

func timeoutEndsWithItsConnection(r *spec.Run, s Subject) error {
	err := inEach(r, func(strategy string) error {
		for arm := 200 * ms; ; arm *= 2 { // until newcomers are there before a timeout is due
			inTime, err := leftTimeouts(r, s, strategy, arm)
			if err != nil || inTime || arm > 3*time.Second {
				return err
			}
		}
	})
	if err != nil {
		return err
	}
	return timersLetGo(r, s)
}

// leftTimeouts has connections end with a timeout pending, and others take their
// place; inTime says whether these had before it was due.
func leftTimeouts(r *spec.Run, s Subject, strategy string, arm time.Duration) (inTime bool, err error) {
	d := newDiary(r)
	o := d.options(1, strategy) // one loop, so that numbers come again there
	o.OnOpen = func(c Conn) { d.opened(c); c.SetValue("mine") }
	o.OnMessage = func(c Conn, msg []byte) {
		d.message(c)
		switch string(msg) {
		case "arm":
			c.SetTimeout(arm)
		case "guard":
			c.SetTimeout(3 * arm)
		}
		c.Send(msg)
	}
	gone := 0 // the loop's goroutine only
	o.OnClose = func(c Conn, err error) {
		if gone++; gone%3 == 0 { // the others leave it to the reactor to stop what is pending
			c.SetTimeout(50 * ms)
		}
		d.closed(c, err)
	}
	sv, err := serve(r, s, o)
	if err != nil {
		return false, err
	}
	leaving, err := d.oneByOne(sv, 6)
	if err != nil {
		return false, err
	}
	r.Step("six connections set a timeout of %v, and end: by their clients, and by Abort", arm)
	armed := time.Now()
	for i, c := range leaving {
		if err := c.send([]byte("arm")); err != nil {
			return false, err
		}
		if err := c.expect([]byte("arm")); err != nil {
			return false, err
		}
		if i%2 == 0 {
			c.Close()
		} else {
			d.of(c).conn.Abort(nil)
		}
		if _, late := d.waitClosed(c, "has ended"); late != nil {
			return false, late
		}
		c.Close()
	}
	old := d.all()
	r.Step("SetTimeout for one that has gone; others connect, and get the same descriptor numbers")
	if err := sv.on(0, func() { old[0].conn.SetTimeout(50 * ms) }); err != nil {
		return false, err
	}
	clients, err := d.oneByOne(sv, 12)
	if err != nil {
		return false, err
	}
	inTime = time.Since(armed) < arm
	guard := clients[11]
	if err := guard.send([]byte("guard")); err != nil {
		return false, err
	}
	if err := r.Until(fmt.Sprintf("OnTimeout after %v", 3*arm), func() bool { return d.of(guard).timeouts > 0 }); err != nil {
		return false, err
	}
	for _, l := range d.all() {
		if l.closed > 0 && (l.timeouts > 0 && inTime || l.late > 0) {
			return false, spec.Fail("no OnTimeout after OnClose", "%d for a connection that had gone", l.timeouts)
		}
		if l.closed == 0 && l.timeouts > 0 && l.peer != guard.LocalAddr().String() {
			return false, spec.Fail("no OnTimeout for a connection that has never set one", "%d for one that came after others had gone", l.timeouts)
		}
	}
	return inTime, d.orderly()
}

// timersLetGo has connections end long before their timeouts: a timer that stays
// in the wheel would hold each of them, and all that the application has put
// there, for an hour.
func timersLetGo(r *spec.Run, s Subject) error {
	const conns, mayStay = 30, 4 // a right one may have its last ones in a variable
	var freed atomic.Int64
	d := newDiary(r)
	o := d.options(1, "round-robin")
	o.IdleTimeout = time.Hour
	var open atomic.Int64
	o.OnOpen = func(c Conn) {
		open.Add(1)
		v := new([1 << 10]byte)
		runtime.AddCleanup(v, func(int) { freed.Add(1) }, 0)
		c.SetValue(v)
		c.SetTimeout(time.Hour)
	}
	o.OnMessage = func(Conn, []byte) {}
	o.OnClose = func(Conn, error) { open.Add(-1) } // the diary would hold them
	sv, err := serve(r, s, o)
	if err != nil {
		return err
	}
	r.Step("%d connections end whose timeout and idle timeout are an hour: the value of each becomes garbage", conns)
	var clients []*client
	for range conns {
		c, err := dial(r, sv.addr)
		if err != nil {
			return err
		}
		clients = append(clients, c)
	}
	if err := r.Until("OnOpen for each", func() bool { return open.Load() == conns }); err != nil {
		return err
	}
	for _, c := range clients {
		c.Close()
	}
	if err := r.Until("OnClose for each", func() bool { return open.Load() == 0 }); err != nil {
		return err
	}
	err = r.Until("the values of ended connections to be garbage", func() bool {
		runtime.GC()
		return freed.Load() >= conns-mayStay
	})
	if err != nil {
		return spec.Fail("nothing to hold a connection that has ended: no timer, no table", "%d of %d values are still held", conns-freed.Load(), conns)
	}
	return nil
}

func timeoutsCostNothing(r *spec.Run, s Subject) error {
	const loops, conns = 2, 1000
	d := newDiary(r)
	o := d.options(loops, "round-robin")
	o.IdleTimeout = time.Hour
	sv, err := serve(r, s, o)
	if err != nil {
		return err
	}
	if _, err := d.crowd(sv, conns); err != nil {
		return err
	}
	var byLoop [loops][]Conn
	for _, l := range d.all() {
		byLoop[l.loop] = append(byLoop[l.loop], l.conn)
	}
	before := runtime.NumGoroutine()
	r.Step("SetTimeout of an hour for each of %d connections, again and again", conns)
	setAll := func(i int) {
		for _, c := range byLoop[i] {
			c.SetTimeout(time.Hour)
		}
	}
	if err := sv.onAll(setAll); err != nil {
		return err
	}
	if more := runtime.NumGoroutine() - before; more > 50 {
		return spec.Fail("timeouts without goroutines", "%d pending ones have %d", conns, more)
	}
	for i := range loops {
		var per float64
		if err := sv.on(i, func() { per = testing.AllocsPerRun(20, func() { setAll(i) }) / float64(len(byLoop[i])) }); err != nil {
			return err
		}
		if per > 0.1 {
			return spec.Fail("SetTimeout to allocate nothing, after the first time", "%.2f allocations for each", per)
		}
	}
	return nil
}
