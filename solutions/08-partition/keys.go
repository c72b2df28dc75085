package partition

// none is no entry.
const none = -1

// chunk is how many entries are allocated at a time.
const chunk = 512

// entry is all that a key costs, beside its place in the map.
type entry[S any] struct {
	key          string
	used         int64 // when its last message was accepted; see shard.now
	older, newer int32 // neighbours in the order of use; older also links free entries
	state        S
}

// keys is the table of a shard's keys, from the one that was not used for the
// longest time to the one that was used last. It belongs to the shard's
// goroutine.
//
// Entries refer to each other by number: 4 bytes instead of 8, and nothing for
// the garbage collector to follow. They lie in chunks, so that growing copies
// nothing.
type keys[S any] struct {
	max    int // 0: no bound
	byKey  map[string]int32
	chunks [][]entry[S]
	oldest int32 // none when empty
	newest int32 // none when empty
	free   int32 // first free entry; none when there is none
	peak   int   // the most keys since the table was made
}

func newKeys[S any]() *keys[S] {
	return &keys[S]{byKey: map[string]int32{}, oldest: none, newest: none, free: none}
}

func (k *keys[S]) len() int { return len(k.byKey) }

func (k *keys[S]) full() bool { return k.max > 0 && k.len() >= k.max }

// at returns entry i. It stays where it is until it is removed, or compact
// moves all.
func (k *keys[S]) at(i int32) *entry[S] { return &k.chunks[i/chunk][i%chunk] }

func (k *keys[S]) find(key string) (i int32, known bool) {
	i, known = k.byKey[key]
	return i, known
}

// add makes an entry for key, the newest one.
func (k *keys[S]) add(key string) int32 {
	if k.free == none {
		k.grow()
	}
	i := k.free
	e := k.at(i)
	k.free = e.older
	e.key = key
	k.byKey[key] = i
	k.append(i)
	k.peak = max(k.peak, k.len())
	return i
}

func (k *keys[S]) grow() {
	first := int32(len(k.chunks) * chunk)
	k.chunks = append(k.chunks, make([]entry[S], chunk))
	for i := first + chunk - 1; i >= first; i-- {
		k.at(i).older, k.free = k.free, i
	}
}

// remove forgets entry i, its state too.
func (k *keys[S]) remove(i int32) {
	k.unlink(i)
	e := k.at(i)
	delete(k.byKey, e.key)
	*e = entry[S]{older: k.free}
	k.free = i
}

// touch makes entry i the newest.
func (k *keys[S]) touch(i int32, used int64) {
	k.at(i).used = used
	if i != k.newest {
		k.unlink(i)
		k.append(i)
	}
}

func (k *keys[S]) unlink(i int32) {
	e := k.at(i)
	if e.older != none {
		k.at(e.older).newer = e.newer
	} else {
		k.oldest = e.newer
	}
	if e.newer != none {
		k.at(e.newer).older = e.older
	} else {
		k.newest = e.older
	}
}

func (k *keys[S]) append(i int32) {
	e := k.at(i)
	e.older, e.newer = k.newest, none
	if k.newest != none {
		k.at(k.newest).newer = i
	} else {
		k.oldest = i
	}
	k.newest = i
}

// compact gives memory back when three quarters of the table are empty: neither
// a map nor the chunks ever shrink by themselves. What it copies was paid for
// by the three times as many keys that have gone.
func (k *keys[S]) compact() {
	if k.peak < 4*chunk || k.len() > k.peak/4 {
		return
	}
	small := newKeys[S]()
	small.max = k.max
	small.byKey = make(map[string]int32, k.len())
	for i := k.oldest; i != none; i = k.at(i).newer {
		small.adopt(k.at(i))
	}
	*k = *small
}

// adopt takes in an entry of another table, as the newest.
func (k *keys[S]) adopt(e *entry[S]) {
	own := k.at(k.add(e.key))
	own.used, own.state = e.used, e.state
}
