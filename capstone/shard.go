package capstone

import (
	"time"

	backpressure "github.com/asynclab/asynclab/solutions/05-backpressure"
	pooling "github.com/asynclab/asynclab/solutions/10-pooling"
)

//lint:file-ignore U1000 what nobody uses yet is for you to use

// tickEvery is how often a shard looks at the clock. Silence is measured with
// it, and how late it comes is the loop's lag.
const tickEvery = 250 * time.Millisecond

// shard is one loop's share of the server. Its fields belong to the loop's
// goroutine, but for the counters, which anybody may read.
type shard struct {
	server *Server // immutable
	index  int     // immutable: of its loop

	names    map[*client]string                    // the streams of those who number their messages
	behind   map[*client]*catching                 // those who still get the history of their room
	clients  []*client                             // every connection of this loop, each at its place
	ticks    uint32                                // since the server began: its clock for everything that lasts
	burst    []byte                                // frames behind each other, on their way to all members
	outgoing [][]delivery                          // by shard: for their members, at the end of this turn
	spare    [][]delivery                          // empty, to be filled again: a batch stays with the loop that delivered it
	outboxes backpressure.Options[*pooling.Buffer] // immutable: of the clients that are slow
	empty    chan struct{}                         // closed when the server drains and the last client has gone

	counts  counts   // written here, read by anybody
	latency recorder // written here, read by anybody
}

func newShard(s *Server, index, loops int) *shard {
	sh := &shard{server: s, index: index, names: map[*client]string{}, behind: map[*client]*catching{}, outgoing: make([][]delivery, loops), empty: make(chan struct{})}
	sh.outboxes = sh.outboxOptions()
	return sh
}

// add and remove keep every client at its place, so that neither searches.

func (sh *shard) add(c *client) {
	c.place = int32(len(sh.clients))
	sh.clients = append(sh.clients, c)
}

func (sh *shard) remove(c *client) {
	last := len(sh.clients) - 1
	moved := sh.clients[last]
	sh.clients[c.place], moved.place = moved, c.place
	sh.clients[last] = nil
	sh.clients = sh.clients[:last]
}

// tick reads the clock, once for all clients. asked is when the tick was asked
// for: how long it has waited is how long the loop makes everybody wait.
func (sh *shard) tick(asked time.Time) {
	now := time.Now()
	sh.counts.lag.Store(int64(now.Sub(asked)))
	sh.ticks = uint32(now.Sub(sh.server.began) / tickEvery)
	time.AfterFunc(tickEvery, func() { sh.askForTick() })
}

// askForTick works until the reactor ends. Any goroutine.
func (sh *shard) askForTick() {
	asked := time.Now()
	sh.server.reactor.Post(sh.index, func() { sh.tick(asked) })
}

// post has a message delivered by shard to, which may be this one, together
// with all else that this turn has for it: one wake-up, and one write for each
// member, for many messages. What one shard posts to another is delivered in the
// order of the posts.
func (sh *shard) post(to *shard, d delivery) {
	if to != sh {
		d.frame.Release() // step 4: its members are not ours to touch
		return
	}
	d.room.deliver(sh, []delivery{d}) // step 4: once for all of a turn
}

func (sh *shard) send(to *shard) {
	// step 4
}

const (
	maxSpare = 4        // batches that a loop keeps
	keptSize = 16 << 10 // deliveries, of 48 bytes: a larger batch was a burst's
)

// deliverOwn delivers a batch that is sh's alone, and keeps its memory.
func (sh *shard) deliverOwn(batch []delivery) {
	// step 4
}

// deliver gives a batch of messages to the members on this loop, room by room.
func (sh *shard) deliver(batch []delivery) {
	// step 4
}
