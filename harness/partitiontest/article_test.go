package partitiontest

import (
	"context"
	"hash/fnv"
	"sync"
	"sync/atomic"
)

// article has the article's partitions judged: what it adds is what a caller
// would have to write around them. There is no bound, no eviction and no end in
// the article, so it has nothing to call for these.
type article struct {
	*articlePartition
	o          Options
	states     sync.Map // *State by key
	sent, done atomic.Uint64
	closed     atomic.Bool
}

var articleLab = lab{Full: errFull, Closed: errClosed, New: newArticle}

func newArticle(o Options) (judged, error) {
	if o.Handle == nil || o.Shards < 0 || o.Queue < 0 || o.IdleAfter < 0 || o.MaxKeys < 0 || o.MaxKeys > 0 && o.MaxKeys < o.Shards {
		return nil, errFull
	}
	a := &article{o: o}
	a.articlePartition = newArticlePartition(o.Shards, func(key string, m Message) {
		state, _ := a.states.LoadOrStore(key, new(State))
		o.Handle(key, state.(*State), m)
		a.done.Add(1)
	})
	return a, nil
}

func (a *article) Send(_ context.Context, key string, m Message) error {
	if a.closed.Load() {
		return errClosed
	}
	a.sent.Add(1)
	a.send(key, m)
	return nil
}

func (a *article) TrySend(key string, m Message) error { return a.Send(context.Background(), key, m) }

// Shard is what the article's number of shards promises, and nothing keeps.
func (a *article) Shard(key string) int {
	h := fnv.New32a()
	h.Write([]byte(key))
	return int(h.Sum32() % uint32(max(1, a.shards)))
}

func (a *article) Resize(context.Context, int) error { return errClosed }

// Close marks it closed, for the judge: the article has nothing that ends it.
func (a *article) Close(context.Context) error {
	a.closed.Store(true)
	return nil
}

func (a *article) Stats() Stats {
	a.mu.RLock()
	defer a.mu.RUnlock()
	sent, done := a.sent.Load(), a.done.Load()
	return Stats{Shards: a.shards, Keys: len(a.channels), Sent: sent, Handled: done, Queued: int(sent - done)}
}
