package queuetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var groupRules = []spec.Rule[lab]{
	{
		Name: "GroupDeliversAll", Group: "groups", Points: 1, Section: step8,
		Why: "A group is a reader whose place the log remembers: from the oldest record on, in order, and new ones as they come. Other groups have places of their own.",
		Hints: [3]string{
			"Who waits in Receive while the log is empty, and who wakes it?",
			"The log has a channel that is closed when it grows. Take it before you look, or you miss what comes in between.",
			"grown := log.growth(); lock; next record, or nothing; unlock; select { <-grown; <-changed; <-timer; <-ctx.Done() }",
		},
		Check: deliversAll,
	},
	{
		Name: "OneConsumerAtATime", Group: "groups", Points: 1, Section: step8,
		Why: "Ten consumers share the work of a group. Two that have the same record at the same time do it twice.",
		Hints: [3]string{
			"Two Receives look at the same moment. What keeps them apart?",
			"Taking a record and noting that it is taken are one step under one lock.",
			"lock; l := fresh(); l.held = true; l.due = now + Visibility; unlock",
		},
		Check: oneConsumer,
	},
	{
		Name: "CloseEndsGroups", Group: "groups", Points: 1, Section: step8,
		Why: "A group ends with its log. A consumer that waits must not wait for ever, and one that comes later must hear why.",
		Hints: [3]string{
			"Who waits in Receive when the log is closed?",
			"Consumers. Close wakes them, and they look.",
			"Close: for each group: lock; closed = true; close(g.changed)",
		},
		Check: closeEndsGroups,
	},
	{
		Name: "AcksAreDurable", Group: "groups", Points: 3, Section: step8,
		Why: "Ack has returned nil: the record was charged, mailed, printed. After a crash it must not come again; and one that was not acknowledged must.",
		Hints: [3]string{
			"Where is it written what was acknowledged, and when is that on the disk?",
			"In a file that is replaced as a whole: written beside it, synced, renamed, and the directory synced. Then Ack returns.",
			"replace: Open(path.new); Truncate; writeAll; Sync; Rename(path.new, path); SyncDir",
		},
		Check: acksDurable,
	},
	{
		Name: "AcksInAnyOrder", Group: "groups", Points: 2, Section: step8,
		Why: "Consumers finish in any order. What is committed is one number, and all below it is done: if 7 is acknowledged and 3 is not, 3 must not be lost, and 7 not come again. And the number never falls.",
		Hints: [3]string{
			"3 is held by a consumer, 4 to 7 are acknowledged. What is in the file?",
			"Committed 3, and beside it what above that is done. When 3 is acknowledged, committed is 8.",
			"done[offset] = true; for done[committed] { delete(done, committed); committed++ }",
		},
		Check: acksAnyOrder,
	},
}

func deliversAll(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		d := newDisk()
		q, err := open(r, l, d, Options{SegmentBytes: 500})
		if err != nil {
			return err
		}
		for _, name := range []string{"", ".", "..", "a/b", "../x", "x\x00"} {
			if _, err := q.Group(name, GroupOptions{}); err == nil {
				return spec.Fail(fmt.Sprintf("Group to refuse the name %q, which is no name of a file", name), "it returned no error")
			}
		}
		if _, err := q.Group("a", GroupOptions{Visibility: -1}); err == nil {
			return spec.Fail("Group to refuse a negative Visibility", "it returned no error")
		}
		r.Step("20 records, then two groups; 5 more records while they wait")
		if err := fill(r, l, q, 0, 20); err != nil {
			return err
		}
		var groups []group
		for _, name := range []string{"a", "b"} {
			g, err := q.Group(name, GroupOptions{})
			if err != nil {
				return spec.Fail("Group to make group "+name, "it returned %s", l.name(err))
			}
			groups = append(groups, g)
			for i := range 20 {
				if _, err := gets(r, l, g, int64(i), 1); err != nil {
					return err
				}
			}
			if err := nothing(r, l, g, "all 20 were delivered"); err != nil {
				return err
			}
		}
		var waits []<-chan error
		for _, g := range groups {
			waits = append(waits, r.Go(func() error {
				for i := 20; i < 25; i++ {
					one, err := g.Receive(r.Context())
					if err != nil {
						return err
					}
					if one.Offset != int64(i) {
						return spec.Fail(fmt.Sprintf("offset %d to come next", i), "Receive delivered %d", one.Offset)
					}
				}
				return nil
			}))
		}
		synctest.Wait()
		if err := fill(r, l, q, 20, 25); err != nil {
			return err
		}
		synctest.Wait()
		for _, w := range waits {
			if len(w) == 0 {
				return spec.Fail("a Receive that waits to get records as they come", "it still waits")
			}
			if err := <-w; err != nil {
				return err
			}
		}
		r.Step("a record is written, and its fsync runs")
		hold := newGate(r, logSyncs)
		d.change(hold.before, nil)
		if err := batch(r, q, 25, 26, nil); err != nil {
			return err
		}
		synctest.Wait()
		if err := nothing(r, l, groups[0], "the fsync of offset 25 runs"); err != nil {
			return err
		}
		hold.open()
		synctest.Wait()
		if s := groups[0].Stats(); s.Delivered != 25 || s.InFlight != 25 || s.Committed != 0 || s.Redelivered != 0 {
			return spec.Fail("Stats to tell of 25 records delivered and in flight, none committed", "it is %+v", s)
		}
		return nil
	})
}

func closeEndsGroups(r *spec.Run, l lab) error {
	err := r.Bubble(func(r *spec.Run) error {
		_, q, err := filled(r, l, Options{}, 2)
		if err != nil {
			return err
		}
		g, err := made(l, q, "g", GroupOptions{})
		if err != nil {
			return err
		}
		ds, err := received(r, l, g, 0, 2)
		if err != nil {
			return err
		}
		r.Step("a Receive waits; Close")
		recv := r.Go(func() error { _, err := g.Receive(r.Context()); return err })
		synctest.Wait()
		if err := closed(r, l, q); err != nil {
			return err
		}
		synctest.Wait()
		if len(recv) == 0 {
			return spec.Fail("Receive to return when the log is closed", "it still waits")
		}
		_, again := g.Receive(r.Context())
		_, other := q.Group("h", GroupOptions{})
		for i, err := range []error{<-recv, again, g.Ack(ds...), other} {
			if !isErr(err, l.Closed) {
				return spec.Fail("Receive, Ack and Group to return ErrClosed after Close", "the %s returned %s", []string{"Receive that waited", "later Receive", "Ack", "Group"}[i], l.name(err))
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return closeWaitsForAck(r, l)
}

// closeWaitsForAck has the disk hang in an Ack: when Close has returned, the
// next process may open the log, and nobody else writes there any more.
func closeWaitsForAck(r *spec.Run, l lab) error {
	d, q, err := filled(r, l, Options{}, 1)
	if err != nil {
		return err
	}
	g, err := made(l, q, "g", GroupOptions{})
	if err != nil {
		return err
	}
	var one Delivery
	if err := r.Call("Receive to deliver", func() (err error) { one, err = g.Receive(r.Context()); return err }); err != nil {
		return spec.Fail("Receive to deliver", "it returned %s", l.name(err))
	}
	r.Step("the disk hangs in the midst of an Ack; Close; the disk goes on")
	hold := newGate(r, func(o op) bool { return o.kind == "write" && !o.isLog() })
	d.change(hold.before, nil)
	ack := r.Go(func() error { return g.Ack(one) })
	if err := r.Until("the Ack to write", func() bool { return hold.came() > 0 }); err != nil {
		return err
	}
	short, cancel := context.WithTimeout(r.Context(), time.Second)
	defer cancel()
	err = r.Call("Close to return at its deadline", func() error { return q.Close(short) })
	if err == nil {
		return spec.Fail("Close not to return nil while an Ack writes: another process may open the log next", "it returned nil")
	}
	ended := r.Go(func() error { return q.Close(r.Context()) })
	hold.open()
	if err, late := spec.Wait(r, "Ack to return", ack); err != nil || late != nil {
		return spec.Fail("Ack to return nil when the disk goes on", "it returned %s", l.name(errors.Join(err, late)))
	}
	_, late := spec.Wait(r, "the second Close to return", ended)
	return late
}

func oneConsumer(r *spec.Run, l lab) error {
	d := newDisk()
	q, err := open(r, l, d, Options{SegmentBytes: 4000})
	if err != nil {
		return err
	}
	const n, consumers = 400, 8
	if err := batch(r, q, 0, n, nil); err != nil {
		return err
	}
	g, err := made(l, q, "g", GroupOptions{Visibility: time.Hour})
	if err != nil {
		return err
	}
	r.Step("%d records, %d consumers who acknowledge every second one", n, consumers)
	var mu sync.Mutex
	seen := map[int64]int{}
	var fault error
	left := n
	var all sync.WaitGroup
	for range consumers {
		all.Go(func() {
			for {
				mu.Lock()
				over := left == 0 || fault != nil
				left = max(0, left-1)
				mu.Unlock()
				if over {
					return
				}
				one, err := g.Receive(r.Context())
				if err == nil && one.Offset%2 == 0 {
					err = g.Ack(one)
				}
				mu.Lock()
				if seen[one.Offset]++; err != nil {
					fault = spec.Fail("Receive and Ack to return nil", "one returned %s", l.name(err))
				} else if seen[one.Offset] > 1 {
					fault = spec.Fail("every record to one consumer", "offset %d was delivered twice within its hour", one.Offset)
				}
				mu.Unlock()
			}
		})
	}
	if err := r.Call("all consumers to get their records", func() error { all.Wait(); return nil }); err != nil {
		return err
	}
	if fault != nil {
		return fault
	}
	if s := g.Stats(); len(seen) != n || s.InFlight != n/2 || s.Acked != n/2 || s.Committed != 1 {
		return spec.Fail(fmt.Sprintf("%d records, half of them acknowledged, and offset 1 not", n), "%d were delivered, and Stats says %+v", len(seen), s)
	}
	return nil
}

// received takes n records from g, which come in order from offset on.
func received(r *spec.Run, l lab, g group, from, to int) (all []Delivery, err error) {
	for i := from; i < to; i++ {
		d, err := gets(r, l, g, int64(i), 1)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

func acksDurable(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		d, q, err := filled(r, l, Options{SegmentBytes: 500}, 12)
		if err != nil {
			return err
		}
		g, err := made(l, q, "g", GroupOptions{})
		if err != nil {
			return err
		}
		ds, err := received(r, l, g, 0, 12)
		if err != nil {
			return err
		}
		r.Step("12 records are delivered, and acknowledged one by one, on a disk that takes 7 bytes at a time; in the midst of each Ack and behind it the power goes, in several ways")
		for i, one := range ds {
			var during []*disk
			d.change(func(o op) error {
				if o.changes() && i < 3 {
					during = append(during, d.after(power), d.after(half), d.after(zeros), d.after(process))
				}
				return nil
			}, func(_ op, n int) (int, error) { return min(n, 7), nil })
			if err := g.Ack(one); err != nil {
				return spec.Fail("Ack to return nil", "it returned %s", l.name(err))
			}
			d.change(nil, nil)
			for _, copied := range during {
				if err := duringAck(l, copied, one); err != nil {
					return err
				}
			}
			if err := g.Ack(one); err != nil {
				return spec.Fail("a second Ack of the same delivery to return nil: it is done", "it returned %s", l.name(err))
			}
			for _, how := range []loss{power, process, half} {
				again := d.after(how)
				q, err := l.Open(logDir, Options{FS: again, SegmentBytes: 500})
				if err != nil {
					return spec.Fail("Open to open the log", "%s: %v", how.what, err)
				}
				g, err := q.Group("g", GroupOptions{})
				if err != nil {
					return spec.Fail("Group to find its group", "%s: %s", how.what, l.name(err))
				}
				if c := g.Stats().Committed; c != int64(i+1) {
					return spec.Fail(fmt.Sprintf("offset %d to be committed, when %s", i+1, how.what), "Stats says %d", c)
				}
				if i == len(ds)-1 {
					err = nothing(r, l, g, "all was acknowledged")
				} else {
					err = first(r, l, g, int64(i+1))
				}
				end(q, again)
				if err != nil {
					return fmt.Errorf("after Ack of offset %d, when %s: %w", i, how.what, err)
				}
			}
		}
		r.Step("the group's file cannot be written")
		if err := fill(r, l, q, 12, 13); err != nil {
			return err
		}
		if ds, err = received(r, l, g, 12, 13); err != nil {
			return err
		}
		d.change(func(o op) error {
			if o.changes() {
				return errIO
			}
			return nil
		}, nil)
		if err := g.Ack(ds...); err == nil {
			return spec.Fail("Ack to return an error when it cannot be on the disk", "it returned nil")
		}
		r.Step("it can be written again: the same Ack once more, then the power goes")
		d.change(nil, nil)
		if err := g.Ack(ds...); err != nil {
			return spec.Fail("Ack to return nil when the disk works again", "it returned %s", l.name(err))
		}
		if q, err = open(r, l, d.after(power), Options{SegmentBytes: 500}); err != nil {
			return err
		}
		if g, err = q.Group("g", GroupOptions{}); err != nil {
			return spec.Fail("Group to find its group", "it returned %s", l.name(err))
		}
		if c := g.Stats().Committed; c != 13 {
			return spec.Fail("offset 13 to be committed: the second Ack has returned nil", "Stats says %d", c)
		}
		return refusedAsItIs(r, l)
	})
}

// refusedAsItIs damages a group's file, and leaves a torn tail in the log: where
// Open refuses the one, it has not cut the other.
func refusedAsItIs(r *spec.Run, l lab) error {
	d, q, err := filled(r, l, Options{}, 3)
	if err != nil {
		return err
	}
	if _, err := made(l, q, "g", GroupOptions{}); err != nil {
		return err
	}
	if err := closed(r, l, q); err != nil {
		return err
	}
	log := d.segments()[0]
	torn := append(d.content(log), "torn"...)
	r.Step("the log has a torn tail, and a file beside it is damaged, one after the other")
	for _, file := range d.paths(func(p string) bool { return p != log }) {
		hurt := d.after(process)
		hurt.put(log, torn)
		hurt.put(file, []byte("garbage"))
		q, err := l.Open(logDir, Options{FS: hurt})
		if err == nil { // it need not be read before Group
			end(q, hurt)
			continue
		}
		if !slices.Equal(hurt.content(log), torn) {
			return spec.Fail("Open to change nothing of a log that it refuses", "%s is damaged, and %s has %d bytes now, of %d", file, log, len(hurt.content(log)), len(torn))
		}
	}
	return nil
}

// duringAck holds that a crash in the midst of an Ack leaves the group as it was
// before, or as it is behind it; and where it is done, and a second Ack says so, that
// it is on the disk: the first one may have been killed just before.
func duringAck(l lab, d *disk, one Delivery) error {
	before := one.Offset
	q, err := l.Open(logDir, Options{FS: d, SegmentBytes: 500})
	if err != nil {
		return spec.Fail("Open to open the log after a crash in the midst of an Ack", "it returned %v", err)
	}
	defer end(q, d)
	g, err := q.Group("g", GroupOptions{})
	if err != nil {
		return spec.Fail("Group to find its group after a crash in the midst of an Ack", "it returned %s", l.name(err))
	}
	if c := g.Stats().Committed; c != before && c != before+1 {
		return spec.Fail(fmt.Sprintf("offset %d or %d to be committed after a crash in the midst of an Ack", before, before+1), "Stats says %d", c)
	}
	if g.Ack(one) != nil {
		return nil // not done: it comes again
	}
	again := d.after(power)
	if q, err = l.Open(logDir, Options{FS: again, SegmentBytes: 500}); err != nil {
		return spec.Fail("Open to open the log after an Ack, a crash in its midst, and a loss of power", "it returned %v", err)
	}
	defer end(q, again)
	if g, err = q.Group("g", GroupOptions{}); err != nil {
		return spec.Fail("Group to find its group", "it returned %s", l.name(err))
	}
	if c := g.Stats().Committed; c <= before {
		return spec.Fail(fmt.Sprintf("offset %d to be done for good: its Ack was killed, and a second one has returned nil before the power went", before), "Stats says that %d is committed", c)
	}
	return nil
}

// first holds which record the next Receive delivers, as whichever attempt: those
// before a restart may count.
func first(r *spec.Run, l lab, g group, offset int64) error {
	d, err := receive(r, l, g)
	if err == nil && d.Offset != offset {
		return spec.Fail(fmt.Sprintf("offset %d next: the oldest that is not done", offset), "Receive delivered offset %d", d.Offset)
	}
	return err
}

func acksAnyOrder(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		d, q, err := filled(r, l, Options{}, 10)
		if err != nil {
			return err
		}
		g, err := made(l, q, "g", GroupOptions{})
		if err != nil {
			return err
		}
		ds, err := received(r, l, g, 0, 10)
		if err != nil {
			return err
		}
		var midway []*disk
		r.Step("10 records are delivered; acknowledged are 7, 5, 0, 1 with 2, 9, 6; then the power goes")
		for _, step := range []struct {
			ack       []int
			committed int64
		}{{[]int{7}, 0}, {[]int{5}, 0}, {[]int{0}, 1}, {[]int{1, 2}, 3}, {[]int{9}, 3}, {[]int{6}, 3}} {
			var some []Delivery
			for _, i := range step.ack {
				some = append(some, ds[i])
			}
			d.change(func(o op) error {
				if o.changes() && step.ack[0] == 6 {
					midway = append(midway, d.after(process))
				}
				return nil
			}, nil)
			if err := g.Ack(some...); err != nil {
				return spec.Fail("Ack to return nil", "it returned %s", l.name(err))
			}
			d.change(nil, nil)
			if c := g.Stats().Committed; c != step.committed {
				return spec.Fail(fmt.Sprintf("committed %d when %v was acknowledged", step.committed, step.ack), "Stats says %d", c)
			}
		}
		if err := nothing(r, l, g, "3, 4 and 8 are with consumers"); err != nil {
			return err
		}
		again := d.after(power)
		q2, err := open(r, l, again, Options{})
		if err != nil {
			return err
		}
		g2, err := q2.Group("g", GroupOptions{})
		if err != nil {
			return spec.Fail("Group to find its group", "it returned %s", l.name(err))
		}
		var left []Delivery
		for _, i := range []int64{3, 4, 8} {
			one, err := receive(r, l, g2)
			if err != nil {
				return err
			}
			if one.Offset != i {
				return spec.Fail(fmt.Sprintf("offset %d after the restart: 3, 4 and 8 were not acknowledged", i), "Receive delivered %d", one.Offset)
			}
			left = append(left, one)
		}
		if err := nothing(r, l, g2, "all others were acknowledged before the restart"); err != nil {
			return err
		}
		r.Step("the rest is acknowledged by three consumers at the same time")
		acks := []<-chan error{}
		for _, one := range left {
			acks = append(acks, r.Go(func() error { return g2.Ack(one) }))
		}
		for _, a := range acks {
			if err := <-a; err != nil {
				return spec.Fail("Ack to return nil", "it returned %s", l.name(err))
			}
		}
		if c := g2.Stats().Committed; c != 10 {
			return spec.Fail("committed 10 when all is acknowledged", "Stats says %d", c)
		}
		third := again.after(power)
		q3, err := open(r, l, third, Options{})
		if err != nil {
			return err
		}
		g3, err := q3.Group("g", GroupOptions{})
		if err != nil {
			return spec.Fail("Group to find its group", "it returned %s", l.name(err))
		}
		if err := nothing(r, l, g3, "all was acknowledged before the restart"); err != nil {
			return err
		}
		return leftBehind(r, l, midway)
	})
}

// leftBehind goes on from crashes in the midst of an Ack, which may have left a
// file that nobody has finished: the next ones are shorter.
func leftBehind(r *spec.Run, l lab, crashed []*disk) error {
	r.Step("the process is killed before each change of the disk during an Ack; the next one acknowledges all")
	for _, d := range crashed {
		q, err := open(r, l, d, Options{})
		if err != nil {
			return err
		}
		g, err := q.Group("g", GroupOptions{})
		if err != nil {
			return spec.Fail("Group to find its group after a crash in the midst of an Ack", "it returned %s", l.name(err))
		}
		var left []Delivery
		for len(left) == 0 || left[len(left)-1].Offset < 8 { // 3, 4, perhaps 6, and 8
			one, err := receive(r, l, g)
			if err != nil {
				return err
			}
			left = append(left, one)
		}
		if err := g.Ack(left...); err != nil {
			return spec.Fail("Ack to return nil after a crash in the midst of another", "it returned %s", l.name(err))
		}
		end(q, d)
		after := d.after(power)
		if q, err = l.Open(logDir, Options{FS: after}); err != nil {
			return spec.Fail("Open to open the log: a crash in the midst of an Ack, then all was acknowledged, then the power went", "it returned %v", err)
		}
		if g, err = q.Group("g", GroupOptions{}); err != nil {
			return spec.Fail("Group to find its group: a crash in the midst of an Ack, then all was acknowledged, then the power went", "it returned %s", l.name(err))
		}
		if err := nothing(r, l, g, "all was acknowledged after a crash"); err != nil {
			return err
		}
		end(q, after)
	}
	return nil
}
