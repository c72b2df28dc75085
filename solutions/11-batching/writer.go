// Package batching makes few large writes out of many small ones.
//
// A system call costs as much as copying some kilobytes. A [Writer] gathers
// messages and hands them to its [Sink] together: when there are enough bytes,
// when the oldest has waited long enough, when the sink has nothing else to do,
// or when somebody asks. Nothing is lost, doubled or reordered, and every writer
// hears what became of its message.
package batching

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

var (
	// ErrFull is TryWrite's answer when MaxPending bytes wait already.
	ErrFull = errors.New("batching: too much waits to be written: write later, use Write, or drop the message")

	// ErrTooLarge: the message alone is larger than MaxPending.
	ErrTooLarge = errors.New("batching: the message is larger than MaxPending: split it, or raise MaxPending")

	// ErrClosed is the answer to everything after Close.
	ErrClosed = errors.New("batching: closed")
)

// Options is the configuration of a [Writer].
type Options struct {
	// MaxBytes has a batch written as soon as it has so many bytes. 0 means
	// 64 KiB. New refuses a negative value, and more than MaxPending.
	MaxBytes int

	// MaxDelay is how long a message waits for others before its batch is
	// written. 0 means not at all: a batch is written as soon as the one
	// before it has been, and what comes meanwhile is the next one. Where the
	// sink is slower than that, a message waits for the sink. New refuses a
	// negative value.
	MaxDelay time.Duration

	// MaxPending bounds the bytes that were accepted and not yet written. 0
	// means 1 MiB. New refuses a negative value.
	MaxPending int
}

// A Writer gathers messages for one sink. Make one with [New], and end it with
// Close: it has a goroutine. Its methods may be called from any goroutine.
type Writer struct {
	// Messages are in the order of Write in: the batch that is being written,
	// filling, waiters. pending is the bytes of the first two, at most
	// MaxPending. The sink is called without mu, by one goroutine at a time.

	sink Sink    // the writer's goroutine only
	opt  Options // immutable

	wake  chan struct{} // of capacity 1: look again
	ended chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex // guards the following
	filling *batch
	spare   *batch // nil while it is being written
	pending int
	waiters []*waiter // Writes that wait for room, the first one first
	due     reason    // why filling should be written; none when it should not
	timer   *time.Timer
	serial  uint64 // of filling: a timer knows which one it was set for
	err     error  // what ended the sink; nothing is written any more
	closing bool
	stats   Stats
}

// New returns a writer to sink. The writer is the only one to call it.
func New(sink Sink, o Options) (*Writer, error) {
	if sink == nil {
		return nil, errors.New("batching: no sink: give one, for example Conn(c)")
	}
	if o.MaxBytes < 0 || o.MaxDelay < 0 || o.MaxPending < 0 {
		return nil, fmt.Errorf("batching: negative option (MaxBytes %d, MaxDelay %v, MaxPending %d): use 0 for the default", o.MaxBytes, o.MaxDelay, o.MaxPending)
	}
	if o.MaxPending == 0 {
		o.MaxPending = 1 << 20
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = min(64<<10, o.MaxPending)
	}
	if o.MaxBytes > o.MaxPending {
		return nil, fmt.Errorf("batching: MaxBytes %d is above MaxPending %d: a batch would never be full", o.MaxBytes, o.MaxPending)
	}
	w := &Writer{sink: sink, opt: o, wake: make(chan struct{}, 1), ended: make(chan struct{}), filling: &batch{}, spare: &batch{}}
	go w.run()
	return w, nil
}
