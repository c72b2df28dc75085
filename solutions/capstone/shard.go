package capstone

import (
	"time"
)

// tickEvery is how often a shard looks at the clock. Silence is measured with
// it, and how late it comes is the loop's lag.
const tickEvery = 250 * time.Millisecond

// shard is one loop's share of the server. Its fields belong to the loop's
// goroutine, but for the counters, which anybody may read.
type shard struct {
	server *Server // immutable
	index  int     // immutable: of its loop

	clients  []*client     // every connection of this loop, each at its place
	ticks    uint32        // since the server began: its clock for everything that lasts
	outgoing [][]delivery  // by shard: for their members, at the end of this turn
	empty    chan struct{} // closed when the server drains and the last client has gone

	counts  counts   // written here, read by anybody
	latency recorder // written here, read by anybody
}

func newShard(s *Server, index, loops int) *shard {
	return &shard{server: s, index: index, outgoing: make([][]delivery, loops), empty: make(chan struct{})}
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

// post has fn run on another shard's loop, together with all else that this
// turn has for it: one wake-up, and one place in its queue, for many messages.
// What one shard posts to another is run in the order of the posts.
func (sh *shard) post(to *shard, d delivery) {
	if len(sh.outgoing[to.index]) == 0 {
		sh.server.reactor.Post(sh.index, func() { sh.send(to) }) // at the end of this turn
	}
	sh.outgoing[to.index] = append(sh.outgoing[to.index], d)
}

func (sh *shard) send(to *shard) {
	batch := sh.outgoing[to.index]
	sh.outgoing[to.index] = nil // the other loop's now
	sh.server.reactor.Post(to.index, func() {
		for _, d := range batch {
			d.room.deliver(to, d)
		}
	})
}
