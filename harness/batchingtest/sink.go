package batchingtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var errSink = errors.New("the sink is broken")

// sink keeps what it is given. What it does is set before the writer is made.
type sink struct {
	took  func(call int, size int) (n int, err error) // nil: all
	gate  chan struct{}                               // not nil: each call takes a token first
	keep  bool                                        // keeps the pieces themselves
	began time.Time

	mu      sync.Mutex // guards the following
	calls   []call
	stream  []byte
	inside  int
	crowded bool   // two calls at the same time
	wrong   string // what it was given that is not allowed
}

// call is one Writev.
type call struct {
	at     time.Duration // since began
	pieces [][]byte      // with keep
	count  int           // pieces
	size   int           // bytes
	n      int           // of them taken
}

func (s *sink) Writev(pieces [][]byte) (int, error) {
	size := 0
	for _, p := range pieces {
		size += len(p)
	}
	s.mu.Lock()
	s.inside++
	s.crowded = s.crowded || s.inside > 1
	number := len(s.calls)
	s.calls = append(s.calls, call{at: time.Since(s.began), count: len(pieces), size: size})
	if size == 0 || len(pieces) > maxPieces {
		s.wrong = fmt.Sprintf("%d pieces of %d bytes together", len(pieces), size)
	}
	s.mu.Unlock()
	if s.gate != nil {
		<-s.gate
	}
	n, err := size, error(nil)
	if s.took != nil {
		n, err = s.took(number, size)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inside--
	s.calls[number].n = n
	if s.keep {
		s.calls[number].pieces = append([][]byte(nil), pieces...)
	}
	left := n
	for _, p := range pieces {
		part := p[:min(left, len(p))]
		s.stream = append(s.stream, part...)
		left -= len(part)
	}
	return n, err
}

// got is what the sink has been given so far.
func (s *sink) got() (stream string, calls []call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.stream), append([]call(nil), s.calls...)
}

// orderly holds what no sink may see.
func (s *sink) orderly() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.crowded {
		return spec.Fail("one call of the sink at a time", "there were two")
	}
	if s.wrong != "" {
		return spec.Fail("1 to 1024 pieces, and something in them", "the sink was given %s", s.wrong)
	}
	return nil
}

// holds compares the stream.
func (s *sink) holds(want string) error {
	got, _ := s.got()
	if got == want {
		return s.orderly()
	}
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	return spec.Fail(fmt.Sprintf("the sink to get the %d bytes that were written, in order", len(want)),
		"it got %d; the first difference is at byte %d: %.20q, and not %.20q", len(got), at, got[at:], want[at:])
}

// fates is what each done was told, in order.
type fates struct {
	mu   sync.Mutex
	told []string // guarded by mu: "3 nil"
}

// done makes a callback for message i.
func (f *fates) done(l lab, i int) func(error) {
	return func(err error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.told = append(f.told, fmt.Sprint(i, " ", l.name(err)))
	}
}

func (f *fates) all() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.told, ", ")
}

// open makes a writer, which is ended by force at the check's end. Where Close is
// not there yet, it says so, instead of leaving goroutines behind.
func open(r *spec.Run, l lab, s *sink, o Options) (judged, error) {
	if err := probe(l); err != nil {
		return nil, err
	}
	s.began = time.Now()
	w, err := l.New(s, o)
	if err != nil {
		return nil, spec.Fail("New to make a writer", "it returned: %v", err)
	}
	r.Cleanup(func() {
		if s.gate != nil {
			close(s.gate)
		}
		gone, cancel := context.WithCancel(context.Background())
		cancel()
		w.Close(gone)
	})
	return w, nil
}

// letters is a message that tells which one it is.
func letters(i, size int) []byte { return bytes.Repeat([]byte{byte('a' + i%26)}, size) }
