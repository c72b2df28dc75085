package queue

import (
	"context"
	"errors"
	"time"
)

// ErrStale says that the record is not the caller's any more: its time was over,
// and it was handed to somebody else, or given up.
var ErrStale = errors.New("queue: the delivery is over, and the record is somebody else's: finish faster, or raise Visibility")

// GroupOptions is the configuration of a [Group].
type GroupOptions struct {
	// Visibility is how long a consumer has for a record before that counts
	// as a failed attempt. 0 means 30 s.
	Visibility time.Duration

	// Backoff is how long a record waits after its first failed attempt, until
	// it is delivered again; twice as long after each further one, up to
	// MaxBackoff. 0 means not at all. MaxBackoff 0 means a minute.
	Backoff, MaxBackoff time.Duration

	// MaxAttempts is how often a record is delivered before it becomes a dead
	// letter. 0 means 5.
	MaxAttempts int

	// MaxInFlight bounds the records that were delivered and are not done:
	// with a consumer, or waiting for their next attempt. 0 means 1024.
	MaxInFlight int
}

// A Delivery is a record that a consumer has for a while.
type Delivery struct {
	Offset  int64
	Time    time.Time
	Key     []byte
	Value   []byte
	Attempt int // from 1 on
}

// A Group hands each record of a log to one of its consumers, until one has
// acknowledged it: at least once, by lease. Get one from [Log.Group]; it ends
// with its log. Its methods may be called from any goroutine.
type Group struct {
	// Yours to add: what is committed, what is done above that, and what is with
	// a consumer. Every offset is in exactly one place: write down here in which.
}

// Group returns the group with this name, which is made, and durable, when it is
// not there yet; a new one begins with the oldest record that is kept. A second
// call with the same options returns the same group. The name has letters,
// digits, and . _ - inside.
func (l *Log) Group(name string, o GroupOptions) (*Group, error) {
	return nil, errors.New("not implemented: step 8, groups")
}

// Receive hands out the next record: one whose next attempt is due, or a new
// one; of those that are due at the same time, as all are after Open, the oldest.
// It waits while there is none, or MaxInFlight are out. The caller owns the
// delivery, has Visibility from now on for it, and ends it with Ack or Nack.
//
// The error is ctx's, ErrClosed, what reading has returned, or why a dead letter
// could not be put away; that one is tried again later, and Receive may be
// called again.
func (g *Group) Receive(ctx context.Context) (Delivery, error) {
	return Delivery{}, errors.New("not implemented: step 8, groups")
}

// Dead is the log of the records whose attempts are spent, with their keys and
// values. It takes every record that the log has, however small MaxPending is now,
// keeps them for ever, and may be read like any other; it ends with its group. After a crash at the wrong moment one of them may be there twice.
func (g *Group) Dead() *Log {
	return nil // not implemented: step 9, attempts
}
