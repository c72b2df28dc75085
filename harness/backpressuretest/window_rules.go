package backpressuretest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"

	"github.com/asynclab/asynclab/harness/spec"
)

const windowSection = "Step 9: the window, the receiver's half"

var windowRules = []spec.Rule[lab]{
	{
		Name: "QueueStaysInTheWindow", Group: "window", Points: 4, Section: windowSection,
		Why: "This is what the second half is for: whatever the network delays, and however fast the sender is, the receiver never holds more than its limit, and the two never wait for each other. The sum granted + queued + freed stays the limit; each step moves an amount from one to the next.",
		Hints: [3]string{
			"At which moment does room come back: when a message arrives, or when it has been consumed?",
			"Three numbers whose sum never changes: granted, queued, freed. Arrive moves from the first to the second, Consume from the second to the third, a grant from the third to the first.",
			"Consume: queued -= n; freed += n; if freed >= (limit+1)/2 { grant = freed; freed = 0; granted += grant }",
		},
		Check: queueStaysInTheWindow,
	},
	{
		Name: "GrantsAreSavedUp", Group: "window", Points: 2, Section: windowSection,
		Why: "A grant is a message on the wire. One for each message consumed doubles the traffic; one for each half window costs next to nothing, and the other half keeps the sender busy while the grant travels.",
		Hints: [3]string{
			"How many grants does your window send for 1000 messages, with a limit of 100?",
			"Collect what was consumed, and grant all of it when it comes to half of the limit, rounded up.",
			"if w.freed < w.limit - w.limit/2 { return 0, nil }",
		},
		Check: grantsAreSavedUp,
	},
	{
		Name: "OverrunIsRefused", Group: "window", Points: 2, Section: windowSection,
		Why: "The bound holds only if somebody holds it. A peer that sends more than it was granted is broken or hostile; the window is the one who can see it, and its answer decides whether your memory is yours.",
		Hints: [3]string{
			"Who checks that the sender keeps to its credit?",
			"Arrive knows what was granted and has not arrived. More than that is ErrOverrun, and nothing changes.",
			"if n < 1 { return error }; if n > w.granted { return ErrOverrun }",
		},
		Check: overrunIsRefused,
	},
}

// line is a connection of the lab's Credit and Window over a network that
// delays, in both directions, but keeps the order.
type line struct {
	credit Credit
	window Window
	limit  int

	data, grants []int // on their way
	queue        []int // sizes that have arrived
	sent, got    int
	waits        int // size that the sender cannot send yet; 0: it chooses
}

func connect(l lab, limit int) (*line, error) {
	c, err := l.NewCredit(limit)
	if err != nil {
		return nil, err
	}
	w, err := l.NewWindow(limit)
	if err != nil {
		return nil, err
	}
	return &line{credit: c, window: w, limit: limit}, nil
}

// queueStaysInTheWindow runs every order of events that chance finds: send,
// arrive, consume, and a grant's arrival.
func queueStaysInTheWindow(r *spec.Run, l lab) error {
	for _, limit := range []int{1, 2, 3, 10, 101} {
		r.Step("a limit of %d, 20,000 random steps of a sender, a receiver and the network between them", limit)
		x, err := connect(l, limit)
		if err != nil {
			return err
		}
		rnd := rand.New(rand.NewPCG(5, uint64(limit)))
		for range 20_000 {
			if err := x.step(rnd, rnd.IntN(4)); err != nil {
				return err
			}
		}
		r.Step("everything comes to rest, and 1000 more must get through")
		if err := x.flows(rnd, x.got+1000); err != nil {
			return err
		}
	}
	return manyGoroutines(r, l)
}

// manyGoroutines has one note what arrives, one what is consumed, and one look.
func manyGoroutines(r *spec.Run, l lab) error {
	w, err := l.NewWindow(10)
	if err != nil {
		return err
	}
	const all = 3000
	r.Step("limit 10, three goroutines: one calls Arrive(1) %d times, as often as it may, one Consume(1), one Queued and Granted", all)
	arrive := r.Go(func() error {
		for n := 0; n < all && r.Context().Err() == nil; runtime.Gosched() {
			if w.Granted() > 0 {
				if err := w.Arrive(1); err != nil {
					return spec.Fail("Arrive(1) to return nil: it was granted", "it returned %s", l.name(err))
				}
				n++
			}
		}
		return nil
	})
	consume := r.Go(func() error {
		for n := 0; n < all && r.Context().Err() == nil; runtime.Gosched() {
			if _, err := w.Consume(1); err == nil {
				n++
			}
		}
		return nil
	})
	look := r.Go(func() error {
		for n := 0; n < all; n++ {
			if queued, granted := w.Queued(), w.Granted(); queued < 0 || queued > 10 || granted < 0 || granted > 10 {
				return spec.Fail("Queued and Granted to be 0 to 10", "they are %d and %d", queued, granted)
			}
		}
		return nil
	})
	for _, done := range []<-chan error{arrive, consume, look} {
		err, late := spec.Wait(r, "three goroutines to end", done)
		if err := errors.Join(late, err); err != nil {
			return err
		}
	}
	return nil
}

func (x *line) step(rnd *rand.Rand, what int) error {
	switch {
	case what == 0:
		if x.waits == 0 {
			x.waits = 1 + rnd.IntN((x.limit+1)/2) // more than half may wait for what is saved up
		}
		if x.credit.TryAcquire(x.waits) {
			x.data = append(x.data, x.waits)
			x.sent += x.waits
			x.waits = 0
		}
	case what == 1 && len(x.data) > 0:
		n := x.data[0]
		x.data = x.data[1:]
		if err := x.window.Arrive(n); err != nil {
			return spec.Fail("everything that was sent with credit to be granted", "Arrive(%d) returned %v: %s", n, err, x)
		}
		x.queue = append(x.queue, n)
		x.got += n
	case what == 2 && len(x.queue) > 0:
		n := x.queue[0]
		x.queue = x.queue[1:]
		grant, err := x.window.Consume(n)
		if err != nil {
			return spec.Fail("what has arrived to be consumed", "Consume(%d) returned %v: %s", n, err, x)
		}
		if grant > 0 {
			x.grants = append(x.grants, grant)
		}
	case what == 3 && len(x.grants) > 0:
		n := x.grants[0]
		x.grants = x.grants[1:]
		if err := x.credit.Grant(n); err != nil {
			return spec.Fail("Grant to return nil", "Grant(%d) returned %v: %s", n, err, x)
		}
	}
	return x.holds()
}

func (x *line) holds() error {
	queued := sum(x.queue)
	switch {
	case queued > x.limit:
		return spec.Fail(fmt.Sprintf("at most %d in the receiver's queue", x.limit), "it holds %d: %s", queued, x)
	case x.window.Queued() != queued:
		return spec.Fail(fmt.Sprintf("Queued to be %d", queued), "it is %d: %s", x.window.Queued(), x)
	case x.window.Granted() != x.credit.Available()+sum(x.data)+sum(x.grants):
		return spec.Fail("Granted to be what the sender has, and what is on its way in both directions", "it is %d: %s", x.window.Granted(), x)
	}
	return nil
}

// flows goes on until so much has arrived. A round that begins at rest brings
// either messages or grants forward, so two without a message are a deadlock.
func (x *line) flows(rnd *rand.Rand, until int) error {
	for idle := 0; x.got < until; idle++ {
		before := x.got
		for what := range 4 {
			for range 2 * x.limit {
				if err := x.step(rnd, what); err != nil {
					return err
				}
			}
		}
		if x.got > before {
			idle = 0
		}
		if idle == 2 {
			return spec.Fail("the sender to get on", "both sides wait for each other, the sender for %d: %s", x.waits, x)
		}
	}
	return nil
}

func (x *line) String() string {
	return fmt.Sprintf("the sender has %d, on the way are data %v and grants %v, the queue holds %d, the limit is %d",
		x.credit.Available(), x.data, x.grants, sum(x.queue), x.limit)
}

func sum(all []int) (total int) {
	for _, n := range all {
		total += n
	}
	return total
}

func grantsAreSavedUp(r *spec.Run, l lab) error {
	w, err := l.NewWindow(100)
	if err != nil {
		return err
	}
	r.Step("a limit of 100: 1000 messages of 1 arrive and are consumed")
	var grants []int
	for range 1000 {
		if err := w.Arrive(1); err != nil {
			return spec.Fail("Arrive(1) to return nil", "it returned %v after the grants %v", err, grants)
		}
		grant, err := w.Consume(1)
		if err != nil {
			return spec.Fail("Consume(1) to return nil", "it returned %v", err)
		}
		if grant > 0 {
			grants = append(grants, grant)
		}
	}
	if len(grants) != 20 || grants[0] != 50 {
		return spec.Fail("20 grants of 50", "there were %d, the first of %v", len(grants), append(grants, 0)[0])
	}
	r.Step("a limit of 5: half of it, rounded up, is 3")
	if w, err = l.NewWindow(5); err != nil {
		return err
	}
	if err := w.Arrive(5); err != nil {
		return spec.Fail("Arrive(5) to return nil", "it returned %v", err)
	}
	for i, want := range []int{0, 0, 3, 0, 0} {
		if got, err := w.Consume(1); err != nil || got != want {
			return spec.Fail(fmt.Sprintf("Consume number %d to return %d", i+1, want), "it returned %d, %v", got, err)
		}
	}
	if err := w.Arrive(3); err != nil {
		return spec.Fail("Arrive(3) to return nil: that much was granted", "it returned %v", err)
	}
	if got, err := w.Consume(3); err != nil || got != 5 {
		return spec.Fail("Consume to grant all that was saved up, 5", "it returned %d, %v", got, err)
	}
	return nil
}

func overrunIsRefused(r *spec.Run, l lab) error {
	for _, n := range []int{-1, 0, maxCredit + 1} {
		if _, err := l.NewWindow(n); err == nil {
			return spec.Fail(fmt.Sprintf("NewWindow(%d) to be refused", n), "it returned no error")
		}
	}
	w, err := l.NewWindow(10)
	if err != nil {
		return err
	}
	expect := func(what string, got, want error) error {
		if got != want {
			return spec.Fail(what+" to return "+l.name(want), "it returned %s", l.name(got))
		}
		if w.Granted() != 4 || w.Queued() != 6 {
			return spec.Fail("4 granted and 6 queued after "+what, "it is %d and %d", w.Granted(), w.Queued())
		}
		return nil
	}
	r.Step("a limit of 10: 6 arrive")
	if err := expect("Arrive(6)", w.Arrive(6), nil); err != nil {
		return err
	}
	if err := expect("Arrive(5), with 4 granted,", w.Arrive(5), l.Overrun); err != nil {
		return err
	}
	_, err = w.Consume(7)
	if err := expect("Consume(7), with 6 queued,", err, l.Overrun); err != nil {
		return err
	}
	const huge = 1<<63 - 1 // a sum with it is negative
	if err := expect(fmt.Sprintf("Arrive(%d), with 4 granted,", huge), w.Arrive(huge), l.Overrun); err != nil {
		return err
	}
	_, err = w.Consume(huge)
	if err := expect(fmt.Sprintf("Consume(%d), with 6 queued,", huge), err, l.Overrun); err != nil {
		return err
	}
	for _, n := range []int{0, -2} {
		if w.Arrive(n) == nil {
			return spec.Fail(fmt.Sprintf("Arrive(%d) to return an error", n), "it returned nil")
		}
		if _, err := w.Consume(n); err == nil {
			return spec.Fail(fmt.Sprintf("Consume(%d) to return an error", n), "it returned nil")
		}
	}
	return expect("wrong calls", nil, nil)
}
