package batchingtest

import (
	"bytes"
	"context"
	"sync"
	"time"
)

// article is the article's batch writer, in our own code: a buffer, a lock that
// is held while it writes, a timer whose errors nobody sees. What it adds is
// what a caller would have to write around it.
type article struct {
	sink Sink

	mu    sync.Mutex // guards the following
	buf   bytes.Buffer
	armed bool
	n     Stats
}

var articleLab = lab{Full: errFull, TooLarge: errTooLarge, Closed: errClosed, New: func(s Sink, o Options) (judged, error) { return &article{sink: s}, nil }}

func (a *article) Write(_ context.Context, p []byte, done func(error)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.buf.Write(p)
	a.n.Messages++
	if a.buf.Len() >= 4096 {
		if err := a.flush(); err != nil {
			return err
		}
	} else if !a.armed {
		a.armed = true
		time.AfterFunc(10*time.Millisecond, func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			if a.flush() == nil { // and otherwise: nothing
				a.armed = false
			}
		})
	}
	if done != nil {
		go done(nil) // there is nobody in the article who would know better
	}
	return nil
}

// flush writes all at once, and empties the buffer when that was no error.
func (a *article) flush() error {
	if a.buf.Len() == 0 {
		return nil
	}
	_, err := a.sink.Writev([][]byte{a.buf.Bytes()})
	if err == nil {
		a.buf.Reset()
	}
	return err
}

func (a *article) WriteOwned(ctx context.Context, p []byte, done func(error)) error {
	return a.Write(ctx, p, done)
}

func (a *article) TryWrite(p []byte, done func(error)) error {
	return a.Write(context.Background(), p, done)
}

func (a *article) Flush(context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.flush()
}

func (a *article) Close(context.Context) error { return nil }

func (a *article) Stats() Stats {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.n
}
