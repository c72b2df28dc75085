package backpressuretest

import (
	"context"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

const receiveSection = "Step 4: receivers that wait"

var receiveRules = []spec.Rule[lab]{
	{
		Name: "ReceiveWaits", Group: "receiving", Points: 2, Section: receiveSection, Deadline: soon,
		Why: "An empty queue is the usual state of a healthy system, so most receives wait. The send that ends the wait serves the one who has waited longest, at once and with no other's help.",
		Hints: [3]string{
			"Two receivers wait, one message comes. Who gets it, and who decides that?",
			"Receivers wait only while the queue is empty. So a sender that finds one hands its message over, past the queue.",
			"accept: if w := c.receivers.first; w != nil { w.item = m; received++; remove w; w.done <- struct{}{}; return }",
		},
		Check: receiveWaits,
	},
	{
		Name: "ReceivesLetSendersIn", Group: "receiving", Points: 1, Section: receiveSection, Deadline: soon,
		Why: "Receive and ReceiveBatch make room as TryReceive does, and nobody else will tell those who wait for it. One that forgets them leaves them waiting beside an empty queue.",
		Hints: [3]string{
			"Receive finds a message in the queue and takes it. Who has been waiting for its place?",
			"Everything that takes from the queue ends with the loop that lets senders in.",
			"Take from the queue in one function, for all of them, and call admit at its end.",
		},
		Check: receivesLetSendersIn,
	},
	{
		Name: "CanceledReceiveLosesNothing", Group: "receiving", Points: 3, Section: receiveSection, Deadline: soon,
		Why: "A receiver is handed a message and its context ends, in the same instant. If it returns the error, the message is gone, and every count still looks right. One of the two has come first, under the lock: that one counts.",
		Hints: [3]string{
			"Both cases of your select are ready. Which one runs, and what becomes of the other?",
			"After ctx.Done, look under the lock whether you still stand in the line. If not, somebody has served you.",
			"if w.line == nil { unlock; <-w.done; return w.item.v, w.err } else { remove w; unlock; return ctx.Err() }",
		},
		Check: canceledReceiveLosesNothing,
	},
	{
		Name: "BatchTakesWhatIsThere", Group: "receiving", Points: 2, Section: receiveSection, Deadline: soon,
		Why: "A batch is how a consumer catches up: one lock, one wake-up and one system call for many messages. It must not wait to be full, or the last messages of a burst stay for ever.",
		Hints: [3]string{
			"The queue holds 3, and the batch has room for 10. What are you waiting for?",
			"Wait for the first message only; then take, under one lock, what is there.",
			"n := c.take(dst); if n == 0 { wait for one: dst[0]; n = 1 + c.take(dst[1:]) }",
		},
		Check: batchTakesWhatIsThere,
	},
}

func receiveWaits(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		s := open(r, l, options{Capacity: 4, Policy: Block})
		a := s.startReceive("Receive A")
		b := s.startReceive("Receive B")
		c := s.startReceive("Receive C")
		s.waits(a, b, c)
		r.Step("an hour goes by")
		time.Sleep(time.Hour)
		s.waits(a, b, c)
		s.put(Low, 1)
		s.handed(a, 1)
		s.waits(b, c)
		if s.err == nil {
			r.Step("cancel Receive B")
		}
		b.cancel()
		s.ends(context.Canceled, b)
		s.put(Normal, 2)
		s.handed(c, 2)
		s.isEmpty()
		r.Step("Receive with a context that has ended: it matters only to one who waits")
		s.put(Normal, 3)
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		late := s.start("Receive", func(context.Context) ([]int, error) {
			m, err := s.Receive(ended)
			return []int{m.ID}, err
		})
		s.handed(late, 3)
		return s.err
	})
}

func receivesLetSendersIn(r *spec.Run, l lab) error {
	return makeRoom(r, l, map[string]func(s *scene){
		"Receive": func(s *scene) { s.handed(s.startReceive("Receive"), 0) },
		"ReceiveBatch": func(s *scene) {
			s.handed(s.start("ReceiveBatch", func(ctx context.Context) ([]int, error) { return batch(s, ctx, 1) }), 0)
		},
	})
}

func batch(s *scene, ctx context.Context, size int) (ids []int, err error) {
	dst := make([]Message, size)
	n, err := s.ReceiveBatch(ctx, dst)
	for _, m := range dst[:n] {
		ids = append(ids, m.ID)
	}
	return ids, err
}

// canceledReceiveLosesNothing has a message come and a context end at the same
// time, in both orders, often enough for a select to choose wrongly.
func canceledReceiveLosesNothing(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		s := open(r, l, options{Capacity: 4, Policy: Block})
		r.Step("200 times: Receive waits; TrySend and cancel, with nothing between")
		quiet := &scene{judged: s.judged, r: &spec.Run{}, l: l, err: s.err}
		for i := 1; i <= 200 && s.err == nil; i++ {
			ctx, cancel := context.WithCancel(r.Context())
			got := make(chan int, 1)
			r.Go(func() error {
				m, err := s.Receive(ctx)
				if err != nil {
					m.ID = 0
				}
				got <- m.ID
				return nil
			})
			quiet.waits() // until it waits
			var err error
			if i%2 == 0 {
				err = s.TrySend(Normal, Message{ID: i})
				cancel()
			} else {
				cancel()
				err = s.TrySend(Normal, Message{ID: i})
			}
			if err != nil {
				s.fail("TrySend to an empty channel to return nil", "it returned %s", l.name(err))
			}
			id := <-got
			if id == 0 {
				m, _ := s.TryReceive()
				id = m.ID
			}
			if id != i {
				s.fail("the message to be received, or to be in the queue when Receive was canceled", "message %d is in neither place (what was found: %d)", i, id)
			}
		}
		return s.err
	})
}

func batchTakesWhatIsThere(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		s := open(r, l, options{Capacity: 10, Policy: Block})
		take := func(size int) *call {
			return s.start("ReceiveBatch", func(ctx context.Context) ([]int, error) { return batch(s, ctx, size) })
		}
		s.put(Low, 1)
		s.put(Normal, 2, 3)
		s.put(High, 4)
		s.handed(take(3), 4, 2, 3)
		s.put(Normal, 5)
		s.handed(take(10), 5, 1)
		s.handed(take(0))
		c := take(10)
		s.waits(c)
		s.put(Normal, 6)
		s.handed(c, 6)
		s.fill(1, 10)
		var senders []*call
		for id := 11; id <= 14; id++ {
			senders = append(senders, s.startSend(Normal, Message{ID: id}))
		}
		s.handed(take(3), 1, 2, 3)
		s.ends(nil, senders[:3]...)
		s.waits(senders[3])
		s.handed(take(9), 4, 5, 6, 7, 8, 9, 10, 11, 12)
		s.ends(nil, senders[3])
		s.gets(13, 14)
		s.isEmpty()
		return s.err
	})
}
