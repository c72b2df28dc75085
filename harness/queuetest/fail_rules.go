package queuetest

import (
	"fmt"
	"sync"
	"testing/synctest"

	"github.com/asynclab/asynclab/harness/spec"
)

var failRules = []spec.Rule[lab]{
	{
		Name: "ShortWritesResume", Group: "failures", Points: 1, Section: step4,
		Why: "pwrite(2) may take a part of what it is given, on a disk that is nearly full for one. Who takes that for all acknowledges a record of which half is there.",
		Hints: [3]string{
			"What does the n mean that Pwrite returns?",
			"The rest comes again, behind it.",
			"for len(p) > 0 { n, err := f.Pwrite(p, off); ...; p, off = p[n:], off+int64(n) }",
		},
		Check: shortWrites,
	},
	{
		Name: "FailedWriteLeavesNoHole", Group: "failures", Points: 2, Section: step4,
		Why: "The disk is full, in the middle of a batch. Its producers must be told, what was written of it must not stay between good batches, and when there is room again the log goes on.",
		Hints: [3]string{
			"Where does the next batch go, after a write of which 20 bytes were taken?",
			"To the same place: the failed one has no offsets, and its bytes are cut off.",
			"if err := writeAll(...); err != nil { f.Truncate(segment.size); return err }; size and next stay as they were",
		},
		Check: fullDisk,
	},
	{
		Name: "FailedSyncIsFinal", Group: "failures", Points: 4, Section: step4,
		Why: "After an fsync that has failed Linux counts the pages as clean: the next fsync returns nil, and they are not on the disk. Databases believed that second fsync for twenty years.",
		Hints: [3]string{
			"The fsync returns an error once. What does the next one say about the pages of the first?",
			"Nothing. So no record behind them may be acknowledged either: the log takes no more until it was opened anew.",
			"if err := f.Sync(); err != nil { l.err = ErrFailed: everybody who waits gets it, everybody who comes as well }",
		},
		Check: failedSync,
	},
	{
		Name: "FailedRollLosesNothing", Group: "segments", Points: 1, Section: step5,
		Why: "A new segment needs an entry in the directory, and that is one more thing that fails. A record in a file that is not there after a crash was not stored.",
		Hints: [3]string{
			"The file was made, and the fsync of the directory fails. May a record in it be acknowledged?",
			"No. Either the log ends as after any failed fsync, or another fsync of the directory succeeds first. Where the file cannot be made, the batch is refused, and the next one tries again.",
			"f, err := fs.Open(path, true); if err == nil { err = fs.SyncDir(dir) }; only then write to it",
		},
		Check: failedRoll,
	},
}

func shortWrites(r *spec.Run, l lab) error {
	d := newDisk()
	q, err := open(r, l, d, Options{SegmentBytes: 600})
	if err != nil {
		return err
	}
	r.Step("the disk takes 1 to 7 bytes at a time")
	turn := 0
	d.change(nil, func(_ op, n int) (int, error) { turn++; return min(n, 1+turn%7), nil })
	if err := fill(r, l, q, 0, 20); err != nil {
		return err
	}
	if err := has(l, q, "that were written in pieces", 0, 20); err != nil {
		return err
	}
	if q, err = open(r, l, d.after(power), Options{SegmentBytes: 600}); err != nil {
		return err
	}
	return has(l, q, "that were written in pieces, after a loss of power", 0, 20)
}

func fullDisk(r *spec.Run, l lab) error {
	for _, taken := range []int{0, 1, 20, 41, 60} {
		d, q, err := filled(r, l, Options{}, 3)
		if err != nil {
			return err
		}
		r.Step("3 records; of the next batch the disk takes %d bytes, then it is full", taken)
		left := taken
		d.change(nil, func(o op, n int) (int, error) {
			if n <= left {
				left -= n
				return n, nil
			}
			n, left = left, 0
			return n, errNoRoom
		})
		offset, err := q.Append(r.Context(), key(3), value(3))
		if err == nil {
			return spec.Fail("Append to return the disk's error", "it returned nil and offset %d", offset)
		}
		if !isErr(err, errNoRoom) {
			return spec.Fail("Append to return the disk's error, which says why", "it returned %s", l.name(err))
		}
		if err := has(l, q, "while the disk is full", 0, 3); err != nil {
			return err
		}
		for _, how := range []loss{power, half, process} {
			again, err := open(r, l, d.after(how), Options{})
			if err != nil {
				return spec.Fail("Open to open the log after a full disk", "%s: %v", how.what, err)
			}
			if err := has(l, again, "after a full disk, when "+how.what, 0, 3); err != nil {
				return err
			}
		}
		r.Step("there is room again: 5 records")
		d.change(nil, nil)
		if err := fill(r, l, q, 3, 8); err != nil {
			return err
		}
		if err := has(l, q, "behind a full disk", 0, 8); err != nil {
			return err
		}
		again, err := open(r, l, d.after(power), Options{})
		if err != nil {
			return spec.Fail("Open to open the log: nothing is wrong with it", "%v", err)
		}
		if err := has(l, again, "behind a full disk, after a loss of power", 0, 8); err != nil {
			return err
		}
	}
	return failedCut(r, l)
}

// failedCut has the disk fail in the midst of a write, and in taking it back. The
// log may end there or try again later; but what is left behind the last good
// batch must not be in the way of the next ones.
func failedCut(r *spec.Run, l lab) error {
	d := newDisk()
	o := Options{SegmentBytes: 400}
	q, err := open(r, l, d, o)
	if err != nil {
		return err
	}
	if err := fill(r, l, q, 0, 2); err != nil {
		return err
	}
	r.Step("2 records, SegmentBytes 400; of a batch of 1000 bytes the disk takes half, fails, and cannot cut that off either; then it works again")
	d.change(func(o op) error {
		if o.kind == "truncate" && o.isLog() {
			return errIO
		}
		return nil
	}, func(o op, n int) (int, error) {
		if o.isLog() {
			return n / 2, errIO
		}
		return n, nil
	})
	if offset, err := q.Append(r.Context(), nil, make([]byte, 1000)); err == nil {
		return spec.Fail("Append to return the disk's error", "it returned nil and offset %d", offset)
	}
	d.change(nil, nil)
	a := newAcks()
	for i := range 2 {
		a.done(i, int64(i), nil)
	}
	for i := 2; i < 20; i++ {
		offset, err := q.Append(r.Context(), key(i), value(i))
		a.done(i, offset, err)
	}
	for _, how := range []loss{process, power} {
		again, err := open(r, l, d.after(how), o)
		if err != nil {
			return spec.Fail("Open to open the log: what a failed write has left is not in the way", "%s: %v", how.what, err)
		}
		if err := a.kept(l, again, "behind a write that could not be taken back, when "+how.what, number); err != nil {
			return err
		}
	}
	return nil
}

func failedSync(r *spec.Run, l lab) error {
	d, q, err := filled(r, l, Options{}, 3)
	if err != nil {
		return err
	}
	r.Step("3 records; then an fsync fails, as it does on Linux: the pages count as written, and are not; a record is queued meanwhile")
	var mu sync.Mutex
	syncs := 0
	g := newGate(r, logSyncs)
	d.change(func(o op) error {
		if !logSyncs(o) {
			return nil
		}
		g.before(o)
		mu.Lock()
		defer mu.Unlock()
		if syncs++; syncs > 1 {
			return nil
		}
		d.forget(o.path)
		return errIO
	}, nil)
	a := newAcks()
	told := make(chan error, 2)
	for i := 3; i < 5; i++ {
		if err := batch(r, q, i, i+1, func(i int, offset int64, err error) { a.done(i, offset, err); told <- err }); err != nil {
			return err
		}
		if err := r.Until("an fsync to begin", func() bool { return g.came() > 0 }); err != nil {
			return err
		}
	}
	g.open()
	for i := 3; i < 6; i++ {
		var err error
		if i < 5 {
			var late error
			if err, late = spec.Wait(r, "everybody whose record was queued to be told", told); late != nil {
				return late
			}
		} else {
			var offset int64
			offset, err = q.Append(r.Context(), key(i), value(i))
			a.done(i, offset, err)
		}
		if err == nil {
			return spec.Fail(fmt.Sprintf("record %d to be told an error: its fsync, or one before it, has failed", i), "it was acknowledged")
		}
		if !isErr(err, l.Failed) {
			return spec.Fail("ErrFailed after a failed fsync", "record %d was told %s", i, l.name(err))
		}
	}
	if err := q.TryAppend(nil, nil, nil); !isErr(err, l.Failed) {
		return spec.Fail("TryAppend to return ErrFailed, too", "it returned %s", l.name(err))
	}
	if err := has(l, q, "after a failed fsync: reading goes on", 0, 3); err != nil {
		return err
	}
	if err := q.Close(r.Context()); !isErr(err, l.Failed) {
		return spec.Fail("Close to return ErrFailed", "it returned %s", l.name(err))
	}
	r.Step("the log is opened anew, after a loss of power")
	after := d.after(power)
	again, err := open(r, l, after, Options{})
	if err != nil {
		return spec.Fail("Open to open the log after a failed fsync", "%v", err)
	}
	if err := a.kept(l, again, "after a failed fsync", number); err != nil {
		return err
	}
	if _, next := again.Bounds(); next < 3 {
		return spec.Fail("records 0 to 2, which were acknowledged", "the log ends with %d", next)
	}
	return toldInLine(r, l)
}

// toldInLine has two wait for room when an fsync fails.
func toldInLine(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		d := newDisk()
		q, err := open(r, l, d, Options{MaxPending: 5000, MaxBatch: 1100})
		if err != nil {
			return err
		}
		g := newGate(r, logSyncs)
		d.change(func(o op) error {
			if g.before(o); logSyncs(o) {
				return errIO
			}
			return nil
		}, nil)
		r.Step("MaxPending 5000, 4 records of 1000 are pending, two of 1500 wait for room; the fsync fails")
		for i := range 4 {
			if err := q.TryAppend(nil, kilo(i), nil); err != nil {
				return spec.Fail("TryAppend to return nil", "it returned %s", l.name(err))
			}
		}
		var waiting []<-chan error
		for range 2 {
			waiting = append(waiting, r.Go(func() error { _, err := q.Append(r.Context(), nil, make([]byte, 1500)); return err }))
		}
		synctest.Wait()
		g.open()
		synctest.Wait()
		for _, w := range waiting {
			if len(w) == 0 {
				return spec.Fail("who waits for room to be told of a failed fsync", "they wait, and nothing will come")
			}
			if err := <-w; !isErr(err, l.Failed) {
				return spec.Fail("ErrFailed for who waits for room", "Append returned %s", l.name(err))
			}
		}
		return nil
	})
}

// forget has what was not synced of a file count as synced, and not be there
// after a loss of power: it stays in the kernel's memory. That is what Linux
// does with the pages of an fsync that has failed.
func (d *disk) forget(p string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.now[p]
	n.lost = append(n.lost, n.pending...)
	n.pending = nil
}

func failedRoll(r *spec.Run, l lab) error {
	for _, fails := range []string{"create", "syncdir"} {
		d := newDisk()
		o := Options{SegmentBytes: 200}
		q, err := open(r, l, d, o)
		if err != nil {
			return err
		}
		a := newAcks()
		n := 0
		for len(d.segments()) < 3 && n < 100 {
			if err := fill(r, l, q, n, n+1); err != nil {
				return err
			}
			a.done(n, int64(n), nil)
			n++
		}
		if n == 100 {
			return spec.Fail("a new segment for each 200 bytes", "there are %d files behind 100 records", len(d.segments()))
		}
		r.Step("%d records; then %s fails for a while, when a new segment is due", n, fails)
		broken := true
		var mu sync.Mutex
		d.change(func(o op) error {
			mu.Lock()
			defer mu.Unlock()
			if broken && o.kind == fails && (o.isLog() || o.path == logDir) {
				return errIO
			}
			return nil
		}, nil)
		failed := 0
		for ; failed == 0 && n < 200; n++ {
			offset, err := q.Append(r.Context(), key(n), value(n))
			a.done(n, offset, err)
			if err != nil {
				failed++
			}
		}
		if failed == 0 {
			return spec.Fail("an Append to fail when a new segment cannot be made", "100 succeeded")
		}
		mu.Lock()
		broken = false
		mu.Unlock()
		for range 6 {
			offset, err := q.Append(r.Context(), key(n), value(n))
			a.done(n, offset, err)
			if err != nil && fails == "create" {
				return spec.Fail("Append to return nil when a new segment can be made again", "it returned %s", l.name(err))
			}
			n++
		}
		for _, how := range []loss{power, process} {
			again, err := open(r, l, d.after(how), o)
			if err != nil {
				return spec.Fail("Open to open the log", "%s: %v", how.what, err)
			}
			if err := a.kept(l, again, "when "+how.what, number); err != nil {
				return err
			}
		}
	}
	return nil
}
