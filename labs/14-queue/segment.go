package queue

import "fmt"

// A segment is one file of the log. Its name is the offset of its first record,
// with 20 digits, and ".log". Its type goes here, and what reads a batch of it
// (steps 1 and 5).

// A CorruptError says that the log holds bytes that it cannot have written: the
// disk, or somebody else, has changed them. Nothing behind them can be trusted
// to be complete, so they are not skipped. Put back a copy of the file, or cut
// it at Position, which gives up what is behind.
type CorruptError struct {
	File     string // its path
	Position int64  // of the batch in the file, in bytes
	Reason   string
}

// Error names the file and the position.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("queue: %s is damaged at byte %d: %s", e.File, e.Position, e.Reason)
}
