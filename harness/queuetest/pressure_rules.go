package queuetest

import (
	"context"
	"errors"
	"fmt"
	"testing/synctest"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var pressureRules = []spec.Rule[lab]{
	{
		Name: "PendingIsBounded", Group: "pressure", Points: 2, Section: step7,
		Why: "The disk is slower than the network. What was accepted and is not on the disk is in memory, and without a bound it is all of it.",
		Hints: [3]string{
			"Which bytes do you have to count: those that wait, or also those that the disk works on?",
			"Both. They come back when their batch is on the disk, and also when it has failed.",
			"room.TryAcquire(size) before a record is queued; room.Grant(batch.cost()) in finish",
		},
		Check: pendingBounded,
	},
	{
		Name: "WaitersGetTheirRoom", Group: "pressure", Points: 2, Section: step7,
		Why: "Who waits for room gets it in turn; who gives up leaves the line, and holds nobody up. And while somebody waits, no other passes.",
		Hints: [3]string{
			"Lab 05 has built a line for exactly this. Which of its types counts bytes?",
			"Credit: Acquire waits in line and gives up with its context, Grant lets the next one in.",
			"if err := l.room.Acquire(ctx, size); err != nil { return err }",
		},
		Check: waitersTurn,
	},
}

var endRules = []spec.Rule[lab]{
	{
		Name: "CloseKeepsWhatWasAccepted", Group: "end", Points: 1, Section: step7,
		Why: "The last records are always on their way when a program ends. Close brings them onto the disk, and their producers hear of it.",
		Hints: [3]string{
			"What is queued when Close is called, and who writes it?",
			"The committer: it ends when Close has begun and nothing is queued. Close waits for it.",
			"l.closing = true; hurry(); <-l.ended. due: if len(queue) == 0 { end = closing }",
		},
		Check: closeKeeps,
	},
	{
		Name: "CloseIsFinal", Group: "end", Points: 1, Section: step7,
		Why: "Two parts of a program close it, a third still appends, a fourth waits for room, a fifth for records. Nobody may hang, and no goroutine may stay.",
		Hints: [3]string{
			"Who may be waiting in a log when it is closed?",
			"For room, for the disk, for records: all of them look at closing when they wake, so wake them all.",
			"room.Close(); close(l.grown); and the committer, which ends when nothing is queued",
		},
		Check: closeFinal,
	},
	{
		Name: "CloseGivesUp", Group: "end", Points: 1, Section: step7,
		Why: "The disk hangs, and the program wants to end. When the deadline has passed Close returns, and those whose records nobody will write are told.",
		Hints: [3]string{
			"The disk hangs. Which records can you still decide on?",
			"Those that are queued: their done gets ErrClosed. What the disk has, it has.",
			"case <-ctx.Done(): left := l.queue; l.queue = nil; for each: tell(ErrClosed); return ctx.Err()",
		},
		Check: closeGivesUp,
	},
}

// kilo is a record of 1000 bytes that tells which one it is.
func kilo(i int) []byte {
	return append(fmt.Appendf(nil, "record %d ", i), make([]byte, 1000)...)[:1000]
}

func pendingBounded(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		d := newDisk()
		q, err := open(r, l, d, Options{MaxPending: 20_000})
		if err != nil {
			return err
		}
		g := newGate(r, logSyncs)
		d.change(g.before, nil)
		r.Step("MaxPending 20,000, the disk hangs, records of 1000 bytes")
		accepted := 0
		a := newAcks()
		put := func() error {
			i := accepted
			return q.TryAppend(nil, kilo(i), func(offset int64, err error) { a.done(i, offset, err) })
		}
		fits := func(when string) error {
			before := accepted
			for accepted < before+100 {
				if err := put(); err != nil {
					if !isErr(err, l.Full) {
						return spec.Fail("TryAppend to return ErrFull", "it returned %s", l.name(err))
					}
					break
				}
				accepted++
				synctest.Wait()
			}
			if n := accepted - before; n < 15 || n > 20 {
				return spec.Fail("room for 15 to 20 records of 1000 bytes "+when, "%d were accepted", n)
			}
			if p := q.Stats().Pending; p < 1000*(accepted-before) || p > 20_000 {
				return spec.Fail(fmt.Sprintf("%d to 20,000 bytes pending", 1000*(accepted-before)), "Stats says %d", p)
			}
			return nil
		}
		if err := fits("at first"); err != nil {
			return err
		}
		g.open()
		synctest.Wait()
		if p := q.Stats().Pending; p != 0 {
			return spec.Fail("nothing to be pending when all is on the disk", "Stats says %d", p)
		}
		r.Step("the disk has got all; the next writes fail")
		again := newGate(r, logSyncs)
		d.change(again.before, func(o op, n int) (int, error) { return 0, errNoRoom })
		for range 30 {
			if err := put(); err != nil {
				return spec.Fail("room after a write that has failed", "TryAppend returned %s", l.name(err))
			}
			accepted++
			synctest.Wait()
		}
		if good, bad := a.told(); bad != 30 {
			return spec.Fail("30 records to be refused by a full disk", "%d were acknowledged, %d refused", good, bad)
		}
		d.change(again.before, nil)
		return fits("after all that")
	})
}

func waitersTurn(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		d := newDisk()
		q, err := open(r, l, d, Options{MaxPending: 5000, MaxBatch: 1100})
		if err != nil {
			return err
		}
		release := make(chan struct{})
		r.Cleanup(func() { close(release) })
		d.change(func(o op) error {
			if logSyncs(o) {
				<-release
			}
			return nil
		}, nil)
		r.Step("MaxPending 5000, the disk hangs, 4 records of 1000 are pending; 6 more AppendAsync wait, the second gives up")
		for i := range 4 {
			if err := q.TryAppend(nil, kilo(i), nil); err != nil {
				return spec.Fail("TryAppend to return nil", "it returned %s", l.name(err))
			}
		}
		synctest.Wait()
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		var calls []<-chan error
		for i := 4; i < 10; i++ {
			c := r.Context()
			if i == 5 {
				c = ctx
			}
			calls = append(calls, r.Go(func() error {
				v := append(kilo(i), make([]byte, 500)...)
				return q.AppendAsync(c, nil, v, nil)
			}))
			synctest.Wait()
			if n := len(calls); len(calls[n-1]) > 0 {
				return spec.Fail("AppendAsync of 1500 bytes to wait: 4000 of 5000 are pending", "it returned %s", l.name(<-calls[n-1]))
			}
		}
		if err := q.TryAppend(nil, []byte("small"), nil); !isErr(err, l.Full) {
			return spec.Fail("TryAppend not to pass those who wait: ErrFull", "it returned %s", l.name(err))
		}
		cancel()
		synctest.Wait()
		if len(calls[1]) == 0 {
			return spec.Fail("AppendAsync to return when its context ends", "it still waits")
		}
		if err := <-calls[1]; !errors.Is(err, context.Canceled) {
			return spec.Fail("AppendAsync to return its context's error", "it returned %s", l.name(err))
		}
		for range 12 {
			select {
			case release <- struct{}{}:
			case <-time.After(time.Second):
			}
			synctest.Wait()
		}
		for i, c := range calls {
			if i == 1 {
				continue
			}
			if len(c) == 0 {
				return spec.Fail("everybody who waited to get room", "the AppendAsync of record %d still waits", i+4)
			}
			if err := <-c; err != nil {
				return spec.Fail("AppendAsync to return nil", "it returned %s", l.name(err))
			}
		}
		all, err := everything(q, 0)
		if err != nil {
			return err
		}
		var got []int
		for _, rec := range all {
			var i int
			fmt.Sscanf(string(rec.Value), "record %d ", &i)
			got = append(got, i)
		}
		if fmt.Sprint(got) != "[0 1 2 3 4 6 7 8 9]" {
			return spec.Fail("records 0 to 4 and 6 to 9, in the order of the calls", "the log has %v", got)
		}
		return nil
	})
}

func closeKeeps(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		d := newDisk()
		q, err := open(r, l, d, Options{MaxDelay: time.Hour, MaxBatch: 300})
		if err != nil {
			return err
		}
		r.Step("20 records, MaxDelay an hour, Close")
		a := newAcks()
		if err := batch(r, q, 0, 20, a.done); err != nil {
			return err
		}
		began := time.Now()
		if err := closed(r, l, q); err != nil {
			return err
		}
		if good, bad := a.told(); good != 20 {
			return spec.Fail("all 20 to be acknowledged before Close returns", "%d were, %d got an error", good, bad)
		}
		if took := time.Since(began); took != 0 {
			return spec.Fail("Close not to wait for MaxDelay", "it took %v", took)
		}
		again, err := open(r, l, d.after(power), Options{})
		if err != nil {
			return err
		}
		return has(l, again, "after Close", 0, 20)
	})
}

func closeFinal(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		d, q, err := filled(r, l, Options{MaxPending: 1000}, 2)
		if err != nil {
			return err
		}
		hold := newGate(r, logSyncs)
		d.change(hold.before, nil)
		r.Step("the disk hangs; one Append waits for it, one for room, a Wait for records; three call Close")
		disk := r.Go(func() error { _, err := q.Append(r.Context(), nil, make([]byte, 900)); return err })
		synctest.Wait()
		room := r.Go(func() error { _, err := q.Append(r.Context(), nil, make([]byte, 900)); return err })
		wait := r.Go(func() error { return q.Wait(r.Context(), 10) })
		synctest.Wait()
		var closes []<-chan error
		for range 3 {
			closes = append(closes, r.Go(func() error { return q.Close(r.Context()) }))
		}
		synctest.Wait()
		for what, c := range map[string]<-chan error{"Append, which waits for room,": room, "Wait": wait} {
			if len(c) == 0 {
				return spec.Fail(what+" to return when the log is closed", "it still waits")
			}
			if err := <-c; !isErr(err, l.Closed) {
				return spec.Fail(what+" to return ErrClosed", "it returned %s", l.name(err))
			}
		}
		if err := q.TryAppend(nil, nil, nil); !isErr(err, l.Closed) {
			return spec.Fail("TryAppend to return ErrClosed", "it returned %s", l.name(err))
		}
		for _, c := range closes {
			if len(c) > 0 {
				return spec.Fail("Close to wait for the record that was accepted", "it returned %s", l.name(<-c))
			}
		}
		hold.open()
		for _, c := range closes {
			if err, late := spec.Wait(r, "every Close to return", c); err != nil || late != nil {
				return spec.Fail("every Close to return nil", "one returned %s", l.name(errors.Join(err, late)))
			}
		}
		if err := <-disk; err != nil {
			return spec.Fail("the Append that was accepted to return nil", "it returned %s", l.name(err))
		}
		_, one := q.Append(r.Context(), nil, nil)
		_, two := q.Read(0, 10)
		for i, err := range []error{one, two, q.Wait(r.Context(), 10)} {
			if !isErr(err, l.Closed) {
				return spec.Fail("Append, Read and Wait to return ErrClosed after Close", "the %s of these returned %s", []string{"first", "second", "third"}[i], l.name(err))
			}
		}
		return nil
	})
}

func closeGivesUp(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		d, q, err := filled(r, l, Options{}, 1)
		if err != nil {
			return err
		}
		hold := newGate(r, logSyncs)
		d.change(hold.before, nil)
		a := newAcks()
		r.Step("the disk hangs on record 1; records 2 and 3 are queued; Close with a deadline of a second")
		if err := batch(r, q, 1, 2, a.done); err != nil {
			return err
		}
		synctest.Wait()
		if err := batch(r, q, 2, 4, a.done); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		if err := q.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			return spec.Fail("Close to return context.DeadlineExceeded", "it returned %s", l.name(err))
		}
		synctest.Wait()
		a.mu.Lock()
		two, three := a.bad[2], a.bad[3]
		a.mu.Unlock()
		if two != l.Closed || three != l.Closed {
			return spec.Fail("records 2 and 3 to be told ErrClosed", "they were told %s and %s", l.name(two), l.name(three))
		}
		hold.open()
		synctest.Wait()
		if good, bad := a.told(); good+bad != 3 || len(a.double) > 0 {
			return spec.Fail("each of 3 records to be told once", "%d were acknowledged, %d got an error, told twice: %v", good, bad, a.double)
		}
		return nil
	})
}
