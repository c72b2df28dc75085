// Package partitiontest judges lab 08: messages handled in order by key, over a
// fixed number of shards.
//
// contract.go says what a partition must do, the files of rules what is
// checked, targets.go what is measured, mutants_test.go which wrong partitions
// must be refused.
package partitiontest

import (
	"context"
	"time"
)

// Message is what the judge sends.
type Message struct {
	From int // who sends it
	Seq  int // its number among the messages of its key, from 1
}

// State is what the judge keeps for a key.
type State struct {
	Count int // messages handled
	Last  int // Seq of the last one
}

// Options is the configuration of a partition. The lab declares the same struct
// for any types of message and state; its test file converts one into the
// other, so a difference is a compile error.
//
// The callbacks of one shard run on its goroutine, one at a time, without any
// lock held. They may call TrySend, Shard and Stats.
type Options struct {
	// Handle is called once for each message, for each key in the order of
	// its Sends. state is the key's own: zero when the key is new, and as the
	// last call has left it otherwise. It is valid until Handle returns.
	// Required.
	Handle func(key string, state *State, m Message)

	// OnEvict is called when a key's state is about to be forgotten: the key
	// was idle, or had to make room, or the partition is closed. It comes
	// after the Handle of every message before it and before that of every
	// message after it. nil means that there is nothing to save.
	OnEvict func(key string, state *State)

	// OnPanic is called with the recovered value when a callback has
	// panicked for a key. nil means that panics are counted and otherwise
	// ignored.
	//
	// A panic of Handle costs that message, which is not tried again, and the
	// key's state: it is dropped without OnEvict. A panic goes no further,
	// OnPanic's own included.
	OnPanic func(key string, recovered any)

	// Shards is how many keys can be handled at the same time, one goroutine
	// each. 0 means runtime.GOMAXPROCS(0). New refuses a negative value.
	Shards int

	// Queue bounds the messages that wait in one shard, beside the one that is
	// being handled. 0 means 1024. New refuses a negative value.
	Queue int

	// IdleAfter lets a key be forgotten when no message was accepted for it
	// for this long: not before, and, in a shard that keeps up with its queue,
	// not later than twice as long. Time that a message spends in the queue
	// does not make its key idle. While messages wait, at most 64 keys are
	// evicted between two of them. 0 means never. New refuses a negative value.
	IdleAfter time.Duration

	// MaxKeys bounds the keys that have a state, in all shards together; each
	// shard has an equal part of it, at least one key. A new key at the bound
	// takes the place of the one that its shard has not handled for the
	// longest time. 0 means no bound. New refuses a bound below Shards.
	MaxKeys int
}

// Stats is what a partition has done and holds. At every instant
// Sent = Handled + Queued + Discarded.
type Stats struct {
	Shards    int    // goroutines
	Keys      int    // keys that have a state
	Queued    int    // messages accepted and not handled yet, those being handled among them
	Sent      uint64 // messages accepted since New
	Handled   uint64 // messages whose Handle has ended, also in a panic
	Discarded uint64 // messages that Close has given up
	Panics    uint64 // callbacks that have panicked; OnPanic's own are not counted
	Evicted   uint64 // keys forgotten, for whatever reason but a panic of Handle
}

// Partition is what lab 08 builds. Its methods may be called from any
// goroutine.
type Partition interface {
	// Send hands m to the shard of key, and waits while its queue is full.
	// Calls that wait for the same shard are served in their order. With an
	// error, m is not accepted and will not be handled: ErrClosed, or ctx's
	// error. A message that was accepted is handled once.
	Send(ctx context.Context, key string, m Message) error

	// TrySend is Send without the wait: it returns ErrFull when the shard's
	// queue is full, others wait for room in it, or Resize is at work.
	TrySend(key string, m Message) error

	// Shard returns the number of the shard that handles key, from 0 to
	// Shards-1. It stays the same until Resize. The empty key is a key like
	// any other. New draws a seed, so that nobody outside can choose keys that
	// all meet on one shard.
	Shard(key string) int

	// Resize changes the number of shards while messages flow. Every key keeps
	// its order and its state. When ctx or the partition ends first, it
	// returns ctx's error or ErrClosed and nothing has changed. It refuses a
	// number below 1 or above MaxKeys.
	Resize(ctx context.Context, shards int) error

	// Close accepts nothing any more, has everything handled that was
	// accepted, evicts every key, and waits until the shards' goroutines have
	// ended. Send calls that wait for room return ErrClosed. When ctx ends
	// first, what is still queued is discarded, no further message is handled,
	// and Close returns ctx's error without waiting for the callbacks that are
	// running. It may be called more than once.
	Close(ctx context.Context) error
}
