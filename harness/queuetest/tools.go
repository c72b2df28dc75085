package queuetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/asynclab/asynclab/harness/spec"
)

const (
	step1  = "Step 1: records in a file"
	step2  = "Step 2: acknowledged means on the disk"
	step3  = "Step 3: what a crash leaves"
	step4  = "Step 4: when the disk fails"
	step5  = "Step 5: segments and their index"
	step6  = "Step 6: straight to the socket"
	step7  = "Step 7: a bound, and the end"
	step8  = "Step 8: groups"
	step9  = "Step 9: attempts"
	step10 = "Step 10: what may go"
)

// open opens the log in logDir on d. It is ended by force at the check's end.
func open(r *spec.Run, l lab, d *disk, o Options) (judged, error) {
	o.FS = d
	q, err := l.Open(logDir, o)
	if err != nil {
		return nil, spec.Fail("Open to open the log", "it returned: %v", err)
	}
	r.Cleanup(func() { end(q, d) })
	return q, nil
}

// end leaves a log without waiting for it. What it still does fails.
func end(q judged, d *disk) {
	d.kill()
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	q.Close(gone)
}

// gate holds operations of a disk up. The check's end opens it.
type gate struct {
	what  func(op) bool
	pass  chan struct{}
	mu    sync.Mutex
	count int // guarded by mu: that came so far
}

func newGate(r *spec.Run, what func(op) bool) *gate {
	g := &gate{what: what, pass: make(chan struct{})}
	r.Cleanup(g.open)
	return g
}

// open lets everything through from now on.
func (g *gate) open() {
	select {
	case <-g.pass:
	default:
		close(g.pass)
	}
}

func (g *gate) before(o op) error {
	if !g.what(o) {
		return nil
	}
	g.mu.Lock()
	g.count++
	g.mu.Unlock()
	<-g.pass
	return nil
}

// came is how many operations were held up.
func (g *gate) came() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.count
}

func logSyncs(o op) bool { return o.kind == "sync" && o.isLog() }

// key and value of the judge's record i. The value tells which it is.
func key(i int) []byte   { return fmt.Appendf(nil, "key %d", i%7) }
func value(i int) []byte { return fmt.Appendf(nil, "record %d%s", i, strings.Repeat(".", i%50)) }

// filled is a new log with n records.
func filled(r *spec.Run, l lab, o Options, n int) (*disk, judged, error) {
	d := newDisk()
	q, err := open(r, l, d, o)
	if err != nil {
		return nil, nil, err
	}
	return d, q, fill(r, l, q, 0, n)
}

// made is a group that is new, or there already.
func made(l lab, q judged, name string, o GroupOptions) (group, error) {
	g, err := q.Group(name, o)
	if err != nil {
		return nil, spec.Fail("Group to be made", "it returned %s", l.name(err))
	}
	return g, nil
}

// fill appends the records from to (not including) to, one after the other,
// each with its own fsync, and holds what Append returns.
func fill(r *spec.Run, l lab, q judged, from, to int) error {
	for i := from; i < to; i++ {
		offset, err := q.Append(r.Context(), key(i), value(i))
		if err != nil {
			return spec.Fail(fmt.Sprintf("Append of record %d to return nil", i), "it returned %s", l.name(err))
		}
		if offset != int64(i) {
			return spec.Fail(fmt.Sprintf("record %d to have offset %d", i, i), "Append returned %d", offset)
		}
	}
	return nil
}

// batch appends the records from to (not including) to so that they are one
// batch: while the disk is held up by gate they gather. It needs a log whose
// committer is free.
func batch(r *spec.Run, q judged, from, to int, done func(i int, offset int64, err error)) error {
	for i := from; i < to; i++ {
		err := q.AppendAsync(r.Context(), key(i), value(i), func(offset int64, err error) {
			if done != nil {
				done(i, offset, err)
			}
		})
		if err != nil {
			return spec.Fail("AppendAsync to return nil", "it returned: %v", err)
		}
	}
	return nil
}

// everything reads the log from its first record to its end.
func everything(q judged, from int64) ([]Record, error) {
	var all []Record
	for {
		some, err := q.Read(from, 1<<20)
		if err != nil {
			return all, err
		}
		if len(some) == 0 {
			return all, nil
		}
		all = append(all, some...)
		next := some[len(some)-1].Offset + 1
		if next <= from {
			return all, spec.Fail(fmt.Sprintf("Read(%d) to return records from there on", from), "they end with offset %d", next-1)
		}
		from = next
	}
}

// has holds that the log has exactly the records from to (not including) to, at
// their offsets.
func has(l lab, q judged, when string, from, to int) error {
	all, err := everything(q, int64(from))
	if err != nil {
		return spec.Fail(fmt.Sprintf("to read offsets %d to %d %s", from, to-1, when), "Read returned %s", l.name(err))
	}
	return same(all, when, from, to)
}

func same(all []Record, when string, from, to int) error {
	for i, r := range all {
		if r.Offset != int64(from+i) || string(r.Value) != string(value(from+i)) || string(r.Key) != string(key(from+i)) {
			return spec.Fail(fmt.Sprintf("record %d at its offset %s", from+i, when), "there is offset %d with key %q and value %.40q", r.Offset, r.Key, r.Value)
		}
	}
	if len(all) != to-from {
		return spec.Fail(fmt.Sprintf("records %d to %d %s", from, to-1, when), "%d of %d are there", len(all), to-from)
	}
	return nil
}

// acks is what the producers of a check were told.
type acks struct {
	mu     sync.Mutex
	good   map[int]int64 // guarded by mu: record to offset
	bad    map[int]error // guarded by mu
	order  []int64       // guarded by mu: offsets as they came
	double []int         // guarded by mu: told twice
}

func newAcks() *acks { return &acks{good: map[int]int64{}, bad: map[int]error{}} }

func (a *acks) done(i int, offset int64, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, twice := a.good[i]; twice || a.bad[i] != nil {
		a.double = append(a.double, i)
	}
	if err != nil {
		a.bad[i] = err
		return
	}
	a.good[i] = offset
	a.order = append(a.order, offset)
}

// told is how many were told.
func (a *acks) told() (good, bad int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.good), len(a.bad)
}

// kept holds that all that was acknowledged is in the log, at the offset that
// was told, and that nothing is there twice, or that nobody has written.
func (a *acks) kept(l lab, q judged, when string, exists func(value string) (i int, ok bool)) error {
	first, next := q.Bounds()
	all, err := everything(q, first)
	if err != nil {
		return spec.Fail("to read the log "+when, "Read returned %s", l.name(err))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := map[int]int64{}
	for k, r := range all {
		if r.Offset != first+int64(k) {
			return spec.Fail("offsets without gaps "+when, "offset %d comes where %d should", r.Offset, first+int64(k))
		}
		i, ok := exists(string(r.Value))
		if !ok {
			return spec.Fail("only what was appended "+when, "offset %d has %.40q", r.Offset, r.Value)
		}
		if at, twice := seen[i]; twice {
			return spec.Fail("every record once "+when, "record %d is at %d and at %d", i, at, r.Offset)
		}
		seen[i] = r.Offset
	}
	if next != first+int64(len(all)) {
		return spec.Fail(fmt.Sprintf("Bounds to end with %d %s", first+int64(len(all)), when), "it ends with %d", next)
	}
	for i, offset := range a.good {
		at, there := seen[i]
		if !there {
			return spec.Fail("every acknowledged record "+when, "record %d, acknowledged with offset %d, is not there: %s", i, offset, listed(all))
		}
		if at != offset {
			return spec.Fail("every acknowledged record at its offset "+when, "record %d was acknowledged with %d and is at %d", i, offset, at)
		}
	}
	return nil
}

// number reads the i of value(i).
func number(v string) (i int, ok bool) {
	_, err := fmt.Sscanf(v, "record %d", &i)
	return i, err == nil && v == string(value(i))
}

// listed is what is there, in few words.
func listed(all []Record) string {
	if len(all) == 0 {
		return "the log is empty"
	}
	return fmt.Sprintf("the log has offsets %d to %d", all[0].Offset, all[len(all)-1].Offset)
}

// receive is a Receive that must deliver at once, within a bubble.
func receive(r *spec.Run, l lab, g group) (Delivery, error) {
	gone, cancel := context.WithTimeout(r.Context(), 1)
	defer cancel()
	d, err := g.Receive(gone)
	if err != nil {
		return d, spec.Fail("Receive to deliver a record at once", "it returned %s", l.name(err))
	}
	return d, nil
}

// nothing holds that a Receive has nothing to deliver now, within a bubble.
func nothing(r *spec.Run, l lab, g group, why string) error {
	gone, cancel := context.WithTimeout(r.Context(), 1)
	defer cancel()
	d, err := g.Receive(gone)
	if err == nil {
		return spec.Fail("Receive to have nothing: "+why, "it delivered offset %d, attempt %d", d.Offset, d.Attempt)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		return spec.Fail("Receive to wait until its context ends", "it returned %s", l.name(err))
	}
	return nil
}

// gets holds which record the next Receive delivers, and as which attempt.
func gets(r *spec.Run, l lab, g group, offset int64, attempt int) (Delivery, error) {
	d, err := receive(r, l, g)
	if err != nil {
		return d, err
	}
	if d.Offset != offset || d.Attempt != attempt {
		return d, spec.Fail(fmt.Sprintf("offset %d, attempt %d", offset, attempt), "Receive delivered offset %d, attempt %d", d.Offset, d.Attempt)
	}
	if string(d.Value) != string(value(int(offset))) || string(d.Key) != string(key(int(offset))) {
		return d, spec.Fail("the record as it was appended", "offset %d has key %q and value %.40q", d.Offset, d.Key, d.Value)
	}
	return d, nil
}

// closed closes a log in the midst of a check.
func closed(r *spec.Run, l lab, q judged) error {
	err := r.Call("Close to return", func() error { return q.Close(r.Context()) })
	if err != nil {
		return spec.Fail("Close to return nil", "it returned %s", l.name(err))
	}
	return nil
}
