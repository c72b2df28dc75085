package backpressuretest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/asynclab/asynclab/harness/spec"
)

const countSection = "Step 6: the books"

var countRules = []spec.Rule[lab]{
	{
		Name: "CountsAreConserved", Group: "counts", Points: 4, Section: countSection,
		Why: "Overload is when messages are lost, and the counters are how you will know which and why. Sent = Received + Queued + what was dropped, for each reason: at every instant, or the sum is of no use just when you need it, under load. And each message has one fate: a loss that balances in the books is still a loss.",
		Hints: [3]string{
			"Which ways are there for a message to end? Is there one counter for each, and between which two statements of yours is a message in none of them, or in two?",
			"A message that is accepted and pushed out later counts as evicted, not as rejected. All counters change under the lock that changes the queue, and Stats reads all of them under it. A Send that waits is not in Sent yet.",
			"Sent++ in the same critical section as the fate: accept, refuse, let in, give up.",
		},
		Check: countsAreConserved,
	},
}

func balance(st Stats) error {
	if sum := st.Received + uint64(st.Queued) + st.Shed + st.Rejected + st.Canceled + st.Evicted + st.Discarded; sum != st.Sent {
		return spec.Fail("Sent = Received + Queued + Shed + Rejected + Canceled + Evicted + Discarded", "%d = %d: %+v", st.Sent, sum, st)
	}
	return nil
}

// everyFateIsCounted brings about each fate, a different number of times.
func everyFateIsCounted(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		s := open(r, l, options{Capacity: 20, MaxBytes: 100, Policy: DropOldest})
		for id := range 25 {
			s.try(nil, Normal, Message{ID: id, Bytes: 1})
		}
		s.try(l.Shed, Low, Message{ID: 30})
		s.try(l.TooLarge, Normal, Message{ID: 31, Bytes: 101})
		s.try(l.TooLarge, High, Message{ID: 32, Bytes: 101})
		s.gets(5, 6, 7)
		if s.err == nil {
			s.Discard()
		}
		s.is(Stats{Sent: 28, Received: 3, Shed: 1, Rejected: 2, Evicted: 5, Discarded: 17, SlowDowns: 1, Resumes: 1})
		if s.err != nil {
			return s.err
		}
		s = open(r, l, options{Capacity: 2, Policy: Block})
		w := s.startReceive("Receive")
		s.is(Stats{Receivers: 1})
		s.put(Normal, 1)
		s.handed(w, 1)
		s.fill(2, 3)
		s.try(l.Full, Normal, Message{ID: 4})
		a := s.startSend(Normal, Message{ID: 5})
		b := s.startSend(High, Message{ID: 6})
		c := s.startSend(Normal, Message{ID: 7})
		s.is(Stats{Queued: 2, Senders: 3, Sent: 4, Received: 1, Rejected: 1, SlowDowns: 1})
		b.cancel()
		s.ends(context.Canceled, b)
		s.gets(2)
		s.is(Stats{Queued: 2, Senders: 1, Sent: 6, Received: 2, Rejected: 1, Canceled: 1, SlowDowns: 1})
		s.ends(nil, a)
		s.waits(c)
		return s.err
	})
}

func (s *scene) is(want Stats) {
	if s.err == nil && s.Stats() != want {
		s.fail(fmt.Sprintf("Stats to be %+v", want), "it is %+v", s.Stats())
	}
}

// countsAreConserved has goroutines send and receive while another one looks at
// the books, then asks for the fate of every message.
func countsAreConserved(r *spec.Run, l lab) error {
	if err := everyFateIsCounted(r, l); err != nil {
		return err
	}
	for policy := Block; policy <= DropOldest; policy++ {
		r.Step("policy %d: 4 goroutines send 3,000 messages each, 2 receive, one calls Stats all the time", policy)
		if err := audit(r, l, policy, false); err != nil {
			return err
		}
	}
	return nil
}

const auditors, auditEach = 4, 3000

// ledger is the fates of all messages of an audit.
type ledger struct {
	mu    sync.Mutex // guards fates
	fates [auditors * auditEach]string
	twice string
}

func (g *ledger) write(id int, fate string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fates[id] != "" && g.twice == "" {
		g.twice = fmt.Sprintf("message %d is %s, and was %s before", id, fate, g.fates[id])
	}
	g.fates[id] = fate
}

// audit ends its receivers with Close, or, without it, ends their contexts and
// takes what is left itself.
func audit(r *spec.Run, l lab, policy int, closes bool) error {
	var books ledger
	s := open(r, l, options{Capacity: 20, MaxBytes: 500, Policy: policy, OnSignal: func(int) {}, OnDrop: func(m Message) { books.write(m.ID, "dropped") }})
	if s.err != nil {
		return s.err
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	receiving, enough := context.WithCancel(ctx)
	defer enough()
	var stop atomic.Bool
	observer := r.Go(func() error {
		for !stop.Load() {
			if err := balance(s.Stats()); err != nil {
				return err
			}
		}
		return nil
	})
	defer stop.Store(true)
	var senders, receivers []<-chan error
	for n := range auditors {
		senders = append(senders, r.Go(func() error { return auditSend(ctx, s, &books, n) }))
	}
	for n := range 2 {
		receivers = append(receivers, r.Go(func() error { return auditReceive(receiving, s, &books, 1+4*n) }))
	}
	for _, done := range senders {
		if err, late := spec.Wait(r, "the senders to end", done); late != nil || err != nil {
			return firstOf(late, err)
		}
	}
	ending := "the end of their contexts"
	if closes {
		ending = "Close"
		s.Close()
	} else {
		enough()
	}
	for _, done := range receivers {
		if err, late := spec.Wait(r, "the receivers to end after "+ending, done); late != nil || err != nil {
			return firstOf(late, err)
		}
	}
	for m, ok := s.TryReceive(); ok; m, ok = s.TryReceive() {
		books.write(m.ID, "received")
	}
	stop.Store(true)
	if err, late := spec.Wait(r, "Stats to return", observer); late != nil || err != nil {
		return firstOf(late, err)
	}
	return books.close(s)
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// auditSend sends its messages; every seventh with a context that ends while it
// may be waiting.
func auditSend(ctx context.Context, s *scene, books *ledger, n int) error {
	for i := range auditEach {
		id := n*auditEach + i
		m := Message{ID: id, Bytes: i * 7 % 90}
		p := i%3 - 1
		var err error
		switch {
		case i%7 == 0:
			short, cancel := context.WithCancel(ctx)
			go cancel()
			err = s.Send(short, p, m)
			cancel()
		case i%2 == 0:
			err = s.TrySend(p, m)
		default:
			err = s.Send(ctx, p, m)
		}
		if err != nil {
			books.write(id, "refused")
		}
		if i%500 == 499 {
			s.Discard()
		}
	}
	return nil
}

func auditReceive(ctx context.Context, s *scene, books *ledger, size int) error {
	dst := make([]Message, size)
	for {
		n, err := s.ReceiveBatch(ctx, dst)
		for _, m := range dst[:n] {
			books.write(m.ID, "received")
		}
		if err == s.l.Closed || err != nil && err == ctx.Err() {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// close compares the ledger with what the channel says.
func (g *ledger) close(s *scene) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	st := s.Stats()
	if err := balance(st); err != nil {
		return err
	}
	if g.twice != "" {
		return spec.Fail("one fate for each message", "%s", g.twice)
	}
	got := map[string]uint64{}
	for id, fate := range g.fates {
		if fate == "" {
			return spec.Fail("every message to be received, refused, or handed to OnDrop", "message %d has vanished: %+v", id, st)
		}
		got[fate]++
	}
	want := map[string]uint64{"received": st.Received, "dropped": st.Evicted + st.Discarded, "refused": st.Shed + st.Rejected + st.Canceled}
	for fate, n := range want {
		if got[fate] != n {
			return spec.Fail(fmt.Sprintf("Stats to count the %d messages that were %s", got[fate], fate), "it says %d: %+v", n, st)
		}
	}
	return nil
}
