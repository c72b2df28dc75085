package retrytest

import (
	"fmt"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var breakerRules = []spec.Rule[lab]{
	{
		Name: "BreakerOpens", Group: "breaker", Points: 1, Section: step2,
		Why: "Calls to a server that does not answer cost a timeout each, and everything that waits for them piles up. But two failures in the morning and three in the evening are no outage.",
		Hints: [3]string{
			"Which outcomes does it look at?",
			"The last Window ones, in a ring; nothing before there are so many.",
			"len(ring) == Window && failed >= Ratio*Window: open until now + Open",
		},
		Check: breakerOpens,
	},
	{
		Name: "ProbesAreFew", Group: "breaker", Points: 1, Section: step2,
		Why: "A server that has just come back gets all the load that has waited for it, and is gone again. A few probes find out just as well.",
		Hints: [3]string{
			"How many calls may be under way while it is half-open?",
			"Probes. Count them when they are let through, not when they end.",
			"case halfOpen: if probing == Probes { return 0, false }; probing++",
		},
		Check: probesFew,
	},
	{
		Name: "BreakerCloses", Group: "breaker", Points: 1, Section: step2,
		Why: "A breaker that stays open is an outage of its own.",
		Hints: [3]string{
			"What do Probes successes mean?",
			"Closed, with an empty window: the failures of before are history.",
			"if passed++; passed >= Probes { enter(closed) }",
		},
		Check: breakerCloses,
	},
	{
		Name: "BreakerReopens", Group: "breaker", Points: 1, Section: step2,
		Why: "One probe that fails says what all of them would: the server needs more time, a whole period of it.",
		Hints: [3]string{
			"When does the new open period end?",
			"Open after the failure of the probe.",
			"case halfOpen && failure: enter(open), which sets until anew",
		},
		Check: breakerReopens,
	},
	{
		Name: "DroppedCallsDoNotCount", Group: "breaker", Points: 1, Section: step2,
		Why: "A user who closes the page says nothing about the server. Counted as failures, impatient users open the breaker; and a probe that nobody waits for must not keep its place for ever.",
		Hints: [3]string{
			"What does Dropped change?",
			"Closed: nothing. Half-open: the place of the probe is free again.",
			"if pass == era && state == halfOpen { probing-- }",
		},
		Check: droppedCalls,
	},
	{
		Name: "LateOutcomesDoNotCount", Group: "breaker", Points: 1, Section: step2,
		Why: "A call from before the outage that times out while the breaker is half-open has nothing to say about now.",
		Hints: [3]string{
			"Which period is an outcome from?",
			"The one that its pass is from. Count periods.",
			"enter: era++; Allow returns era; report: if pass != era { return }",
		},
		Check: lateOutcomes,
	},
}

// panel is a breaker with a clock that the judge sets.
type panel struct {
	Breaker
	now time.Time
}

func newPanel(l lab, window int, ratio float64, probes int) (*panel, error) {
	p := &panel{now: time.Unix(1e9, 0)}
	b, err := l.Breaker(BreakerOptions{Window: window, Ratio: ratio, Open: time.Second, Probes: probes, Now: func() time.Time { return p.now }})
	if err != nil {
		return nil, spec.Fail("NewBreaker to make a breaker", "it returned: %v", err)
	}
	p.Breaker = b
	return p, nil
}

// pass is Allow, which must say yes.
func (p *panel) pass(when string) (uint64, error) {
	pass, ok := p.Allow()
	if !ok {
		return 0, spec.Fail("a call to be let through "+when, "it was refused; State is %s", p.State())
	}
	return pass, nil
}

// outcomes reports for as many calls: s succeeded, f failed, d dropped.
func (p *panel) outcomes(when, all string) error {
	for i, o := range all {
		pass, err := p.pass(fmt.Sprintf("%s (number %d of %s)", when, i+1, all))
		if err != nil {
			return err
		}
		switch o {
		case 's':
			p.Succeeded(pass)
		case 'f':
			p.Failed(pass)
		case 'd':
			p.Dropped(pass)
		}
	}
	return nil
}

// is checks the state, and what it means.
func (p *panel) is(state, when string) error {
	if got := p.State(); got != state {
		return spec.Fail("the breaker "+state+" "+when, "it is %s", got)
	}
	if _, ok := p.Allow(); ok && state == "open" {
		return spec.Fail("no call to be let through "+when, "one was")
	}
	return nil
}

// trip opens it.
func (p *panel) trip(window int) error {
	all := ""
	for range window {
		all += "f"
	}
	return first(p.outcomes("while it is closed", all), p.is("open", "after a window of failures"))
}

func breakerOpens(r *spec.Run, l lab) error {
	for _, c := range []struct{ before, last string }{
		{"fffffffff", "f"},          // the window must be full
		{"ssssssssssffff", "f"},     // half of the last ten
		{"fffffsssss"[:9], "s"},     // whatever comes last
		{"sssssssssssssfffsf", "f"}, // a success in between
	} {
		p, err := newPanel(l, 10, 0.5, 1)
		if err != nil {
			return err
		}
		r.Step("window 10, ratio 0.5, outcomes %s, then %s", c.before, c.last)
		if err := first(p.outcomes("before", c.before), p.is("closed", "after "+c.before)); err != nil {
			return err
		}
		// is has let a call through, which nobody reports: that counts for nothing.
		if err := first(p.outcomes("then", c.last), p.is("open", "after "+c.before+c.last)); err != nil {
			return err
		}
		p.now = p.now.Add(time.Second - 1)
		if err := p.is("open", "a nanosecond before its time is over"); err != nil {
			return err
		}
	}
	p, err := newPanel(l, 10, 0.5, 1)
	if err != nil {
		return err
	}
	r.Step("a thousand outcomes, of which 4 of any 10 in a row are failures")
	for range 100 {
		if err := p.outcomes("with 4 failures in 10", "fsfsfsfsss"); err != nil {
			return err
		}
	}
	return p.is("closed", "with 4 failures in 10")
}

func probesFew(r *spec.Run, l lab) error {
	p, err := newPanel(l, 4, 0.5, 3)
	if err != nil {
		return err
	}
	if err := p.trip(4); err != nil {
		return err
	}
	p.now = p.now.Add(time.Second)
	r.Step("open for its second; Probes 3; calls without end")
	let := 0
	for range 100 {
		if _, ok := p.Allow(); ok {
			let++
		}
	}
	return first(must("the number of calls let through", 3, let), must("State", "half-open", p.State()))
}

func breakerCloses(r *spec.Run, l lab) error {
	p, err := newPanel(l, 4, 0.5, 3)
	if err != nil {
		return err
	}
	if err := p.trip(4); err != nil {
		return err
	}
	p.now = p.now.Add(time.Second)
	r.Step("half-open, Probes 3: two succeed, then the third; then two failures, a success")
	if err := first(p.outcomes("half-open", "ss"), must("State after two successes", "half-open", p.State()),
		p.outcomes("half-open", "s"), must("State after three successes", "closed", p.State())); err != nil {
		return err
	}
	if err := first(p.outcomes("closed again", "ffs"), must("State after three outcomes of a window of four", "closed", p.State())); err != nil {
		return err
	}
	for range 100 {
		if _, err := p.pass("when it is closed"); err != nil {
			return err
		}
	}
	return nil
}

func breakerReopens(r *spec.Run, l lab) error {
	p, err := newPanel(l, 4, 0.5, 2)
	if err != nil {
		return err
	}
	if err := p.trip(4); err != nil {
		return err
	}
	p.now = p.now.Add(5 * time.Second)
	r.Step("half-open for a while; a probe succeeds, the next one fails")
	if err := first(p.outcomes("half-open", "s"), must("State", "half-open", p.State())); err != nil {
		return err
	}
	p.now = p.now.Add(500 * time.Millisecond)
	if err := first(p.outcomes("half-open", "f"), p.is("open", "after a failed probe")); err != nil {
		return err
	}
	p.now = p.now.Add(time.Second - 1)
	if err := p.is("open", "a nanosecond before a second has passed"); err != nil {
		return err
	}
	p.now = p.now.Add(1)
	return first(must("State after a second", "half-open", p.State()),
		p.outcomes("half-open", "s"), must("State after one success of two", "half-open", p.State()))
}

func droppedCalls(r *spec.Run, l lab) error {
	p, err := newPanel(l, 4, 0.5, 1)
	if err != nil {
		return err
	}
	r.Step("100 dropped calls; then a failure, 10 dropped ones, two successes, a failure")
	all := ""
	for range 100 {
		all += "d"
	}
	if err := first(p.outcomes("closed", all), must("State after 100 dropped calls", "closed", p.State()),
		p.outcomes("closed", "fddddddddddss"), must("State after one failure and two successes", "closed", p.State()),
		p.outcomes("closed", "f"), must("State after two failures of four", "open", p.State())); err != nil {
		return err
	}
	p.now = p.now.Add(time.Second)
	r.Step("half-open: a probe is dropped, the next one succeeds")
	return first(p.outcomes("half-open", "d"), must("State after a dropped probe", "half-open", p.State()),
		p.outcomes("half-open", "s"), must("State", "closed", p.State()))
}

func lateOutcomes(r *spec.Run, l lab) error {
	p, err := newPanel(l, 4, 0.5, 1)
	if err != nil {
		return err
	}
	var late []uint64
	for range 30 {
		pass, err := p.pass("while it is closed")
		if err != nil {
			return err
		}
		late = append(late, pass)
	}
	if err := p.trip(4); err != nil {
		return err
	}
	p.now = p.now.Add(time.Second)
	r.Step("half-open; calls from before the outage succeed, fail, are dropped")
	if err := must("State", "half-open", p.State()); err != nil {
		return err
	}
	probe, err := p.pass("as a probe")
	if err != nil {
		return err
	}
	p.Succeeded(late[0])
	if err := must("State after a late success", "half-open", p.State()); err != nil {
		return err
	}
	p.Failed(late[1])
	if err := must("State after a late failure", "half-open", p.State()); err != nil {
		return err
	}
	p.Dropped(late[2])
	if _, ok := p.Allow(); ok {
		return spec.Fail("a late drop not to free the place of the probe", "a second one was let through")
	}
	p.Succeeded(probe)
	if err := must("State after the probe's success", "closed", p.State()); err != nil {
		return err
	}
	r.Step("closed again; 20 more from before the outage fail")
	for _, pass := range late[10:] {
		p.Failed(pass)
	}
	return must("State", "closed", p.State())
}
