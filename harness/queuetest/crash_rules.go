package queuetest

import (
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/asynclab/asynclab/harness/spec"
)

var crashRules = []spec.Rule[lab]{
	{
		Name: "SegmentsRoll", Group: "segments", Points: 2, Section: step5,
		Why: "A log in one file can only grow. Segments are what can be removed, found by their names, and sent; and where one ends and the next begins is where records get lost.",
		Hints: [3]string{
			"When is a segment full, and what is the next one called?",
			"When it has SegmentBytes. The next one has the name of the offset that comes next, and the batch that finds the old one full is its first.",
			"if active.size >= SegmentBytes { create segmentName(dir, active.next) }; then write there",
		},
		Check: segmentsRoll,
	},
	{
		Name: "CrashAnywhereLosesNothing", Group: "recovery", Points: 4, Section: step5,
		Why: "There is no good moment for a crash, and each of your calls of the file system is one. What was acknowledged must survive all of them, and a crash in the recovery from a crash.",
		Hints: [3]string{
			"Between which two of your calls would a crash lose something?",
			"Every one must leave a log that Open understands: a new segment is durable before it is written to, the old one before the new one is there.",
			"roll: full.Sync; Open(create); SyncDir; then the batch: Pwrite; Sync; acknowledge",
		},
		Check: crashAnywhere,
	},
	{
		Name: "KilledProcessLosesNothing", Group: "groups", Points: 2, Section: step8,
		Why: "The real thing: a process under load, on a real file system, is killed by SIGKILL at no particular moment, ten times in a row. make crash does it 500 times.",
		Hints: [3]string{
			"What does a process have that is lost when it is killed?",
			"Its own memory: a bufio.Writer, a batch that was acknowledged and not written yet.",
			"The steps before this one see the same faults in memory, where they are easier to find.",
		},
		Check: killedProcess,
	},
}

func segmentsRoll(r *spec.Run, l lab) error {
	d := newDisk()
	o := Options{SegmentBytes: 500, MaxBatch: 200}
	q, err := open(r, l, d, o)
	if err != nil {
		return err
	}
	const n = 120
	r.Step("%d records, SegmentBytes 500, MaxBatch 200; Close and Open now and then", n)
	for i := 0; i < n; i += 10 {
		if err := fill(r, l, q, i, i+10); err != nil {
			return err
		}
		if i%40 == 30 {
			if err := closed(r, l, q); err != nil {
				return err
			}
			if q, err = open(r, l, d, o); err != nil {
				return err
			}
		}
	}
	if err := has(l, q, "in many segments", 0, n); err != nil {
		return err
	}
	files := d.segments()
	var bytes int64
	for i, f := range files {
		var base int64
		if _, err := fmt.Sscanf(f, logDir+"/%d.log", &base); err != nil || f != fmt.Sprintf("%s/%020d.log", logDir, base) {
			return spec.Fail("segments named by their first offset, with 20 digits", "there is %s", f)
		}
		got, err := q.Read(base, 0)
		last := i == len(files)-1
		if err != nil || len(got) == 0 && !last {
			return spec.Fail(fmt.Sprintf("%s to begin with offset %d", f, base), "Read(%d) returned %d records and %s", base, len(got), l.name(err))
		}
		size := int64(len(d.content(f)))
		if bytes += size; size > 500+200+100 || size < 500 && !last {
			return spec.Fail("a segment to be full at 500 bytes, and larger by at most one batch", "%s has %d", f, size)
		}
	}
	if s := q.Stats(); s.Segments != len(files) || s.Bytes != bytes || len(files) < 10 {
		return spec.Fail(fmt.Sprintf("Stats to tell of %d segments with %d bytes, more than 10", len(files), bytes), "it is %+v", s)
	}
	return nil
}

// crashAnywhere runs a load until the power goes before the k-th change of the
// disk, for every k; opens what is left; and crashes the opening as well.
func crashAnywhere(r *spec.Run, l lab) error {
	losses := []loss{power, process, half, zeros}
	total := 0
	for k := 1; ; k++ {
		d := newDisk()
		d.change(func(o op) error {
			if o.number >= k {
				return errPower
			}
			return nil
		}, nil)
		a := newAcks()
		survived, err := load(r, l, d, a)
		if err != nil {
			return err
		}
		changes, _, _ := d.counts()
		d.kill()
		for i, how := range losses {
			if err := reopened(r, l, d.after(how), a, k, how, i == k%len(losses)); err != nil {
				return err
			}
		}
		if survived {
			total = changes
			break
		}
		if k > 2000 {
			return spec.Fail("60 records to need fewer than 2000 changes of the disk", "they do not")
		}
	}
	r.Step("the power went before each of %d changes of the disk, in %d ways", total, len(losses))
	return nil
}

const loadRecords = 18

// load appends records one after the other and in small batches, in several
// segments, until something fails.
func load(r *spec.Run, l lab, d *disk, a *acks) (survived bool, err error) {
	q, err := l.Open(logDir, Options{FS: d, SegmentBytes: 400})
	if err != nil {
		return false, nil
	}
	defer end(q, d)
	for i := 0; i < loadRecords; i += 3 {
		var three sync.WaitGroup
		for n := i; n < i+3; n++ {
			three.Add(1)
			err := q.AppendAsync(r.Context(), key(n), value(n), func(offset int64, err error) {
				a.done(n, offset, err)
				three.Done()
			})
			if err != nil {
				three.Done()
			}
		}
		if err := r.Call("every done to be called", func() error { three.Wait(); return nil }); err != nil {
			return false, err
		}
		if _, bad := a.told(); bad > 0 {
			return false, nil
		}
	}
	good, _ := a.told()
	return good == loadRecords, nil
}

// reopened holds what the next process finds. deep has the opening crash as
// well, at every change it makes.
func reopened(r *spec.Run, l lab, d *disk, a *acks, k int, how loss, deep bool) error {
	when := fmt.Sprintf("after a crash before change %d of the disk (%s)", k, how.what)
	if deep {
		for j := 1; ; j++ {
			twice := d.after(process)
			twice.change(func(o op) error {
				if o.number >= j {
					return errPower
				}
				return nil
			}, nil)
			q, err := l.Open(logDir, Options{FS: twice, SegmentBytes: 400})
			if err == nil {
				end(q, twice)
			}
			changes, _, _ := twice.counts()
			if err := intact(r, l, twice.after(power), a, when+fmt.Sprintf(", and another one before change %d of the recovery", j)); err != nil {
				return err
			}
			if err == nil && changes < j || j > 100 {
				break
			}
		}
	}
	return intact(r, l, d, a, when)
}

// intact opens a log, holds that everything acknowledged is there, and that it
// goes on.
func intact(r *spec.Run, l lab, d *disk, a *acks, when string) error {
	q, err := l.Open(logDir, Options{FS: d, SegmentBytes: 400})
	if err != nil {
		return spec.Fail("Open to open the log "+when, "it returned %v", err)
	}
	defer end(q, d)
	if err := a.kept(l, q, when, number); err != nil {
		return err
	}
	_, next := q.Bounds()
	offset, err := q.Append(r.Context(), nil, []byte("one more"))
	if err != nil || offset != next {
		return spec.Fail(fmt.Sprintf("the next record to have offset %d %s", next, when), "Append returned %d and %s", offset, l.name(err))
	}
	after := d.after(power)
	if q, err = l.Open(logDir, Options{FS: after, SegmentBytes: 400}); err != nil {
		return spec.Fail("Open to open the log "+when+", one more record, and a loss of power", "it returned %v", err)
	}
	defer end(q, after)
	all, err := everything(q, next)
	if err != nil || len(all) != 1 || string(all[0].Value) != "one more" {
		return spec.Fail("the record that was acknowledged "+when+" to be there after a loss of power", "%d records are there from %d on, and Read returned %s", len(all), next, l.name(err))
	}
	return nil
}

// killedProcess is a short make crash.
func killedProcess(r *spec.Run, l lab) error {
	found, err := Kill(r.Context(), Killing{Victim: l.again, Cycles: 10, Seed: rand.Uint64(), Each: func(p Killed) {
		if p.Cycles == 10 {
			r.Step("killed %d times: %d acknowledged, all there", p.Cycles, p.Acknowledged)
		}
	}})
	if err != nil {
		r.Step("seed %d, killed %d times, %d acknowledged", found.Seed, found.Cycles, found.Acknowledged)
	}
	return err
}
