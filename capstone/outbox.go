package capstone

import (
	"errors"
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
	frames [][]byte // oldest first
	bytes  int      // of all of them
	bye    bool     // the connection is to be closed behind the last
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

// push makes room by the policy, if there is none, and appends frame.
func (c *client) push(frame []byte) error {
	return errors.New("not implemented: step 5")
}

// drain moves what waits into the connection, which has said that it is empty.
// That it got there is a sign of life.
func (c *client) drain() {
	// step 5
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
