package capstone

import (
	"errors"

	backpressure "github.com/asynclab/asynclab/solutions/05-backpressure"
	pooling "github.com/asynclab/asynclab/solutions/10-pooling"
)

//lint:file-ignore U1000 what nobody uses yet is for you to use

var errDropped = errors.New("dropped: the client's queue is full")

// outbox is what waits for a client that takes less than it is sent. Nearly no
// client has one: it begins when the connection's own buffer is full, and ends
// when it has been emptied into that.
//
// It is one of the owners of frames that the whole room shares, so a hundred slow
// clients of one room cost hardly more memory than one.
type outbox struct {
	frames *backpressure.Channel[*pooling.Buffer] // bounded in bytes; nobody ever waits for it
	bye    bool                                   // the connection is to be closed behind the last
}

// outboxOptions is what all outboxes of a loop have in common.
func (sh *shard) outboxOptions() backpressure.Options[*pooling.Buffer] {
	config := &sh.server.config
	o := backpressure.Options[*pooling.Buffer]{
		MaxBytes: config.QueueBytes,
		Capacity: config.QueueBytes, // no frame is empty, so the bytes decide
		Size:     func(frame *pooling.Buffer) int { return len(frame.Bytes()) },
		Policy:   backpressure.Reject,
	}
	if config.Slow == DropOldest {
		o.Policy = backpressure.DropOldest
		o.OnDrop = func(frame *pooling.Buffer) {
			sh.counts.dropOldest.Add(1)
			sh.letGo(frame)
		}
	}
	return o
}

// letGo ends an outbox's ownership of a frame.
func (sh *shard) letGo(frame *pooling.Buffer) {
	sh.counts.queued.Add(int64(-len(frame.Bytes())))
	frame.Release()
}

// queue sends bytes to the client, now or as soon as it takes them: then they
// are copied. An error means that they will not be sent. It never waits.
func (c *client) queue(p []byte) error {
	_, err := c.conn.Write(p) // step 5: and what does not fit?
	return err
}

// queueFrame is queue for a frame that others own, too: it is kept by reference.
func (c *client) queueFrame(frame *pooling.Buffer) error {
	return c.queue(frame.Bytes()) // step 5: what waits is not copied
}

// write hands p to the connection, if that has room and nothing waits in front
// of it. Otherwise waits is true, and there is an outbox.
func (c *client) write(p []byte) (waits bool, err error) {
	return false, errors.New("not implemented: step 5")
}

// queueBurst sends frames that lie behind each other in burst, and returns how
// many of them will arrive. Who has something waiting gets each by itself, for
// it may have to be dropped by itself.
func (c *client) queueBurst(burst []byte, batch []delivery) (n int64) {
	if c.queue(burst) != nil { // step 5: WriteNow, and what does not fit
		return 0
	}
	return int64(len(batch))
}

// push appends frame to what waits, which becomes one more owner of it; the
// caller's ownership stays the caller's. Where there is no room, lab 05 has made
// some (drop-oldest), or the policy is ours to carry out; but our last word gets in.
func (c *client) push(frame *pooling.Buffer) error {
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
	if ok {
		sh.letGo(frame)
	}
	return ok
}

// clear forgets all of them. o may be nil.
func (o *outbox) clear(sh *shard) {
	for o != nil && o.pop(sh) {
	}
}
