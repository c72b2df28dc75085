package queuetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

// variant is a right log in another style than the solution: its committer is a
// goroutine that comes and goes with the work, its index has every batch, its
// room is a counter with a line. A fault, if it has one, is a wrong log.
//
// This file has the log, variant_disk_test.go what it does with files,
// variant_group_test.go the groups.
type variant struct {
	fault fault
	fs    FS
	dir   string
	o     Options

	mu      sync.Mutex // guards the following
	cond    *sync.Cond // something has changed
	grown   chan struct{}
	files   []*vfile
	queue   []vrecord
	used    int // bytes of queue and of what is being written
	line    []*vwait
	busy    bool // a committer runs
	timer   *time.Timer
	err     error
	closing bool
	n       Stats
	groups  map[string]*vgroup
	spare   chan answer // of one fault
	floors  map[string]int64
	held    []vrecord // acknowledged and not written: only a fault has these
}

// vrecord is a record on its way.
type vrecord struct {
	key, value []byte
	size       int
	came       time.Time
	done       func(int64, error)
}

// vwait is one who waits for room.
type vwait struct {
	r     vrecord
	ready chan error
}

var (
	errFull     = errors.New("variant: full")
	errTooLarge = errors.New("variant: too large")
	errClosed   = errors.New("variant: closed")
	errFailed   = errors.New("variant: failed")
	errRange    = errors.New("variant: range")
	errStale    = errors.New("variant: stale")
)

// fault is what is wrong with a variant; "" is nothing.
type fault string

func (f fault) is(name string) bool { return string(f) == name }

// faultEnv names the environment variable with a victim's fault.
const faultEnv = "ASYNCLAB_QUEUE_FAULT"

func variantLab(f fault) lab {
	return lab{Full: errFull, TooLarge: errTooLarge, Closed: errClosed, Failed: errFailed, Range: errRange, Stale: errStale,
		ReadBatch: f.readBatch,
		Damage: func(err error) *Corrupt {
			var c *vcorrupt
			if !errors.As(err, &c) {
				return nil
			}
			return (*Corrupt)(c)
		},
		again: Victim{Path: itself(), Args: []string{"-test.run=^TestVictim$"}, Env: []string{faultEnv + "=" + string(f)}},
		Open: func(dir string, o Options) (judged, error) {
			v, err := newVariant(f, dir, o)
			if err != nil {
				return nil, err
			}
			return v, nil
		}}
}

func newVariant(f fault, dir string, o Options) (*variant, error) {
	if !f.is("takes any options") && min(o.SegmentBytes, int64(o.IndexBytes), int64(o.MaxBatch), int64(o.MaxDelay), int64(o.MaxPending), o.RetainBytes, int64(o.RetainAge)) < 0 {
		return nil, errors.New("variant: negative")
	}
	v := &variant{fault: f, fs: o.FS, dir: dir, o: o, grown: make(chan struct{}), groups: map[string]*vgroup{}, floors: map[string]int64{}}
	v.cond = sync.NewCond(&v.mu)
	if v.fs == nil {
		v.fs = realFS{}
	}
	if v.o.SegmentBytes == 0 {
		v.o.SegmentBytes = 64 << 20
	}
	if v.o.MaxBatch == 0 {
		v.o.MaxBatch = 1 << 20
	}
	if v.o.MaxPending == 0 {
		v.o.MaxPending = 8 << 20
	}
	return v, v.recover()
}

func (v *variant) is(name string) bool { return v.fault.is(name) }

// answer is what an Append waits for.
type answer struct {
	offset int64
	err    error
}

func (v *variant) Append(ctx context.Context, key, value []byte) (int64, error) {
	c := make(chan answer, 1)
	if v.spare != nil {
		c, v.spare = v.spare, nil
	}
	if err := v.AppendAsync(ctx, key, value, func(o int64, err error) { c <- answer{o, err} }); err != nil {
		return -1, err
	}
	select {
	case a := <-c:
		return a.offset, a.err
	case <-ctx.Done():
		if v.is("a slot is used again before it was used") {
			v.spare = c
		}
		return -1, ctx.Err()
	}
}

func (v *variant) AppendAsync(ctx context.Context, key, value []byte, done func(int64, error)) error {
	w, err := v.enter(key, value, done, true)
	if w == nil {
		return err
	}
	if v.is("ctx cannot end who waits for room") {
		return <-w.ready
	}
	select {
	case err := <-w.ready:
		return err
	case <-ctx.Done():
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if i := slices.Index(v.line, w); i >= 0 && !v.is("who gives up stays in line") {
		v.line = slices.Delete(v.line, i, i+1)
		v.admit()
		return ctx.Err()
	}
	if v.is("who gives up stays in line") {
		return ctx.Err()
	}
	return <-w.ready
}

func (v *variant) TryAppend(key, value []byte, done func(int64, error)) error {
	_, err := v.enter(key, value, done, false)
	return err
}

// enter queues a record, or has it wait for room.
func (v *variant) enter(key, value []byte, done func(int64, error), wait bool) (*vwait, error) {
	r := vrecord{key: bytes.Clone(key), value: bytes.Clone(value), size: 8 + len(key) + len(value), came: time.Now(), done: done}
	switch {
	case v.is("keeps the caller's memory"):
		r.value = value
	case v.is("keys are forgotten"):
		r.key = nil
	case v.is("a value ends with its line"):
		r.value, _, _ = bytes.Cut(r.value, []byte("\n"))
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.err != nil && !(v.closing && v.is("accepts after Close")):
		return nil, v.err
	case v.closing && !v.is("accepts after Close"):
		return nil, errClosed
	case r.size > v.o.MaxPending && !v.is("no record is too large"):
		return nil, errTooLarge
	}
	fits := v.used+r.size <= v.o.MaxPending || v.is("no bound")
	passes := len(v.line) == 0 || v.is("small ones pass") && r.size < 100
	if fits && passes {
		v.accept(r)
		return nil, nil
	}
	if !wait {
		return nil, errFull
	}
	w := &vwait{r, make(chan error, 1)}
	if v.line = append(v.line, w); v.is("the last to wait goes first") {
		v.line = slices.Insert(v.line[:len(v.line)-1], 0, w)
	}
	return w, nil
}

// accept queues a record. mu is held.
func (v *variant) accept(r vrecord) {
	v.used += r.size
	if v.queue = append(v.queue, r); v.is("the newest of a batch first") {
		v.queue = slices.Insert(v.queue[:len(v.queue)-1], max(0, len(v.queue)-2), r)
	}
	v.kick()
}

// admit lets those in who wait, as far as there is room. mu is held.
func (v *variant) admit() {
	for len(v.line) > 0 && v.used+v.line[0].r.size <= v.o.MaxPending {
		w := v.line[0]
		v.line = v.line[1:]
		v.accept(w.r)
		w.ready <- nil
	}
}

// kick starts a committer, now or when the delay is over. mu is held.
func (v *variant) kick() {
	if v.busy || len(v.queue) == 0 {
		return
	}
	size := 0
	for _, r := range v.queue {
		size += r.size
	}
	full := size+vheader > v.o.MaxBatch && !v.is("a full batch waits for its delay")
	since := v.queue[0].came
	if v.is("the delay begins with the last record") {
		since = v.queue[len(v.queue)-1].came
	}
	wait := time.Until(since.Add(v.o.MaxDelay))
	if v.is("no delay") || v.closing && !v.is("Close waits for the delay") {
		wait = 0
	}
	if v.timer != nil {
		v.timer.Stop()
	}
	if wait <= 0 || full {
		v.busy = true
		go v.commit()
		return
	}
	v.timer = time.AfterFunc(wait, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.kick()
	})
}

// commit writes a batch, and starts the next one if that is due.
func (v *variant) commit() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.queue) > 0 && v.err == nil {
		v.one()
	}
	v.busy = false
	if v.err == nil {
		v.kick()
	}
	v.cond.Broadcast()
}

// take takes a batch from the queue. mu is held.
func (v *variant) take() []vrecord {
	n, size := 0, vheader
	for n < len(v.queue) && (n == 0 || size+v.queue[n].size <= v.o.MaxBatch) {
		size += v.queue[n].size
		if n++; v.is("an fsync for each record") {
			break
		}
	}
	all := slices.Clone(v.queue[:n])
	v.queue = slices.Delete(v.queue, 0, n)
	return all
}

// one writes one batch. mu is held, but not while the disk works.
func (v *variant) one() {
	all := v.take()
	if v.is("acknowledges from memory") {
		v.lazily(all)
		return
	}
	if v.is("only the queue counts against the bound") {
		v.release(all)
	}
	early := v.is("acknowledges before the fsync")
	base, err := v.store(all, func(base int64) {
		if early {
			v.mu.Unlock()
			tell(all, base, nil)
			v.mu.Lock()
		}
	})
	if !v.is("only the queue counts against the bound") && !(err != nil && v.is("a failed batch keeps its room")) {
		v.release(all)
	}
	if isErr(err, errFailed) && !v.is("after a failed fsync it goes on") {
		v.err = err
		if !v.is("who is queued is not told of a failed fsync") {
			left := v.queue
			v.queue = nil
			defer func() { v.mu.Unlock(); tell(left, -1, err); v.mu.Lock() }()
		}
		if !v.is("who waits for room is not told of a failed fsync") {
			for _, w := range v.line {
				w.ready <- err
			}
			v.line = nil
		}
	}
	if early {
		return
	}
	if v.is("the last of a batch is told first") {
		for i := len(all) - 1; i >= 0; i-- {
			v.mu.Unlock()
			tell(all[i:i+1], base+int64(i), err)
			v.mu.Lock()
		}
		return
	}
	v.mu.Unlock()
	tell(all, base, err)
	v.mu.Lock()
}

// lazily acknowledges at once, and writes when there is enough.
func (v *variant) lazily(all []vrecord) {
	base := v.files[len(v.files)-1].next + int64(len(v.held))
	v.held = append(v.held, all...)
	v.release(all)
	v.mu.Unlock()
	tell(all, base, nil)
	v.mu.Lock()
	if len(v.held) >= 300 {
		held := v.held
		v.held = nil
		v.store(held, func(int64) {})
	}
}

func tell(all []vrecord, base int64, err error) {
	for i, r := range all {
		switch {
		case r.done == nil:
		case err != nil:
			r.done(-1, err)
		default:
			r.done(base+int64(i), nil)
		}
	}
}

// release gives the room of a batch back. mu is held.
func (v *variant) release(all []vrecord) {
	for _, r := range all {
		v.used -= r.size
	}
	v.admit()
}

// grow tells those who wait for records. mu is held.
func (v *variant) grow() {
	close(v.grown)
	v.grown = make(chan struct{})
}

func (v *variant) last() *vfile { return v.files[len(v.files)-1] }

func (v *variant) Bounds() (first, next int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.files[0].base, v.last().next
}

// at finds the batch with offset. mu is held.
func (v *variant) at(offset int64) (*vfile, int, error) {
	first, next := v.files[0].base, v.last().next
	switch {
	case v.closing && !v.is("can be read after Close"):
		return nil, 0, errClosed
	case v.err != nil && v.is("after a failed fsync nothing can be read"):
		return nil, 0, v.err
	case offset > next && v.is("beyond the end it waits"):
		return nil, 0, nil
	case offset < first && v.is("below the first it begins there"):
		offset = first
	case offset < first || offset > next:
		return nil, 0, fmt.Errorf("%w: %d of %d to %d", errRange, offset, first, next)
	}
	if offset == next {
		return nil, 0, nil
	}
	for _, f := range v.files {
		for i, b := range f.batches {
			if offset < b.base+int64(b.count) {
				if v.is("the index is off by one") && i+1 < len(f.batches) && offset > b.base {
					i++
				}
				return f, i, nil
			}
		}
	}
	return nil, 0, nil
}

func (v *variant) Read(offset int64, most int) ([]Record, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f, i, err := v.at(offset)
	if f == nil {
		return nil, err
	}
	var out []Record
	used := 0
	for ; i < len(f.batches); i++ {
		b := f.batches[i]
		p := make([]byte, b.size)
		if _, err := f.file.ReadAt(p, b.at); err != nil && err != io.EOF {
			return nil, err
		}
		records, err := v.fault.decode(p, b.at)
		if err != nil {
			return nil, &vcorrupt{f.path, b.at, err.Error()}
		}
		for _, r := range records {
			if r.Offset < offset && !v.is("reads from the batch on") {
				continue
			}
			size := len(r.Key) + len(r.Value)
			if used+size > most && (len(out) > 0 || v.is("a record that is too large is not read")) && !v.is("Read knows no bound") {
				return out, nil
			}
			used += size
			out = append(out, r)
		}
	}
	return out, nil
}

func (v *variant) FetchTo(c net.Conn, offset int64, most int) (int64, error) {
	v.mu.Lock()
	f, i, err := v.at(offset)
	if f == nil {
		v.mu.Unlock()
		return offset, err
	}
	if v.is("fetches from the beginning of the file") {
		i = 0
	}
	f.fetches++
	defer func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		f.fetches--
		f.over()
	}()
	at, n, next := f.batches[i].at, int64(0), offset
	for _, b := range f.batches[i:] {
		if n > 0 && n+b.size > int64(most) && !v.is("FetchTo knows no bound") {
			if v.is("fetches a part of a batch") {
				n = int64(most)
			}
			break
		}
		n, next = n+b.size, b.base+int64(b.count)
	}
	tail := v.last().next
	if v.is("the lock is held while it sends") {
		defer v.mu.Unlock()
	} else {
		v.mu.Unlock()
	}
	for sent := int64(0); sent < n; {
		p := make([]byte, min(n-sent, 100))
		if _, err := f.file.ReadAt(p, at+sent); err != nil && err != io.EOF {
			return offset, err
		}
		if v.is("fetches what it has encoded anew") && sent == 0 {
			p[16]++
		}
		if v.is("a file that grows has changed") {
			if _, now := v.Bounds(); now != tail {
				return offset, errors.New("variant: the file changed")
			}
		}
		sent += int64(len(p))
		if _, err := c.Write(p); err != nil && !v.is("a consumer that is gone is none of its business") {
			return offset, err
		}
	}
	if v.is("returns the offset it was given") {
		next = offset
	}
	return next, nil
}

func (v *variant) Wait(ctx context.Context, offset int64) error {
	for {
		v.mu.Lock()
		next, grown, closing := v.last().next, v.grown, v.closing
		v.mu.Unlock()
		switch {
		case next > offset || next == offset && v.is("Wait is content with less"):
			return nil
		case closing && !v.is("Close leaves those in Wait"):
			return errClosed
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (v *variant) Stats() Stats {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.n
	s.Pending, s.Segments = v.used, len(v.files)
	for _, f := range v.files {
		s.Bytes += f.size
	}
	return s
}

func (v *variant) Close(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.cond.Broadcast()
	})
	defer stop()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closing && v.is("the second Close panics") {
		panic("closed twice")
	}
	v.closing = true
	if !v.is("Close leaves those in line") {
		for _, w := range v.line {
			w.ready <- errClosed
		}
		v.line = nil
	}
	v.grow()
	groups := slices.Collect(maps.Values(v.groups))
	v.mu.Unlock()
	for _, g := range groups {
		g.wake()
	}
	v.mu.Lock()
	if v.is("Close forgets the queue") {
		v.queue = nil
	}
	if v.is("Close does not wait") {
		return nil
	}
	v.kick()
	for v.busy || len(v.queue) > 0 && v.err == nil {
		if ctx.Err() != nil && !v.is("Close has no deadline") {
			left := v.queue
			v.queue = nil
			if v.err == nil {
				v.err = errClosed
			}
			if !v.is("what Close gives up is not told") {
				v.mu.Unlock()
				tell(left, -1, errClosed)
				v.mu.Lock()
			}
			return ctx.Err()
		}
		v.cond.Wait()
	}
	v.mu.Unlock()
	for _, g := range groups {
		if !v.is("Close leaves those in Ack") {
			g.settled(ctx)
			if err := ctx.Err(); err != nil {
				v.mu.Lock()
				return err
			}
		}
		g.dead.Close(ctx)
	}
	v.mu.Lock()
	return v.err
}

func (v *variant) Retain() (removed int, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for {
		f := v.files[0]
		if v.is("the newest file goes first") && len(v.files) > 2 {
			f = v.files[len(v.files)-2]
		}
		var total int64
		for _, f := range v.files {
			total += f.size
		}
		age := time.Since(f.last)
		if v.is("the age is that of the first record") {
			age = time.Since(f.first)
		}
		old := v.o.RetainAge > 0 && age > v.o.RetainAge && !v.is("age does not matter")
		large := v.o.RetainBytes > 0 && total > v.o.RetainBytes && !v.is("size does not matter")
		active := f == v.last()
		if active && v.is("what is written to goes as well") && old && f.size > 0 {
			v.files = append(v.files, v.create(f.next+1))
			active = false
		}
		if active || !old && !large || !v.o.RetainPastGroups && v.needed(f) || v.is("RetainPastGroups does not matter") && v.needed(f) {
			if v.is("the directory is synced once for all") {
				return removed, errors.Join(err, v.fs.SyncDir(v.dir))
			}
			return removed, err
		}
		failed := v.fs.Remove(f.path)
		if errors.Is(failed, os.ErrNotExist) {
			failed = nil
		}
		if failed == nil && !v.is("the directory is synced once for all") {
			failed = v.fs.SyncDir(v.dir)
		}
		if failed != nil && !v.is("goes on behind one that stays") {
			return removed, failed
		}
		err = errors.Join(err, failed)
		v.fs.Remove(f.path + ".index")
		if v.is("a file is closed under its reader") {
			f.file.Close()
		}
		f.gone, f.kept = true, v.is("a file that was removed stays open")
		f.over()
		v.files = slices.DeleteFunc(v.files, func(o *vfile) bool { return o == f })
		removed++
	}
}

// needed reports whether a group needs f. mu is held.
func (v *variant) needed(f *vfile) bool {
	if v.is("groups do not matter") {
		return false
	}
	for name, floor := range v.floors {
		if v.is("a group that nobody has opened does not matter") && v.groups[name] == nil {
			continue
		}
		if v.is("what was delivered counts as done") && v.groups[name] != nil {
			floor = v.groups[name].cursor
		}
		if g := v.groups[name]; g != nil && v.is("Retain believes an Ack that has failed") {
			g.mu.Lock()
			floor = g.committed
			g.mu.Unlock()
		}
		if floor < f.next {
			return true
		}
	}
	return false
}

// realFS is the operating system's, for victims and sockets.
type realFS struct{}

type realFile struct{ *os.File }

func (realFS) Mkdir(dir string) error { return os.MkdirAll(dir, 0o755) }
func (realFS) List(dir string) (names []string, err error) {
	all, err := os.ReadDir(dir)
	for _, e := range all {
		names = append(names, e.Name())
	}
	return names, err
}
func (realFS) Open(name string, create bool) (File, error) {
	flags := os.O_RDWR
	if create {
		flags |= os.O_CREATE
	}
	f, err := os.OpenFile(name, flags, 0o644)
	return realFile{f}, err
}
func (realFS) Rename(from, to string) error { return os.Rename(from, to) }
func (realFS) Remove(name string) error     { return os.Remove(name) }
func (realFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
func (f realFile) Pwrite(p []byte, off int64) (int, error) { return f.WriteAt(p, off) }
func (f realFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
