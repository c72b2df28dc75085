package queuetest

import (
	"fmt"
	"testing/synctest"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var retainRules = []spec.Rule[lab]{
	{
		Name: "RetainsBySizeAndAge", Group: "retention", Points: 2, Section: step10,
		Why: "A disk is finite, and personal data must not be older than the law says. What goes are whole segments, the oldest first; the one that is written to stays, whatever it weighs.",
		Hints: [3]string{
			"What is the age of a segment: that of its first record, or of its last?",
			"Of its last, or a young record would go with an old one. And never the last segment.",
			"for s := segments[0]; s != active && (total > RetainBytes || now.Sub(s.last) > RetainAge); ... remove",
		},
		Check: retains,
	},
	{
		Name: "GroupsKeepWhatTheyNeed", Group: "retention", Points: 2, Section: step10,
		Why: "A consumer is down for the weekend, and on Monday its records are gone: at-least-once was promised. So a group holds its segments, one that nobody has opened yet too, unless the options say that the disk matters more.",
		Hints: [3]string{
			"After a restart, nobody has called Group yet. Who holds the segments?",
			"The groups' files do: Open reads what each has committed.",
			"needed(s): for _, committed := range floors { if committed < s.next { return true } }",
		},
		Check: groupsKeep,
	},
	{
		Name: "ReadersKeepTheirSegment", Group: "retention", Points: 1, Section: step10,
		Why: "A consumer on a slow line is in the middle of a segment that has to go. A file that is closed under it cuts its stream, or, worse, its descriptor is another file by then.",
		Hints: [3]string{
			"Who may close a segment's file, and when?",
			"Its last user. A file that was removed is there as long as somebody has it open.",
			"locate: s.users++ under the lock; release: s.users--; if s.gone && s.users == 0 { s.file.Close() }",
		},
		Check: readersKeep,
	},
	{
		Name: "RetentionLeavesNoGap", Group: "retention", Points: 1, Section: step10,
		Why: "A crash, or an error, between the removal of two segments must not leave the older one: the log would have a hole, and Open would refuse it.",
		Hints: [3]string{
			"Two files are removed, and the power goes. Which of the two may be back?",
			"Any, unless the directory was synced in between. And where one cannot be removed, the next one stays as well.",
			"Remove(path); SyncDir(dir); only then the next one",
		},
		Check: noGap,
	},
}

func retains(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		d := newDisk()
		o := Options{SegmentBytes: 500, RetainBytes: 2000}
		q, err := open(r, l, d, o)
		if err != nil {
			return err
		}
		r.Step("SegmentBytes 500, RetainBytes 2000: 100 records")
		if err := fill(r, l, q, 0, 100); err != nil {
			return err
		}
		if _, err := q.Retain(); err != nil {
			return spec.Fail("Retain to return nil", "it returned %s", l.name(err))
		}
		first, next := q.Bounds()
		if s := q.Stats(); s.Bytes > 2000 || s.Bytes < 1000 || s.Segments != len(d.segments()) || first == 0 {
			return spec.Fail("1000 to 2000 bytes to be kept", "Stats says %+v, the log begins with %d, and the disk has %d segments", s, first, len(d.segments()))
		}
		if next != 100 {
			return spec.Fail("the log to end with 100", "it ends with %d", next)
		}
		if _, err := q.Read(first-1, 10); !isErr(err, l.Range) {
			return spec.Fail("Read of what was removed to return ErrRange", "it returned %s", l.name(err))
		}
		if err := has(l, q, "behind what was removed", int(first), 100); err != nil {
			return err
		}
		if err := closed(r, l, q); err != nil {
			return err
		}
		if q, err = open(r, l, d, Options{SegmentBytes: 500, RetainAge: 10 * time.Minute}); err != nil {
			return err
		}
		if f, _ := q.Bounds(); f != first {
			return spec.Fail(fmt.Sprintf("the log to begin with %d after Open", first), "it begins with %d", f)
		}
		r.Step("RetainAge 10 minutes: a record every minute, for more than two hours")
		for i := 100; i < 244; i++ {
			time.Sleep(time.Minute)
			if err := fill(r, l, q, i, i+1); err != nil {
				return err
			}
			if _, err := q.Retain(); err != nil {
				return spec.Fail("Retain to return nil", "it returned %s", l.name(err))
			}
			first, _ = q.Bounds()
			if i-int(first) < 9 { // that of 9 minutes ago must be there
				return spec.Fail("records younger than 10 minutes to be kept", "a record was appended every minute, the last one is %d, and the log begins with %d", i, first)
			}
		}
		if 244-first > 30 {
			return spec.Fail("segments that are older than 10 minutes to go", "a record was appended every minute, the next one is 244, and the log begins with %d", first)
		}
		r.Step("nothing is appended for 12 hours")
		time.Sleep(12 * time.Hour)
		if _, err := q.Retain(); err != nil {
			return spec.Fail("Retain to return nil", "it returned %s", l.name(err))
		}
		s := q.Stats()
		if s.Segments != 1 {
			return spec.Fail("the segment that is written to, and no other", "Stats says %+v", s)
		}
		if first, next = q.Bounds(); next != 244 {
			return spec.Fail("the log to end with 244", "it ends with %d", next)
		}
		if err := fill(r, l, q, 244, 250); err != nil {
			return err
		}
		again, err := open(r, l, d.after(power), o)
		if err != nil {
			return spec.Fail("Open to open the log", "it returned %v", err)
		}
		return has(l, again, "after all that", int(first), 250)
	})
}

func groupsKeep(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		d := newDisk()
		o := Options{SegmentBytes: 500, RetainBytes: 600}
		q, err := open(r, l, d, o)
		if err != nil {
			return err
		}
		fast, err := made(l, q, "fast", GroupOptions{})
		if err != nil {
			return err
		}
		if _, err := made(l, q, "slow", GroupOptions{}); err != nil {
			return err
		}
		r.Step("RetainBytes 600, groups fast and slow: 60 records, fast acknowledges them all")
		if err := fill(r, l, q, 0, 60); err != nil {
			return err
		}
		ds, err := received(r, l, fast, 0, 60)
		if err != nil {
			return err
		}
		if err := fast.Ack(ds...); err != nil {
			return spec.Fail("Ack to return nil", "it returned %s", l.name(err))
		}
		kept := func(q judged, want int64, why string) error {
			if _, err := q.Retain(); err != nil {
				return spec.Fail("Retain to return nil", "it returned %s", l.name(err))
			}
			if first, _ := q.Bounds(); first != want {
				return spec.Fail(fmt.Sprintf("the log to begin with %d: %s", want, why), "it begins with %d", first)
			}
			return nil
		}
		if err := kept(q, 0, "group slow has committed nothing"); err != nil {
			return err
		}
		r.Step("after a restart, before anybody calls Group")
		if err := closed(r, l, q); err != nil {
			return err
		}
		if q, err = open(r, l, d, o); err != nil {
			return err
		}
		if err := kept(q, 0, "group slow has committed nothing, and is there"); err != nil {
			return err
		}
		slow, err := q.Group("slow", GroupOptions{})
		if err != nil {
			return spec.Fail("Group to find its group", "it returned %s", l.name(err))
		}
		r.Step("slow acknowledges the first 30")
		if ds, err = received(r, l, slow, 0, 30); err != nil {
			return err
		}
		if err := slow.Ack(ds...); err != nil {
			return spec.Fail("Ack to return nil", "it returned %s", l.name(err))
		}
		if _, err := q.Retain(); err != nil {
			return spec.Fail("Retain to return nil", "it returned %s", l.name(err))
		}
		first, _ := q.Bounds()
		if first == 0 || first > 30 {
			return spec.Fail("the log to begin above 0 and not above 30, which slow needs", "it begins with %d", first)
		}
		for i := 30; i < 60; i++ {
			if _, err := gets(r, l, slow, int64(i), 1); err != nil {
				return err
			}
		}
		if _, err := q.Retain(); err != nil {
			return spec.Fail("Retain to return nil", "it returned %s", l.name(err))
		}
		if first, _ := q.Bounds(); first > 30 {
			return spec.Fail("the log to begin not above 30: what is delivered is not done", "it begins with %d", first)
		}
		r.Step("RetainPastGroups")
		end(q, d)
		after := d.after(power)
		o.RetainPastGroups = true
		if q, err = open(r, l, after, o); err != nil {
			return err
		}
		if _, err := q.Retain(); err != nil {
			return spec.Fail("Retain to return nil", "it returned %s", l.name(err))
		}
		first, _ = q.Bounds()
		if q.Stats().Bytes > 600+500 || first <= 30 {
			return spec.Fail("RetainPastGroups to remove what slow needs", "the log begins with %d, and Stats says %+v", first, q.Stats())
		}
		if slow, err = q.Group("slow", GroupOptions{}); err != nil {
			return spec.Fail("Group to find its group", "it returned %s", l.name(err))
		}
		if _, err := gets(r, l, slow, first, 1); err != nil {
			return fmt.Errorf("a group whose records were removed goes on with the oldest one: %w", err)
		}
		if s := slow.Stats(); s.Skipped != uint64(first-30) || s.Committed != first {
			return spec.Fail(fmt.Sprintf("Stats to tell of %d records that were skipped", first-30), "it is %+v", s)
		}
		synctest.Wait()
		return acksThatAreNot(r, l)
	})
}

// acksThatAreNot has an Ack fail, and one killed behind the rename of the group's
// file: neither is on the disk, so Retain must leave the records. The power goes
// behind it.
func acksThatAreNot(r *spec.Run, l lab) error {
	o := Options{SegmentBytes: 500, RetainBytes: 600}
	d := newDisk()
	q, err := open(r, l, d, o)
	if err != nil {
		return err
	}
	g, err := made(l, q, "g", GroupOptions{})
	if err != nil {
		return err
	}
	if err := fill(r, l, q, 0, 60); err != nil {
		return err
	}
	ds, err := received(r, l, g, 0, 60)
	if err != nil {
		return err
	}
	r.Step("an Ack of 60 records fails")
	d.change(func(o op) error {
		if o.changes() {
			return errIO
		}
		return nil
	}, nil)
	if g.Ack(ds...) == nil {
		return spec.Fail("Ack to return an error when it cannot be on the disk", "it returned nil")
	}
	d.change(nil, nil)
	if err := needsAll(r, l, q, d, o, "an Ack that has failed"); err != nil {
		return err
	}
	r.Step("the same Ack again is killed at each of its operations")
	var killed []*disk
	d.change(func(op) error {
		killed = append(killed, d.after(process))
		return nil
	}, nil)
	if err := g.Ack(ds...); err != nil {
		return spec.Fail("Ack to return nil when the disk works again", "it returned %s", l.name(err))
	}
	d.change(nil, nil)
	for _, k := range killed {
		again, err := open(r, l, k, o)
		if err != nil {
			return err
		}
		if err := needsAll(r, l, again, k, o, "an Ack that was killed"); err != nil {
			return err
		}
	}
	return nil
}

// needsAll has Retain remove what it may, and the power go: the group must have
// to skip nothing.
func needsAll(r *spec.Run, l lab, q judged, d *disk, o Options, ack string) error {
	if _, err := q.Retain(); err != nil {
		return spec.Fail("Retain to return nil", "it returned %s", l.name(err))
	}
	again, err := open(r, l, d.after(power), o)
	if err != nil {
		return err
	}
	g, err := made(l, again, "g", GroupOptions{})
	if err != nil {
		return err
	}
	first, _ := again.Bounds()
	if s := g.Stats(); s.Skipped > 0 || s.Committed < first {
		return spec.Fail(ack+" is not on the disk: the group needs its records", "Retain has removed them: the log begins with %d, and Stats says %+v", first, s)
	}
	return nil
}

func readersKeep(r *spec.Run, l lab) error {
	d, q, err := filled(r, l, Options{SegmentBytes: 100_000, RetainBytes: 100_000}, 1100)
	if err != nil {
		return err
	}
	r.Step("a consumer fetches and does not read; 1900 records come, and its segment is removed")
	f, err := slowFetch(r, q)
	if err != nil {
		return err
	}
	err = r.Call("Append and Retain to go on while a consumer does not read: is a lock held?", func() error {
		if err := fill(r, l, q, 1100, 3000); err != nil {
			return err
		}
		if _, err := q.Retain(); err != nil {
			return spec.Fail("Retain to return nil", "it returned %s", l.name(err))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if first, _ := q.Bounds(); first == 0 {
		return spec.Fail("the first segment to be removed: RetainBytes is 100,000", "offset 0 is still there")
	}
	if err := f.finish(r, l); err != nil {
		return err
	}
	return r.Until("the files that were removed to be closed when their last reader has ended", func() bool { return d.unlinked() == 0 })
}

func noGap(r *spec.Run, l lab) error {
	o := Options{SegmentBytes: 300}
	d, err := tidy(r, l, o, 40)
	if err != nil {
		return err
	}
	o.RetainBytes = 1
	total := len(d.segments())
	r.Step("%d segments, all but the last one to be removed; the power goes before each change of the disk; then each removal fails once", total)
	for k := 1; k < 100; k++ {
		hurt := d.after(power)
		q, err := open(r, l, hurt, o)
		if err != nil {
			return err
		}
		before, _, _ := hurt.counts()
		hurt.change(func(o op) error {
			if o.number >= before+k {
				return errPower
			}
			return nil
		}, nil)
		_, failed := q.Retain()
		end(q, hurt)
		for _, how := range []loss{power, process, odd, even} {
			again := hurt.after(how)
			q, err := open(r, l, again, Options{SegmentBytes: 300})
			if err != nil {
				return spec.Fail(fmt.Sprintf("Open to open the log when the power went before change %d of Retain (%s)", k, how.what), "it returned %v", err)
			}
			first, _ := q.Bounds()
			if err := has(l, q, "behind what Retain has removed", int(first), 40); err != nil {
				return err
			}
			end(q, again)
		}
		if failed == nil {
			break
		}
	}
	for k := range total - 1 {
		hurt := d.after(power)
		q, err := open(r, l, hurt, o)
		if err != nil {
			return err
		}
		removals := 0
		hurt.change(func(o op) error {
			if o.kind == "remove" && o.isLog() {
				if removals++; removals == k+1 {
					return errIO
				}
			}
			return nil
		}, nil)
		if _, err := q.Retain(); !isErr(err, errIO) {
			return spec.Fail("Retain to return why a segment could not be removed", "it returned %s", l.name(err))
		}
		if _, err := q.Retain(); err != nil {
			return spec.Fail("Retain to return nil the next time", "it returned %s", l.name(err))
		}
		end(q, hurt)
		if q, err = open(r, l, hurt.after(process), Options{SegmentBytes: 300}); err != nil {
			return spec.Fail(fmt.Sprintf("Open to open the log when removal %d has failed once", k+1), "it returned %v", err)
		}
		first, _ := q.Bounds()
		if err := has(l, q, "behind a removal that has failed once", int(first), 40); err != nil {
			return err
		}
		if n := q.Stats().Segments; n != 1 {
			return spec.Fail("one segment to be left in the end", "there are %d", n)
		}
	}
	return nil
}
