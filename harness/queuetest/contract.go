// Package queuetest judges lab 14: a durable log, and groups of consumers that
// read it.
//
// contract.go says what it must do, disk.go is the disk it writes to: one that
// fails, and that forgets what was not synced. The files of rules say what is
// checked, kill.go kills processes, targets.go says what is measured,
// mutants_test.go which wrong logs must be refused.
package queuetest

import (
	"context"
	"io"
	"net"
	"time"
)

// FS is what a log asks of a file system. A file's content is on the disk when
// its Sync has returned nil; that it is there, has this name, or is gone, is on
// the disk when SyncDir of its directory has.
type FS = interface {
	Mkdir(dir string) error            // nil when it is there already
	List(dir string) ([]string, error) // the names in it, sorted; of files and directories
	Open(name string, create bool) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	SyncDir(dir string) error
}

// File is an open file. Pwrite may take fewer bytes than it was given, without
// an error.
type File = interface {
	io.ReaderAt
	Pwrite(p []byte, off int64) (n int, err error)
	Truncate(size int64) error
	Sync() error
	Size() (int64, error)
	Close() error
}

// Options is the configuration of a [Log]. The lab declares the same struct; its
// test file converts one into the other, so a difference is a compile error.
type Options struct {
	FS FS // nil means the operating system's

	SegmentBytes int64 // a file that has so many bytes is full; 0 means 64 MiB
	IndexBytes   int   // one entry of the index for so many bytes; 0 means 4 KiB

	MaxBatch   int           // bytes that are written together; 0 means 1 MiB
	MaxDelay   time.Duration // how long a record waits for others
	MaxPending int           // bytes accepted and not on the disk yet; 0 means 8 MiB

	RetainBytes      int64
	RetainAge        time.Duration
	RetainPastGroups bool
}

// GroupOptions is the configuration of a group. After attempt n has failed a
// record waits for Backoff << (n-1), at most MaxBackoff.
type GroupOptions struct {
	Visibility          time.Duration // 0 means 30 s
	Backoff, MaxBackoff time.Duration // 0 means not at all, and a minute
	MaxAttempts         int           // 0 means 5
	MaxInFlight         int           // 0 means 1024
}

// Record is one entry of a log.
type Record struct {
	Offset int64
	Time   time.Time
	Key    []byte
	Value  []byte
}

// Delivery is a record that a consumer has for a while.
type Delivery struct {
	Offset  int64
	Time    time.Time
	Key     []byte
	Value   []byte
	Attempt int // from 1 on
}

// Stats is what a log has done since it was opened, and holds.
type Stats struct {
	Records  uint64 // acknowledged
	Batches  uint64 // that they came in: an fsync each
	Pending  int    // bytes of records accepted and not yet on the disk
	Segments int    // files
	Bytes    int64  // in them
}

// GroupStats is what a group has done since it was opened, and holds.
type GroupStats struct {
	Committed   int64  // every offset below is done
	InFlight    int    // records delivered and not done
	Delivered   uint64 // by Receive
	Redelivered uint64 // of them, not for the first time
	Acked       uint64 // records
	Dead        uint64 // records that became dead letters
	Skipped     uint64 // records that Retain has removed before they were delivered
}

// Corrupt is an error that says where the log is damaged.
type Corrupt struct {
	File     string
	Position int64 // of the batch in the file, in bytes
	Reason   string
}

// Log is what lab 14 builds, as far as standard types can say it; the rest is in
// [Subject]. Its methods may be called from any goroutine. A segment's file is
// in the log's directory and called by the offset of its first record, with 20
// digits, and .log; a batch is written there at the end, then synced.
type Log interface {
	// Append adds a record and returns its offset when it is on the disk.
	Append(ctx context.Context, key, value []byte) (offset int64, err error)

	// AppendAsync waits for room only. done is called once when the error was
	// nil: with the offset when the record is on the disk, or with -1 and the
	// reason; in the order of the records, without a lock.
	AppendAsync(ctx context.Context, key, value []byte, done func(offset int64, err error)) error

	// TryAppend never waits: ErrFull.
	TryAppend(key, value []byte, done func(offset int64, err error)) error

	// FetchTo writes whole batches as they are in the file: at least one, and
	// then no more than maxBytes. The first one has offset in it. It returns
	// the offset behind them, which is offset at the end of the log.
	FetchTo(c net.Conn, offset int64, maxBytes int) (next int64, err error)

	// Wait waits until there is a record at offset or behind it.
	Wait(ctx context.Context, offset int64) error

	// Bounds returns the first offset that is kept, and the end.
	Bounds() (first, next int64)

	// Retain removes the oldest segments that are not wanted any more.
	Retain() (removed int, err error)

	// Close has all that was accepted brought onto the disk. When ctx ends
	// first, what is not being written is told ErrClosed.
	Close(ctx context.Context) error
}
