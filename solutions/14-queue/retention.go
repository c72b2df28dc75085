package queue

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// Retain removes the oldest segments as far as RetainBytes and RetainAge want
// it, and every group has committed them, or RetainPastGroups is set. It
// returns how many it has removed. The log calls it for every new segment;
// where nothing is appended, age passes all the same, so call it now and then.
//
// A segment that is being read is gone from the log at once, and its file is
// closed when its readers have ended.
func (l *Log) Retain() (removed int, err error) {
	l.retaining.Lock()
	defer l.retaining.Unlock()
	for {
		s := l.expired(time.Now())
		if s == nil {
			return removed, nil
		}
		if err := l.remove(s); err != nil {
			return removed, fmt.Errorf("remove segment %s: %w", s.path, err)
		}
		removed++
	}
}

// expired is the oldest segment, if it is to go.
func (l *Log) expired(now time.Time) *segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.segments[0]
	if l.closing || s == l.active() || !l.unwanted(s, now) || !l.opt.RetainPastGroups && l.needed(s) {
		return nil
	}
	return s
}

// unwanted is what the options say. mu is held.
func (l *Log) unwanted(s *segment, now time.Time) bool {
	size := int64(0)
	for _, other := range l.segments {
		size += other.size
	}
	return l.opt.RetainBytes > 0 && size > l.opt.RetainBytes ||
		l.opt.RetainAge > 0 && now.Sub(s.last) > l.opt.RetainAge
}

// needed reports whether a group has not committed all of s. mu is held.
func (l *Log) needed(s *segment) bool {
	for _, committed := range l.floors {
		if committed < s.next {
			return true
		}
	}
	return false
}

// remove removes a segment from the disk, then from the log: where that fails
// it is the oldest one still, and the next one is not removed before it. For the
// same reason each removal is on the disk before the next one begins: a crash
// leaves no gap between two segments.
func (l *Log) remove(s *segment) error {
	fs := l.opt.FS
	for _, path := range []string{s.path, indexName(s.path)} {
		if err := fs.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := fs.SyncDir(l.dir); err != nil {
		return err
	}
	l.mu.Lock()
	l.segments = l.segments[1:]
	s.gone = true
	s.users++ // so that release closes it, now or after its last reader
	l.mu.Unlock()
	l.release(s)
	return nil
}
