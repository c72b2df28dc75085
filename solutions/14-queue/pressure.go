package queue

import (
	"context"
	"errors"

	backpressure "github.com/asynclab/asynclab/solutions/05-backpressure"
)

// The disk takes what it takes. What producers have given and it has not got
// yet is in memory, and has a bound: a credit of MaxPending bytes, from lab 05.
// A record takes from it before it is queued, and the committer gives back when
// the record's batch is on the disk.

// Append adds a record and returns its offset when it is on the disk. It waits
// for room, then for the disk. Key and value are the caller's again when it
// returns.
//
// The error is ErrTooLarge, ErrClosed, ErrFailed, the disk's, or ctx's. Except
// for the first two the record may be in the log all the same, later or after
// the next Open: an error says that it was not acknowledged, not that it is not
// there.
func (l *Log) Append(ctx context.Context, key, value []byte) (offset int64, err error) {
	type answer struct {
		offset int64
		err    error
	}
	told := make(chan answer, 1)
	if err := l.AppendAsync(ctx, key, value, func(offset int64, err error) { told <- answer{offset, err} }); err != nil {
		return -1, err
	}
	select {
	case a := <-told:
		return a.offset, a.err
	case <-ctx.Done():
		return -1, ctx.Err()
	}
}

// AppendAsync is Append without the wait for the disk: it waits for room only,
// and copies key and value. Those who wait for room are served in their order.
// An error means that the record was not accepted.
//
// done, if not nil, is called once when the error was nil: with the record's
// offset when it is on the disk, or with -1 and the reason. Calls come in the
// order of the records, on the committer's goroutine, without a lock. While one
// runs nothing is committed, so it must be short, and must not wait for this
// log; to go on elsewhere, hand it over, for example with lab 03's Loop.Post.
// What Close gives up is told by Close, before the batch that hangs.
func (l *Log) AppendAsync(ctx context.Context, key, value []byte, done func(offset int64, err error)) error {
	size, err := l.cost(key, value)
	if err != nil {
		return err
	}
	if err := l.room.Acquire(ctx, size); err != nil {
		if errors.Is(err, backpressure.ErrClosed) {
			return l.reason()
		}
		return err
	}
	return l.put(key, value, size, done)
}

// TryAppend is AppendAsync without any wait: ErrFull takes its place, also while
// others wait for room. It never blocks, so an event loop can call it.
func (l *Log) TryAppend(key, value []byte, done func(offset int64, err error)) error {
	size, err := l.cost(key, value)
	if err != nil {
		return err
	}
	if !l.room.TryAcquire(size) {
		if err := l.reason(); err != nil {
			return err
		}
		return ErrFull
	}
	return l.put(key, value, size, done)
}

// cost is what a record takes of the room.
func (l *Log) cost(key, value []byte) (int, error) {
	size := perRecord + len(key) + len(value)
	if len(key) > MaxRecord || len(value) > MaxRecord-len(key) || size > l.opt.MaxPending {
		return 0, ErrTooLarge
	}
	return size, nil
}

// reason is why nothing is appended any more; nil while something is.
func (l *Log) reason() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refusal()
}

// refusal is reason with mu held.
func (l *Log) refusal() error {
	if l.err == nil && l.closing {
		return ErrClosed
	}
	return l.err
}

// put queues a record that has its room.
func (l *Log) put(key, value []byte, size int, done func(int64, error)) error {
	l.mu.Lock()
	if err := l.refusal(); err != nil {
		l.mu.Unlock()
		return err // and the room stays taken: there is no more use for it
	}
	b, fresh := l.filling(size)
	b.data = appendRecord(b.data, key, value)
	b.dones = append(b.dones, done)
	l.stats.Pending += size
	full := len(b.data) >= l.opt.MaxBatch
	l.mu.Unlock()
	if fresh || full {
		l.hurry()
	}
	return nil
}

// hurry has the committer look again.
func (l *Log) hurry() {
	select {
	case l.wake <- struct{}{}:
	default: // it has been told
	}
}
