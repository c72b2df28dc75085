package queuetest

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/asynclab/asynclab/harness/spec"
)

var recoverRules = []spec.Rule[lab]{
	{
		Name: "TornTailIsCut", Group: "recovery", Points: 3, Section: step3,
		Why: "The power goes in the middle of a write: the last batch is there in part, or its length is, with zeros. It was never acknowledged. It must not be read, not even the records of it that look whole, and the next batch must not be written behind it.",
		Hints: [3]string{
			"How do you know, at Open, whether the last batch is whole?",
			"By its CRC. Cut the file where the first broken batch begins, and go on there.",
			"scan: readBatch at position; not intact, and nothing intact behind it: Truncate(position)",
		},
		Check: tornTail,
	},
	{
		Name: "DamageIsRefused", Group: "recovery", Points: 4, Section: step3,
		Why: "A broken batch with a whole one behind it was on the disk once, and acknowledged. To cut there loses all that follows, without a word; to skip it loses what is in it. Only a human can say which copy is right, so the error has to say where.",
		Hints: [3]string{
			"A bit of a batch has changed, of its length for example. How do you know that it is not the torn tail?",
			"Only one batch is unsynced at a time. If any whole batch stands behind the broken one, this was synced. Its length cannot be believed, so look at every place behind it. The CRC must cover everything, the lengths too.",
			"crc32.Checksum(batch[4:]) over size, count, base, time and position; bytes.Index for the magic number behind the broken batch, then check the CRC there",
		},
		Check: damage,
	},
	{
		Name: "RecoveredIsDurable", Group: "recovery", Points: 2, Section: step3,
		Why: "The process was killed between write and fsync. The next one finds the batch: in the kernel's memory. It shows the record to a consumer, the power goes, and the record was never there.",
		Hints: [3]string{
			"What you read at Open was perhaps never synced. What has to happen before anybody sees it?",
			"An fsync of the last segment, and of the directory, in every Open.",
			"at the end of Open: active.file.Sync(); fs.SyncDir(dir)",
		},
		Check: recoveredDurable,
	},
	{
		Name: "FullSegmentsAreWhole", Group: "segments", Points: 2, Section: step5,
		Why: "A file in the middle was deleted, cut short or damaged. A consumer that reads on behind it has missed a million records, and nobody has told it. In a full segment nothing is a torn tail: it was synced before the next one was made.",
		Hints: [3]string{
			"Which offset must a segment begin with? And what may be wrong at the end of one that is not the last?",
			"The one with which the segment before it ends; and nothing.",
			"scan(s) for all but the last: any error is returned; if s.next != following.base { return &CorruptError{...} }",
		},
		Check: fullSegments,
	},
	{
		Name: "IndexIsRebuilt", Group: "segments", Points: 2, Section: step5,
		Why: "The index holds nothing that the segments do not. So whatever becomes of its files, deleted, old, full of garbage, costs time and nothing else.",
		Hints: [3]string{
			"How do you know that an index file is right?",
			"It has a CRC, and says for which segment of which size it is. Otherwise make it anew from the segment.",
			"loadIndex: crc, base, next == following.base, size == the segment's; else scan",
		},
		Check: indexRebuilt,
	},
}

// tornTail tears the last batch, of three records, at every byte.
func tornTail(r *spec.Run, l lab) error {
	d, q, err := filled(r, l, Options{}, 3)
	if err != nil {
		return err
	}
	r.Step("3 records; a fourth whose fsync runs, and 3 more that will be one batch; the power goes when that was written, and leaves 0, 1, 2 ... bytes of it, with nothing or zeros behind")
	g := newGate(r, logSyncs)
	d.change(g.before, nil)
	if err := batch(r, q, 3, 4, nil); err != nil {
		return err
	}
	if err := r.Until("an fsync to begin", func() bool { return g.came() == 1 }); err != nil {
		return err
	}
	second := newGate(r, logSyncs)
	d.change(second.before, nil)
	if err := batch(r, q, 4, 7, nil); err != nil {
		return err
	}
	g.open()
	if err := r.Until("the fsync of the second batch to begin", func() bool { return second.came() == 1 }); err != nil {
		return err
	}
	full := len(d.content(d.segments()[0]))
	size := full - len(d.after(power).content(d.segments()[0]))
	for n := 0; n <= size; n++ {
		for _, filled := range []bool{false, true} {
			how := tornAt(n, filled)
			torn := d.after(how)
			again, err := open(r, l, torn, Options{})
			if err != nil {
				return spec.Fail("Open to cut off the torn batch", "%s, of %d: Open returned %v", how.what, size, err)
			}
			want := 4
			if n == size {
				want = 7
			}
			if err := has(l, again, fmt.Sprintf("when %d of the last %d bytes were there, zeros behind: %v", n, size, filled), 0, want); err != nil {
				return err
			}
			if n%7 == 0 { // it goes on from there, and the next one finds no trace
				if err := fill(r, l, again, want, want+2); err != nil {
					return err
				}
				end(again, torn)
				third := torn.after(power)
				if again, err = open(r, l, third, Options{}); err != nil {
					return spec.Fail("Open to open a log whose tail was cut before", "it returned %v", err)
				}
				if err := has(l, again, "behind a tail that was cut", 0, want+2); err != nil {
					return err
				}
				torn = third
			}
			end(again, torn)
		}
	}
	return tornAround(r, l)
}

// tornAround tears a batch whose value holds a whole one, as that of a consumer
// does that keeps what it has fetched.
func tornAround(r *spec.Run, l lab) error {
	d, q, err := filled(r, l, Options{}, 1)
	if err != nil {
		return err
	}
	file := d.segments()[0]
	inner := d.content(file)
	r.Step("the value of a second record is the whole batch of the first, and 20 bytes; the power goes while it is synced, and leaves all but its last 1 to 25 bytes")
	g := newGate(r, logSyncs)
	d.change(g.before, nil)
	if err := q.AppendAsync(r.Context(), nil, append(slices.Clone(inner), strings.Repeat(".", 20)...), nil); err != nil {
		return spec.Fail("AppendAsync to return nil", "it returned: %v", err)
	}
	if err := r.Until("an fsync to begin", func() bool { return g.came() == 1 }); err != nil {
		return err
	}
	size := len(d.content(file)) - len(inner)
	for less := 1; less <= 25; less++ {
		torn := d.after(tornAt(size-less, false))
		again, err := open(r, l, torn, Options{})
		if err != nil {
			return spec.Fail("Open to cut off a torn batch whose value holds a whole one: that is in another place than it says", "Open returned %v", err)
		}
		if err := has(l, again, "before a torn batch whose value holds a whole one", 0, 1); err != nil {
			return err
		}
		end(again, torn)
	}
	return nil
}

// damage changes every bit of a batch in the middle, one at a time.
func damage(r *spec.Run, l lab) error {
	d, q, err := filled(r, l, Options{}, 6)
	if err != nil {
		return err
	}
	if err := closed(r, l, q); err != nil {
		return err
	}
	file := d.segments()[0]
	ends := d.bounds(file)
	ends = slices.DeleteFunc(ends, func(n int64) bool { return n == 0 })
	if len(ends) < 4 {
		return spec.Fail("an fsync for each record that is acknowledged by itself", "the file was synced at %v bytes", ends)
	}
	from, to := ends[1], ends[2]
	good := d.content(file)
	r.Step("6 batches; each bit of the third, bytes %d to %d of %s, is changed in turn", from, to-1, path.Base(file))
	for bit := from * 8; bit < to*8; bit++ {
		bad := slices.Clone(good)
		bad[bit/8] ^= 1 << (bit % 8)
		if err := refused(r, l, d, file, bad, from, fmt.Sprintf("bit %d of byte %d of %s has changed, and whole batches are behind it", bit%8, bit/8, path.Base(file))); err != nil {
			return err
		}
	}
	r.Step("the same bit of two bytes is changed, 4 apart: two lengths whose sum is the same")
	for bit := from * 8; bit < (to-4)*8; bit++ {
		bad := slices.Clone(good)
		bad[bit/8] ^= 1 << (bit % 8)
		bad[bit/8+4] ^= 1 << (bit % 8)
		if err := refused(r, l, d, file, bad, from, fmt.Sprintf("bit %d of bytes %d and %d of %s has changed, and whole batches are behind it", bit%8, bit/8, bit/8+4, path.Base(file))); err != nil {
			return err
		}
	}
	r.Step("the third batch is overwritten with zeros, or with the second one")
	zero := slices.Clone(good)
	clear(zero[from:to])
	if err := refused(r, l, d, file, zero, from, "a batch is zeros, and whole batches are behind it"); err != nil {
		return err
	}
	twice := slices.Clone(good)
	copy(twice[from:], good[ends[0]:ends[1]])
	if err := refused(r, l, d, file, twice, from, "the second batch stands in the place of the third as well"); err != nil {
		return err
	}
	return atABorder(r, l)
}

// atABorder has the whole batch begin where a search in pieces of some power of two
// goes from one to the next.
func atABorder(r *spec.Run, l lab) error {
	r.Step("a batch of 1 MiB has changed; the whole one behind it begins 4 bytes after 1 MiB, 8 before it, 20, 32 and 44")
	overhead := int64(200) // at first a guess
	for _, off := range []int64{4, 4, -8, -20, -32, -44} {
		d := newDisk()
		q, err := open(r, l, d, Options{})
		if err != nil {
			return err
		}
		size := 1<<20 + off - overhead
		for _, value := range [][]byte{bytes.Repeat([]byte("x"), int(size)), []byte("whole")} {
			if _, err := q.Append(r.Context(), nil, value); err != nil {
				return spec.Fail("Append to return nil", "it returned %s", l.name(err))
			}
		}
		if err := closed(r, l, q); err != nil {
			return err
		}
		file := d.segments()[0]
		ends := slices.DeleteFunc(d.bounds(file), func(n int64) bool { return n < size })
		overhead = ends[0] - size
		bad := d.content(file)
		bad[size/2] ^= 1
		if err := refused(r, l, d, file, bad, 0, fmt.Sprintf("a byte of the first batch has changed, and a whole one begins at byte %d", ends[0])); err != nil {
			return err
		}
	}
	return nil
}

// refused holds that a log with a damaged file is refused, with the place, and
// not changed.
func refused(r *spec.Run, l lab, d *disk, file string, bad []byte, position int64, what string) error {
	hurt := d.after(process)
	hurt.put(file, bad)
	q, err := l.Open(logDir, Options{FS: hurt})
	if err == nil {
		all, err := everything(q, 0)
		end(q, hurt)
		if err == nil {
			return spec.Fail("Open to refuse a damaged log: "+what, "it opened, and %d records can be read", len(all))
		}
		return spec.Fail("Open to refuse a damaged log: "+what, "it opened, and Read returned %s", l.name(err))
	}
	if err := located(l, err, file, position, what); err != nil {
		return err
	}
	if !slices.Equal(hurt.content(file), bad) {
		return spec.Fail("Open to leave a damaged file as it is", "it has %d bytes now, of %d", len(hurt.content(file)), len(bad))
	}
	return nil
}

// located holds that err names the file and the position.
func located(l lab, err error, file string, position int64, what string) error {
	c := l.Damage(err)
	if c == nil {
		return spec.Fail("a CorruptError: "+what, "the error is: %s", l.name(err))
	}
	if path.Base(c.File) != path.Base(file) || c.Position != position {
		return spec.Fail(fmt.Sprintf("an error that names %s and byte %d: %s", path.Base(file), position, what), "it names %s and byte %d", c.File, c.Position)
	}
	if text := err.Error(); !strings.Contains(text, path.Base(file)) || !strings.Contains(text, fmt.Sprint(position)) {
		return spec.Fail("an error whose text names file and position", "it says: %s", text)
	}
	return nil
}

func recoveredDurable(r *spec.Run, l lab) error {
	d, q, err := filled(r, l, Options{}, 2)
	if err != nil {
		return err
	}
	g := newGate(r, logSyncs)
	d.change(g.before, nil)
	if err := batch(r, q, 2, 3, nil); err != nil {
		return err
	}
	if err := r.Until("an fsync to begin", func() bool { return g.came() == 1 }); err != nil {
		return err
	}
	r.Step("the process is killed between write and fsync; the next one reads; then the power goes")
	second := d.after(process)
	again, err := open(r, l, second, Options{})
	if err != nil {
		return spec.Fail("Open to open the log", "it returned %v", err)
	}
	shown, err := everything(again, 0)
	if err != nil {
		return spec.Fail("to read the log", "Read returned %s", l.name(err))
	}
	if len(shown) < 2 {
		return spec.Fail("the two records that were acknowledged", "%d are there", len(shown))
	}
	third, err := open(r, l, second.after(power), Options{})
	if err != nil {
		return spec.Fail("Open to open the log", "it returned %v", err)
	}
	return has(l, third, "that were shown before the power went", 0, len(shown))
}

// tidy is a closed log of n records in many segments.
func tidy(r *spec.Run, l lab, o Options, n int) (*disk, error) {
	d, q, err := filled(r, l, o, n)
	if err != nil {
		return nil, err
	}
	return d, closed(r, l, q)
}

func fullSegments(r *spec.Run, l lab) error {
	o := Options{SegmentBytes: 300}
	d, err := tidy(r, l, o, 30)
	if err != nil {
		return err
	}
	files := d.segments()
	if len(files) < 5 {
		return spec.Fail("a new segment for each 300 bytes", "there are %d files", len(files))
	}
	for _, gone := range files[1 : len(files)-1] {
		r.Step("%s, in the middle of %d segments, is deleted", path.Base(gone), len(files))
		hurt := d.after(power)
		hurt.delete(gone)
		o.FS = hurt
		q, err := l.Open(logDir, o)
		var all []Record
		if err == nil {
			first, _ := q.Bounds()
			all, err = everything(q, first)
			end(q, hurt)
		}
		if err == nil {
			return spec.Fail("Open or Read to refuse a log with a file missing in the middle", "%d of 30 records were read, and no error", len(all))
		}
		if l.Damage(err) == nil {
			return spec.Fail("a CorruptError for a missing file", "the error is: %s", l.name(err))
		}
	}
	return damagedSegment(r, l)
}

// damagedSegment damages a segment that is full. Open may find it, or the Read
// that comes there.
func damagedSegment(r *spec.Run, l lab) error {
	o := Options{SegmentBytes: 300}
	d, err := tidy(r, l, o, 20)
	if err != nil {
		return err
	}
	files := d.segments()
	if len(files) < 3 {
		return spec.Fail("a new segment for each 300 bytes", "there are %d files", len(files))
	}
	file := files[1]
	ends := d.bounds(file)
	last := ends[len(ends)-1]
	r.Step("%s, the second of %d segments, is damaged in its last batch, or cut short", path.Base(file), len(files))
	for _, change := range []struct {
		what string
		of   func(p []byte) []byte
	}{
		{"its last byte has changed", func(p []byte) []byte { p[last-1] ^= 1; return p }},
		{"its last byte is missing", func(p []byte) []byte { return p[:last-1] }},
		{"its last batch is missing", func(p []byte) []byte { return p[:ends[len(ends)-2]] }},
		{"it is empty", func(p []byte) []byte { return nil }},
		{"it is a copy of the first segment", func([]byte) []byte { return d.content(files[0]) }},
	} {
		hurt := d.after(process)
		hurt.put(file, change.of(d.content(file)))
		o.FS = hurt
		q, err := l.Open(logDir, o)
		var all []Record
		if err == nil {
			all, err = everything(q, 0)
			end(q, hurt)
		}
		what := fmt.Sprintf("%s: %s", path.Base(file), change.what)
		if err == nil {
			return spec.Fail("Open or Read to refuse: "+what, "%d of 20 records were read, and no error", len(all))
		}
		if c := l.Damage(err); c == nil || path.Base(c.File) != path.Base(file) {
			return spec.Fail("a CorruptError that names the file: "+what, "the error is: %s", l.name(err))
		}
	}
	return nil
}

func indexRebuilt(r *spec.Run, l lab) error {
	o := Options{SegmentBytes: 600, IndexBytes: 100}
	const n = 60
	d, err := tidy(r, l, o, n)
	if err != nil {
		return err
	}
	index := func(p string) bool { return path.Dir(p) == logDir && !strings.HasSuffix(p, ".log") }
	files := d.paths(index)
	r.Step("%d segments, and %d other files beside them", len(d.segments()), len(files))
	ways := []struct {
		what string
		do   func(d *disk, p string, i int)
	}{
		{"deleted", func(d *disk, p string, _ int) { d.delete(p) }},
		{"empty", func(d *disk, p string, _ int) { d.put(p, nil) }},
		{"cut short", func(d *disk, p string, _ int) { c := d.content(p); d.put(p, c[:len(c)/2]) }},
		{"full of garbage", func(d *disk, p string, _ int) { d.put(p, []byte(strings.Repeat("garbage ", 40))) }},
		{"zeros", func(d *disk, p string, _ int) { d.put(p, make([]byte, len(d.content(p)))) }},
		{"another segment's", func(d *disk, p string, i int) { d.put(p, d.content(files[(i+1)%len(files)])) }},
	}
	for b := range 8 {
		ways = append(ways, struct {
			what string
			do   func(d *disk, p string, i int)
		}{fmt.Sprintf("changed in a bit, way %d", b), func(d *disk, p string, i int) {
			c := d.content(p)
			if len(c) > 0 {
				c[(i+b*len(c)/8)%len(c)] ^= 1 << b
			}
			d.put(p, c)
		}})
	}
	for _, way := range ways {
		hurt := d.after(process) // an index need not be synced
		for i, p := range files {
			way.do(hurt, p, i)
		}
		q, err := open(r, l, hurt, o)
		if err != nil {
			return spec.Fail("Open to make the index anew: its files are "+way.what, "it returned %v", err)
		}
		for i := range n {
			got, err := q.Read(int64(i), 1)
			if err != nil {
				return spec.Fail("Read to find every offset: the index files were "+way.what, "Read(%d) returned %s", i, l.name(err))
			}
			if err := same(got, "with an index that was "+way.what, i, i+1); err != nil {
				return err
			}
		}
		if err := fill(r, l, q, n, n+10); err != nil {
			return err
		}
		if err := has(l, q, "with an index that was "+way.what, 0, n+10); err != nil {
			return err
		}
		end(q, hurt)
	}
	return nil
}
