package queuetest

import (
	"bytes"
	"fmt"
	"sync"
	"testing/synctest"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var leaseRules = []spec.Rule[lab]{
	{
		Name: "VisibilityIsKept", Group: "attempts", Points: 2, Section: step9,
		Why: "A consumer takes a record and dies. When its time is over, and not before, somebody else gets it, one who has waited all the while too. That is what at-least-once costs and is worth.",
		Hints: [3]string{
			"When does a consumer wait, although a record will be due in ten seconds?",
			"It waits for the first of three: a new record, a change of the leases, and the time at which the earliest of them is due.",
			"a heap of leases by due; Receive: select { <-grown; <-changed; <-time.After(line[0].due - now); <-ctx.Done() }",
		},
		Check: visibility,
	},
	{
		Name: "BackoffIsKept", Group: "attempts", Points: 2, Section: step9,
		Why: "What has just failed will fail again a millisecond later, and keep a consumer from records that would succeed. Each further attempt waits twice as long, up to a bound.",
		Hints: [3]string{
			"The second attempt has failed at 100 ms, Backoff is 10 ms. When is the third?",
			"At 120 ms. It does not matter whether it was a Nack, or Visibility was over.",
			"wait := Backoff; for range attempt-1 { wait = min(2*wait, MaxBackoff) }; due = failedAt + wait",
		},
		Check: backoff,
	},
	{
		Name: "StaleAckIsRefused", Group: "attempts", Points: 1, Section: step9,
		Why: "A consumer was too slow, and its record is another's by now. If the slow one's Nack counts, a third gets it while the second works on it.",
		Hints: [3]string{
			"How do you tell the delivery of the first consumer from that of the second?",
			"By its attempt. Who holds the last one decides; as long as nobody has got it again, it may still be acknowledged late.",
			"if l := leases[d.Offset]; l.attempt != d.Attempt { return ErrStale }",
		},
		Check: staleAck,
	},
	{
		Name: "InFlightIsBounded", Group: "attempts", Points: 1, Section: step9,
		Why: "Consumers that take and never finish would end with all of the log in memory, as leases.",
		Hints: [3]string{
			"What has to be remembered of a record that was delivered and is not done?",
			"A lease. There are MaxInFlight of them; a Receive beyond waits for one to end.",
			"for len(g.leases) < MaxInFlight { ... }; finish: if it was full, wake those who wait",
		},
		Check: inFlight,
	},
	{
		Name: "DeadLettersAreKept", Group: "attempts", Points: 3, Section: step9,
		Why: "A record that cannot be processed must not be tried for ever, and must not be thrown away: it goes into a log of its own, for a human to look at. A crash in between may leave it in both places, never in none.",
		Hints: [3]string{
			"Which comes first: the dead letter, or that the record is done?",
			"The dead letter, on the disk. Then the record counts as done.",
			"if attempt == MaxAttempts: offset, err := dead.Append(key, value); if err == nil { done; save }",
		},
		Check: deadLetters,
	},
	{
		Name: "FullDiskKeepsTheDying", Group: "attempts", Points: 1, Section: step9,
		Why: "The disk is full, and the dead letter cannot be written. The record is all there is of it.",
		Hints: [3]string{
			"What if Append to the dead letters returns an error?",
			"The record is not done. It stays, and the caller of Receive or Nack hears of it.",
			"if err != nil { put the lease back in line; return fmt.Errorf(\"put away dead letter ...: %w\", err) }",
		},
		Check: dyingKept,
	},
}

func visibility(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		_, q, err := filled(r, l, Options{}, 2)
		if err != nil {
			return err
		}
		g, err := made(l, q, "g", GroupOptions{Visibility: 10 * time.Second})
		if err != nil {
			return err
		}
		r.Step("Visibility 10 s; one consumer gets offset 0 at 0 s, one gets 1 at 1 s, a third waits")
		if _, err := gets(r, l, g, 0, 1); err != nil {
			return err
		}
		time.Sleep(time.Second)
		began := time.Now()
		type got struct {
			Delivery
			at time.Duration
		}
		third := make(chan got, 10)
		for range 3 {
			go func() {
				if d, err := g.Receive(r.Context()); err == nil {
					third <- got{d, time.Since(began) + time.Second}
				}
			}()
		}
		next := func(want string) error {
			select {
			case d := <-third:
				if s := fmt.Sprintf("offset %d, attempt %d, at %v", d.Offset, d.Attempt, d.at); s != want {
					return spec.Fail(want, "Receive delivered %s", s)
				}
				return nil
			case <-time.After(time.Hour):
				return spec.Fail(want, "nothing was delivered within an hour")
			}
		}
		if err := next("offset 1, attempt 1, at 1s"); err != nil {
			return err
		}
		if err := next("offset 0, attempt 2, at 10s"); err != nil {
			return err
		}
		if err := next("offset 1, attempt 2, at 11s"); err != nil {
			return err
		}
		r.Step("the first one acknowledges in time, after a restart of the clock by Receive")
		time.Sleep(9 * time.Second) // it is 20 s: offset 0 is over
		one, err := gets(r, l, g, 0, 3)
		if err != nil {
			return err
		}
		time.Sleep(9*time.Second + 999*ms)
		if err := g.Ack(one); err != nil {
			return spec.Fail("Ack just before Visibility is over to return nil", "it returned %s", l.name(err))
		}
		time.Sleep(time.Hour)
		if _, err := gets(r, l, g, 1, 3); err != nil {
			return err
		}
		return nothing(r, l, g, "offset 0 was acknowledged")
	})
}

func backoff(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		_, q, err := filled(r, l, Options{}, 1)
		if err != nil {
			return err
		}
		g, err := made(l, q, "g", GroupOptions{Visibility: time.Second, Backoff: 10 * ms, MaxBackoff: 50 * ms, MaxAttempts: 100})
		if err != nil {
			return err
		}
		r.Step("Backoff 10 ms, MaxBackoff 50 ms, Visibility 1 s; each attempt fails, by Nack or, each third, by silence")
		began := time.Now()
		want := time.Duration(0)
		for attempt := 1; attempt <= 80; attempt++ { // far beyond the 63 doublings of an int64
			one, err := g.Receive(r.Context())
			if err != nil {
				return spec.Fail("Receive to deliver", "it returned %s", l.name(err))
			}
			if at := time.Since(began); one.Attempt != attempt || at != want {
				return spec.Fail(fmt.Sprintf("attempt %d at %v", attempt, want), "attempt %d came at %v", one.Attempt, at)
			}
			wait := min(10*ms<<min(attempt-1, 3), 50*ms)
			if attempt%3 == 0 {
				want += time.Second + wait
				continue
			}
			time.Sleep(ms)
			if err := g.Nack(one); err != nil {
				return spec.Fail("Nack to return nil", "it returned %s", l.name(err))
			}
			want += ms + wait
		}
		r.Step("one consumer has the record, another waits; Nack")
		one, err := g.Receive(r.Context())
		if err != nil {
			return spec.Fail("Receive to deliver", "it returned %s", l.name(err))
		}
		other := make(chan time.Duration, 1)
		go func() {
			if _, err := g.Receive(r.Context()); err == nil {
				other <- time.Since(began)
			}
		}()
		synctest.Wait()
		if err := g.Nack(one); err != nil {
			return spec.Fail("Nack to return nil", "it returned %s", l.name(err))
		}
		want += 50 * ms
		if at := <-other; at != want {
			return spec.Fail(fmt.Sprintf("the one who waits to get the record at %v", want), "it came at %v", at)
		}
		return nil
	})
}

func staleAck(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		_, q, err := filled(r, l, Options{}, 3)
		if err != nil {
			return err
		}
		g, err := made(l, q, "g", GroupOptions{Visibility: time.Second, Backoff: time.Second, MaxAttempts: 9})
		if err != nil {
			return err
		}
		first, err := received(r, l, g, 0, 3)
		if err != nil {
			return err
		}
		r.Step("three records; at 1.5 s their time is over, and 1 is acknowledged late; at 2 s offset 0 is delivered again")
		time.Sleep(1500 * ms)
		if err := nothing(r, l, g, "Backoff is 1 s"); err != nil {
			return err
		}
		if err := g.Ack(first[1]); err != nil {
			return spec.Fail("Ack to return nil, late, while nobody else has the record", "it returned %s", l.name(err))
		}
		time.Sleep(500 * ms)
		second, err := gets(r, l, g, 0, 2)
		if err != nil {
			return err
		}
		for what, err := range map[string]error{"Ack": g.Ack(first[0]), "Nack": g.Nack(first[0]), "Ack of a record that was never delivered": g.Ack(Delivery{Offset: 77, Attempt: 1})} {
			if !isErr(err, l.Stale) {
				return spec.Fail(what+" to return ErrStale: the record is somebody else's", "it returned %s", l.name(err))
			}
		}
		if _, err := gets(r, l, g, 2, 2); err != nil {
			return err
		}
		if err := nothing(r, l, g, "0 and 2 are with consumers, 1 is done"); err != nil {
			return err
		}
		if err := g.Ack(second); err != nil {
			return spec.Fail("Ack by the one who has the record to return nil", "it returned %s", l.name(err))
		}
		if err := g.Nack(second); !isErr(err, l.Stale) {
			return spec.Fail("Nack of a record that is done to return ErrStale", "it returned %s", l.name(err))
		}
		time.Sleep(time.Hour)
		if _, err := gets(r, l, g, 2, 3); err != nil {
			return err
		}
		return nothing(r, l, g, "0 and 1 are done")
	})
}

func inFlight(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		_, q, err := filled(r, l, Options{}, 10)
		if err != nil {
			return err
		}
		g, err := made(l, q, "g", GroupOptions{MaxInFlight: 4, Visibility: time.Hour, Backoff: time.Hour, MaxBackoff: time.Hour})
		if err != nil {
			return err
		}
		ds, err := received(r, l, g, 0, 4)
		if err != nil {
			return err
		}
		if err := nothing(r, l, g, "4 records are in flight, and MaxInFlight is 4"); err != nil {
			return err
		}
		r.Step("a Receive waits; one of the four is acknowledged")
		waits := make(chan Delivery, 1)
		go func() {
			if d, err := g.Receive(r.Context()); err == nil {
				waits <- d
			}
		}()
		synctest.Wait()
		if err := g.Ack(ds[2]); err != nil {
			return spec.Fail("Ack to return nil", "it returned %s", l.name(err))
		}
		synctest.Wait()
		select {
		case d := <-waits:
			if d.Offset != 4 {
				return spec.Fail("offset 4 to come next", "Receive delivered %d", d.Offset)
			}
		default:
			return spec.Fail("a Receive that waits to get a record when another is done", "it still waits")
		}
		if err := nothing(r, l, g, "4 records are in flight"); err != nil {
			return err
		}
		r.Step("one fails, and waits an hour for its next attempt")
		if err := g.Nack(ds[3]); err != nil {
			return spec.Fail("Nack to return nil", "it returned %s", l.name(err))
		}
		if s := g.Stats(); s.InFlight != 4 {
			return spec.Fail("Stats to tell of 4 in flight: what waits for its next attempt is not done", "it is %+v", s)
		}
		return nothing(r, l, g, "3 records are with consumers, one waits for its next attempt, and MaxInFlight is 4")
	})
}

func deadLetters(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		d := newDisk()
		q, err := open(r, l, d, Options{RetainBytes: 1, SegmentBytes: 1})
		if err != nil {
			return err
		}
		o := GroupOptions{Visibility: time.Second, MaxAttempts: 3}
		g, err := q.Group("g", o)
		if err != nil {
			return spec.Fail("Group to be made", "it returned %s", l.name(err))
		}
		if err := fill(r, l, q, 0, 3); err != nil {
			return err
		}
		r.Step("MaxAttempts 3: offset 0 gets Nack three times, offset 1 is forgotten three times, 2 is acknowledged; each consumer writes into what it has got; the power goes before each change of the disk on the way")
		before, _, _ := d.counts()
		snapshots := []*disk{}
		var mu sync.Mutex
		d.change(func(o op) error {
			mu.Lock()
			defer mu.Unlock()
			if o.changes() {
				snapshots = append(snapshots, d.after(power), d.after(process))
			}
			return nil
		}, nil)
		if err := dieTwice(r, l, g); err != nil {
			return err
		}
		after, _, _ := d.counts()
		snapshots = append(snapshots, d.after(power))
		d.change(nil, nil)
		dead, err := everything(g.Dead(), 0)
		if err != nil {
			return spec.Fail("to read the dead letters", "Read returned %s", l.name(err))
		}
		if err := same(dead, "as a dead letter", 0, 2); err != nil {
			return err
		}
		if s := g.Stats(); s.Dead != 2 || s.Committed != 3 || s.Redelivered != 4 || s.InFlight != 0 {
			return spec.Fail("Stats to tell of 2 dead letters, 3 committed, 4 delivered again", "it is %+v", s)
		}
		r.Step("%d changes of the disk", after-before)
		for _, copied := range snapshots {
			if err := diedOrLives(r, l, copied, o); err != nil {
				return err
			}
		}
		if err := attemptsCount(r, l); err != nil {
			return err
		}
		return largeDead(r, l)
	})
}

// attemptsCount has the power go behind each Nack.
func attemptsCount(r *spec.Run, l lab) error {
	r.Step("MaxAttempts 3: a record gets Nack three times, and the power goes after each")
	d := newDisk()
	for attempt := 1; attempt <= 4; attempt++ {
		q, err := open(r, l, d, Options{})
		if err != nil {
			return err
		}
		if attempt == 1 {
			if err := fill(r, l, q, 0, 1); err != nil {
				return err
			}
		}
		g, err := q.Group("g", GroupOptions{MaxAttempts: 3})
		if err != nil {
			return spec.Fail("Group to find its group", "it returned %s", l.name(err))
		}
		if attempt == 4 {
			if err := nothing(r, l, g, "three attempts have failed, before a restart each"); err != nil {
				return err
			}
			dead, err := everything(g.Dead(), 0)
			if err != nil {
				return spec.Fail("to read the dead letters", "Read returned %s", l.name(err))
			}
			return same(dead, "as a dead letter after three attempts in three processes", 0, 1)
		}
		one, err := gets(r, l, g, 0, attempt)
		if err != nil {
			return fmt.Errorf("a Nack that has returned nil counts, after a loss of power too: %w", err)
		}
		if err := g.Nack(one); err != nil {
			return spec.Fail("Nack to return nil", "it returned %s", l.name(err))
		}
		end(q, d)
		d = d.after(power)
	}
	return nil
}

// largeDead has a record die that is larger than the log takes now: it was
// appended when MaxPending was higher.
func largeDead(r *spec.Run, l lab) error {
	d := newDisk()
	q, err := open(r, l, d, Options{MaxPending: 12 << 20})
	if err != nil {
		return err
	}
	large := bytes.Repeat([]byte("large "), 9<<20/6)
	if _, err := q.Append(r.Context(), nil, large); err != nil {
		return spec.Fail("Append of 9 MiB with MaxPending 12 MiB to return nil", "it returned %s", l.name(err))
	}
	if err := closed(r, l, q); err != nil {
		return err
	}
	r.Step("a record of 9 MiB; the log is opened again with MaxPending 1000, and the only attempt fails")
	if q, err = open(r, l, d, Options{MaxPending: 1000}); err != nil {
		return err
	}
	g, err := made(l, q, "g", GroupOptions{MaxAttempts: 1})
	if err != nil {
		return err
	}
	one, err := receive(r, l, g)
	if err != nil {
		return err
	}
	if err := g.Nack(one); err != nil {
		return spec.Fail("a record of 9 MiB to become a dead letter: MaxPending bounds what is appended to the log", "Nack returned %s", l.name(err))
	}
	dead, err := everything(g.Dead(), 0)
	if err != nil || len(dead) != 1 || !bytes.Equal(dead[0].Value, large) {
		return spec.Fail("the record of 9 MiB as a dead letter", "%d records are there, and Read returned %s", len(dead), l.name(err))
	}
	return nil
}

// dieTwice has two records fail until they are dead letters.
func dieTwice(r *spec.Run, l lab, g group) error {
	for attempt := 1; attempt <= 3; attempt++ {
		one, err := gets(r, l, g, 0, attempt)
		if err != nil {
			return err
		}
		two, err := gets(r, l, g, 1, attempt)
		if err != nil {
			return err
		}
		if attempt == 1 {
			three, err := gets(r, l, g, 2, 1)
			if err != nil {
				return err
			}
			if err := g.Ack(three); err != nil {
				return spec.Fail("Ack to return nil", "it returned %s", l.name(err))
			}
		}
		if err := g.Nack(one); err != nil {
			return spec.Fail("Nack to return nil", "it returned %s", l.name(err))
		}
		for _, d := range []Delivery{one, two} { // they are the consumer's
			clear(d.Key)
			clear(d.Value)
		}
		if attempt < 3 { // 0 is due at once; have it wait for 1
			time.Sleep(2 * time.Second)
		}
	}
	time.Sleep(2 * time.Second)
	return nothing(r, l, g, "two records are dead letters, one is done")
}

// diedOrLives holds that each record is to be delivered, or a dead letter, or
// was acknowledged.
func diedOrLives(r *spec.Run, l lab, d *disk, o GroupOptions) error {
	q, err := l.Open(logDir, Options{FS: d, SegmentBytes: 1})
	if err != nil {
		return spec.Fail("Open to open the log after a crash on the way of a dead letter", "it returned %v", err)
	}
	defer end(q, d)
	g, err := q.Group("g", o)
	if err != nil {
		return spec.Fail("Group to find its group after a crash", "it returned %s", l.name(err))
	}
	there := map[string]bool{}
	dead, err := everything(g.Dead(), 0)
	if err != nil {
		return spec.Fail("to read the dead letters after a crash", "Read returned %s", l.name(err))
	}
	for _, rec := range dead {
		there[string(rec.Value)] = true
	}
	for range 10 {
		one, err := receive(r, l, g)
		if err != nil {
			break
		}
		there[string(one.Value)] = true
		if one.Offset == 0 && one.Attempt > 3 {
			return spec.Fail("at most 3 attempts", "attempt %d was delivered after a restart", one.Attempt)
		}
	}
	if dead, err = everything(g.Dead(), 0); err != nil {
		return err
	}
	for _, rec := range dead {
		there[string(rec.Value)] = true
	}
	for i := range 2 {
		if !there[string(value(i))] {
			return spec.Fail("a record that was never acknowledged to be delivered again, or to be a dead letter", "offset %d is neither after a crash on the way", i)
		}
	}
	return nil
}

func dyingKept(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		d, q, err := filled(r, l, Options{}, 1)
		if err != nil {
			return err
		}
		o := GroupOptions{Visibility: time.Second, MaxAttempts: 1}
		g, err := q.Group("g", o)
		if err != nil {
			return spec.Fail("Group to be made", "it returned %s", l.name(err))
		}
		one, err := gets(r, l, g, 0, 1)
		if err != nil {
			return err
		}
		r.Step("MaxAttempts 1; the only attempt fails, and the disk is full")
		d.change(nil, func(op, int) (int, error) { return 0, errNoRoom })
		if err := g.Nack(one); !isErr(err, errNoRoom) {
			return spec.Fail("Nack to return why the dead letter could not be written", "it returned %s", l.name(err))
		}
		if c := g.Stats().Committed; c != 0 {
			return spec.Fail("the record not to count as done", "Stats says committed %d", c)
		}
		for range 3 {
			time.Sleep(2 * time.Second)
			if _, err := g.Receive(r.Context()); !isErr(err, errNoRoom) {
				return spec.Fail("Receive to return why the dead letter could not be written", "it returned %s", l.name(err))
			}
		}
		r.Step("there is room again")
		d.change(nil, nil)
		time.Sleep(time.Minute)
		if err := nothing(r, l, g, "the record is a dead letter"); err != nil {
			return err
		}
		dead, err := everything(g.Dead(), 0)
		if err != nil {
			return spec.Fail("to read the dead letters", "Read returned %s", l.name(err))
		}
		return same(dead, "as a dead letter", 0, 1)
	})
}
