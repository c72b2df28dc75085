package queuetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing/synctest"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

const ms = time.Millisecond

func isErr(err, want error) bool { return err != nil && errors.Is(err, want) }

var syncRules = []spec.Rule[lab]{
	{
		Name: "AcknowledgedIsDurable", Group: "durable", Points: 4, Section: step2,
		Why: "Acknowledged means: the power may go now. A write is in the kernel's memory, an fsync brings it to the disk; a new file needs an fsync of its directory, or it is not there afterwards.",
		Hints: [3]string{
			"What has to have happened before done is called?",
			"pwrite, fsync of the file, and when the file is new, fsync of the directory, before the first record in it is acknowledged. The directory itself is new at first.",
			"Open: Mkdir(dir), SyncDir(above), create the file, SyncDir(dir); commit: Pwrite, Sync, then done",
		},
		Check: ackedDurable,
	},
	{
		Name: "OneSyncForMany", Group: "durable", Points: 3, Section: step2,
		Why: "An fsync takes as long for a thousand records as for one. Who syncs each record by itself waits a thousand times.",
		Hints: [3]string{
			"63 producers come while an fsync runs. How many more do they need?",
			"One: what came meanwhile is one batch.",
			"one goroutine: take all that is queued, write it, Sync, tell everybody, again",
		},
		Check: oneSync,
	},
	{
		Name: "DelayGathers", Group: "durable", Points: 1, Section: step2,
		Why: "MaxDelay is what an acknowledgement may cost for the sake of fewer fsyncs. It counts from the first record of a batch, and a full batch does not wait for it.",
		Hints: [3]string{
			"A record comes every 4 ms, and MaxDelay is 10 ms. When is the first fsync?",
			"At 10 ms, for three of them. The next record begins the next batch.",
			"due: if only one batch is queued and it is not full: wait until first.began + MaxDelay",
		},
		Check: delayGathers,
	},
	{
		Name: "OffsetsAreTheOrder", Group: "durable", Points: 2, Section: step2,
		Why: "A producer appends A, then B. If B is before A in the log, an order is cancelled before it was placed. Offsets, the order in the file and the order of acknowledgements are one order.",
		Hints: [3]string{
			"When does a record get its offset, and who decides?",
			"When its batch is written, by its place in it. Batches fill, and are written, in order.",
			"base := segment.next; record i of the batch has base + i; done in this order",
		},
		Check: offsetOrder,
	},
	{
		Name: "UnacknowledgedIsInvisible", Group: "durable", Points: 2, Section: step2,
		Why: "A consumer that was shown a record acts on it. If the power goes before the fsync has returned, the record was never there, and its offset will be another record's.",
		Hints: [3]string{
			"The batch is written, and its fsync runs. Where does the log end for a reader?",
			"Before it. Move the end when the fsync has returned.",
			"Sync() first; then lock; segment.next, segment.size = ...; close(grown)",
		},
		Check: invisible,
	},
	{
		Name: "LocksAreFree", Group: "durable", Points: 1, Section: step2,
		Why: "A disk may take a second for an fsync. An event loop that calls TryAppend, and everybody who reads, must not stand still for it.",
		Hints: [3]string{
			"An fsync hangs. Which of your methods still return?",
			"All but those that wait for it: no lock is held while the file system works.",
			"take the batch under the lock; write and sync without it; lock again for the new end",
		},
		Check: locksFree,
	},
}

func ackedDurable(r *spec.Run, l lab) error {
	d := newDisk()
	r.Step("at every acknowledgement a copy of the disk is taken as a loss of power would leave it")
	q, err := open(r, l, d, Options{SegmentBytes: 400})
	if err != nil {
		return err
	}
	type copied struct {
		upTo int
		disk *disk
	}
	var mu sync.Mutex
	var copies []copied
	const n = 24
	for i := range n {
		told := make(chan error, 1)
		err := q.AppendAsync(r.Context(), key(i), value(i), func(_ int64, err error) {
			mu.Lock()
			copies = append(copies, copied{i, d.after(power)})
			mu.Unlock()
			told <- err
		})
		if err != nil {
			return spec.Fail("AppendAsync to return nil", "it returned %s", l.name(err))
		}
		if err, late := spec.Wait(r, "done to be called", told); err != nil || late != nil {
			return spec.Fail("done to be called with nil", "it was called with %s", l.name(err))
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for _, c := range copies {
		again, err := open(r, l, c.disk, Options{SegmentBytes: 400})
		if err != nil {
			return err
		}
		if err := has(l, again, fmt.Sprintf("when the power went at the acknowledgement of record %d", c.upTo), 0, c.upTo+1); err != nil {
			return err
		}
		end(again, c.disk)
	}
	return othersAnswer(r, l)
}

// othersAnswer has an Append give up before it is told, and another one come after
// it: that one must wait for its own fsync.
func othersAnswer(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		d := newDisk()
		q, err := open(r, l, d, Options{})
		if err != nil {
			return err
		}
		first, second := newGate(r, logSyncs), newGate(r, logSyncs)
		d.change(first.before, nil)
		r.Step("the ctx of an Append ends while its fsync runs; that ends, and the next Append's runs")
		ctx, cancel := context.WithCancel(r.Context())
		gone := r.Go(func() error { _, err := q.Append(ctx, key(0), value(0)); return err })
		synctest.Wait()
		cancel()
		if err := <-gone; !isErr(err, context.Canceled) {
			return spec.Fail("Append to return ctx's error when it ends", "it returned %s", l.name(err))
		}
		d.change(second.before, nil)
		first.open()
		synctest.Wait()
		var offset int64
		waits := r.Go(func() (err error) { offset, err = q.Append(r.Context(), key(1), value(1)); return err })
		synctest.Wait()
		if len(waits) > 0 {
			return spec.Fail("Append to wait for its own fsync", "it has returned offset %d and %s, as if it were the one before it", offset, l.name(<-waits))
		}
		second.open()
		if err := <-waits; err != nil || offset != 1 {
			return spec.Fail("Append to return 1 and nil", "it returned %d and %s", offset, l.name(err))
		}
		return nil
	})
}

func oneSync(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		d := newDisk()
		q, err := open(r, l, d, Options{})
		if err != nil {
			return err
		}
		g := newGate(r, logSyncs)
		d.change(g.before, nil)
		a := newAcks()
		r.Step("one record, and while its fsync runs 63 producers append one each")
		var producers sync.WaitGroup
		append := func(i int) {
			producers.Go(func() {
				offset, err := q.Append(r.Context(), key(i), value(i))
				a.done(i, offset, err)
			})
			synctest.Wait()
		}
		for i := range 64 {
			append(i)
		}
		if n := g.came(); n != 1 {
			return spec.Fail("one fsync to run", "%d were begun", n)
		}
		time.Sleep(time.Second)
		if good, bad := a.told(); good+bad > 0 {
			return spec.Fail("nobody to be acknowledged before the first fsync has returned", "%d were, %d got an error", good, bad)
		}
		g.open()
		producers.Wait()
		if n := g.came(); n != 2 {
			return spec.Fail("2 fsyncs for the 64 records", "there were %d", n)
		}
		if s := q.Stats(); s.Records != 64 || s.Batches != 2 || s.Pending != 0 || s.Segments != 1 {
			return spec.Fail("Stats to tell of 64 records in 2 batches, and nothing pending", "it is %+v", s)
		}
		return has(l, q, "behind the fsyncs", 0, 64)
	})
}

func delayGathers(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		d := newDisk()
		q, err := open(r, l, d, Options{MaxDelay: 10 * ms, MaxBatch: 1000})
		if err != nil {
			return err
		}
		began := time.Now()
		var mu sync.Mutex
		var at []time.Duration
		d.change(func(o op) error {
			if logSyncs(o) {
				mu.Lock()
				at = append(at, time.Since(began))
				mu.Unlock()
			}
			return nil
		}, nil)
		put := func(n int) error {
			if err := q.TryAppend(nil, make([]byte, n), nil); err != nil {
				return spec.Fail("TryAppend to return nil", "it returned %s", l.name(err))
			}
			synctest.Wait()
			return nil
		}
		r.Step("MaxDelay 10 ms: a record of 20 bytes at 0, 4, 8, 12 ms")
		for range 4 {
			if err := put(20); err != nil {
				return err
			}
			time.Sleep(4 * ms)
		}
		time.Sleep(24 * ms) // it is 40 ms
		r.Step("at 40 ms a record, at 43 ms two of 600 bytes, more than MaxBatch 1000 together")
		if err := errors.Join(put(20), pass(3*ms), put(600), put(600)); err != nil {
			return err
		}
		time.Sleep(time.Second)
		mu.Lock()
		defer mu.Unlock()
		if got, want := fmt.Sprint(at), "[10ms 22ms 43ms 53ms]"; got != want {
			return spec.Fail("fsyncs at "+want, "they were at %s", got)
		}
		return nil
	})
}

// pass lets time pass, within a bubble.
func pass(t time.Duration) error {
	time.Sleep(t)
	return nil
}

func offsetOrder(r *spec.Run, l lab) error {
	d := newDisk()
	q, err := open(r, l, d, Options{SegmentBytes: 4000, MaxBatch: 700})
	if err != nil {
		return err
	}
	const producers, each = 8, 150
	r.Step("%d producers append %d records each, without waiting for the disk", producers, each)
	var mu sync.Mutex
	var told []int64
	at := map[string]int64{}
	var all sync.WaitGroup
	errs := make(chan error, producers)
	for p := range producers {
		all.Go(func() {
			for i := range each {
				v := fmt.Sprint(p, " ", i)
				err := q.AppendAsync(r.Context(), nil, []byte(v), func(offset int64, err error) {
					mu.Lock()
					defer mu.Unlock()
					told = append(told, offset)
					at[v] = offset
				})
				if err != nil {
					errs <- err
					return
				}
			}
		})
	}
	all.Wait()
	if len(errs) > 0 {
		return spec.Fail("AppendAsync to return nil", "it returned %s", l.name(<-errs))
	}
	if err := r.Until("everybody to be told", func() bool { mu.Lock(); defer mu.Unlock(); return len(told) >= producers*each }); err != nil {
		return err
	}
	mu.Lock()
	defer mu.Unlock()
	for i, offset := range told {
		if offset != int64(i) {
			return spec.Fail("acknowledgements in the order of offsets, each once", "the one that came as number %d is for offset %d", i, offset)
		}
	}
	records, err := everything(q, 0)
	if err != nil {
		return spec.Fail("to read the log", "Read returned %s", l.name(err))
	}
	next := map[int]int{}
	for _, rec := range records {
		var p, i int
		fmt.Sscan(string(rec.Value), &p, &i)
		if at[string(rec.Value)] != rec.Offset {
			return spec.Fail("each record at the offset that was told", "%q was told %d and is at %d", rec.Value, at[string(rec.Value)], rec.Offset)
		}
		if i != next[p] {
			return spec.Fail("the records of a producer in their order", "producer %d: record %d comes where %d should", p, i, next[p])
		}
		next[p]++
	}
	if len(records) != producers*each {
		return spec.Fail(fmt.Sprintf("%d records", producers*each), "there are %d", len(records))
	}
	return nil
}

func invisible(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		d, q, err := filled(r, l, Options{}, 3)
		if err != nil {
			return err
		}
		hold := newGate(r, logSyncs)
		d.change(hold.before, nil)
		r.Step("3 records are there; a fourth is written, and its fsync runs")
		if err := batch(r, q, 3, 4, nil); err != nil {
			return err
		}
		synctest.Wait()
		waits := r.Go(func() error { return q.Wait(r.Context(), 3) })
		synctest.Wait()
		if len(waits) > 0 {
			return spec.Fail("Wait(3) to wait for the fsync", "it returned")
		}
		if _, next := q.Bounds(); next != 3 {
			return spec.Fail("the log to end with 3 until the fsync has returned", "it ends with %d", next)
		}
		if err := has(l, q, "while the fsync runs", 0, 3); err != nil {
			return err
		}
		if got, err := q.Read(3, 100); err == nil && len(got) > 0 {
			return spec.Fail("Read not to show a record whose fsync runs", "it returned offset %d", got[0].Offset)
		}
		hold.open()
		if err, late := spec.Wait(r, "Wait(3) to return behind the fsync", waits); err != nil || late != nil {
			return spec.Fail("Wait(3) to return nil", "it returned %s", l.name(err))
		}
		return has(l, q, "behind the fsync", 0, 4)
	})
}

// locksFree does not run in a bubble: there, one who waits for a lock would stop
// time.
func locksFree(r *spec.Run, l lab) error {
	d, q, err := filled(r, l, Options{}, 3)
	if err != nil {
		return err
	}
	g := newGate(r, logSyncs)
	d.change(g.before, nil)
	if err := batch(r, q, 3, 4, nil); err != nil {
		return err
	}
	if err := r.Until("an fsync to begin", func() bool { return g.came() == 1 }); err != nil {
		return err
	}
	r.Step("the fsync hangs; TryAppend, AppendAsync, Read, Bounds, Stats")
	return r.Call("TryAppend, AppendAsync, Read, Bounds and Stats to return while an fsync hangs: is a lock held?", func() error {
		if err := q.TryAppend(key(4), value(4), nil); err != nil {
			return spec.Fail("TryAppend to return nil", "it returned %s", l.name(err))
		}
		if err := batch(r, q, 5, 6, nil); err != nil {
			return err
		}
		if err := has(l, q, "while an fsync hangs", 0, 3); err != nil {
			return err
		}
		q.Bounds()
		if p := q.Stats().Pending; p < len(value(3))+len(value(4))+len(value(5)) {
			return spec.Fail("three records to be pending", "Stats says %d bytes", p)
		}
		return nil
	})
}
