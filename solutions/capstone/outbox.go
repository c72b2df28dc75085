package capstone

import (
	"errors"

	eventloop "github.com/asynclab/asynclab/solutions/03-eventloop"
	backpressure "github.com/asynclab/asynclab/solutions/05-backpressure"
	pooling "github.com/asynclab/asynclab/solutions/10-pooling"
	websocket "github.com/asynclab/asynclab/solutions/15-websocket"
)

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
	if waits, err := c.write(p); !waits {
		return err
	}
	own := c.shard.server.frames.Get(len(p))
	defer own.Release()
	copy(own.Bytes(), p)
	return c.push(own)
}

// queueFrame is queue for a frame that others own, too: it is kept by reference.
func (c *client) queueFrame(frame *pooling.Buffer) error {
	if waits, err := c.write(frame.Bytes()); !waits {
		return err
	}
	return c.push(frame)
}

// write hands p to the connection, if that has room and nothing waits in front
// of it. Otherwise waits is true, and there is an outbox.
func (c *client) write(p []byte) (waits bool, err error) {
	if c.out != nil {
		return true, nil
	}
	n, err := c.conn.Write(p)
	if !errors.Is(err, eventloop.ErrQueueFull) {
		c.shard.counts.bytesOut.Add(int64(n))
		return false, err
	}
	frames, err := backpressure.New(c.shard.outboxes)
	if err != nil {
		return false, err
	}
	c.out = &outbox{frames: frames}
	return true, nil
}

// queueBurst sends frames that lie behind each other in burst, and returns how
// many of them will arrive. Who has something waiting gets each by itself, for
// it may have to be dropped by itself.
func (c *client) queueBurst(burst []byte, batch []delivery) (n int64) {
	if c.phase != present {
		return 0 // behind a close frame nothing is sent (RFC 6455, 5.5.1)
	}
	if c.out == nil {
		_, err := c.conn.WriteNow(burst)
		if err == nil {
			c.shard.counts.bytesOut.Add(int64(len(burst)))
			return int64(len(batch))
		}
	}
	for _, d := range batch {
		if c.phase == present && c.queueFrame(d.frame) == nil {
			n++
		}
	}
	return n
}

// push appends frame to what waits, which becomes one more owner of it; the
// caller's ownership stays the caller's. Where there is no room, lab 05 has made
// some (drop-oldest), or the policy is ours to carry out; but our last word gets in.
func (c *client) push(frame *pooling.Buffer) error {
	counts := &c.shard.counts
	frame.Retain(1)
	err := c.out.frames.TrySend(backpressure.Normal, frame)
	for err != nil && c.phase == leaving && c.out.pop(c.shard) { // our last word gets past a full queue
		counts.dropOldest.Add(1)
		err = c.out.frames.TrySend(backpressure.Normal, frame)
	}
	if err == nil {
		counts.queued.Add(int64(len(frame.Bytes())))
		return nil
	}
	frame.Release()
	switch {
	case c.shard.server.config.Slow == Disconnect:
		counts.dropDisconnect.Add(int64(c.out.frames.Len()) + 1)
		c.out.clear(c.shard) // or the close frame would find no room either
		c.close(websocket.Policy, "too slow: the queue is full")
	default:
		counts.dropNewest.Add(1)
	}
	return errDropped
}

// drain moves what waits into the connection, which has said that it is empty.
// That it got there is a sign of life.
func (c *client) drain() {
	c.heard = c.shard.ticks
	for c.out != nil {
		frame, ok := c.out.frames.Peek()
		if !ok {
			break
		}
		n, err := c.conn.Write(frame.Bytes())
		if err != nil {
			return // full again: drain will be called again; or closed
		}
		c.shard.counts.bytesOut.Add(int64(n))
		c.out.pop(c.shard)
	}
	bye := c.out != nil && c.out.bye
	c.out = nil
	if bye {
		c.conn.Close()
	} else if need := c.shard.behind[c]; need != nil && need.waits {
		c.catchUp()
	}
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
