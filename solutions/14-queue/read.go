package queue

import (
	"context"
	"fmt"
)

// Read returns records from offset on: at least one when there is one, and then
// as long as their keys and values together have no more than maxBytes; it may
// return fewer than there are. At the end of the log it returns none, and nil.
// The records are the caller's.
//
// The error is ErrRange for an offset that is not kept any more or not there
// yet, with what there is; ErrClosed; a [*CorruptError]; or the file system's.
// Only what is on the disk is read, and every batch is checked.
func (l *Log) Read(offset int64, maxBytes int) ([]Record, error) {
	s, position, end, err := l.locate(offset)
	if s == nil {
		return nil, err
	}
	defer l.release(s)
	var out []Record
	for used := 0; position < end; {
		h, batch, err := s.readBatch(position, end, nil)
		if err != nil {
			return nil, err
		}
		position += int64(len(batch))
		all, err := h.records(batch, nil)
		if err != nil {
			return nil, &CorruptError{s.path, h.position, err.Error()}
		}
		for _, r := range all[max(0, min(offset-h.base, int64(len(all)))):] {
			if used += len(r.Key) + len(r.Value); used > maxBytes && len(out) > 0 {
				return out, nil
			}
			out = append(out, r)
		}
		if used >= maxBytes {
			break
		}
	}
	return out, nil
}

// locate finds the batch with offset: its segment, which the caller releases,
// its position, and where the segment's batches end. No segment and no error
// mean that offset is the end of the log. From the index on it looks at headers
// only; a wrong one is found out by the next, or by who reads the batch.
func (l *Log) locate(offset int64) (s *segment, position, end int64, err error) {
	l.mu.Lock()
	s, end, err = l.holding(offset)
	if s == nil {
		l.mu.Unlock()
		return nil, 0, 0, err
	}
	near := s.index.find(offset)
	s.users++
	l.mu.Unlock()
	position = near.position
	for next := near.offset; ; {
		h, err := s.readHeader(position, end)
		if err == nil && h.base != next {
			err = &CorruptError{s.path, position, fmt.Sprintf("offset %d where %d should be", h.base, next)}
		}
		if err != nil {
			l.release(s)
			return nil, 0, 0, err
		}
		if next = h.next(); offset < next {
			return s, position, end, nil
		}
		position += int64(h.size)
	}
}

// holding is the segment with offset. mu is held.
func (l *Log) holding(offset int64) (s *segment, end int64, err error) {
	first, next := l.segments[0].base, l.active().next
	switch {
	case l.closing:
		return nil, 0, ErrClosed
	case offset < first || offset > next:
		return nil, 0, fmt.Errorf("%w: %d, and the log has %d to %d", ErrRange, offset, first, next-1)
	case offset == next:
		return nil, 0, nil
	}
	i := len(l.segments) - 1
	for l.segments[i].base > offset {
		i--
	}
	return l.segments[i], l.segments[i].size, nil
}

// release ends the use of a segment.
func (l *Log) release(s *segment) {
	l.mu.Lock()
	s.users--
	last := s.gone && s.users == 0
	l.mu.Unlock()
	if last {
		s.file.Close()
	}
}

// Wait returns nil when the log has a record at offset or behind it: there is
// something to Read. The error is ctx's, or ErrClosed.
func (l *Log) Wait(ctx context.Context, offset int64) error {
	for {
		l.mu.Lock()
		there, grown, closing := l.active().next > offset, l.grown, l.closing
		l.mu.Unlock()
		switch {
		case there:
			return nil
		case closing:
			return ErrClosed
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// growth is closed when there is more to read, or the log is closed.
func (l *Log) growth() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.grown
}
