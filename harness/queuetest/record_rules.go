package queuetest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing/synctest"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var recordRules = []spec.Rule[lab]{
	{
		Name: "ReadsWhatWasAppended", Group: "records", Points: 1, Section: step1,
		Why: "A log gives back what it was given: every byte, empty keys and values too, at the offset that Append returned, now and after it was opened again.",
		Hints: [3]string{
			"How does Read know where a record ends? A value may hold any bytes.",
			"Write the lengths of key and value in front of them.",
			"record: len(key) uint32, len(value) uint32, key, value; batch: the header of record.go, then its records",
		},
		Check: readsBack,
	},
	{
		Name: "NonsenseIsRefused", Group: "records", Points: 1, Section: step1,
		Why: "A record that can never have room would wait for ever, and a negative size has no meaning that anybody could guess.",
		Hints: [3]string{
			"What about a record of MaxPending bytes, and a negative SegmentBytes?",
			"ErrTooLarge for the first, an error of Open for the other; an error of Group for a name that is a path.",
			"if size > MaxPending || len(key)+len(value) > MaxRecord { return ErrTooLarge }",
		},
		Check: nonsense,
	},
}

var readRules = []spec.Rule[lab]{
	{
		Name: "ReadsAreBounded", Group: "records", Points: 1, Section: step1,
		Why: "A consumer says how much it can take. One record must come in any case, or a large one would block the log for ever; more than asked for must not.",
		Hints: [3]string{
			"maxBytes is 10, and the next record has 1000. What does Read return?",
			"That record. Count keys and values, and stop before the record with which there would be too many.",
			"used += len(r.Key) + len(r.Value); if used > maxBytes && len(out) > 0 { return out, nil }",
		},
		Check: readsBounded,
	},
	{
		Name: "RangesAreChecked", Group: "records", Points: 1, Section: step1,
		Why: "A consumer whose offset lies behind the end has talked to another log, or this one has lost something. To wait there quietly would hide it.",
		Hints: [3]string{
			"What is the difference between the offset that comes next and the one behind it?",
			"At the end Read returns nothing, and no error. Beyond it, and below the first, ErrRange.",
			"case offset < first || offset > next: ErrRange; case offset == next: nil, nil",
		},
		Check: rangesChecked,
	},
	{
		Name: "EveryOffsetIsFound", Group: "segments", Points: 3, Section: step5,
		Why: "An index that is off by one sends a consumer to the batch behind its record: it misses some, and nobody is told.",
		Hints: [3]string{
			"Which entry of the index do you begin at, for an offset that has none of its own?",
			"The last one that is not above it. Then read on, batch by batch, to the one with the offset in it.",
			"i := sort.Search(len(x), func(i int) bool { return x[i].offset > offset }); return x[i-1]",
		},
		Check: everyOffset,
	},
}

func readsBack(r *spec.Run, l lab) error {
	d := newDisk()
	began := time.Now()
	q, err := open(r, l, d, Options{MaxBatch: 4 << 10})
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(1, 2))
	blob := func(n int) []byte {
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(rng.Uint32())
		}
		return p
	}
	given := []Record{
		{Key: nil, Value: nil},
		{Key: []byte("only a key")},
		{Value: []byte("only a value")},
		{Key: []byte("a\x00b\n"), Value: []byte("line\nline\r\n\x00\xff")},
		{Key: blob(300), Value: blob(3000)},
		{Value: blob(100_000)}, // larger than a batch
		{Key: blob(9000), Value: []byte("x")},
	}
	for i := range 20 {
		given = append(given, Record{Key: blob(i), Value: blob(i * i)})
	}
	r.Step("%d records, of 0 to 100,000 bytes", len(given))
	for i, g := range given {
		k, v := bytes.Clone(g.Key), bytes.Clone(g.Value)
		offset, err := q.Append(r.Context(), k, v)
		if err != nil {
			return spec.Fail(fmt.Sprintf("Append of record %d to return nil", i), "it returned %s", l.name(err))
		}
		if offset != int64(i) {
			return spec.Fail(fmt.Sprintf("the offsets to be 0, 1, 2 and so on: %d", i), "Append returned %d", offset)
		}
		clear(k) // they are the caller's again
		clear(v)
	}
	compare := func(q judged, when string) error {
		all, err := everything(q, 0)
		if err != nil {
			return spec.Fail("to read the log "+when, "Read returned %s", l.name(err))
		}
		if len(all) != len(given) {
			return spec.Fail(fmt.Sprintf("%d records %s", len(given), when), "there are %d", len(all))
		}
		for i, g := range given {
			if got := all[i]; got.Offset != int64(i) || !bytes.Equal(got.Key, g.Key) || !bytes.Equal(got.Value, g.Value) {
				return spec.Fail(fmt.Sprintf("record %d as it was appended %s", i, when), "it has offset %d, a key of %d bytes and a value of %d, or other bytes", got.Offset, len(got.Key), len(got.Value))
			}
			if at := all[i].Time; at.Before(began.Add(-time.Second)) || at.After(time.Now().Add(time.Second)) {
				return spec.Fail("the time at which the record was written", "record %d has %v, and it is %v", i, at, time.Now())
			}
		}
		for i := range all {
			all[i].Key, all[i].Value = append(all[i].Key, "more"...), append(all[i].Value, "more"...)
		}
		for i, g := range given {
			if got := all[i]; string(got.Key) != string(g.Key)+"more" || string(got.Value) != string(g.Value)+"more" {
				return spec.Fail("the records to be the reader's, each by itself", "append to a Key or Value has written into another: record %d has changed", i)
			}
		}
		return nil
	}
	if err := compare(q, "at once"); err != nil {
		return err
	}
	r.Step("Close, and Open again")
	if err := closed(r, l, q); err != nil {
		return err
	}
	if q, err = open(r, l, d, Options{MaxBatch: 4 << 10}); err != nil {
		return err
	}
	return compare(q, "after Open")
}

func readsBounded(r *spec.Run, l lab) error {
	d := newDisk()
	q, err := open(r, l, d, Options{})
	if err != nil {
		return err
	}
	sizes := []int{100, 100, 100, 1000, 50, 50, 0, 0, 2000, 10}
	r.Step("records of %v bytes, in batches of their own and in one", sizes)
	for _, n := range sizes {
		if _, err := q.Append(r.Context(), nil, bytes.Repeat([]byte("v"), n)); err != nil {
			return err
		}
	}
	for i, n := range sizes {
		err := q.AppendAsync(r.Context(), bytes.Repeat([]byte("k"), n/2), bytes.Repeat([]byte("v"), n-n/2), nil)
		if err != nil {
			return spec.Fail("AppendAsync to return nil", "record %d: %s", i, l.name(err))
		}
	}
	if err := r.Call("Wait to return when all are on the disk", func() error { return q.Wait(r.Context(), int64(2*len(sizes)-1)) }); err != nil {
		return err
	}
	for at := range 2 * len(sizes) {
		for _, most := range []int{0, 1, 99, 100, 199, 200, 201, 1000, 1100, 10_000} {
			got, err := q.Read(int64(at), most)
			if err != nil {
				return spec.Fail("Read to return nil", "Read(%d, %d) returned %s", at, most, l.name(err))
			}
			if len(got) == 0 || got[0].Offset != int64(at) {
				return spec.Fail("Read to return the record that was asked for", "Read(%d, %d) returned %d records, %v", at, most, len(got), offsets(got))
			}
			sum := 0
			for i, rec := range got {
				sum += len(rec.Key) + len(rec.Value)
				if rec.Offset != int64(at+i) || len(rec.Key)+len(rec.Value) != sizes[(at+i)%len(sizes)] {
					return spec.Fail("records in order, and whole", "Read(%d, %d) returned offsets %v", at, most, offsets(got))
				}
			}
			if sum > most && len(got) > 1 {
				return spec.Fail(fmt.Sprintf("Read(%d, %d) to return at most %d bytes", at, most, most), "it returned %d records of %d bytes together", len(got), sum)
			}
		}
	}
	return nil
}

func offsets(all []Record) (out []int64) {
	for _, r := range all {
		out = append(out, r.Offset)
	}
	return out
}

func rangesChecked(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		q, err := open(r, l, newDisk(), Options{})
		if err != nil {
			return err
		}
		end := func(n int64) error {
			if got, err := q.Read(n, 100); err != nil || len(got) > 0 {
				return spec.Fail(fmt.Sprintf("Read at the end, %d, to return nothing and nil", n), "it returned %d records and %s", len(got), l.name(err))
			}
			for _, at := range []int64{-1, n + 1, n + 1000} {
				if _, err := q.Read(at, 100); !isErr(err, l.Range) {
					return spec.Fail(fmt.Sprintf("Read(%d) to return ErrRange: the log has 0 to %d", at, n-1), "it returned %s", l.name(err))
				}
			}
			if first, next := q.Bounds(); first != 0 || next != n {
				return spec.Fail(fmt.Sprintf("Bounds to be 0 and %d", n), "they are %d and %d", first, next)
			}
			return nil
		}
		r.Step("an empty log")
		if err := end(0); err != nil {
			return err
		}
		r.Step("somebody waits for offset 2, and 3 records come")
		waits := r.Go(func() error { return q.Wait(r.Context(), 2) })
		for i := range 3 {
			synctest.Wait()
			if len(waits) > 0 {
				return spec.Fail("Wait(2) to wait until offset 2 is there", "it returned %s after %d records", l.name(<-waits), i)
			}
			if err := fill(r, l, q, i, i+1); err != nil {
				return err
			}
		}
		if err, late := spec.Wait(r, "Wait(2) to return when offset 2 is there", waits); err != nil || late != nil {
			return spec.Fail("Wait(2) to return nil", "it returned %s", l.name(err))
		}
		return end(3)
	})
}

func everyOffset(r *spec.Run, l lab) error {
	for _, o := range []Options{{SegmentBytes: 2000, IndexBytes: 100}, {SegmentBytes: 3000, IndexBytes: 1}, {SegmentBytes: 1 << 20, IndexBytes: 500}, {SegmentBytes: 1}} {
		d := newDisk()
		q, err := open(r, l, d, o)
		if err != nil {
			return err
		}
		const n = 300
		r.Step("%d records in batches of 1 to 5, SegmentBytes %d, IndexBytes %d; Read at every offset, before and after Open", n, o.SegmentBytes, o.IndexBytes)
		for i := 0; i < n; {
			to := min(i+1+i%5, n)
			if err := batch(r, q, i, to, nil); err != nil {
				return err
			}
			if err := r.Call("Wait to return", func() error { return q.Wait(r.Context(), int64(to-1)) }); err != nil {
				return err
			}
			i = to
		}
		for _, when := range []string{"at once", "after Open"} {
			for i := range n {
				for _, most := range []int{0, 300} {
					got, err := q.Read(int64(i), most)
					if err != nil {
						return spec.Fail("Read to return nil "+when, "Read(%d) returned %s", i, l.name(err))
					}
					if len(got) == 0 || got[0].Offset != int64(i) {
						return spec.Fail(fmt.Sprintf("Read(%d) to begin with offset %d %s", i, i, when), "it returned %v", offsets(got))
					}
					if err := same(got, when, i, i+len(got)); err != nil {
						return err
					}
				}
			}
			if err := closed(r, l, q); err != nil {
				return err
			}
			if q, err = open(r, l, d, o); err != nil {
				return err
			}
		}
		end(q, d)
	}
	return nil
}

func nonsense(r *spec.Run, l lab) error {
	for _, o := range []Options{{SegmentBytes: -1}, {IndexBytes: -1}, {MaxBatch: -1}, {MaxDelay: -1}, {MaxPending: -1}, {RetainBytes: -1}, {RetainAge: -1}} {
		d := newDisk()
		o.FS = d
		if q, err := l.Open(logDir, o); err == nil {
			end(q, d)
			return spec.Fail(fmt.Sprintf("Open to refuse %+v", o), "it returned no error")
		}
	}
	q, err := open(r, l, newDisk(), Options{MaxPending: 1000})
	if err != nil {
		return err
	}
	big := make([]byte, 1001)
	if err := q.TryAppend(big, nil, nil); !isErr(err, l.TooLarge) {
		return spec.Fail("TryAppend of 1001 bytes with MaxPending 1000 to return ErrTooLarge", "it returned %s", l.name(err))
	}
	if _, err := q.Append(r.Context(), nil, big); !isErr(err, l.TooLarge) {
		return spec.Fail("Append of 1001 bytes with MaxPending 1000 to return ErrTooLarge", "it returned %s", l.name(err))
	}
	return nil
}
