package reactortest

import (
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var idleRules = []spec.Rule[Subject]{
	{
		Name: "IdleClosesTheSilent", Group: "timeouts", Points: 4, Section: timeoutSection,
		Why: "A peer whose machine was switched off sends no end: only its silence tells. Whoever is silent for IdleTimeout is closed, never before, with an error for OnClose; whoever talks stays. What we send proves nothing: the kernel takes it for a dead peer as well.",
		Hints: [3]string{
			"Which event of a connection starts its time anew, and which does not?",
			"Note the time when something has arrived. Do not move the timer then: when it fires, see how much time is left, and start it again for that.",
			"onMessage: c.heard = now. The timer: if left := c.heard + IdleTimeout - now; left > 0 { start(left) } else { c.Abort(ErrIdle) }.",
		},
		Check: idleClosesTheSilent,
	},
}

const idle = 800 * time.Millisecond

func idleClosesTheSilent(r *spec.Run, s Subject) error {
	for _, strategy := range []string{"round-robin", "reuseport"} {
		for try := 1; ; try++ {
			r.Step("Accept is %q, IdleTimeout %v", strategy, idle)
			fair, err := talkAndBeSilent(r, s, strategy)
			if err == nil {
				break
			}
			if fair || try == 5 {
				return in(strategy, err)
			}
			r.Step("the judge itself was silent for too long (a busy machine); once more")
		}
	}
	return nil
}

// talker is a client that has an echo again and again.
type talker struct {
	*client
	last time.Time // when it last wrote
	gap  time.Duration
}

func (t *talker) talk() error {
	now := time.Now()
	t.gap = max(t.gap, now.Sub(t.last))
	t.last = now
	if err := t.send([]byte("still here")); err != nil {
		return err
	}
	return t.expect([]byte("still here"))
}

// talkAndBeSilent has on each loop a client that talks, one that is silent from
// the start, one that is silent and sent to, and one that talks once, at half of
// its time, and is silent then. fair means that the talking ones were never
// silent for long.
func talkAndBeSilent(r *spec.Run, s Subject, strategy string) (fair bool, err error) {
	const loops = 2
	d := newDiary(r)
	o := d.options(loops, strategy)
	o.IdleTimeout = idle
	began := time.Now()
	sv, err := serve(r, s, o)
	if err != nil {
		return true, err
	}
	byLoop, err := d.onEachLoop(sv, 4)
	if err != nil {
		return time.Since(began) < idle, err
	}
	var talkers []*talker
	var pushed []Conn
	var once, talked []*client
	var newcomer *client             // silent from when the others had talked once
	since := map[*client]time.Time{} // nothing has arrived from it
	for _, clients := range byLoop {
		talkers = append(talkers, &talker{client: clients[0], last: began})
		for _, c := range clients[1:] {
			since[c] = began
		}
		pushed = append(pushed, d.of(clients[1]).conn)
		once = append(once, clients[2])
	}
	r.Step("on each loop one client talks, one does so once, the others are silent; the silent have to go")
	open := func() (n int) {
		for c := range since {
			n += 1 - min(1, d.of(c).closed)
		}
		return n
	}
	steady := func() bool {
		ok := true
		for _, t := range talkers {
			ok = ok && max(t.gap, time.Since(t.last)) < idle*3/4
		}
		return ok
	}
	for open() > 0 {
		for _, t := range talkers {
			if err := t.talk(); err != nil && !over(r) {
				return steady(), spec.Fail("a connection that talks to stay open", "%v", err)
			}
		}
		for _, c := range pushed {
			c.Send([]byte("news"))
		}
		if newcomer == nil && time.Since(began) > idle/2 {
			for _, c := range once {
				since[c] = time.Now()
				if err := (&talker{client: c}).talk(); err != nil {
					return false, spec.Fail("a connection to stay open that talks at half of its time", "%v", err)
				}
			}
			if newcomer, err = d.arrival(sv, since); err != nil {
				return false, err
			}
			talked = once
		}
		if over(r) {
			return true, spec.Fail("the silent connections to be closed", "%d of %d are open still", open(), len(since))
		}
		pause(r, 10*time.Millisecond) // not to be a flood
	}
	for c, from := range since {
		l := d.of(c)
		if early := idle - l.closedAt.Sub(from); early > 0 {
			return true, spec.Fail("a silent connection not to be closed early", "it was closed %v early", early)
		}
		if l.err == nil {
			return true, spec.Fail("an error for OnClose when a connection was idle", "nil")
		}
	}
	for _, c := range talked {
		if late := d.of(c).closedAt.Sub(d.of(newcomer).closedAt); late > idle/4 {
			return false, spec.Fail("who talked once to be closed when IdleTimeout has passed since, as a newcomer of that moment is", "it was closed %v after the newcomer", late)
		}
	}
	for _, t := range talkers {
		if l := d.of(t.client); l.closed > 0 {
			return steady(), spec.Fail("a connection that talks to stay open", "it was closed with: %v", l.err)
		}
	}
	return true, d.orderly()
}

// arrival is one more client, silent from now on.
func (d *diary) arrival(sv *serving, since map[*client]time.Time) (*client, error) {
	from := time.Now()
	c, err := d.crowd(sv, 1)
	if err != nil {
		return nil, err
	}
	since[c[0]] = from
	return c[0], nil
}

// over reports whether the check's deadline has passed. A client's connection
// has the same deadline, and may notice it a moment before the context does.
func over(r *spec.Run) bool {
	deadline, _ := r.Context().Deadline()
	return !time.Now().Before(deadline)
}

// pause lets some time pass, but not beyond the check's deadline.
func pause(r *spec.Run, d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.Context().Done():
	}
}
