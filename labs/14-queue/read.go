package queue

import (
	"context"
	"errors"
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
	return nil, errors.New("not implemented: step 1, records in a file")
}

// Wait returns nil when the log has a record at offset or behind it: there is
// something to Read. The error is ctx's, or ErrClosed.
func (l *Log) Wait(ctx context.Context, offset int64) error {
	return errors.New("not implemented: step 1, records in a file")
}
