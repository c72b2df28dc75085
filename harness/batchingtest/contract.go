// Package batchingtest judges lab 11: a writer that makes few large writes out
// of many small ones.
//
// contract.go says what it must do, sink.go is what it writes to, the files of
// rules say what is checked, targets.go what is measured, mutants_test.go which
// wrong writers must be refused.
package batchingtest

import (
	"context"
	"time"
)

// Options is the configuration of a [Writer]. The lab declares the same struct;
// its test file converts one into the other, so a difference is a compile error.
type Options struct {
	// MaxBytes has a batch written as soon as it has so many bytes. 0 means
	// 64 KiB. New refuses a negative value, and more than MaxPending.
	MaxBytes int

	// MaxDelay is how long a message waits for others before its batch is
	// written. 0 means not at all: a batch is written as soon as the one
	// before it has been, and what comes meanwhile is the next one.
	MaxDelay time.Duration

	// MaxPending bounds the bytes that were accepted and not yet written. 0
	// means 1 MiB.
	MaxPending int
}

// Stats is what a writer has done and holds.
type Stats struct {
	Messages uint64 // accepted
	Bytes    uint64 // the sink has taken
	Lost     uint64 // messages accepted, and not written as a whole
	Writes   uint64 // calls of the sink

	BySize, ByDelay, WhenIdle, Asked uint64 // batches, by the first reason for which they were due

	Pending int // bytes accepted, and neither written yet nor lost
	Waiting int // Writes that wait for room
}

// Sink takes bytes. Fewer than there are is no error: the rest comes again. An
// error is final. It is given at most 1024 pieces, and called by one goroutine
// at a time.
type Sink interface {
	Writev(pieces [][]byte) (n int, err error)
}

const maxPieces = 1024

// Writer is what lab 11 builds. Its methods may be called from any goroutine.
type Writer interface {
	// Write adds a copy of p. It waits while there is no room, in the order of
	// the calls. When the error is not nil nothing was added: ErrTooLarge,
	// ErrClosed, ctx's error, or what the sink has returned before. done, if
	// not nil, is called once when the error was nil: with nil when all of p
	// was written, or else with the reason; in the order of the messages and
	// without a lock. When Close gives up, those that were not handed over are
	// told first.
	Write(ctx context.Context, p []byte, done func(error)) error

	// WriteOwned is Write without the copy, if p has 2 KiB or more. p is the
	// writer's until done is called.
	WriteOwned(ctx context.Context, p []byte, done func(error)) error

	// TryWrite is Write without the wait: ErrFull takes its place.
	TryWrite(p []byte, done func(error)) error

	// Flush waits until everything that was accepted before is written, and
	// its writers have been told.
	Flush(ctx context.Context) error

	// Close has everything written and ends the goroutine. When ctx ends
	// first, what has not been handed to the sink is lost, its writers are told
	// ErrClosed, and Close returns ctx's error. It may be called more than once.
	Close(ctx context.Context) error
}
