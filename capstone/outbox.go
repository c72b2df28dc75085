package capstone

import (
	"errors"

	backpressure "github.com/asynclab/asynclab/solutions/05-backpressure"
)

//lint:file-ignore U1000 what nobody uses yet is for you to use

var errDropped = errors.New("dropped: the client's queue is full")

// outbox is what waits for a client that takes less than it is sent. Nearly no
// client has one: it begins when the connection's own buffer is full, and ends
// when it has been emptied into that.
//
// It holds references to frames that the whole room shares, so a hundred slow
// clients of one room cost hardly more memory than one.
type outbox struct {
	frames *backpressure.Channel[[]byte] // bounded in bytes; nobody ever waits for it
	bye    bool                          // the connection is to be closed behind the last
}

// outboxOptions is what all outboxes of a loop have in common.
func (sh *shard) outboxOptions() backpressure.Options[[]byte] {
	config := &sh.server.config
	o := backpressure.Options[[]byte]{
		MaxBytes: config.QueueBytes,
		Capacity: config.QueueBytes, // no frame is empty, so the bytes decide
		Size:     func(frame []byte) int { return len(frame) },
		Policy:   backpressure.Reject,
	}
	if config.Slow == DropOldest {
		o.Policy = backpressure.DropOldest
		o.OnDrop = func(frame []byte) {
			sh.counts.dropOldest.Add(1)
			sh.counts.queued.Add(int64(-len(frame)))
		}
	}
	return o
}

// queue sends a frame to the client, now or as soon as it takes it. A shared
// frame is kept by reference; any other is copied if it has to wait. An error
// means that it will not be sent. It never waits.
func (c *client) queue(frame []byte, shared bool) error {
	return errors.New("not implemented: step 5")
}

// queueBurst sends frames that lie behind each other in burst, and returns how
// many of them will arrive. Who has something waiting gets each by itself, for
// it may have to be dropped by itself.
func (c *client) queueBurst(burst []byte, batch []delivery) (n int64) {
	return 0 // step 5
}

// push appends frame to what waits. Where there is no room, lab 05 has made some
// (drop-oldest), or the policy is ours to carry out.
func (c *client) push(frame []byte) error {
	return errors.New("not implemented: step 5")
}

// drain moves what waits into the connection, which has said that it is empty.
// That it got there is a sign of life.
func (c *client) drain() {
	// step 5
}

// pop forgets the oldest frame, and reports whether there was one.
func (o *outbox) pop(sh *shard) bool {
	frame, ok := o.frames.TryReceive()
	sh.counts.queued.Add(int64(-len(frame)))
	return ok
}

// clear forgets all of them. o may be nil.
func (o *outbox) clear(sh *shard) {
	for o != nil && o.pop(sh) {
	}
}
