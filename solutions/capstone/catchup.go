package capstone

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	queue "github.com/asynclab/asynclab/solutions/14-queue"
)

const (
	internalError = 1011 // RFC 6455, 7.4.1
	noSeat        = -1   // of a client that belongs to a room and is not among its members
)

// catching is a client that is not a member of its kept room yet, because it
// still gets what it has missed.
type catching struct {
	next  int64 // the number that it needs next
	waits bool  // for its outbox to be empty; otherwise a worker reads for it
}

// piece is some history, encoded: frames behind each other.
type piece struct {
	frames []byte
	ends   []int // of each frame; the first one has the number first
	first  int64
}

// sinceOf is the number in a request's target that the client has seen last; -1
// when it does not say.
func sinceOf(query string) (since int64, ok bool) {
	q, err := url.ParseQuery(query)
	if err != nil || !q.Has("since") {
		return -1, err == nil
	}
	since, err = strconv.ParseInt(q.Get("since"), 10, 64)
	return since, err == nil && since >= 0
}

// joinKept notes what the client has seen of b. It is no member yet, but may
// publish. c's loop, as everything here.
func (c *client) joinKept(b *book, since int64) {
	c.room, c.seat = b.room, noSeat
	delivered := b.lines[c.shard.index].delivered.Load()
	if since < 0 || since > b.written.Load() {
		since = delivered
	}
	first, _ := b.log.Bounds()
	c.shard.behind[c] = &catching{next: max(since, first) + 1}
}

// catchUp goes on with the history of a client that needs some: with what is
// there, or by having it read. A client that needs none becomes a member.
//
// On this loop nothing is delivered while it looks. So when all up to the number that
// it has delivered last is on its way to the client, everything above that will
// be delivered here, and the client can take its seat: nothing is missing and
// nothing comes twice.
func (c *client) catchUp() {
	sh := c.shard
	b, need := c.room.book, sh.behind[c]
	if need.waits = c.out != nil; need.waits {
		return // drain goes on; as a member it could lose what waits there
	}
	delivered := b.lines[sh.index].delivered.Load()
	if need.next > delivered+1 { // it has heard on another loop what is on its way to this one
		time.AfterFunc(time.Millisecond, func() {
			sh.server.reactor.Post(sh.index, func() {
				if sh.behind[c] == need {
					c.catchUp()
				}
			})
		})
		return
	}
	if need.next > delivered {
		delete(sh.behind, c)
		c.ws.Send(true, fmt.Appendf(nil, "=%d", need.next-1))
		c.room.seat(c)
		return
	}
	next := need.next
	var p piece
	f, err := b.history.readers.TrySubmit(func(context.Context) (err error) {
		p, err = b.read(next)
		return err
	})
	if err != nil {
		c.conn.Abort(err) // the server ends
		return
	}
	f.Then(func(run func()) error { return sh.server.reactor.Post(sh.index, run) }, func(err error) { c.show(p, err) })
}

// show sends a piece of history and asks for the next one.
func (c *client) show(p piece, err error) {
	sh := c.shard
	need := sh.behind[c]
	switch {
	case need == nil || c.phase != present:
		return // it has left meanwhile
	case err != nil:
		sh.server.log.Error("history cannot be read", "room", c.room.name, "number", need.next, "error", err)
		c.close(internalError, "the history cannot be read")
		return
	}
	delivered := c.room.book.lines[sh.index].delivered.Load()
	n := min(int64(len(p.ends)), delivered-p.first+1)
	if n <= 0 {
		need.next = delivered + 1 // retention has taken it all
		c.catchUp()
		return
	}
	if c.queue(p.frames[:p.ends[n-1]]) != nil { // one piece waits at most, so it fits whatever the policy is
		return
	}
	sh.counts.deliveries.Add(n)
	need.next = p.first + n
	c.catchUp()
}

// read makes the next piece. It runs on a worker.
func (b *book) read(next int64) (p piece, err error) {
	limit := min(maxPiece, b.history.server.config.QueueBytes/2)
	records, err := b.log.Read(next-1, limit)
	if errors.Is(err, queue.ErrRange) { // retention was here meanwhile: what is gone is gone
		first, _ := b.log.Bounds()
		records, err = b.log.Read(first, limit)
	}
	if err != nil || len(records) == 0 {
		return p, err
	}
	p.first = records[0].Offset + 1
	for i, r := range records {
		if i > 0 && len(p.frames)+len(r.Value)+numberSize+frameHead > limit {
			break
		}
		p.frames = appendNumbered(p.frames, r.Offset+1, r.Value)
		p.ends = append(p.ends, len(p.frames))
	}
	return p, nil
}
