package capstone

import (
	"context"
	"io"
	"sync/atomic"
	"time"
)

//lint:file-ignore U1000 what nobody uses yet is for you to use

const (
	journalDelay = 100 * time.Millisecond // how long a line may wait for others
	journalBytes = 1 << 20                // that may wait for a reader that is slow
)

// Journal is where the log goes: a terminal, a pipe, a file. Whoever reads it may
// stop reading, and a loop that writes a line must not wait for that. So lines
// are gathered (lab 11), written together by another goroutine, and lost and
// counted when too many wait.
type Journal struct {
	w    io.Writer // for now: who writes waits for whoever reads
	lost atomic.Int64
}

// NewJournal returns a journal that writes to w, alone. End it with Close.
func NewJournal(w io.Writer) (*Journal, error) {
	return &Journal{w: w}, nil // step 11
}

// Write takes one line: it is an io.Writer for a slog.Handler. It copies p and
// never waits; a line that finds no room is lost, which is no error. Any
// goroutine.
func (j *Journal) Write(p []byte) (int, error) {
	return j.w.Write(p) // step 11
}

// Lost is how many lines found no room.
func (j *Journal) Lost() int64 { return j.lost.Load() }

// Close writes what waits, until ctx ends.
func (j *Journal) Close(ctx context.Context) error {
	return nil // step 11
}

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
