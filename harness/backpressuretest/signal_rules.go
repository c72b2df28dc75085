package backpressuretest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/asynclab/asynclab/harness/spec"
)

const signalSection = "Step 5: watermarks"

var signalRules = []spec.Rule[lab]{
	{
		Name: "SlowDownOnce", Group: "watermarks", Points: 3, Section: signalSection,
		Why: "A producer has to hear that it should slow down before the queue is full, and once: a signal for each message above the mark is a second flood, on top of the first.",
		Hints: [3]string{
			"The queue stands at 93% and another message comes. What is new?",
			"Only a change is worth a signal. Keep one bit: was SlowDown said and not taken back?",
			"if !slow && (queued >= ceil(0.9*Capacity) || bytes >= ceil(0.9*MaxBytes)) { slow = true; raise }",
		},
		Check: slowDownOnce,
	},
	{
		Name: "ResumeAtHalf", Group: "watermarks", Points: 3, Section: signalSection,
		Why: "With one mark for both signals a queue that stands at the mark says stop and go with every message. The gap between the two marks is what makes an episode last, and its width is how much work is left to do while the producer starts again.",
		Hints: [3]string{
			"At which level do you say Resume, and what if bytes are still above theirs?",
			"Resume needs both measures at 50% or below; SlowDown needs one at 90% or above. A receive that lets a sender in at once has not lowered the level.",
			"Look at the level once, at the end of each operation, after admit: if slow && queued <= Capacity/2 && bytes <= MaxBytes/2 { slow = false; raise }",
		},
		Check: resumeAtHalf,
	},
	{
		Name: "LowIsShed", Group: "watermarks", Points: 3, Section: signalSection, Deadline: soon,
		Why: "The last 5% are for what matters. In the article's channel the branch for 95% stands behind the one for 90%, so it is never reached: low priority was let in at 96%, and blocked for 5 s at 100%.",
		Hints: [3]string{
			"In which order do you ask: is it Low, is there room, may it wait?",
			"Low at 95% or more of either bound is refused before anything else is tried: it does not wait, and nothing is dropped for it.",
			"case p == Low && (queued >= ceil(0.95*Capacity) || bytes >= ceil(0.95*MaxBytes)): return ErrShed, before fits, makeRoom and waiting.",
		},
		Check: lowIsShed,
	},
	{
		Name: "SignalsKeepTheirOrder", Group: "watermarks", Points: 3, Section: signalSection, Deadline: soon,
		Why: "A producer that is told RESUME, then SLOW_DOWN, when it happened the other way round, floods the queue or stops for ever. And a callback under a lock invites the deadlock: the first thing it does is to call the channel.",
		Hints: [3]string{
			"Two goroutines raise a signal each. What keeps the second from telling first, once the lock is gone?",
			"Signals come by turns, so two counters are enough: raised and told. One goroutine at a time tells; who finds it busy leaves its signal to it.",
			"unlock(): if told == raised || telling { mu.Unlock(); return }; telling = true; for told < raised { told++; mu.Unlock(); call; mu.Lock() }; telling = false; mu.Unlock()",
		},
		Check: signalsKeepTheirOrder,
	},
}

func slowDownOnce(r *spec.Run, l lab) error {
	s := open(r, l, options{Capacity: 100, Policy: Reject})
	s.fill(1, 89)
	s.told("")
	s.isSlow(false)
	s.fill(90, 90)
	s.told("SLOW_DOWN")
	s.isSlow(true)
	s.fill(91, 100)
	s.try(l.Full, Normal, Message{ID: 101})
	s.told("")
	s.gets(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
	s.told("")
	s.isSlow(true)
	s.fill(101, 112)
	s.told("")
	if s.err != nil {
		return s.err
	}
	r.Step("by bytes: 90%% of 1000, far below the bound on messages")
	s = s.another(options{Capacity: 100, MaxBytes: 1000})
	s.try(nil, Normal, Message{ID: 1, Bytes: 899})
	s.told("")
	s.try(nil, Normal, Message{ID: 2, Bytes: 1})
	s.told("SLOW_DOWN")
	s.gets(1)
	s.told("RESUME")
	if s.err != nil {
		return s.err
	}
	r.Step("small capacities: 90%% of 7 is reached with 7, of 1 with 1")
	s = s.another(options{Capacity: 7})
	s.fill(1, 6)
	s.told("")
	s.fill(7, 7)
	s.told("SLOW_DOWN")
	s = s.another(options{Capacity: 1})
	s.fill(1, 1)
	s.told("SLOW_DOWN")
	s.gets(1)
	s.told("RESUME")
	if s.err != nil {
		return s.err
	}
	r.Step("Capacity and MaxBytes as large as an int can be")
	s = s.another(options{Capacity: math.MaxInt, MaxBytes: math.MaxInt})
	s.try(nil, Normal, Message{ID: 1, Bytes: math.MaxInt / 100 * 89})
	s.told("")
	s.try(nil, Normal, Message{ID: 2, Bytes: math.MaxInt / 100 * 2})
	s.told("SLOW_DOWN")
	if s.err != nil {
		return s.err
	}
	if err := slowCanBeAsked(r, l); err != nil {
		return err
	}
	return givingUpRaisesIt(r, l)
}

// slowCanBeAsked makes a channel that has nobody to tell.
func slowCanBeAsked(r *spec.Run, l lab) error {
	r.Step("a channel without OnSignal, Capacity 10: 9 messages")
	c, err := l.New(options{Capacity: 10, Policy: Reject})
	if err != nil {
		return spec.Fail("New to make a channel", "it returned: %v", err)
	}
	for id := range 9 {
		c.TrySend(Normal, Message{ID: id})
	}
	if st := c.Stats(); !c.Slow() || st.SlowDowns != 1 {
		return spec.Fail("Slow to return true, and Stats to count one SLOW_DOWN", "it returned %v: %+v", c.Slow(), st)
	}
	for range 4 {
		c.TryReceive()
	}
	if st := c.Stats(); c.Slow() || st.Resumes != 1 {
		return spec.Fail("Slow to return false, and Stats to count one RESUME", "it returned %v: %+v", c.Slow(), st)
	}
	return nil
}

// givingUpRaisesIt has a sender give up, whereupon the one behind it brings the
// queue to its mark.
func givingUpRaisesIt(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		s := open(r, l, options{MaxBytes: 100, Policy: Block})
		s.try(nil, Normal, Message{ID: 1, Bytes: 80})
		large := s.startSend(Normal, Message{ID: 2, Bytes: 50})
		small := s.startSend(Normal, Message{ID: 3, Bytes: 10})
		s.waits(large, small)
		s.told("")
		if s.err == nil {
			r.Step("cancel the Send of message 2")
		}
		large.cancel()
		s.ends(nil, small)
		s.told("SLOW_DOWN")
		return s.err
	})
}

func (s *scene) isSlow(want bool) {
	if s.err == nil && s.Slow() != want {
		s.fail(fmt.Sprintf("Slow to return %v", want), "it returned %v; %s", !want, s.holds())
	}
}

func resumeAtHalf(r *spec.Run, l lab) error {
	s := open(r, l, options{Capacity: 10, MaxBytes: 1000})
	for round := range 2 {
		r.Step("round %d", round+1)
		s.fill(1, 9)
		s.told("SLOW_DOWN")
		s.gets(1, 2, 3)
		s.told("")
		s.isSlow(true)
		s.gets(4)
		s.told("RESUME")
		s.isSlow(false)
		s.gets(5, 6, 7, 8, 9)
		s.told("")
	}
	r.Step("both measures have to come down")
	s.try(nil, High, Message{ID: 1, Bytes: 100})
	s.try(nil, Normal, Message{ID: 2, Bytes: 501})
	for id := 3; id <= 9; id++ {
		s.try(nil, High, Message{ID: id})
	}
	s.told("SLOW_DOWN")
	s.gets(1, 3, 4, 5, 6, 7, 8, 9)
	s.told("")
	s.gets(2)
	s.told("RESUME")
	r.Step("a Discard brings it down, too")
	s.fill(1, 9)
	if s.err == nil {
		s.Discard()
	}
	s.told("SLOW_DOWN RESUME")
	if s.err != nil {
		return s.err
	}
	return r.Bubble(func(r *spec.Run) error {
		r.Step("a receive that lets a waiting sender in")
		s := open(r, l, options{Capacity: 1, Policy: Block})
		s.fill(1, 1)
		c := s.startSend(Normal, Message{ID: 2})
		s.told("SLOW_DOWN")
		s.gets(1)
		s.ends(nil, c)
		s.told("")
		s.gets(2)
		s.told("RESUME")
		if s.err != nil {
			return s.err
		}
		r.Step("a Discard that lets a waiting sender in")
		s = open(r, l, options{Capacity: 1, Policy: Block})
		s.fill(1, 1)
		c = s.startSend(Normal, Message{ID: 2})
		s.told("SLOW_DOWN")
		if s.err == nil {
			s.Discard()
		}
		s.ends(nil, c)
		s.told("")
		s.isSlow(true)
		if s.err != nil {
			return s.err
		}
		r.Step("a large message that pushes out many small ones")
		s = open(r, l, options{MaxBytes: 100, Policy: DropOldest})
		for id := 1; id <= 9; id++ {
			s.try(nil, Normal, Message{ID: id, Bytes: 10})
		}
		s.told("SLOW_DOWN")
		s.try(nil, Normal, Message{ID: 10, Bytes: 60})
		s.told("")
		return s.err
	})
}

func lowIsShed(r *spec.Run, l lab) error {
	for policy := Block; policy <= DropOldest; policy++ {
		r.Step("policy %d, Capacity 100", policy)
		s := open(r, l, options{Capacity: 100, Policy: policy})
		s.fill(1, 94)
		s.put(Low, 95)
		s.try(l.Shed, Low, Message{ID: 96})
		s.put(Normal, 97)
		s.put(High, 98)
		s.put(Normal, 99, 100, 101)
		s.try(l.Shed, Low, Message{ID: 102})
		s.drops()
		if s.err != nil {
			return s.err
		}
		r.Step("Send of a Low message does not wait, either")
		if err := r.Call("Send of a Low message to a full channel to return ErrShed", func() error { return s.Send(r.Context(), Low, Message{ID: 103}) }); err != l.Shed {
			return spec.Fail("Send of a Low message to a full channel to return ErrShed", "it returned %s", l.name(err))
		}
		if shed := s.Stats().Shed; shed != 3 {
			return spec.Fail("Stats.Shed to be 3", "it is %d", shed)
		}
	}
	r.Step("by bytes: at 95%% of 1000 even a Low message without a size is shed; below, nobody is")
	s := open(r, l, options{MaxBytes: 1000, Policy: Reject})
	s.try(nil, Normal, Message{ID: 1, Bytes: 949})
	s.try(nil, Low, Message{ID: 2, Bytes: 1})
	s.try(l.Shed, Low, Message{ID: 3})
	s.try(nil, Normal, Message{ID: 4})
	s.gets(1)
	s.put(Low, 5)
	if s.err != nil {
		return s.err
	}
	r.Step("95%% of 30 is 28.5, so it is reached with 29")
	s = s.another(options{Capacity: 30, Policy: Reject})
	s.fill(1, 28)
	s.put(Low, 29)
	s.try(l.Shed, Low, Message{ID: 30})
	if s.err != nil {
		return s.err
	}
	return waitingIsNotShed(r, l)
}

// waitingIsNotShed has a Low message wait behind another, while the queue comes
// to 95%.
func waitingIsNotShed(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		s := open(r, l, options{MaxBytes: 100, Policy: Block})
		s.try(nil, Normal, Message{ID: 1, Bytes: 94})
		large := s.startSend(Normal, Message{ID: 2, Bytes: 50})
		low := s.startSend(Low, Message{ID: 3, Bytes: 3})
		s.waits(large, low)
		s.try(nil, High, Message{ID: 4, Bytes: 1})
		s.waits(large, low)
		if s.err == nil {
			r.Step("cancel the Send of message 2")
		}
		large.cancel()
		s.ends(nil, low)
		s.gets(4, 1, 3)
		return s.err
	})
}

// signalsKeepTheirOrder has OnSignal call the channel, then raises signals from
// many goroutines. What OnSignal writes has no lock of its own: the race
// detector sees two at a time.
func signalsKeepTheirOrder(r *spec.Run, l lab) error {
	var c judged
	var got []string
	s := open(r, l, options{Capacity: 10, Policy: Reject, OnSignal: func(what int) {
		got = append(got, signalName(what))
		if what == SlowDown && len(got) == 1 {
			for c.Len() > 5 {
				c.TryReceive() // raises RESUME inside a callback
			}
			c.Stats()
			c.Slow()
		}
	}})
	if c = s.judged; s.err != nil {
		return s.err
	}
	r.Step("9 messages to a channel of 10; OnSignal receives 4 of them")
	err := r.Call("TrySend to return, while OnSignal calls the channel: is a lock held?", func() error { s.fill(1, 9); return s.err })
	if err != nil {
		return err
	}
	if want := []string{"SLOW_DOWN", "RESUME"}; !slices.Equal(got, want) {
		return spec.Fail("SLOW_DOWN, then RESUME", "OnSignal got %v", got)
	}
	if err := oneSignalAtATime(r, l); err != nil {
		return err
	}
	r.Step("4 goroutines send, 4 receive, 20,000 messages each")
	const each = 20_000
	var workers []<-chan error
	for range 4 {
		workers = append(workers,
			r.Go(func() error {
				for range each {
					s.TrySend(Normal, Message{})
				}
				return nil
			}),
			r.Go(func() error {
				for range each {
					s.TryReceive()
				}
				return nil
			}))
	}
	for _, w := range workers {
		if _, err := spec.Wait(r, "8 goroutines that send and receive to end", w); err != nil {
			return err
		}
	}
	st := s.Stats()
	for i, name := range got {
		if want := signalName(i % 2); name != want {
			return spec.Fail("SLOW_DOWN and RESUME by turns", "signal %d of %d is %s again", i+1, len(got), name)
		}
	}
	if uint64(len(got)) != st.SlowDowns+st.Resumes || s.Slow() != (len(got)%2 == 1) {
		return spec.Fail(fmt.Sprintf("OnSignal to have got the %d SLOW_DOWN and %d RESUME that Stats tells", st.SlowDowns, st.Resumes), "it got %d signals, and Slow is %v", len(got), s.Slow())
	}
	return nil
}

// oneSignalAtATime raises RESUME while OnSignal is busy with SLOW_DOWN.
func oneSignalAtATime(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		gate := make(chan struct{})
		inside, most := 0, 0
		var mu sync.Mutex // guards both
		var s *scene
		s = open(r, l, options{Capacity: 10, Policy: Reject, OnSignal: func(what int) {
			mu.Lock()
			inside++
			most = max(most, inside)
			mu.Unlock()
			s.signal(what)
			if what == SlowDown {
				<-gate
			}
			mu.Lock()
			inside--
			mu.Unlock()
		}})
		s.fill(1, 8)
		send := s.start("TrySend of the 9th message; OnSignal takes long", func(context.Context) ([]int, error) { return nil, s.TrySend(Normal, Message{ID: 9}) })
		receive := s.start("TryReceive, 4 times", func(context.Context) (got []int, err error) {
			for range 4 {
				m, _ := s.TryReceive()
				got = append(got, m.ID)
			}
			return got, nil
		})
		s.handed(receive, 1, 2, 3, 4)
		mu.Lock()
		if most > 1 {
			s.fail("one call of OnSignal at a time, on whichever goroutine", "%d ran at the same time", most)
		}
		mu.Unlock()
		s.told("SLOW_DOWN")
		s.isSlow(false) // RESUME was raised, if not told
		if s.err == nil {
			r.Step("OnSignal returns")
		}
		close(gate)
		s.ends(nil, send)
		s.told("RESUME")
		return s.err
	})
}
