package capstone

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	batching "github.com/asynclab/asynclab/solutions/11-batching"
)

const (
	journalDelay = 100 * time.Millisecond // how long a line may wait for others
	journalBytes = 1 << 20                // that may wait for a reader that is slow
)

// Journal is where the log goes: a terminal, a pipe, a file. Whoever reads it may
// stop reading, and a loop that writes a line must not wait for that. So lines
// are gathered (lab 11), written together by another goroutine, and lost and
// counted when too many wait.
type Journal struct {
	lines *batching.Writer
	lost  atomic.Int64
}

// NewJournal returns a journal that writes to w, alone. End it with Close.
func NewJournal(w io.Writer) (*Journal, error) {
	lines, err := batching.New(sink{w}, batching.Options{MaxDelay: journalDelay, MaxPending: journalBytes})
	if err != nil {
		return nil, err
	}
	return &Journal{lines: lines}, nil
}

// Write takes one line: it is an io.Writer for a slog.Handler. It copies p and
// never waits; a line that finds no room is lost, which is no error. Any
// goroutine.
func (j *Journal) Write(p []byte) (int, error) {
	switch err := j.lines.TryWrite(p, nil); {
	case errors.Is(err, batching.ErrFull), errors.Is(err, batching.ErrTooLarge):
		j.lost.Add(1)
	case err != nil:
		return 0, err
	}
	return len(p), nil
}

// Lost is how many lines found no room.
func (j *Journal) Lost() int64 { return j.lost.Load() }

// Close writes what waits, until ctx ends.
func (j *Journal) Close(ctx context.Context) error { return j.lines.Close(ctx) }

// sink makes an io.Writer what lab 11 writes to.
type sink struct{ io.Writer }

func (s sink) Writev(pieces [][]byte) (n int, err error) {
	for _, p := range pieces {
		m, err := s.Write(p)
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
