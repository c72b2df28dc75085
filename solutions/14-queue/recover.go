package queue

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// recover reads what is in the directory, and leaves a log that can go on. It
// runs before anybody else knows the log.
func (l *Log) recover() error {
	fs := l.opt.FS
	if err := fs.Mkdir(l.dir); err != nil {
		return err
	}
	if err := fs.SyncDir(filepath.Dir(l.dir)); err != nil {
		return err
	}
	if err := l.loadFloors(); err != nil { // first, for a log that is refused is not changed
		return err
	}
	names, err := fs.List(l.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if base, ok := baseOf(name); ok {
			if err := l.openSegment(base, false); err != nil {
				return err
			}
		}
	}
	if len(l.segments) == 0 {
		if err := l.openSegment(0, true); err != nil {
			return err
		}
	}
	for i, s := range l.segments[:len(l.segments)-1] {
		if err := l.recoverFull(s, l.segments[i+1].base); err != nil {
			return err
		}
	}
	if err := l.recoverActive(l.active()); err != nil {
		return err
	}
	// What was read may have been in the kernel's memory only: the process
	// before this one was killed behind a write. Nobody is shown it before it
	// is on the disk.
	if err := l.active().file.Sync(); err != nil {
		return err
	}
	return fs.SyncDir(l.dir)
}

func (l *Log) openSegment(base int64, create bool) error {
	path := segmentName(l.dir, base)
	f, err := l.opt.FS.Open(path, create)
	if err != nil {
		return err
	}
	l.segments = append(l.segments, &segment{base: base, path: path, file: f, next: base})
	return nil
}

// recoverFull makes a full segment ready. It was synced before the one behind
// it was made, so everything in it must be right. When its index is, that is
// believed until somebody reads it.
func (l *Log) recoverFull(s *segment, next int64) error {
	if l.loadIndex(s, next) {
		return nil
	}
	if err := l.scan(s); err != nil {
		return err
	}
	if s.next != next {
		return &CorruptError{s.path, s.size, fmt.Sprintf("offset %d should come here, and the next file begins with %d: a file is missing", s.next, next)}
	}
	l.saveIndex(s)
	return nil
}

// recoverActive makes the last segment ready, and cuts off a torn tail.
func (l *Log) recoverActive(s *segment) error {
	err := l.scan(s)
	var broken *CorruptError
	if !errors.As(err, &broken) {
		return err
	}
	intact, err := l.intactBehind(s, broken.Position)
	if err != nil {
		return err
	}
	if intact {
		return broken // it was synced once: see Log's invariant 3
	}
	return s.file.Truncate(broken.Position)
}

// scan reads all of a segment: what it holds is in next, size and index, up to
// the first thing that is wrong, which is a *CorruptError.
func (l *Log) scan(s *segment) error {
	size, err := s.file.Size()
	if err != nil {
		return err
	}
	s.next, s.size, s.index = s.base, 0, nil
	var buf []byte
	for s.size < size {
		h, batch, err := s.readBatch(s.size, size, buf)
		if err != nil {
			return err
		}
		if h.base != s.next {
			return &CorruptError{s.path, s.size, fmt.Sprintf("offset %d where %d should be", h.base, s.next)}
		}
		s.extend(h.position, h.base, int(h.count), len(batch), time.Unix(0, h.time), l.opt.IndexBytes)
		buf = batch
	}
	return nil
}

// extend notes a batch at the end. mu is held, or nobody knows the segment yet.
func (s *segment) extend(position, base int64, count, bytes int, at time.Time, every int) {
	s.index.add(base, position, every)
	s.next, s.size, s.last = base+int64(count), position+int64(bytes), at
}

// intactBehind reports whether a whole batch stands anywhere behind position.
// The size of a broken one cannot be believed, so every place is looked at.
func (l *Log) intactBehind(s *segment, position int64) (bool, error) {
	size, err := s.file.Size()
	if err != nil {
		return false, err
	}
	rest := make([]byte, size-position)
	if err := readFull(s.file, rest, position); err != nil {
		return false, err
	}
	for at := 1; at+headerSize <= len(rest); at++ {
		hit := bytes.Index(rest[at+8:], magic)
		if hit < 0 {
			return false, nil
		}
		if at += hit; at+headerSize > len(rest) {
			return false, nil
		}
		h, err := parse(rest[at:])
		if err == nil && h.position == position+int64(at) && int(h.size) <= len(rest)-at && h.intact(rest[at:at+int(h.size)]) {
			return true, nil
		}
	}
	return false, nil
}
