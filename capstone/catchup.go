package capstone

import (
	"errors"
	"net/url"
	"strconv"

	queue "github.com/asynclab/asynclab/solutions/14-queue"
)

//lint:file-ignore U1000 what nobody uses yet is for you to use

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
	// step 12
}

// catchUp goes on with the history of a client that needs some: with what is
// there, or by having it read. A client that needs none becomes a member.
//
// On this loop nothing is delivered while it looks. So when all up to the number that
// it has delivered last is on its way to the client, everything above that will
// be delivered here, and the client can take its seat: nothing is missing and
// nothing comes twice.
func (c *client) catchUp() {
	// step 12
}

// show sends a piece of history and asks for the next one.
func (c *client) show(p piece, err error) {
	// step 12
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
