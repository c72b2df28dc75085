package capstone

import (
	"context"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	ordering "github.com/asynclab/asynclab/solutions/07-ordering"
	partition "github.com/asynclab/asynclab/solutions/08-partition"
)

//lint:file-ignore U1000 what nobody uses yet is for you to use

// A sender that gives its name (/room/NAME?sender=ME) numbers its messages: 1 and
// a space before the first. It may send them over several connections, and again
// after it has lost one: the room hears each once, in the order of the numbers.
//
// Connections are on any loop, so a sender has a stream outside of them, in a
// partition by key: all that it sends to a room meets on one goroutine there
// (lab 08), which puts it in order (lab 07) and posts it to the loops.
type senders struct {
	server  *Server // immutable
	streams *partition.Partition[numbered, *stream]
	posts   chan struct{}   // bounds what is posted to the loops and not delivered
	gone    context.Context // ends when the loops have ended, and nothing posted runs
	ended   context.CancelFunc

	repeated, lost, refused atomic.Int64 // messages, and numbers that never came
}

const (
	senderWindow = 256              // how far a sender's messages may be apart
	senderIdle   = 10 * time.Minute // then its numbers are forgotten
	maxPosts     = 1024             // batches on their way to loops
)

// numbered is one message of such a sender, or, with alarm, the news that one
// may have been missing for long enough.
type numbered struct {
	delivery
	seq   uint32
	alarm bool
}

// stream is what one sender sends to one room. It belongs to its partition's
// goroutine. The key's state is a pointer to it: a state may move between two
// messages (lab 08), and the buffer's callbacks must find what they write to.
type stream struct {
	order *ordering.Buffer[numbered]
	bytes int        // that wait in order
	ready []delivery // in order, to be posted
	alarm bool       // a timer runs for the oldest gap
}

func newSenders(s *Server) (*senders, error) {
	ss := &senders{server: s, posts: make(chan struct{}, maxPosts)}
	ss.gone, ss.ended = context.WithCancel(context.Background())
	var err error
	ss.streams, err = partition.New(partition.Options[numbered, *stream]{
		Handle: ss.handle, OnEvict: ss.forget,
		IdleAfter: senderIdle, MaxKeys: max(s.config.MaxConns, 1<<10),
	})
	return ss, err
}

// close posts what has arrived, in order, and gives up what is missing. What
// comes later is refused. ctx bounds how long it waits for the loops.
func (ss *senders) close(ctx context.Context) { ss.streams.Close(ctx) }

// end ends the streams when the loops have ended.
func (ss *senders) end() {
	ss.ended()
	ss.close(context.Background()) // nothing to wait for: nobody posts any more
}

// senderName is the sender's name in a request's target: "" for none, and ok is
// false for one that cannot be a name.
func senderName(query string) (name string, ok bool) {
	q, err := url.ParseQuery(query)
	name = q.Get("sender")
	return name, err == nil && (!q.Has("sender") || roomName(name))
}

// publishNumbered hands a message to its sender's stream. It runs on c's loop
// and does not wait: what finds no room is lost, and counted.
func (c *client) publishNumbered(text bool, payload []byte) {
	// step 8
}

// handle takes one message of the stream key. The first one of a stream that is
// not known begins it: at 1, or, where it is further than the window from there,
// at its own number.
func (ss *senders) handle(key string, state **stream, m numbered) {
	// step 8
}

func (ss *senders) begin(first uint32) *stream {
	return nil // step 8
}

// take puts m into its place. A sender may have as much waiting as a client: but
// what fills the gap is always welcome, for it makes room.
func (ss *senders) take(st *stream, now time.Duration, m numbered) {
	// step 8
}

// post gives what is in order to every loop that has members, in that order: what
// is posted to a loop runs there in the order of the posts. It waits while too
// much is on its way; then the partition's queue fills, and refuses.
//
// What has waited may have come for a room that has ended since, with its last
// member: the one that has its name now is meant (rooms.current).
func (ss *senders) post(st *stream) {
	// step 8
}

func release(batch []delivery) {
	for _, d := range batch {
		d.frame.Release()
	}
}

func anyoneOn(loop int, batch []delivery) bool {
	return slices.ContainsFunc(batch, func(d delivery) bool { return d.room.here[loop].Load() > 0 })
}

// setAlarm has the stream looked at when its oldest gap has lasted long enough.
func (ss *senders) setAlarm(key string, st *stream, now time.Duration) {
	// step 8
}

func (ss *senders) ring(key string) {
	// step 8
}

// forget is called when a stream was idle for long, had to make room for others,
// or the server ends.
func (ss *senders) forget(_ string, state **stream) {
	// step 8
}
