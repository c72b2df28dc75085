package queue

import (
	"context"
	"errors"
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
	return -1, errors.New("not implemented: step 1, records in a file")
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
	return errors.New("not implemented: step 1, records in a file")
}

// TryAppend is AppendAsync without any wait: ErrFull takes its place, also while
// others wait for room. It never blocks, so an event loop can call it.
func (l *Log) TryAppend(key, value []byte, done func(offset int64, err error)) error {
	return errors.New("not implemented: step 1, records in a file")
}
