// Package queue is a durable log of records, and groups of consumers that read
// it.
//
// A [Log] is a directory of append-only files. A record is acknowledged when it
// is on the disk; one fsync serves all producers who came while the one before
// it ran. What a crash leaves behind is read again by [Open]: a torn tail is cut
// off, a damaged middle is refused. A [Group] hands each record to one of its
// consumers until one has said that it is done.
package queue

import (
	"errors"
	"fmt"
	"sync"
	"time"

	backpressure "github.com/asynclab/asynclab/solutions/05-backpressure"
)

var (
	// ErrFull is TryAppend's answer when MaxPending bytes wait for the disk.
	ErrFull = errors.New("queue: the disk is behind, and too much waits for it: append later, wait with Append, or drop the record")

	// ErrTooLarge: the record alone is larger than MaxPending or [MaxRecord].
	ErrTooLarge = errors.New("queue: the record is too large: split it, or keep it elsewhere and append where it is")

	// ErrClosed is the answer to everything after Close.
	ErrClosed = errors.New("queue: closed")

	// ErrFailed is the answer to every append after a failed fsync, with the
	// reason. Reading goes on. Open the log anew to find out what the disk has.
	ErrFailed = errors.New("queue: the log takes no more records, because what it has written may be lost: mend the disk and open the log again")

	// ErrRange: the offset is below the first record that is kept, or above
	// the end.
	ErrRange = errors.New("queue: no such offset")
)

// Options is the configuration of a [Log].
type Options struct {
	// FS is the file system. nil means the operating system's.
	FS FS

	// SegmentBytes is the size at which a file is full and the next one
	// begins: a file is larger by at most one batch. 0 means 64 MiB.
	SegmentBytes int64

	// IndexBytes is how many bytes of a segment have one entry of the index.
	// 0 means 4 KiB.
	IndexBytes int

	// MaxBatch bounds the records that are written together, in bytes of the
	// batch; a record that is larger by itself is a batch of its own. 0 means
	// 1 MiB; at most MaxRecord.
	MaxBatch int

	// MaxDelay is how long a record waits for others before they are written
	// together, unless MaxBatch is reached. 0 means not at all: what comes
	// while one fsync runs goes with the next one. A record is acknowledged
	// after MaxDelay and two fsyncs at the latest, as long as no more than
	// MaxBatch waits; a new segment costs two more.
	MaxDelay time.Duration

	// MaxPending bounds the bytes of records that were accepted and are not on
	// the disk yet. 0 means 8 MiB.
	MaxPending int

	// RetainBytes and RetainAge have Retain, which every new segment calls,
	// remove the oldest segments: while all together are larger than
	// RetainBytes, or the last record of the oldest is older than RetainAge.
	// 0 means for ever. The segment that is written to always stays.
	RetainBytes int64
	RetainAge   time.Duration

	// RetainPastGroups lets Retain remove what a group has not committed yet.
	// Otherwise the slowest group, present or not, keeps everything behind it.
	RetainPastGroups bool
}

// A Log is a durable sequence of records, numbered from 0 on. Make one with
// [Open], and end it with Close: it has a goroutine. Its methods may be called
// from any goroutine. One log at a time may be open for a directory.
type Log struct {
	// 1. Records are in the order of offsets in: segments, the batch that is
	//    being written, queue. Offsets are given when a batch is written.
	// 2. Whatever is below the end of the last segment (next) is on the disk.
	//    Nobody is shown more, nobody is acknowledged more.
	// 3. At most one batch is written and not yet synced. So a whole batch
	//    behind a broken one proves that the broken one was on the disk once.
	// 4. The file system is called without mu.

	dir  string               // immutable, as the next two
	opt  Options              // without zeros
	room *backpressure.Credit // bytes that may still be accepted

	wake   chan struct{} // of capacity 1: look at the queue again
	ended  chan struct{} // closed when the committer has ended
	closed chan struct{} // closed when all has

	retaining sync.Mutex // one Retain at a time; taken before mu
	grouping  sync.Mutex // one call of Group at a time; taken before mu

	mu       sync.Mutex // guards the following
	segments []*segment // the last one is written to, by the committer only
	queue    []*batch   // records that wait; the last one fills
	free     []*batch   // to be used again
	grown    chan struct{}
	err      error // why nothing is appended any more
	closing  bool
	groups   map[string]*Group
	floors   map[string]int64 // what each group has committed, on the disk
	stats    Stats
}

// Open opens the log in dir, which is made when it is not there; the directory
// above it must be. It reads the last segment through and cuts off what a crash
// has left unfinished there. It refuses a log that is damaged elsewhere with a
// [*CorruptError], and changes nothing then.
func Open(dir string, o Options) (*Log, error) {
	o, err := o.filled()
	if err != nil {
		return nil, err
	}
	room, err := backpressure.NewCredit(o.MaxPending)
	if err != nil {
		return nil, fmt.Errorf("queue: MaxPending %d: %w", o.MaxPending, err)
	}
	l := &Log{dir: dir, opt: o, room: room, wake: make(chan struct{}, 1), ended: make(chan struct{}), closed: make(chan struct{}),
		grown: make(chan struct{}), groups: map[string]*Group{}, floors: map[string]int64{}}
	if err := l.recover(); err != nil {
		l.closeFiles()
		return nil, fmt.Errorf("open log %s: %w", dir, err)
	}
	go l.run()
	return l, nil
}

// filled refuses nonsense, and puts the defaults in place of zeros.
func (o Options) filled() (Options, error) {
	if o.SegmentBytes < 0 || o.IndexBytes < 0 || o.MaxBatch < 0 || o.MaxDelay < 0 || o.MaxPending < 0 || o.RetainBytes < 0 || o.RetainAge < 0 {
		return o, fmt.Errorf("queue: a negative option in %+v: use 0 for the default", o)
	}
	if o.MaxBatch > MaxRecord {
		return o, fmt.Errorf("queue: MaxBatch %d is above %d: a consumer has to take a batch as a whole", o.MaxBatch, MaxRecord)
	}
	if o.FS == nil {
		o.FS = osFS{}
	}
	o.SegmentBytes = or(o.SegmentBytes, 64<<20)
	o.IndexBytes = or(o.IndexBytes, 4<<10)
	o.MaxBatch = or(o.MaxBatch, 1<<20)
	o.MaxPending = or(o.MaxPending, 8<<20)
	return o, nil
}

func or[T int | int64 | time.Duration](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}

// active is the segment that is written to. mu is held, or it is the committer.
func (l *Log) active() *segment { return l.segments[len(l.segments)-1] }

// Bounds returns the offset of the first record that is kept, and the one that
// the next acknowledged record will have: first <= next, equal when there is
// none.
func (l *Log) Bounds() (first, next int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.segments[0].base, l.active().next
}
