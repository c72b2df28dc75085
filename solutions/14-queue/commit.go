package queue

import (
	"errors"
	"fmt"
	"runtime"
	"time"
)

// batch is records on their way to the disk: encoded, but for the header. Its
// memory is used again.
type batch struct {
	data  []byte
	dones []func(offset int64, err error) // one for each record; may be nil
	began time.Time                       // when its first record came; with MaxDelay
}

// cost is what the batch's records have taken of the room.
func (b *batch) cost() int { return len(b.data) - headerSize }

// tell calls every done.
func (b *batch) tell(base int64, err error) {
	for i, done := range b.dones {
		switch {
		case done == nil:
		case err != nil:
			done(-1, err)
		default:
			done(base+int64(i), nil)
		}
	}
}

// filling is the batch that takes a record of size. It may be a new one, of
// which the committer has to know. mu is held.
func (l *Log) filling(size int) (b *batch, fresh bool) {
	if n := len(l.queue); n > 0 {
		if b := l.queue[n-1]; len(b.data)+size <= l.opt.MaxBatch {
			return b, false
		}
	}
	if n := len(l.free); n > 0 {
		b, l.free = l.free[n-1], l.free[:n-1]
	} else {
		b = &batch{}
	}
	b.data = begin(b.data)
	if l.opt.MaxDelay > 0 {
		b.began = time.Now()
	}
	l.queue = append(l.queue, b)
	return b, true
}

// run is the committer: it writes one batch after the other, each with one
// fsync. While one is written the next ones fill: that is group commit.
func (l *Log) run() {
	defer close(l.ended)
	defer l.closeFiles()
	for {
		b := l.next()
		if b == nil {
			return
		}
		base, err := l.commit(b)
		l.finish(b, base, err)
		// Those who were told are about to come back with their next record.
		// Let them: else the first of them has the next fsync to itself, and
		// all the others wait for the one behind it.
		runtime.Gosched()
	}
}

// next waits for a batch that is due. nil says that there will be none.
func (l *Log) next() *batch {
	for {
		b, wait, end := l.due()
		switch {
		case b != nil || end:
			return b
		case wait == 0:
			<-l.wake
		default:
			ring := time.NewTimer(wait)
			select {
			case <-l.wake:
			case <-ring.C:
			}
			ring.Stop()
		}
	}
}

// due takes the first batch if it is time: there is another one behind it, it
// has waited for MaxDelay, or the log ends. Otherwise it returns how long to
// wait, 0 for until somebody calls hurry.
func (l *Log) due() (b *batch, wait time.Duration, end bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 { // it stays so after a failure, until Close
		return nil, 0, l.closing
	}
	first := l.queue[0]
	if l.opt.MaxDelay > 0 && len(l.queue) == 1 && !l.closing && len(first.data) < l.opt.MaxBatch {
		if wait = time.Until(first.began.Add(l.opt.MaxDelay)); wait > 0 {
			return nil, wait, false
		}
	}
	l.queue[0] = nil
	l.queue = l.queue[1:]
	return first, 0, false
}

// fatal marks an error after which nobody knows what the disk holds.
type fatal struct{ error }

func (f fatal) Unwrap() error { return f.error }

// commit brings the batch onto the disk, behind everything else, and shows it
// to the readers. base is the offset of its first record.
func (l *Log) commit(b *batch) (base int64, err error) {
	s, err := l.writable()
	if err != nil {
		return -1, err
	}
	base, position, now := s.next, s.size, time.Now() // only the committer changes these
	seal(b.data, len(b.dones), base, now, position)
	if err := writeAll(s.file, b.data, position); err != nil {
		return -1, l.cut(s, fmt.Errorf("write to %s: %w", s.path, err))
	}
	if err := s.file.Sync(); err != nil {
		return -1, fatal{fmt.Errorf("fsync of %s: %w", s.path, err)}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.extend(position, base, len(b.dones), len(b.data), now, l.opt.IndexBytes)
	l.stats.Records += uint64(len(b.dones))
	l.stats.Batches++
	close(l.grown)
	l.grown = make(chan struct{})
	return base, nil
}

// cut takes back a write that has failed. The log can go on behind it, for
// example when the disk is not full any more: what was written was never synced,
// and the next batch is written in its place.
func (l *Log) cut(s *segment, err error) error {
	if failed := s.file.Truncate(s.size); failed != nil {
		return fatal{errors.Join(err, fmt.Errorf("cut it off again: %w", failed))}
	}
	return err
}

// writable is the segment to write to: a new one when the last one is full.
// The full one is on the disk before the new one is there, and the new one's
// name before anything is in it.
func (l *Log) writable() (*segment, error) {
	l.mu.Lock()
	full := l.active() // and Retain, which changes segments, leaves this one
	l.mu.Unlock()
	if full.size < l.opt.SegmentBytes {
		return full, nil
	}
	if err := full.file.Sync(); err != nil { // a cut may not be there yet
		return nil, fatal{fmt.Errorf("fsync of %s: %w", full.path, err)}
	}
	path := segmentName(l.dir, full.next)
	f, err := l.opt.FS.Open(path, true)
	if err != nil {
		return nil, fmt.Errorf("begin a new segment: %w", err)
	}
	if err := l.opt.FS.SyncDir(l.dir); err != nil {
		f.Close()
		return nil, fatal{fmt.Errorf("fsync of %s: %w", l.dir, err)}
	}
	s := &segment{base: full.next, path: path, file: f, next: full.next}
	l.mu.Lock()
	l.segments = append(l.segments, s)
	l.mu.Unlock()
	l.saveIndex(full)
	_, _ = l.Retain() // what it could not remove, the next one will
	return s, nil
}

// finish gives back the room and tells everybody, with no lock held.
func (l *Log) finish(b *batch, base int64, err error) {
	told := []*batch{b}
	l.mu.Lock()
	l.stats.Pending -= b.cost()
	if f := (fatal{}); errors.As(err, &f) {
		err = fmt.Errorf("%w: %w", ErrFailed, f.error)
		told = append(told, l.abandon(err)...)
	}
	l.mu.Unlock()
	for _, b := range told {
		b.tell(base, err)
	}
	if err == nil || !errors.Is(err, ErrFailed) {
		_ = l.room.Grant(b.cost()) // as much as was taken
	}
	l.recycle(b)
}

// abandon ends the appending, with err for everybody. It returns what was
// queued, to be told. mu is held.
func (l *Log) abandon(err error) []*batch {
	l.err = err
	l.room.Close()
	left := l.queue
	l.queue, l.stats.Pending = nil, 0
	return left
}

// recycle keeps a batch's memory, if it is not a burst's.
func (l *Log) recycle(b *batch) {
	clear(b.dones)
	b.dones = b.dones[:0]
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.free) < 4 && cap(b.data) <= 2*l.opt.MaxBatch {
		l.free = append(l.free, b)
	}
}
