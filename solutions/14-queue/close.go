package queue

import "context"

// Close accepts nothing any more, has all that was accepted brought onto the
// disk and acknowledged, without waiting for MaxDelay, and ends the log and its
// groups. Calls that wait return ErrClosed. The error is why the log has failed
// before, if it has.
//
// When ctx ends first, those whose records are not being written are told
// ErrClosed, and Close returns ctx's error without waiting for the disk. Close
// may be called more than once; each call waits.
func (l *Log) Close(ctx context.Context) error {
	l.mu.Lock()
	first := !l.closing
	if first {
		l.closing = true
		l.room.Close()
		close(l.grown) // those who wait look again
		l.grown = make(chan struct{})
	}
	l.mu.Unlock()
	l.hurry()
	if first {
		go l.shutdown(ctx)
	}
	select {
	case <-l.closed:
	case <-ctx.Done():
		l.giveUp()
		return ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// shutdown ends the groups, and waits for the committer. It is a goroutine of
// its own, since a disk that hangs holds it up.
func (l *Log) shutdown(ctx context.Context) {
	l.grouping.Lock() // the last call of Group has ended
	groups := l.groups
	l.groups = nil
	l.grouping.Unlock()
	for _, g := range groups {
		if err := g.close(ctx); err != nil {
			l.note(err)
		}
	}
	<-l.ended
	close(l.closed)
}

// note keeps the first error, for Close.
func (l *Log) note(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
	}
}

// giveUp tells those who are in the queue.
func (l *Log) giveUp() {
	l.mu.Lock()
	var left []*batch
	if l.err == nil {
		left = l.abandon(ErrClosed)
	}
	l.mu.Unlock()
	l.hurry()
	for _, b := range left {
		b.tell(-1, ErrClosed)
	}
}

// closeFiles is the committer's last act: nobody writes any more. What is being
// read is closed by its last reader.
func (l *Log) closeFiles() {
	l.mu.Lock()
	var idle []*segment
	for _, s := range l.segments {
		if s.gone = true; s.users == 0 {
			idle = append(idle, s)
		}
	}
	l.mu.Unlock()
	for _, s := range idle {
		s.file.Close()
	}
}
