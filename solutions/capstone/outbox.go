package capstone

import (
	"bytes"
	"errors"

	eventloop "github.com/asynclab/asynclab/solutions/03-eventloop"
	websocket "github.com/asynclab/asynclab/solutions/15-websocket"
)

var errDropped = errors.New("dropped: the client's queue is full")

// outbox is what waits for a client that takes less than it is sent. Nearly no
// client has one: it begins when the connection's own buffer is full, and ends
// when it has been emptied into that.
//
// It holds references to frames that the whole room shares, so a hundred slow
// clients of one room cost hardly more memory than one.
type outbox struct {
	frames [][]byte // oldest first
	bytes  int      // of all of them
	bye    bool     // the connection is to be closed behind the last
}

// queue sends a frame to the client, now or as soon as it takes it. A shared
// frame is kept by reference; any other is copied if it has to wait. An error
// means that it will not be sent. It never waits.
func (c *client) queue(frame []byte, shared bool) error {
	if c.out == nil {
		n, err := c.conn.Write(frame)
		if !errors.Is(err, eventloop.ErrQueueFull) {
			c.shard.counts.bytesOut.Add(int64(n))
			return err
		}
		c.out = &outbox{}
	}
	if !shared {
		frame = bytes.Clone(frame)
	}
	return c.push(frame)
}

// queueBurst sends frames that lie behind each other in burst, and returns how
// many of them will arrive. Who has something waiting gets each by itself, for
// it may have to be dropped by itself.
func (c *client) queueBurst(burst []byte, batch []delivery) (n int64) {
	if c.out == nil {
		_, err := c.conn.WriteNow(burst)
		if err == nil {
			c.shard.counts.bytesOut.Add(int64(len(burst)))
			return int64(len(batch))
		}
	}
	for _, d := range batch {
		if c.phase == present && c.queue(d.frame, true) == nil {
			n++
		}
	}
	return n
}

// push makes room by the policy, if there is none, and appends frame.
func (c *client) push(frame []byte) error {
	sh, limit := c.shard, c.shard.server.config.QueueBytes
	if c.out.bytes+len(frame) > limit {
		switch sh.server.config.Slow {
		case DropNewest:
			sh.counts.dropNewest.Add(1)
			return errDropped
		case DropOldest:
			for c.out.bytes+len(frame) > limit {
				c.out.pop(sh)
				sh.counts.dropOldest.Add(1)
			}
		case Disconnect:
			sh.counts.dropDisconnect.Add(int64(len(c.out.frames)) + 1)
			c.out.clear(sh)
			c.close(websocket.Policy, "too slow: the queue is full")
			return errDropped
		}
	}
	c.out.frames = append(c.out.frames, frame)
	c.out.bytes += len(frame)
	sh.counts.queued.Add(int64(len(frame)))
	return nil
}

// drain moves what waits into the connection, which has said that it is empty.
// That it got there is a sign of life.
func (c *client) drain() {
	c.heard = c.shard.ticks
	for c.out != nil && len(c.out.frames) > 0 {
		n, err := c.conn.Write(c.out.frames[0])
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
	}
}

// pop forgets the oldest frame.
func (o *outbox) pop(sh *shard) {
	size := len(o.frames[0])
	o.frames[0] = nil // the array may live on
	o.frames = o.frames[1:]
	o.bytes -= size
	sh.counts.queued.Add(int64(-size))
}

// clear forgets all of them. o may be nil.
func (o *outbox) clear(sh *shard) {
	for o != nil && len(o.frames) > 0 {
		o.pop(sh)
	}
}
